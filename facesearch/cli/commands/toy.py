"""Draw people who do not exist."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli.options import FOLDER
from facesearch.cli.terminal import say
from facesearch.errors import counted, shown


@click.command()
@click.argument("out", type=FOLDER)
@click.option("--people", type=click.IntRange(2, 1000), default=24, show_default=True)
@click.option(
    "--photos", type=click.IntRange(1, 1000), default=16, show_default=True, help="Photos a person."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other people.")
@click.option("--prefix", default="p", show_default=True, help="What the people's folders begin with.")
@click.option(
    "--album", is_flag=True, help="All photos in one folder, without names; some show two of the people."
)
def toy(out: Path, people: int, photos: int, seed: int, prefix: str, album: bool) -> None:
    """Draw a folder of people who do not exist, to try everything on.

    \b
    Example:  facesearch toy people/ --people 24 --photos 16
              facesearch toy strangers/ --people 10 --seed 2 --prefix stranger
              facesearch toy album/ --people 6 --photos 6 --album
    """
    from facesearch.api.datasets import draw_people

    if Path(prefix).name != prefix or prefix in ("", "..", "."):
        raise click.BadParameter("it must be the beginning of a folder's name", param_hint="--prefix")
    count = draw_people(out, people=people, photos=photos, seed=seed, prefix=prefix, album=album)
    say(f"{shown(out)}: {counted(count, 'drawn photo')} of {counted(people, 'person')}")
