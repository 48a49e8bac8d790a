"""Check a gallery against damage, and rebuild its index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import FOLDER, KINDS, GalleryChoice
from facesearch.cli.terminal import bar, say
from facesearch.errors import Damaged, counted, shown


@click.command()
@click.option("--no-repair", is_flag=True, help="Only look; change nothing.")
@click.option("--rebuild", is_flag=True, help="Rebuild the index, whatever state it is in.")
@click.option(
    "--index",
    type=click.Choice(KINDS),
    default=None,
    help="With --rebuild: the kind of index from now on.  [default: as before, at first auto]",
)
@click.option(
    "--photos",
    type=FOLDER,
    default=None,
    help="Look again at the enrolled photos that lie below this folder, and tell what is seen otherwise now.",
)
@options.gallery
@options.as_json
def verify(
    no_repair: bool,
    rebuild: bool,
    index: str | None,
    photos: Path | None,
    gallery: GalleryChoice,
    as_json: bool,
) -> None:
    """Check every page, row, checksum and count of the gallery, and its index; rebuild the index if it is not
    right.

    Exit code 1 when the gallery itself is damaged. With --photos, faces that were enrolled on their side, or
    cut otherwise than they are now, are named: forget such a photo and enroll it again. Rows that do not know
    where their face lies learn it. Kinds of index: auto compares all faces as long as they
    are few, then scans short codes and compares the best candidates exactly, after measuring that this finds
    what is to be found; flat always compares all; bits1 and bits2 scan one or two bits a number. The scores
    of answers are exact with every one of them.

    \b
    Example:  facesearch verify
              facesearch verify --rebuild --index bits1
              facesearch verify --photos people/
    """
    from facesearch.report import lines as report

    if no_repair and rebuild:
        raise click.UsageError("--no-repair and --rebuild exclude each other")
    if index is not None and not rebuild:
        raise click.UsageError("--index needs --rebuild")
    opened = gallery_of(gallery, changes=rebuild)
    result = opened.verify(repair=not no_repair, rebuild=rebuild, index=index)
    if photos is not None:
        with bar("photos", "photo") as progress:
            result = replace(result, looked=opened.look_again([photos], progress=progress))
    if as_json:
        say(report.as_json(result))
    else:
        right = "every page, row and checksum is right"
        state = f"{len(result.problems)} things wrong" if result.problems else right
        say(
            f"{shown(gallery.folder)}: {counted(result.faces, 'face')} of"
            f" {counted(result.people, 'person')}; {state}"
        )
        wrong = [f"index: {result.index}"] if result.index else []
        for line in (*result.problems, *wrong, *result.mended):
            say(f"  {shown(line)}")
        for line in report.looked_again_lines(result.looked):
            say(f"  {line}")
    if result.problems:
        raise Damaged(gallery.folder, len(result.problems))
