"""Set the threshold, on strangers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import announced, existing, gallery_of
from facesearch.cli.options import FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell

if TYPE_CHECKING:  # records needs numpy, which help does without
    from facesearch.records import ScoredBy


@click.command()
@click.option(
    "--strangers",
    type=FOLDER,
    default=None,
    help="People who are not enrolled: a prepared dataset, or one folder a person.",
)
@click.option(
    "--split", default="open", show_default=True, help="Of a prepared dataset only this split; '' for all."
)
@click.option(
    "--fpir",
    type=options.Number(1e-6, 0.5),
    default=0.01,
    show_default=True,
    help="Share of their searches that may get a name.",
)
@click.option(
    "--by",
    type=click.Choice(["best-photo", "mean-template"]),
    default=None,
    help=(
        "What a person's score is from now on: the best cosine over their photos, or that with the mean of"
        " them, which misses fewer people who have several photos.  [default: as it was; at first"
        " mean-template]"
    ),
)
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.skips
def calibrate(
    strangers: Path | None,
    split: str,
    fpir: float,
    by: ScoredBy | None,
    largest: bool,
    seed: int,
    as_json: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    skips: Skips,
) -> None:
    """Set the gallery's threshold for a rate of strangers named, at its size.

    Without --strangers its own people play them, each searched among the others: an extrapolation, and it is
    called so.

    \b
    Example:  facesearch calibrate --fpir 0.01 --strangers data/celeba_extra
              facesearch calibrate --fpir 0.01 --strangers data/celeba_extra --by mean-template
    """
    from facesearch.cli.photos import as_skips
    from facesearch.report import lines as report

    existing(gallery)
    opened = gallery_of(gallery, encoder, detection, changes=True)
    before = opened.threshold()
    if strangers is None:
        tell("no --strangers given: the gallery's own people play them, which is an extrapolation")
    else:
        announced(opened)
    with bar("calibrate", "photo") as progress:
        done = opened.calibrate(
            strangers, fpir=fpir, by=by, largest=largest, split=split, seed=seed, progress=progress
        )
    threshold = done.threshold
    lines = report.calibration_lines(gallery.folder, threshold, before)
    lines += report.own_lines(done.own, threshold.fpir) + report.hub_lines(done.hubs, threshold.searches)
    say(report.as_json(done) if as_json else "\n".join(lines))
    report_skips(as_skips(done.skipped), skips)
