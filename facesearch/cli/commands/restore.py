"""A backup put back."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import bar, say, tell
from facesearch.errors import counted, shown


@click.command()
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@options.gallery
def restore(source: Path, gallery: GalleryChoice) -> None:
    """Make the gallery exactly what the backup in FOLDER says. What was enrolled since is lost; people who
    were forgotten since are there again.

    Logs and index files that lie beside the gallery, of a killed service too, are dealt with.

    \b
    Example:  facesearch restore /backups/2026-11-27
    """
    from facesearch.api import backups

    with bar("check", "face") as progress:
        opened = gallery_of(gallery, changes=True)
        done = backups.restore(opened, source, progress)
    say(
        f"{shown(opened.folder)}: {counted(done.faces, 'face')} of"
        f" {counted(done.people, 'person')}, as in {shown(source)}"
    )
    if done.undone_erasures:
        tell(
            f"the gallery has {done.undone_erasures} receipts of erasures later than this backup: who was"
            " forgotten then is enrolled again. Forget them again."
        )
