"""Sort a scanned album into a folder a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.options import FOLDER
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import shown

if TYPE_CHECKING:
    pass


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
@options.skips
def sort(
    scan_folder: Path, out: Path, link: str | None, photos: Path | None, dry_run: bool, skips: Skips
) -> None:
    """Copy or link the photos of a scanned album into one folder a person, by review and gallery.

    A photo of several people goes into each one's folder; one in which nobody has a name, into _unknown and
    there into its group's. Nothing is overwritten and no original is touched; done again, or after an
    interruption, only what is missing is done.

    \b
    Example:  facesearch sort holiday.scan --into sorted/ --dry-run
              facesearch sort holiday.scan --into sorted/ --link hard
    """
    from facesearch.api.albums import album_folder, is_album, open_album, sort_album

    if not is_album(scan_folder) and is_album(album_folder(scan_folder)):
        scan_folder = album_folder(scan_folder)  # the album itself was named
    with open_album(scan_folder) as album, bar("sort", "photo") as progress:
        tell(f"photos: {shown(photos or album.root)}")
        result = sort_album(album, out, progress, way=link or "copy", root=photos, dry_run=dry_run)
    for folder, count in result.folders.items():
        say(f"{count:5d}  {shown(out / folder)}")
    verb = {None: "copied", "hard": "linked", "sym": "linked"}[link]
    would = "would be " if dry_run else ""
    tell(
        f"{result.made} {would}{verb}, {result.there} there already"
        + (f", {result.faceless} without a face left out" if result.faceless else "")
    )
    report_skips(result.skipped, skips)
