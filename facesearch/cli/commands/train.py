"""Train an encoder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facesearch.cli import options
from facesearch.cli.given import RUNS, default_data
from facesearch.cli.options import DATASET, FILE, FOLDER
from facesearch.cli.terminal import bar, epochs_bar, say, tell
from facesearch.errors import shown

if TYPE_CHECKING:  # it needs numpy, which help does without
    from facesearch.api.encoder import Precision
    from facesearch.api.training import EpochResult, TrainConfig, TrainResult


@click.command()
@click.option(
    "--data",
    type=DATASET,
    multiple=True,
    help="Prepared dataset; give it again to join several.  [default: data/celeba500]",
)
@click.option("--recipe", default=None, help="Name in scripts/recipes, or a .toml file.  [default: default]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting of the recipe."
)
@click.option("--out", type=FOLDER, default=None, help="Folder of the run.  [default: runs/RECIPE-DATE]")
@click.option("--teacher", type=FILE, default=None, help="An .onnx encoder to learn from too (distillation).")
@click.option(
    "--unlabelled",
    type=DATASET,
    multiple=True,
    help="Prepared dataset whose train photos are learned from the teacher alone.",
)
@click.option(
    "--minutes",
    type=options.Number(min=0, min_open=True),
    default=None,
    help="End in time: every schedule spans the clock.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, with the settings it was begun with."
)
@click.option("--settings", "explain", is_flag=True, help="Print every setting of a recipe, and do nothing.")
@options.device
@options.precision
def train(
    data: tuple[Path, ...],
    recipe: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    teacher: Path | None,
    unlabelled: tuple[Path, ...],
    minutes: float | None,
    resume: bool,
    explain: bool,
    device: str,
    precision: Precision,
) -> None:
    """Train an encoder on prepared datasets. Under torchrun all its processes train one encoder together.

    \b
    Example:  facesearch train --data data/celeba500 --recipe default --out runs/celeba500
              facesearch train --recipe seed-arcface --set epochs=10 --set lr=1e-4
              facesearch train --recipe distil-gpu --teacher teacher.onnx --unlabelled data/faces --minutes 11
              torchrun --nproc-per-node 8 -m facesearch train --data data/celeba
    """
    from facesearch.api.datasets import open_datasets
    from facesearch.api.processes import together
    from facesearch.api.runs import read_recipe, setting_lines
    from facesearch.api.training import choose_device, config_to_train
    from facesearch.api.training import train as run

    if explain:
        say("\n".join(setting_lines()))
        return
    started = time.monotonic()
    if resume and out is None:
        raise click.UsageError("--resume needs --out, the folder of the run")
    asked = read_recipe(recipe, _settings(settings, minutes, None if resume else teacher))
    with together(device) as (ranks, own):
        computes = choose_device(own, precision)
        name = f"{Path(recipe or 'default').stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = out or ranks.first_says(RUNS / name)
        chosen = bool(recipe or settings or minutes)
        config = config_to_train(asked, folder, resume=resume, chosen=chosen, teacher=teacher)
        if unlabelled and not config.teacher:
            raise click.UsageError(
                "--unlabelled needs --teacher: nothing else can be learned from photos without names"
            )
        datasets = open_datasets(data or (default_data(),))
        nameless = open_datasets(unlabelled)
        processes = f"{ranks.world} processes, this one on " if ranks.world > 1 else ""
        places = ", ".join(str(dataset.folder) for dataset in datasets)
        tell(f"training on {processes}{computes.words}; data {places}; run {shown(folder)}")
        with _shown(config) as bars:
            result = run(
                config,
                datasets,
                folder,
                unlabelled=nameless,
                device=computes,
                resume=resume,
                runs=RUNS,
                tell=tell,
                ranks=ranks,
                started=started,
                **bars,
            )
        _say(result)


@contextmanager
def _shown(config: TrainConfig) -> Iterator[dict[str, Any]]:
    """Bars for steps and for the teacher, a line an epoch, and the curves."""
    from facesearch.api.runs import curves_file, load_history
    from facesearch.report.curves import write_curves
    from facesearch.report.lines import epoch_line

    with epochs_bar() as (on_step, clear), bar("teacher", "photo") as on_teacher:

        def on_epoch(result: EpochResult, folder: Path) -> None:
            clear()
            tell(epoch_line(result, config.epochs, config.minutes))
            write_curves(load_history(folder), curves_file(folder))

        yield {"on_step": on_step, "on_epoch": on_epoch, "on_teacher": on_teacher}


def _settings(settings: tuple[str, ...], minutes: float | None, teacher: Path | None) -> tuple[str, ...]:
    """--minutes and --teacher are settings of the recipe too."""
    if minutes is not None:
        settings = (*settings, f"minutes={minutes}")
    if teacher is not None:
        settings = (*settings, f"teacher={json.dumps(str(teacher))}")
    return settings


def _say(result: TrainResult) -> None:
    """What came of the run."""
    from facesearch.api.runs import FINISHED

    if result.already_done:
        tell("this run had finished already")
    best = result.best_epoch
    if not best.validated:
        tell(
            "not validated: val holds no photo of anybody who was trained on, nor two of one person; new"
            " galleries are made with the encoder as before, and with this one by --weights"
        )
    elif best.usable:
        where = RUNS / FINISHED
        tell(f"new galleries are made with it ({shown(where)}); those that are there keep their own encoder")
    else:
        tell(
            "not usable: on val it tells people apart no better than chance; new galleries are made with the"
            " encoder as before"
        )
    figures = f"val verification {best.val_tpr:.4f}, val accuracy {best.val_accuracy:.4f}"
    say(f"{shown(result.best)}: epoch {best.epoch}, {figures}")
