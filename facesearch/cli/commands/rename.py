"""Give somebody another name."""

from __future__ import annotations

import click

from facesearch.cli import options
from facesearch.cli.given import as_listed, gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import say
from facesearch.errors import shown


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--join", is_flag=True, help="Somebody called NEW is enrolled already: put all photos under that name."
)
@options.gallery
def rename(old: str, new: str, join: bool, gallery: GalleryChoice) -> None:
    """Give OLD the name NEW.

    \b
    Example:  facesearch rename "Ada Byron" "Ada Lovelace"
    """
    opened = gallery_of(gallery, changes=True)
    old = as_listed(opened, old)
    moved = opened.rename(old, new, join=join)
    say(f"{shown(new)}: {moved} photo{'' if moved == 1 else 's'}, enrolled as {shown(old)} until now")
