"""Embed a gallery's photos with another encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import RUNS, encoder_of, existing, gallery_of
from facesearch.cli.options import DATASET, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import counted

if TYPE_CHECKING:
    from facesearch.answers import ThresholdInfo


@click.command()
@click.option(
    "--data",
    type=DATASET,
    multiple=True,
    help="Prepared dataset that holds enrolled photos; may be given again.",
)
@click.option(
    "--photos",
    type=FOLDER,
    multiple=True,
    help="Folder in which enrolled photos lie, under any name; may be given again.",
)
@click.option("--drop-missing", is_flag=True, help="Let go of enrolled photos that are not found.")
@options.gallery
@options.encoder
@options.detection
@options.skips
def reindex(
    data: tuple[Path, ...],
    photos: tuple[Path, ...],
    drop_missing: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    skips: Skips,
) -> None:
    """Embed the gallery's photos again with another encoder (--weights).

    The old vectors serve until all new ones are there; interrupted, it goes on where it was.

    \b
    Example:  facesearch reindex --weights runs/new/best.safetensors --photos people/
    """
    from facesearch.api.datasets import open_datasets
    from facesearch.api.runs import encoder_for_new

    if not data and not photos:
        raise click.UsageError(
            "give the enrolled photos again: --photos FOLDER or --data FOLDER; a gallery holds none"
        )
    datasets = open_datasets(data)
    existing(gallery)
    named = encoder.weights or encoder_for_new(RUNS)
    new = encoder_of(replace(encoder, weights=named))
    opened = gallery_of(gallery, None, detection, changes=True)
    before = opened.threshold()
    with bar("embed", "photo") as progress:
        result = opened.reindex(
            new, photos=photos, datasets=datasets, drop_missing=drop_missing, progress=progress
        )
    if result.already:
        tell("the gallery is of this encoder already; nothing was done")
    if result.known:
        tell(f"{counted(result.known, 'photo')} had been embedded by an earlier run")
    dropped = f", {result.dropped} let go" if result.dropped else ""
    say(
        f"{gallery.folder}: {counted(result.embedded, 'photo')} embedded again{dropped};"
        f" {counted(result.faces, 'face')} of {new.words}"
    )
    if not result.already:
        _tell_of_threshold(before, opened.threshold(), gallery.folder)
    report_skips(result.skipped, skips)


def _tell_of_threshold(before: ThresholdInfo | None, now: ThresholdInfo | None, folder: Path) -> None:
    """Scores of another encoder mean something else, so a threshold does not outlive its encoder."""
    gone = (
        ""
        if before is None
        else f"the threshold {before.score:.3f} is gone: it was for the encoder of before\n"
    )
    command = f"facesearch calibrate --strangers FOLDER --gallery {quote(str(folder))}"
    if now is None:
        state = "there is no threshold now, so no answer is a match until it is set"
    else:
        state = f"the threshold is {now.score:.3f} now, {now.method}"
    tell(f"{gone}{state}\nset it on photos of strangers with: {command}")
    tell("or, less exactly, without that --strangers FOLDER")
