"""Faces into vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import detector_of, encoder_of
from facesearch.cli.options import FILE, DetectionChoice, EncoderChoice
from facesearch.cli.photos import files_of, require_a_face, watched
from facesearch.cli.terminal import Skips, bar, report_skips, say

if TYPE_CHECKING:
    from facesearch.answers import EmbeddedPhoto
    from facesearch.records import Skipped


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True)
@click.option(
    "--out",
    type=FILE,
    required=True,
    help="vectors.npy: all vectors as one array; vectors.jsonl: a photo a line.",
)
@options.encoder
@options.detection
@options.skips
def embed(
    photos: tuple[Path, ...], out: Path, encoder: EncoderChoice, detection: DetectionChoice, skips: Skips
) -> None:
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
    files, skipped = files_of(photos), list[Skipped]()
    with bar("embed", "photo") as progress:
        each = embed_each(files, encoder=encoder_of(encoder), detector=detector_of(detection))
        write = _write_array if out.suffix == ".npy" else _write_lines
        write(watched(each, len(files), progress, skipped), out, skipped)
    report_skips(skipped, skips)


def _write_lines(found: Iterator[EmbeddedPhoto], out: Path, skipped: Sequence[Skipped]) -> None:
    """One photo a line, its vectors in it."""
    from facesearch.files import growing_file
    from facesearch.report import lines as report

    faces = 0
    with growing_file(out) as file:
        for photo in found:
            faces += len(photo)
            file.write((report.as_json(photo, indent=None) + "\n").encode())
        require_a_face(faces, skipped)


def _write_array(found: Iterator[EmbeddedPhoto], out: Path, skipped: Sequence[Skipped]) -> None:
    import numpy as np

    from facesearch.files import growing_file
    from facesearch.records import F32
    from facesearch.report import lines as report

    vectors = list[F32]()
    for photo in found:
        for face in photo:
            row = {
                "row": len(vectors),
                "photo": photo.photo,
                "sha256": photo.sha256,
                "face": face.face,
                "of": face.of,
                "box": face.box,
            }
            say(report.as_json(row, indent=None))
            vectors.append(face.vector)
    require_a_face(len(vectors), skipped)
    with growing_file(out) as file:
        np.save(file, np.stack(vectors))
