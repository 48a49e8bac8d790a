"""A backup put back."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import bar, tell


@click.command()
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@options.gallery
def restore(source: Path, gallery: GalleryChoice) -> None:
    """Make the gallery exactly what the backup in FOLDER says. What was enrolled since is lost; whoever was
    forgotten since is there again.

    Logs and index files that lie beside the gallery, of a killed service too, are dealt with.

    \b
    Example:  facesearch restore /backups/2026-11-27
    """
    from facesearch.api import backups

    with bar("check", "face") as progress:
        opened = gallery_of(gallery)
        done = backups.restore(opened, source, progress)
    click.echo(f"{opened.folder}: {done.faces} faces of {done.people} people, as in {source}")
    if done.undone_erasures:
        tell(
            f"the gallery has {done.undone_erasures} receipts of erasures later than this backup: whoever"
            " was forgotten then is enrolled again. Forget them again."
        )
