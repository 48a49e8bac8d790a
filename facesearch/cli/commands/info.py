"""Describe a gallery."""

from __future__ import annotations

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import say


@click.command()
@options.gallery
@options.as_json
def info(gallery: GalleryChoice, as_json: bool) -> None:
    """Describe a gallery: its size, its encoder, its threshold, its index.

    \b
    Example:  facesearch info --json
    """
    from facesearch.report import lines as report

    facts = gallery_of(gallery).info()
    say(report.as_json(facts) if as_json else "\n".join(report.info_lines(facts)))
