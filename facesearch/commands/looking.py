"""Photos without a gallery: compare, embed, detect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from facesearch import options
from facesearch.commands.given import detector_of, encoder_of
from facesearch.options import FILE, FOLDER, DetectionChoice, EncoderChoice
from facesearch.terminal import bar, report_skips, tell

if TYPE_CHECKING:
    from facesearch.answers import DetectedPhoto, EmbeddedPhoto
    from facesearch.records import Progress, Skipped

P = TypeVar("P", "DetectedPhoto", "EmbeddedPhoto")


@click.command()
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "--fmr", type=options.Number(0, 1, min_open=True, max_open=True), default=0.001, show_default=True,
    help="False-match rate: the share of pairs of different people that may be called the same.",
)  # fmt: skip
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@options.as_json
@options.encoder
@options.detection
def compare(
    a: Path, b: Path, fmr: float, largest: bool, as_json: bool, encoder: EncoderChoice, detection: DetectionChoice
) -> None:  # fmt: skip
    """Say whether photos A and B show the same person.

    The score is the cosine of both faces; it is decided at the rate of false matches that the encoder itself was measured to have.

    \b
    Example:  facesearch compare passport.jpg holiday.jpg
    """
    from facesearch import report
    from facesearch.api import photos

    result = photos.compare(a, b, fmr=fmr, largest=largest, encoder=encoder_of(encoder), detector=detector_of(detection))
    click.echo(report.as_json(result) if as_json else "\n".join(report.compared_lines(result)))


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, required=True, help="vectors.npy: all vectors as one array; vectors.jsonl: a photo a line.")
@options.encoder
@options.detection
@options.strict
def embed(photos: tuple[Path, ...], out: Path, encoder: EncoderChoice, detection: DetectionChoice, strict: bool) -> None:
    """Turn the faces in PHOTOS (files or folders) into vectors.

    With .npy stdout says which row is which face, one JSON object a line; with .jsonl all is in the file.

    \b
    Example:  facesearch embed holiday/ --out vectors.npy > rows.jsonl
              facesearch embed face.jpg --out vectors.jsonl
    """
    from facesearch.api.photos import embed_each
    from facesearch.errors import OutputExists
    from facesearch.records import Skipped

    if out.suffix not in (".npy", ".jsonl"):
        raise click.UsageError("--out ends in .npy or .jsonl")
    if out.exists():
        raise OutputExists(out, "would be overwritten")
    files, skipped = _files(photos), list[Skipped]()
    with bar("embed", "photo") as progress:
        each = embed_each(files, encoder=encoder_of(encoder), detector=detector_of(detection))
        write = _write_array if out.suffix == ".npy" else _write_lines
        write(_watched(each, len(files), progress, skipped), out, skipped)
    report_skips(skipped, strict)


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True)
@click.option("--crops", type=FOLDER, default=None, help="Write each face's aligned crop (112 x 112 pixels) into this folder.")
@options.as_json
@options.detection
@options.strict
def detect(photos: tuple[Path, ...], crops: Path | None, as_json: bool, detection: DetectionChoice, strict: bool) -> None:
    """Find the faces in PHOTOS (files or folders): boxes, landmarks, and aligned crops where they are asked for.

    \b
    Example:  facesearch detect group.jpg --json
              facesearch detect holiday/ --crops crops/
    """
    from facesearch import report
    from facesearch.api.photos import detect_each
    from facesearch.records import Skipped

    files, skipped, faces = _files(photos), list[Skipped](), 0
    with bar("detect", "photo") as progress:
        for found in _watched(detect_each(files, detector=detector_of(detection)), len(files), progress, skipped):
            if as_json:
                click.echo(report.as_json(found, indent=None))
            else:
                for line in report.detected_lines(found):
                    click.echo(line)
            faces += len(found)
            if crops is not None:
                _write_crops(found, crops)
    _require(faces, skipped)
    if crops is not None:
        tell(f"{crops} holds pictures of faces: keep it as you keep the photos")
    report_skips(skipped, strict)


def _files(photos: Iterable[Path]) -> list[Path | Skipped]:
    from facesearch.faces.photos import walk

    return [found for photo in photos for found in walk(photo)]


def _watched(found: Iterator[P], total: int, progress: Progress, skipped: list[Skipped]) -> Iterator[P]:
    """The same photos, counted; those that were left out are added to skipped too."""
    from facesearch.records import Skipped

    progress(0, total)
    for number, photo in enumerate(found, 1):
        if photo.skipped is not None:
            skipped.append(Skipped(Path(photo.photo), photo.skipped))
        yield photo
        progress(number, total)


def _write_lines(found: Iterator[EmbeddedPhoto], out: Path, skipped: Sequence[Skipped]) -> None:
    """One photo a line, its vectors in it."""
    from facesearch import report
    from facesearch.files import growing_file

    faces = 0
    with growing_file(out) as file:
        for photo in found:
            faces += len(photo)
            file.write((report.as_json(photo, indent=None) + "\n").encode())
        _require(faces, skipped)


def _write_array(found: Iterator[EmbeddedPhoto], out: Path, skipped: Sequence[Skipped]) -> None:
    import numpy as np

    from facesearch.files import growing_file
    from facesearch.records import F32

    vectors = list[F32]()
    for photo in found:
        for face in photo:
            row = {"row": len(vectors), "photo": photo.photo, "sha256": photo.sha256, "face": face.face, "of": face.of, "box": face.box}
            click.echo(json.dumps(row, ensure_ascii=False))
            vectors.append(face.vector)
    _require(len(vectors), skipped)
    with growing_file(out) as file:
        np.save(file, np.stack(vectors))


def _require(faces: int, skipped: Sequence[Skipped]) -> None:
    """Raises NothingToDo when no photo showed a face."""
    from facesearch.errors import NothingToDo

    if not faces:
        report_skips(skipped, strict=False)
        raise NothingToDo(f"{len(skipped)} photos" if len(skipped) != 1 else str(skipped[0].path), "no face in any of them")


def _write_crops(found: DetectedPhoto, folder: Path) -> None:
    """PHOTO-NUMBER-HASH.png: photos of one name in several folders do not overwrite one another."""
    import io

    from PIL import Image

    from facesearch.files import make_folder, replace_file

    make_folder(folder)
    for face in found:
        picture = io.BytesIO()
        Image.fromarray(face.crop).save(picture, "PNG")
        name = f"{Path(found.photo).stem}-{face.face}-{found.sha256[:8]}.png"
        replace_file(folder / name, picture.getvalue())
