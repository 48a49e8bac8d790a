"""Erase somebody, with proof."""

from __future__ import annotations

import click

from facesearch.cli import options
from facesearch.cli.given import as_listed, gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import say, tell
from facesearch.errors import shown


@click.command()
@click.argument("name")
@click.option(
    "--photo",
    "photos",
    multiple=True,
    help="Only this photo: its file, or the name it was enrolled under; may be given again.",
)
@options.gallery
@options.as_json
def forget(name: str, photos: tuple[str, ...], gallery: GalleryChoice, as_json: bool) -> None:
    """Erase NAME: all rows and vectors, the index made from them, and then prove it.

    Every file of the gallery is searched for the erased bytes; a receipt without biometric data says how.
    Interrupted, the same command goes on.

    \b
    Example:  facesearch forget "Ada Lovelace"
              facesearch forget "Ada Lovelace" --photo ada2.jpg
    """
    from facesearch.report import lines as report

    opened = gallery_of(gallery, engines=True, changes=True)
    receipt, path = opened.forget(as_listed(opened, name), photos or None)
    if as_json:
        say(report.as_json(receipt))
    else:
        many = "" if receipt.photos == 1 else "s"
        say(
            f"{receipt.photos} photo{many} forgotten; no byte of their vectors is left in"
            f" {shown(gallery.folder)}"
        )
    tell(f"receipt: {shown(path)}")
