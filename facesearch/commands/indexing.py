"""Which index the gallery is searched with."""

from __future__ import annotations

import click

from facesearch import options
from facesearch.commands.given import gallery_of
from facesearch.options import GalleryChoice
from facesearch.terminal import tell


@click.command()
@click.argument("choice", required=False)
@options.gallery
@options.as_json
def index(choice: str | None, gallery: GalleryChoice, as_json: bool) -> None:
    """Make the gallery's index anew; with CHOICE, another one from now on.

    auto compares all faces as long as they are few, then scans short codes and compares the best candidates exactly, after measuring
    that this finds what is to be found. flat compares all, always; bits1 and bits2 scan one or two bits a number; anything else is an
    index in FAISS's words. The scores of answers are exact with every one of them.

    \b
    Example:  facesearch index auto
              facesearch index IVF1024,SQ8
    """
    from facesearch import report
    from facesearch.gallery.index_choice import part_words

    made = gallery_of(gallery).rebuild_index(choice)
    if as_json:
        click.echo(report.as_json(made))
    else:
        click.echo(f"{gallery.folder}: index {made.choice} of {made.faces} faces, made in {made.seconds:.1f} s")
        for part in made.parts:
            click.echo(f"  {part_words(part)}")
    if made.is_another:
        tell(f"{made.choice} cannot be made of so few faces; it will be when there are more")
