"""Photos into aligned crops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.options import FILE, FOLDER, DetectionChoice
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import counted, shown

if TYPE_CHECKING:  # it needs numpy, which help does without
    pass


@click.command()
@click.argument("source", type=FILE)
@click.option("--out", type=FOLDER, required=True, help="The dataset folder to make.")
@click.option(
    "--split",
    type=click.Choice(["own", "random"]),
    default="own",
    show_default=True,
    help="The source's own, or dealt out by photo.",
)
@click.option(
    "--val",
    type=options.Number(0, 1),
    default=0.2,
    show_default=True,
    help="Share of val photos in a random split.",
)
@click.option(
    "--test",
    type=options.Number(0, 1),
    default=0.0,
    show_default=True,
    help="Share of test photos in a random split.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--people", type=click.IntRange(min=1), default=None, help="Only the first N people of the source."
)
@click.option(
    "--min-photos",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Only people with as many photos.",
)
@click.option(
    "--several",
    type=click.Choice(["largest", "skip"]),
    default="largest",
    show_default=True,
    help="Photos with several faces.",
)
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Threads.  [default: one a core]")
@click.option(
    "--unlabelled",
    is_flag=True,
    help="SOURCE shows nobody in particular: every face of every photo, without names.",
)
@options.detection
@options.skips
def prepare(
    source: Path,
    out: Path,
    split: str,
    val: float,
    test: float,
    seed: int,
    people: int | None,
    min_photos: int,
    several: str,
    workers: int | None,
    unlabelled: bool,
    detection: DetectionChoice,
    skips: Skips,
) -> None:
    """Turn SOURCE into a dataset folder of aligned crops that train and build-index read.

    SOURCE is CelebA-500, CelebA's own files, the celebA_ir set, or one folder a person of ordinary photos.

    \b
    Example:  facesearch prepare ../shared/data/celebA_train_500 --out data/celeba500
              facesearch prepare holiday-photos/ --unlabelled --out data/faces
    """
    from facesearch.api.datasets import prepare as run

    try:
        with bar("prepare", "photo") as progress:
            result = run(
                source,
                out,
                split=split,
                val=val,
                test=test,
                seed=seed,
                people=people,
                min_photos=min_photos,
                several=several,
                workers=workers,
                unlabelled=unlabelled,
                detector="aligned" if detection.aligned else detection.model,
                progress=progress,
            )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if result.already_there:
        tell(f"{shown(out)} holds exactly this already; nothing was done")
    if result.resumed:
        tell(f"{counted(result.resumed, 'photo')} had been done by an earlier run")
    if result.crowded:
        taken = "each" if unlabelled else "the largest"
        tell(f"{counted(result.crowded, 'photo shows', 'photos show')} several faces; {taken} was taken")
    parts = ", ".join(f"{name} {count}" for name, count in result.splits.items())
    of_people = f"of {counted(result.people, 'person')} ({parts})"
    what = (
        counted(result.photos, "face without a name", "faces without names")
        if unlabelled
        else f"{counted(result.photos, 'photo')} {of_people}"
    )
    say(f"{shown(out)}: {what}")
    report_skips(result.skipped, skips)
