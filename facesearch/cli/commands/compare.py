"""Do two photos show the same person?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import detector_of, encoder_of
from facesearch.cli.options import FILE, DetectionChoice, EncoderChoice
from facesearch.cli.terminal import say

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "--fmr",
    type=options.Number(0, 1, min_open=True, max_open=True),
    default=0.001,
    show_default=True,
    help="False-match rate: the share of pairs of different people that may be called the same.",
)
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@options.as_json
@options.encoder
@options.detection
def compare(
    a: Path,
    b: Path,
    fmr: float,
    largest: bool,
    as_json: bool,
    encoder: EncoderChoice,
    detection: DetectionChoice,
) -> None:
    """Say whether photos A and B show the same person.

    The score is the cosine of both faces; it is decided at the rate of false matches that the encoder itself
    was measured to have.

    \b
    Example:  facesearch compare passport.jpg holiday.jpg
    """
    from facesearch.api import photos
    from facesearch.report import lines as report

    result = photos.compare(
        a, b, fmr=fmr, largest=largest, encoder=encoder_of(encoder), detector=detector_of(detection)
    )
    say(report.as_json(result) if as_json else "\n".join(report.compared_lines(result)))
