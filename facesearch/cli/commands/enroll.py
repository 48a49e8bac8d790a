"""Add people and their photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import announced, gallery_of
from facesearch.cli.options import FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import bar, report_skips, say, tell
from facesearch.errors import shown

if TYPE_CHECKING:
    from facesearch.answers import EnrolledPhotos


@click.command()
@click.argument("name", required=False)
@click.argument("photos", type=FILE, nargs=-1)
@click.option(
    "--from",
    "folder",
    type=FOLDER,
    default=None,
    help="Enroll everybody below this folder: one folder a person.",
)
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@click.option("--refuse-lookalikes", is_flag=True, help="Leave out photos that are closer to somebody else.")
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.as_json
@options.strict
def enroll(
    name: str | None,
    photos: tuple[Path, ...],
    folder: Path | None,
    largest: bool,
    refuse_lookalikes: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    fpir: float | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Add NAME's PHOTOS to the gallery, or everybody in --from. No photo is stored, only its vector.

    With --refuse-lookalikes a photo that is closer to somebody else who is enrolled is left out.

    \b
    Example:  facesearch enroll "Ada Lovelace" ada1.jpg ada2.jpg
              facesearch enroll --from people/
    """
    from facesearch.api.inputs import people_folders
    from facesearch.api.names import clean_name
    from facesearch.cli.photos import as_skips, files_of
    from facesearch.records import Skipped
    from facesearch.report import lines as report

    if (folder is None) == (name is None):
        raise click.UsageError("give either NAME PHOTO... or --from FOLDER")
    if name is not None and not photos:
        raise click.UsageError("give at least one photo after the name")
    skipped: list[Skipped] = []
    if folder is not None:
        wanted, skipped = people_folders(folder)
    else:
        person, found = clean_name(name or ""), files_of(photos)
        skipped = [item for item in found if isinstance(item, Skipped)]
        wanted = [(person, item) for item in found if not isinstance(item, Skipped)]
    opened = gallery_of(gallery, encoder, detection)
    announced(opened)
    with bar("enroll", "photo") as progress:
        result = opened.enroll_many(
            wanted,
            largest=largest,
            fpir=fpir,
            progress=progress,
            refuse_lookalikes=refuse_lookalikes,
            skipped=skipped,
        )
    if as_json:
        say(report.as_json(result))
    else:
        for added in result.added:
            say(f"{shown(added.person)}: {added.photos} photo{'s' if added.photos != 1 else ''} enrolled")
    _say(result)
    for note in opened.notes():
        tell(shown(note))
    report_skips(as_skips(result.skipped), strict)


def _say(result: EnrolledPhotos) -> None:
    if result.known:
        tell(f"{result.known} photos were enrolled already")
    if result.unchecked:
        tell(f"{result.unchecked} photos were not checked against other people: the gallery has no threshold")
