"""Draw people who do not exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli.options import FOLDER
from facesearch.cli.terminal import say
from facesearch.errors import counted, shown

if TYPE_CHECKING:  # it needs numpy, which help does without
    pass


@click.command()
@click.argument("out", type=FOLDER)
@click.option("--people", type=click.IntRange(2, 1000), default=24, show_default=True)
@click.option(
    "--photos", type=click.IntRange(1, 1000), default=16, show_default=True, help="Photos a person."
)
@click.option("--seed", type=int, default=0, show_default=True)
def toy(out: Path, people: int, photos: int, seed: int) -> None:
    """Draw a folder of people who do not exist, to try everything on.

    \b
    Example:  facesearch toy people/ --people 24 --photos 16
    """
    from facesearch.api.datasets import draw_people

    count = draw_people(out, people=people, photos=photos, seed=seed)
    say(f"{shown(out)}: {counted(count, 'drawn photo')} of {counted(people, 'person')}")
