"""Make people, datasets and encoders: toy, prepare, train, plot."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facesearch import options
from facesearch.commands.given import RUNS, default_data, detector_of
from facesearch.commands.together import together
from facesearch.options import DATASET, FILE, FOLDER, DetectionChoice
from facesearch.terminal import bar, epochs_bar, report_skips, tell

if TYPE_CHECKING:  # it needs numpy, which help does without
    from facesearch.model.runtime import Precision


@click.command()
@click.argument("out", type=FOLDER)
@click.option("--people", type=click.IntRange(2, 1000), default=24, show_default=True)
@click.option("--photos", type=click.IntRange(1, 1000), default=16, show_default=True, help="Photos a person.")
@click.option("--seed", type=int, default=0, show_default=True)
def toy(out: Path, people: int, photos: int, seed: int) -> None:
    """Draw a folder of people who do not exist, to try everything on.

    \b
    Example:  facesearch toy people/ --people 24 --photos 16
    """
    from facesearch.faces.toy import draw_people

    count = draw_people(out, people=people, photos=photos, seed=seed)
    click.echo(f"{out}: {count} drawn photos of {people} people")


@click.command()
@click.argument("source", type=FILE)
@click.option("--out", type=FOLDER, required=True, help="The dataset folder to make.")
@click.option(
    "--split", type=click.Choice(["own", "random"]), default="own", show_default=True, help="The source's own, or dealt anew by photo."
)
@click.option("--val", type=options.Number(0, 1), default=0.2, show_default=True, help="Share of val photos in a random split.")
@click.option("--test", type=options.Number(0, 1), default=0.0, show_default=True, help="Share of test photos in a random split.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--people", type=click.IntRange(min=1), default=None, help="Only the first N people of the source.")
@click.option("--min-photos", type=click.IntRange(min=1), default=1, show_default=True, help="Only people with as many photos.")
@click.option("--several", type=click.Choice(["largest", "skip"]), default="largest", show_default=True, help="Photos with several faces.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Threads.  [default: one a core]")
@click.option("--download", is_flag=True, help="Fetch CelebA into SOURCE first, with torchvision.")
@click.option("--unlabelled", is_flag=True, help="SOURCE shows nobody in particular: every face of every photo, without names.")
@options.detection
@options.strict
def prepare(
    source: Path, out: Path, split: str, val: float, test: float, seed: int, people: int | None, min_photos: int, several: str,
    workers: int | None, download: bool, unlabelled: bool, detection: DetectionChoice, strict: bool,
) -> None:  # fmt: skip
    """Turn SOURCE into a dataset folder of aligned crops that train and build-index read.

    SOURCE is CelebA-500, CelebA's own files, the celebA_ir set, or one folder a person of ordinary photos.

    \b
    Example:  facesearch prepare ../shared/data/celebA_train_500 --out data/celeba500
              facesearch prepare holiday-photos/ --unlabelled --out data/faces
    """
    from facesearch.faces.datasets import download_celeba, read_source, read_unlabelled, with_random_split
    from facesearch.jobs.prepare import PrepareConfig
    from facesearch.jobs.prepare import prepare as run

    if val + test > 1:
        raise click.UsageError("--val and --test together are more than 1")
    if download:
        download_celeba(source)
    if unlabelled and (split == "random" or people is not None or min_photos > 1):
        raise click.UsageError(
            "--unlabelled photos have no people to be dealt out or counted: leave --split, --people and --min-photos out"
        )
    entries = read_unlabelled(source) if unlabelled else read_source(source, people=people, min_photos=min_photos)
    if split == "random":
        entries = with_random_split(entries, val=val, test=test, seed=seed)
    needs_detector = not detection.aligned and any(entry.landmarks is None for entry in entries.entries)
    detector = detector_of(detection).own if needs_detector else None
    config = PrepareConfig(
        out=out, several="all" if unlabelled else several, aligned=detection.aligned, workers=workers or os.cpu_count() or 1
    )
    with bar("prepare", "photo") as progress:
        result = run(entries, detector, config, progress)
    if result.already_there:
        tell(f"{out} holds exactly this already; nothing was done")
    if result.resumed:
        tell(f"{result.resumed} photos had been done by an earlier run")
    if result.crowded:
        tell(f"{result.crowded} photos show several faces; {'each' if unlabelled else 'the largest'} was taken")
    parts = ", ".join(f"{name} {count}" for name, count in result.splits.items())
    what = "faces without names" if unlabelled else f"photos of {result.people} people ({parts})"
    click.echo(f"{out}: {result.photos} {what}")
    report_skips(result.skipped, strict)


@click.command()
@click.option("--data", type=DATASET, multiple=True, help="Prepared dataset; give it again to join several.  [default: data/celeba500]")
@click.option("--recipe", default=None, help="Name in scripts/recipes, or a .toml file.  [default: default]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting of the recipe.")
@click.option("--out", type=FOLDER, default=None, help="Folder of the run.  [default: runs/RECIPE-DATE]")
@click.option("--teacher", type=FILE, default=None, help="An .onnx encoder to learn from too (distillation).")
@click.option("--unlabelled", type=DATASET, multiple=True, help="Prepared dataset whose train photos are learned from the teacher alone.")
@click.option("--minutes", type=options.Number(min=0, min_open=True), default=None, help="End in time: every schedule spans the clock.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with the settings it was begun with.")
@click.option("--settings", "explain", is_flag=True, help="Print every setting of a recipe, and do nothing.")
@options.device
@options.precision
def train(
    data: tuple[Path, ...], recipe: str | None, settings: tuple[str, ...], out: Path | None, teacher: Path | None,
    unlabelled: tuple[Path, ...], minutes: float | None, resume: bool, explain: bool, device: str,
    precision: Precision,
) -> None:  # fmt: skip
    """Train an encoder on prepared datasets. Under torchrun all its processes train one encoder together.

    \b
    Example:  facesearch train --data data/celeba500 --recipe default --out runs/celeba500
              facesearch train --recipe seed-arcface --set epochs=10 --set lr=1e-4
              facesearch train --recipe distil-gpu --teacher teacher.onnx --unlabelled data/faces --minutes 11
              torchrun --nproc-per-node 8 -m facesearch train --data data/celeba
    """
    if explain:
        from facesearch.model.recipe import setting_lines

        for line in setting_lines():
            click.echo(line)
        return
    started = time.monotonic()
    from dataclasses import replace

    from facesearch.errors import OtherRun
    from facesearch.faces.table import open_dataset
    from facesearch.jobs.find_weights import FINISHED, point_to
    from facesearch.jobs.run_folder import CURVES, config_of_run, load_history
    from facesearch.jobs.train import train as run
    from facesearch.jobs.training import same_run
    from facesearch.model.device import choose_device
    from facesearch.model.recipe import find_recipe, load_recipe
    from facesearch.report import can_plot, epoch_line, write_curves

    if resume and out is None:
        raise click.UsageError("--resume needs --out, the folder of the run")
    if minutes is not None:
        settings = (*settings, f"minutes={minutes}")
    if teacher is not None and not resume:
        settings = (*settings, f"teacher={json.dumps(str(teacher))}")
    asked = load_recipe(find_recipe(recipe or "default")).changed(settings)
    with together(device) as (ranks, own):
        chosen = choose_device(own, precision)
        out = out or ranks.first_says(RUNS / f"{Path(recipe or 'default').stem}-{time.strftime('%Y%m%d-%H%M%S')}")
        config = config_of_run(out) if resume else asked
        if resume and (recipe or settings) and not same_run(asked, config):
            raise OtherRun(out, "it was begun with other settings", "Leave --recipe, --set and --minutes out, or begin a new run.")
        if resume and teacher is not None:  # the same file in another place: the run was moved
            config = replace(config, teacher=str(teacher))
        if unlabelled and not config.teacher:
            raise click.UsageError("--unlabelled needs --teacher: nothing else can be learned from photos without names")
        datasets = [open_dataset(folder) for folder in data or (default_data(),)]
        nameless = [open_dataset(folder) for folder in unlabelled]
        where = chosen.words if ranks.world == 1 else f"{ranks.world} processes, this one on {chosen.words}"
        tell(f"training on {where}; data {', '.join(str(d.folder) for d in datasets)}; run {out}")
        with epochs_bar() as (on_step, clear), bar("teacher", "photo") as on_teacher:

            def on_epoch(result: Any, folder: Path) -> None:
                clear()
                tell(epoch_line(result, config.epochs, config.minutes))
                if can_plot():
                    write_curves(load_history(folder), folder / CURVES)

            result = run(
                config, datasets, nameless, chosen, out, resume=resume, on_step=on_step, on_epoch=on_epoch, on_teacher=on_teacher,
                tell=tell, ranks=ranks, started=started,
            )  # fmt: skip
        if result.already_done:
            tell("this run had finished already")
        best = result.best_epoch
        if not best.usable:
            tell("not usable: on val it tells people apart no better than chance; new galleries are made with the encoder as before")
        else:
            if ranks.is_first:
                point_to(result.best, RUNS)
            tell(f"new galleries are made with it ({RUNS / FINISHED}); those that are there keep their own encoder")
        if not can_plot():
            tell("no curves were drawn: they need matplotlib, pip install 'facesearch[plots]'")
        click.echo(f"{result.best}: epoch {best.epoch}, val verification {best.val_tpr:.4f}, val accuracy {best.val_accuracy:.4f}")


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FILE, default=Path("runs/compared.png"), show_default=True, help="The picture to write.")
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Compare training RUNS: a table, and their curves in one picture.

    \b
    Example:  facesearch plot runs/a runs/b --out compared.png
    """
    from facesearch.files import make_folder
    from facesearch.jobs.run_folder import load_history
    from facesearch.report import comparison_lines, write_comparison

    histories = {str(run): load_history(run) for run in runs}
    make_folder(out.parent)
    write_comparison(histories, out)
    for line in comparison_lines(histories):
        click.echo(line)
    tell(f"curves: {out}")
