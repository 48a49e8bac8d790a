"""A copy of a gallery while it is in use."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import bar, say, tell
from facesearch.errors import counted, shown


@click.command()
@click.argument("out", metavar="FOLDER", type=click.Path(path_type=Path))
@options.gallery
def backup(out: Path, gallery: GalleryChoice) -> None:
    """Write a checked copy of the gallery into FOLDER, which must be new or empty. A service may run and
    write meanwhile.

    In it: the gallery's file as of one moment, and its receipts. Not in it: photos, the key, the encoder, the
    index, which is made again.

    \b
    Example:  facesearch backup /backups/2026-11-27
              facesearch restore /backups/2026-11-27
    """
    from facesearch.api import backups

    with bar("check", "face") as progress:
        done = backups.backup(gallery_of(gallery), out, progress)
    say(
        f"{shown(out)}: {counted(done.faces, 'face')} of {counted(done.people, 'person')},"
        f" {done.bytes} bytes,"
        f" {done.receipts} receipts; every row was checked"
    )
    tell("it holds biometric data, and stays as it is: people who are forgotten from now on are still in it")
