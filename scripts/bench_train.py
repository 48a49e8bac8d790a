"""How fast training is: data path, student and teacher alone, and all together; and whether that is as fast
as the slower part.

    .venv/bin/python scripts/bench_train.py
        the default recipe at its sizes, and with the sixfold colours
    .venv/bin/python scripts/bench_train.py --quick      one size, half a minute
    python scripts/bench_train.py --device cuda --recipe distil-gpu --teacher w600k_mbf.onnx --data
        faces-1.zip    under two minutes

Data path: photos drawn, read, augmented, on the device. Student: forward, backward, clipping, optimiser and
average on one batch that stays. Teacher: its look at the live photos of that batch. Network: student and
teacher one after the other. All: the trainer's own loop. They are measured in turns, several times over,
and the medians told, so that a machine that slows down for a while slows all alike. On a CPU the data path
works on the same cores as the network: all together can reach `in turns` (the times added up) and no more.
On a GPU the next batch is made while the network works on this one, and torch.compile is tried too. Writes
scripts/results/train_speed/bench.json.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from benching import machine, write

from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source, with_random_split
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.datasets.toy import draw_people
from facesearch.encoder.device import Device, choose_device
from facesearch.training.recipe import TrainConfig
from facesearch.training.recipe_files import find_recipe, load_recipe
from facesearch.training.trainer import Training

ROOT = Path(__file__).resolve().parent.parent
SIXFOLD = [
    'colours=["grayscale", "jitter", "blur", "posterize", "equalize"]',
    'colour_mode="multiply"',
    "mixup=0",
]
TARGET = 0.95
WARM = 1
"""Steps before the clock starts: kernels are chosen and memory is taken then."""


@dataclass(frozen=True, slots=True)
class Speed:
    """img/s, medians over rounds; in_turns: what all would be if nothing overlapped, from data and
    network."""

    name: str
    size_px: int
    batch: int
    data: float
    student: float
    teacher: float | None
    network: float
    all: float
    in_turns: float
    share: float
    """all, of the slower of data and network."""
    first_s: float
    """Seconds until the first step was done: kernels chosen, and compiled."""


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=ROOT / "data" / "celeba500",
    help="Prepared dataset; drawn people without.",
)
@click.option("--recipe", default="default", show_default=True)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting of the recipe."
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path, exists=True),
    default=None,
    help="An .onnx encoder to learn from too.",
)
@click.option("--device", default="auto", show_default=True)
@click.option("--quick", is_flag=True, help="The first size alone, few steps.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=ROOT / "scripts" / "results" / "train_speed" / "bench.json",
)
def main(
    data: Path,
    recipe: str,
    settings: tuple[str, ...],
    teacher: Path | None,
    device: str,
    quick: bool,
    out: Path,
) -> None:
    """Measure, print a table, write it as JSON."""
    about, chosen = machine(), choose_device(device)
    config = load_recipe(find_recipe(recipe)).changed(
        [*settings, *([f'teacher="{teacher}"'] if teacher else []), "best_by=verification"]
    )
    steps, rounds = (12, 3) if chosen.torch.type == "cuda" else (2, 3) if quick else (8, 7)
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(data) if data.exists() else drawn(Path(folder))
        speeds = [
            measured(name, each, dataset, chosen, steps, rounds)
            for name, each in variants(config, chosen, quick)
        ]
    click.echo(f"{chosen.words}; {dataset.kind}, {len(dataset)} photos; torch {torch.__version__}")
    click.echo("\n".join(table(speeds)))
    facts = {
        "device": chosen.words,
        "recipe": recipe,
        "settings": settings,
        "quick": quick,
        "steps": steps,
        "rounds": rounds,
        "target": TARGET,
        "speeds": [asdict(speed) for speed in speeds],
    }
    write(facts, out, about)


def variants(config: TrainConfig, device: Device, quick: bool) -> Iterator[tuple[str, TrainConfig]]:
    """The recipe at each of its training sizes, with the sixfold colours at its first, and on a GPU
    compiled."""
    sizes = sorted({config.size_at(epoch) for epoch in range(config.epochs)})
    for size in sizes[:1] if quick else sizes:
        at_size = config.changed([f"size_px={size}", "size_steps=[]", "minutes=0"])
        yield f"recipe at {size} px", at_size.changed(["compile=false", "compile_teacher=false"])
        if device.torch.type == "cuda":
            if config.teacher:
                yield (
                    f"{size} px, teacher compiled",
                    at_size.changed(["compile=false", "compile_teacher=true"]),
                )
            if not config.distill_maps:
                yield f"{size} px, all compiled", at_size.changed(["compile=true", "compile_teacher=true"])
    if not quick and not config.teacher:
        yield "sixfold colours", config.changed([f"size_px={sizes[0]}", "size_steps=[]", *SIXFOLD])


def measured(
    name: str, config: TrainConfig, dataset: Dataset, device: Device, steps: int, rounds: int
) -> Speed:
    """The speeds of one recipe. steps: of each kind in each round, after WARM that do not count."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        training = Training(config, [dataset], [], device, Path(out), lambda done, total: None)
    training.model.train()
    batches, photos = training.batches, min(config.batch_size, training.batches.drawn)
    fixed = next(batches.of_epoch(0))
    float(training.learn(fixed)[0])
    first_s = time.perf_counter() - started
    last = training.steps - WARM - steps
    if last < 0:
        raise click.UsageError(f"an epoch of {training.steps} steps is too short to be measured")
    taught = training.distillation
    live = taught.live(photos, 0) if taught else 0

    def together(count: int) -> None:
        left = iter(range(count))
        training.step = 0
        training.run_epoch(lambda step: None, lambda: next(left, None) is None)

    def alone(count: int) -> None:
        batches.distillation = None
        for _ in zip(sequential(training), range(count), strict=False):
            pass
        batches.distillation = taught

    def look(count: int) -> None:
        for _ in range(count):
            assert taught is not None
            taught.teacher.look(fixed.pixels[:live], often=True)

    def network(count: int) -> None:
        for _ in range(count):
            if live:
                look(1)
            training.learn(fixed)

    works: dict[str, Callable[[int], object]] = {
        "data": alone,
        "student": lambda count: [training.learn(fixed) for _ in range(count)],
        "network": network,
        "all": together,
    }
    if live:
        works["teacher"] = look
    times: dict[str, list[float]] = {kind: [] for kind in works}
    for _ in range(rounds):
        for kind, work in works.items():
            work(WARM)
            settle(device)
            before = time.perf_counter()
            work(steps)
            settle(device)
            times[kind].append(time.perf_counter() - before)
    rate = {kind: steps * photos / statistics.median(found) for kind, found in times.items()}
    in_turns = 1 / (1 / rate["data"] + 1 / rate["network"])
    teacher = rate["teacher"] * live / photos if live else None
    share = rate["all"] / min(rate["data"], rate["network"])
    size = config.size_at(0)
    return Speed(
        name,
        size,
        photos,
        rate["data"],
        rate["student"],
        teacher,
        rate["network"],
        rate["all"],
        in_turns,
        share,
        first_s,
    )


def sequential(training: Training) -> Iterator[object]:
    """The batches of an epoch one after the other, by the main thread alone; each is let go at once."""
    import numpy as np

    c, batches = training.config, training.batches
    order = np.random.default_rng([c.seed, 0]).permutation(batches.drawn)
    for step in range(training.steps):
        yield batches.make(order[step * c.batch_size : (step + 1) * c.batch_size], 0, step)


def settle(device: Device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.torch.type == "cuda":
        torch.cuda.synchronize(device.torch)


def drawn(folder: Path) -> Dataset:
    """People drawn for the purpose, where there are no real ones."""
    draw_people(folder / "people", people=24, photos=40, seed=0)
    source = with_random_split(read_source(folder / "people"), val=0.05, test=0.0, seed=0)
    prepare(source, None, PrepareConfig(out=folder / "data", aligned=True), lambda done, total: None)
    return open_dataset(folder / "data")


def table(speeds: list[Speed]) -> list[str]:
    """The speeds in words, a line each."""
    lines = [
        f"{'img/s':28} {'data':>8} {'student':>8} {'teacher':>8} {'network':>8} {'all':>8} {'in turns':>8} "
        " first step  all of the slower"
    ]
    for s in speeds:
        verdict = "" if s.share >= TARGET else f"  (under {TARGET})"
        teacher = f"{s.teacher:8.0f}" if s.teacher else f"{'-':>8}"
        figures = f"{s.data:8.0f} {s.student:8.0f} {teacher} {s.network:8.0f} {s.all:8.0f} {s.in_turns:8.0f}"
        lines.append(f"{s.name:28} {figures}  {s.first_s:8.1f} s  {s.share:.3f}{verdict}")
    return lines


if __name__ == "__main__":
    main()
