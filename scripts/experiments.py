"""The seed project's experiments, run again on CelebA-500, a row at a time, beside what it found.

    .venv/bin/python scripts/experiments.py
        every row that is missing; can be stopped and called again
    .venv/bin/python scripts/experiments.py --only arcface  one row
    .venv/bin/python scripts/experiments.py --table         the table of what is there, nothing trained
    .venv/bin/python scripts/experiments.py --full
        as the seed did: 50 epochs, 112 px, random 80/20 split (a GPU)

All rows of a group have the same budget: the same number of optimiser steps, size, batch and start (random
numbers, since ImageNet weights cannot be had here). Only what a row names differs. Writes
runs/experiments*/ROW-sSEED and scripts/results/experiments*/table.{json,md}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from facesearch.cli.terminal import epochs_bar, tell
from facesearch.datasets.table import open_dataset
from facesearch.encoder.device import choose_device
from facesearch.report.lines import epoch_line
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import EpochResult, load_history
from facesearch.training.train import train

ROOT = Path(__file__).resolve().parent.parent
COLOURS = ["grayscale", "jitter", "blur", "posterize", "equalize"]
SEED_RUN: dict[str, Any] = {
    "backbone": "resnet34",
    "flip_average": False,
    "loss": "ce",
    "optimizer": "adamw",
    "lr": 3e-4,
    "weight_decay": 0.01,
    "schedule": "constant",
    "checkpoint_minutes": 3.0,
}
SHORT: dict[str, Any] = {"backbone": "resnet18", "size_px": 64, "batch_size": 64, "epochs": 6}
BACKBONE_BUDGET: dict[str, Any] = {"epochs": 3}
FULL: dict[str, Any] = {"size_px": 112, "batch_size": 16, "epochs": 50}
ARCFACE: dict[str, Any] = {"loss": "arcface", "scale": 5.0, "margin_rad": 0.1}
CLOSE = 0.02
"""Rows nearer than this in val accuracy are not called different: so far apart were two runs of one row with
one seed, by two versions of the trainer."""
BEGUN = 0.1
"""Of rows below this val accuracy nothing is said: they have hardly begun to learn within the budget."""


@dataclass(frozen=True)
class Experiment:
    """A row: what differs from the group's base, and what the seed project says of it."""

    name: str
    group: str
    changes: dict[str, Any]
    finding: str


ROWS = (
    Experiment("ce", "loss", {}, "0.62 at most without tricks"),
    Experiment("arcface", "loss", ARCFACE, "0.70 at epoch 43-44: the best"),
    Experiment(
        "ce-restarts-freezing",
        "loss",
        {
            "schedule": "warm_restarts",
            "restart_epochs": 3.0,
            "lr_min": 3e-5,
            "freeze": [7, 7, 7, 6, 6, 6, 5, 5, 5, 2, 2, 2],
        },
        "0.64: schedule and freezing together help cross entropy",
    ),
    Experiment(
        "x6",
        "augmentation",
        {"colours": COLOURS, "colour_mode": "random"},
        "five colours make the set six times as large: taken",
    ),
    Experiment(
        "composed",
        "augmentation",
        {"colours": COLOURS, "colour_mode": "random", "colour_compose": True},
        "more changed pictures than true ones: unstable",
    ),
    Experiment("head-2", "head", {"head": [512]}, "one layer gave 1.5 times the accuracy of several"),
    Experiment("head-3", "head", {"head": [512, 512]}, "one layer gave 1.5 times the accuracy of several"),
    Experiment(
        "first-frozen", "freezing", {"freeze": [1]}, "a first layer frozen for good makes overfitting worse"
    ),
    Experiment(
        "thawing", "freezing", {"freeze": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]}, "slower, overfits all the same"
    ),
    Experiment("adam-1e-2", "optimiser", {"optimizer": "adam", "weight_decay": 1e-2}, "worse than AdamW"),
    Experiment("adamw-1e-6", "optimiser", {"weight_decay": 1e-6}, "0.01 is best in 1e-6 ... 1"),
    Experiment("adamw-1", "optimiser", {"weight_decay": 1.0}, "0.01 is best in 1e-6 ... 1"),
    Experiment("arcface-s30", "loss", {"loss": "arcface", "scale": 30.0, "margin_rad": 0.1}, "not tried"),
    Experiment(
        "ce-restarts",
        "loss",
        {"schedule": "warm_restarts", "restart_epochs": 3.0, "lr_min": 3e-5},
        "drops at each restart, did not help against overfitting, was dropped",
    ),
    Experiment(
        "adam-1e-6", "optimiser", {"optimizer": "adam", "weight_decay": 1e-6}, "Adam was where it began"
    ),
    Experiment("adamw-1e-4", "optimiser", {"weight_decay": 1e-4}, "0.01 is best in 1e-6 ... 1"),
    Experiment("adamw-1e-1", "optimiser", {"weight_decay": 0.1}, "0.01 is best in 1e-6 ... 1"),
    Experiment("resnet18", "backbone", {"backbone": "resnet18"}, "(not named by the seed's best)"),
    Experiment("resnet34", "backbone", {"backbone": "resnet34"}, "the best and the most stable"),
    Experiment("resnet50", "backbone", {"backbone": "resnet50"}, "worse than resnet34"),
    Experiment("efficientnet_b0", "backbone", {"backbone": "efficientnet_b0"}, "worse than resnet34"),
    Experiment("efficientnet_v2_m", "backbone", {"backbone": "efficientnet_v2_m"}, "worse than resnet34"),
)

# What the seed says: the first row beats the second.
CLAIMS = (
    ("ArcFace s 5, m 0.1 beats cross entropy", "arcface", "ce"),
    ("restarts and freezing help cross entropy", "ce-restarts-freezing", "ce"),
    ("restarts alone do not help", "ce", "ce-restarts"),
    ("AdamW beats Adam at decay 0.01", "ce", "adam-1e-2"),
    ("decay 0.01 beats 1e-6", "ce", "adamw-1e-6"),
    ("decay 0.01 beats 1", "ce", "adamw-1"),
    ("one linear layer beats two", "ce", "head-2"),
    ("one linear layer beats three", "ce", "head-3"),
    ("the five colours help", "x6", "ce"),
    ("one colour at a time beats combinations", "x6", "composed"),
    ("freezing the first layer for good hurts", "ce", "first-frozen"),
    ("progressive thawing does not help", "ce", "thawing"),
    ("resnet34 beats resnet18", "resnet34", "resnet18"),
    ("resnet34 beats resnet50", "resnet34", "resnet50"),
    ("resnet34 beats efficientnet_b0", "resnet34", "efficientnet_b0"),
    ("resnet34 beats efficientnet_v2_m", "resnet34", "efficientnet_v2_m"),
)


def config_of(row: Experiment, seed: int, full: bool) -> TrainConfig:
    """The whole recipe of a row: the seed project's run, the budget, the row's own changes."""
    budget = FULL if full else {**SHORT, **(BACKBONE_BUDGET if row.group == "backbone" else {})}
    if full and row.group in ("loss", "optimiser", "head", "freezing"):
        budget = {**budget, "colours": COLOURS, "colour_mode": "random"}
    raw = {**SEED_RUN, **budget, **row.changes, "seed": seed}
    if not full and len(raw.get("freeze", ())) > 1:  # the whole of a thawing plan within the budget
        plan, epochs = raw["freeze"], raw["epochs"]
        raw["freeze"] = [plan[i * len(plan) // epochs] for i in range(epochs)]
    return TrainConfig.from_dict(raw)


def run_row(row: Experiment, seed: int, full: bool, data: Path, folder: Path, device: str) -> None:
    """Train a row, or go on with it; nothing happens when it is done."""
    config, out = config_of(row, seed, full), folder / f"{row.name}-s{seed}"
    if (out / "metrics.jsonl").exists() and len(load_history(out)) >= config.epochs:
        return
    tell(f"{row.name}, seed {seed}: {out}")
    with epochs_bar() as (on_step, clear):

        def on_epoch(result: EpochResult, _: Path) -> None:
            clear()
            tell(epoch_line(result, config.epochs))

        train(
            config,
            [open_dataset(data)],
            [],
            choose_device(device),
            out,
            resume=(out / "config.toml").exists(),
            on_step=on_step,
            on_epoch=on_epoch,
            on_teacher=lambda done, total: None,
            tell=lambda line: None,
        )
    for heavy in ("last.safetensors", "best.safetensors", "classifier.safetensors"):
        (out / heavy).unlink(missing_ok=True)  # the log is the result


def result_of(history: list[EpochResult]) -> dict[str, Any]:
    """What the table tells of one run."""
    top = max(history, key=lambda r: r.val_accuracy)
    last = history[-1]
    return {
        "accuracy": top.val_accuracy,
        "epoch": top.epoch,
        "last": last.val_accuracy,
        "verification": max(r.val_tpr for r in history),
        "train": last.train_accuracy,
        "epochs": len(history),
        "minutes": sum(r.seconds for r in history) / 60,
    }


def collect(folder: Path, full: bool) -> dict[str, dict[str, Any]]:
    """Rows that are done, by name: every seed's result."""
    found: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        for path in sorted(folder.glob(f"{row.name}-s*")):
            seed = path.name.rpartition("-s")[2]
            if path.name != f"{row.name}-s{seed}" or not (path / "metrics.jsonl").exists():
                continue
            history = load_history(path)
            if len(history) == config_of(row, int(seed), full).epochs:
                found.setdefault(row.name, {})[seed] = result_of(history)
    return found


def verdict(found: dict[str, dict[str, Any]], better: str, worse: str) -> tuple[str, float | None]:
    """Whether a claim holds, and by how much val accuracy differs, over the seeds that both rows have; None:
    nothing can be said.
    """
    seeds = sorted(set(found.get(better, {})) & set(found.get(worse, {})))
    if not seeds:
        return "not run", None
    if any(found[row][s]["accuracy"] < BEGUN for row in (better, worse) for s in seeds):
        return "hardly begun", None
    gaps = np.array([found[better][s]["accuracy"] - found[worse][s]["accuracy"] for s in seeds])
    if abs(gaps.mean()) < CLOSE or (gaps.min() < 0 < gaps.max()):
        return "too close", float(gaps.mean())
    return ("holds" if gaps.mean() > 0 else "does not hold"), float(gaps.mean())


def table(found: dict[str, dict[str, Any]], full: bool) -> str:
    """Markdown: the rows, then the seed's claims with verdicts."""

    def mean(row: str, key: str) -> str:
        return " / ".join(f"{found[row][s][key]:.3f}" for s in sorted(found[row]))

    lines = [
        (
            "| group | row | best val accuracy (seeds) | at epoch | train accuracy, last | val verification |"
            " the seed project found |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name in found:
            epochs = " / ".join(str(found[row.name][s]["epoch"]) for s in sorted(found[row.name]))
            size = config_of(row, 0, full)
            lines.append(
                f"| {row.group} | {row.name} | {mean(row.name, 'accuracy')} | {epochs} of {size.epochs} |"
                f" {mean(row.name, 'train')} | {mean(row.name, 'verification')} | {row.finding} |"
            )
    lines += ["", "| the seed project's claim | here | difference in val accuracy |", "|---|---|---|"]
    for claim, better, worse in CLAIMS:
        word, gap = verdict(found, better, worse)
        lines.append(f"| {claim} | {word} | {'' if gap is None else f'{gap:+.3f}'} |")
    return "\n".join(lines)


def write(folder: Path, results: Path, full: bool) -> str:
    """Bring the table up to date and return it."""
    found = collect(folder, full)
    results.mkdir(parents=True, exist_ok=True)
    text = table(found, full)
    (results / "table.md").write_text(text + "\n")
    verdicts = {claim: verdict(found, a, b) for claim, a, b in CLAIMS}
    budget = FULL if full else {**SHORT, "backbones": BACKBONE_BUDGET}
    (results / "table.json").write_text(
        json.dumps({"budget": budget, "rows": found, "claims": verdicts}, indent=1) + "\n"
    )
    return text


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice([row.name for row in ROWS]), help="These rows alone."
)
@click.option("--seeds", default="0", show_default=True, help="Comma-separated.")
@click.option("--full", is_flag=True, help="The seed's own budget; for a GPU.")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Prepared dataset.")
@click.option("--device", default="auto")
@click.option("--table", "only_table", is_flag=True, help="Print what is there.")
def main(
    only: tuple[str, ...], seeds: str, full: bool, data: Path | None, device: str, only_table: bool
) -> None:
    """Run the rows that are missing."""
    name = "experiments-full" if full else "experiments"
    folder, results = ROOT / "runs" / name, ROOT / "scripts" / "results" / name
    # Prepared with --split random --val 0.2 for the full rows.
    data = data or ROOT / "data" / ("celeba500-random" if full else "celeba500")
    wanted: Callable[[Experiment], bool] = lambda row: not only or row.name in only  # noqa: E731
    if not only_table:
        for seed in (int(s) for s in seeds.split(",")):
            for row in filter(wanted, ROWS):
                run_row(row, seed, full, data, folder, device)
                write(folder, results, full)
    click.echo(write(folder, results, full))


if __name__ == "__main__":
    main()
