"""Sort a scanned album into a folder a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.options import FOLDER
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import counted, shown

if TYPE_CHECKING:
    from facesearch.api.albums import Sorted

SHOWN_LEFT = 10


@click.command()
@click.argument("scan_folder", metavar="SCAN", type=FOLDER)
@click.option("--into", "out", type=FOLDER, required=True, help="Where the people's folders are made.")
@click.option(
    "--link",
    type=click.Choice(["hard", "sym"]),
    default=None,
    help="Link the photos instead of copying them.",
)
@click.option(
    "--photos", type=FOLDER, default=None, help="Where the album lies now, if it was moved since the scan."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--undo", is_flag=True, help="Take back what was sorted there of this album.")
@options.as_json
@options.skips
def sort(
    scan_folder: Path,
    out: Path,
    link: str | None,
    photos: Path | None,
    dry_run: bool,
    undo: bool,
    as_json: bool,
    skips: Skips,
) -> None:
    """Copy or link the photos of a scanned album into one folder a person, by review and gallery.

    A photo of several people goes into each one's folder; one in which nobody has a name, into _unknown and
    there into its group's. What lies beside a photo goes along: .xmp, .json, .aae, the film of a live photo,
    the RAW of the same name. Nothing is overwritten and no original is touched; done again, or after an
    interruption, only what is missing is done. What was placed is noted in the folder: after a correction
    the same command moves it, and --undo takes it back. A copy that was changed is left and told.

    \b
    Example:  facesearch sort holiday.scan --into sorted/ --dry-run
              facesearch sort holiday.scan --into sorted/ --link hard
              facesearch sort holiday.scan --into sorted/ --undo
    """
    from facesearch.answers import SkippedPhoto
    from facesearch.api.album_answers import AlbumSorted
    from facesearch.api.albums import open_album, scan_of, sort_album, unsort_album
    from facesearch.report import lines as report

    if undo and link is not None:
        raise click.UsageError("--undo takes back copies and links alike: --link is not for it")
    with open_album(scan_of(scan_folder)) as album, bar("sort", "photo") as progress:
        tell(f"photos: {shown(photos or album.root)}")
        if undo:
            result = unsort_album(album, out, progress, root=photos, dry_run=dry_run)
        else:
            result = sort_album(album, out, progress, way=link or "copy", root=photos, dry_run=dry_run)
    if as_json:
        left, skipped = (tuple(map(SkippedPhoto.of, those)) for those in (result.left, result.skipped))
        numbers = (result.made, result.moved, result.taken, result.there, result.sides, result.faceless)
        say(report.as_json(AlbumSorted(result.folders, *numbers, left, skipped)))
    elif result.folders:
        say("\n".join(report.sort_lines(out, result.folders)))
    _tell(result, "copied" if link is None else "linked", dry_run=dry_run, undo=undo)
    report_skips(result.skipped, skips)


def _tell(result: Sorted, verb: str, *, dry_run: bool, undo: bool) -> None:
    """What was done, in a line, and what was left."""
    would = "would be " if dry_run else ""
    counts = [] if undo else [f"{result.made} {would}{verb}", f"{result.there} there already"]
    if result.moved:
        counts.append(f"{result.moved} {would}moved")
    if result.taken or undo:
        counts.append(f"{result.taken} {would}taken away")
    if result.sides:
        counts.append(f"{counted(result.sides, 'file')} beside them")
    if result.faceless:
        counts.append(f"{result.faceless} without a face left out")
    tell(", ".join(counts))
    for item in result.left[:SHOWN_LEFT]:
        tell(f"left {shown(item)}")
    if len(result.left) > SHOWN_LEFT:
        tell(f"... and {len(result.left) - SHOWN_LEFT} more; --json tells all")
