"""Everybody from a file or another gallery into this one."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import FILE, GalleryChoice
from facesearch.cli.terminal import bar, say
from facesearch.errors import counted, shown


@click.command("import")
@click.argument("source", type=FILE)
@click.option(
    "--source-key-file",
    type=FILE,
    default=None,
    help="Key of SOURCE, if it is encrypted with another one; what is added is encrypted with the gallery's.",
)
@options.gallery
def import_gallery(source: Path, source_key_file: Path | None, gallery: GalleryChoice) -> None:
    """Add everybody from SOURCE, an exported file or another gallery's folder; make the gallery if needed.

    Every row is checked first. People of the same name are taken for one person; SOURCE stays as it is.

    \b
    Example:  facesearch import people.facesearch --gallery elsewhere
              facesearch import ../laptop/index
    """
    with bar("import", "face") as progress:
        result = gallery_of(gallery, changes=True).import_from(
            source, source_key=source_key_file, progress=progress
        )
    people = f"{counted(result.new_people, 'new person')}, {result.people} in all"
    say(
        f"{shown(gallery.folder)}: {counted(result.added, 'face')} added, {result.known} known"
        f" already; {people}"
    )
