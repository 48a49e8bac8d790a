"""Find the faces in photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import detector_of
from facesearch.cli.options import FILE, FOLDER, DetectionChoice
from facesearch.cli.photos import files_of, require_a_face, watched
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import shown, unshown

if TYPE_CHECKING:
    from facesearch.answers import DetectedPhoto


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True)
@click.option(
    "--crops",
    type=FOLDER,
    default=None,
    help="Write each face's aligned crop (112 x 112 pixels) into this folder.",
)
@options.as_json
@options.detection
@options.skips
def detect(
    photos: tuple[Path, ...], crops: Path | None, as_json: bool, detection: DetectionChoice, skips: Skips
) -> None:
    """Find the faces in PHOTOS (files or folders): boxes, landmarks, and aligned crops where they are asked
    for.

    \b
    Example:  facesearch detect group.jpg --json
              facesearch detect holiday/ --crops crops/
    """
    from facesearch.api.photos import detect_each
    from facesearch.records import Skipped
    from facesearch.report import lines as report

    files, skipped, faces = files_of(photos), list[Skipped](), 0
    with bar("detect", "photo") as progress:
        for found in watched(
            detect_each(files, detector=detector_of(detection)), len(files), progress, skipped
        ):
            if as_json:
                say(report.as_json(found, indent=None))
            else:
                for line in report.detected_lines(found):
                    say(line)
            faces += len(found)
            if crops is not None:
                _write_crops(found, crops)
    require_a_face(faces, skipped)
    if crops is not None:
        tell(f"{shown(crops)} holds pictures of faces: keep it as you keep the photos")
    report_skips(skipped, skips)


def _write_crops(found: DetectedPhoto, folder: Path) -> None:
    """PHOTO-NUMBER-HASH.png: photos of one name in several folders do not overwrite one another."""
    import io

    from PIL import Image

    from facesearch.files import make_folder, replace_file

    make_folder(folder)
    for face in found:
        picture = io.BytesIO()
        Image.fromarray(face.crop).save(picture, "PNG")
        name = f"{Path(unshown(found.photo)).stem}-{face.face}-{found.sha256[:8]}.png"
        replace_file(folder / name, picture.getvalue())
