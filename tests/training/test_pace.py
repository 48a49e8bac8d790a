"""Runs by the clock: on a clock that these tests own, so that nothing hangs on how fast this machine is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from facesearch.datasets.table import Dataset
from facesearch.encoder.device import choose_device
from facesearch.errors import Interrupted
from facesearch.training.pace import Pace
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import STATE
from facesearch.training.schedule import learning_rate
from facesearch.training.state import read_state
from facesearch.training.train import TrainResult, train
from facesearch.training.trainer import Step, Training
from tests.helpers.saying import refused
from tests.helpers.training import SMALL, go

BY_CLOCK = SMALL.changed(
    [
        "minutes=1.0",
        "epochs=10",
        "schedule=cosine",
        "margin_ramp_epochs=10",
        "colour_mode=off",
        "dropout=0",
        "optimizer=sgd",
        "momentum=0",
        "ema_decay=0",
        "lr=0.1",
    ]
)


@pytest.fixture(autouse=True)
def steps_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step learns is not asked here."""
    counts = torch.tensor([1.0, 12.0, 6.0, 12.0], dtype=torch.float64)
    monkeypatch.setattr(Training, "learn", lambda self, batch: (torch.ones(()), counts))


class Clock:
    """Seconds that pass when somebody lets them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(
    dataset: Dataset,
    out: Path,
    clock: Clock,
    seconds: float,
    *,
    config: TrainConfig = BY_CLOCK,
    resume: bool = False,
    look: float = 0.0,
    stop_after: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> TrainResult:
    """Train with steps of so many seconds, and looks at val of `look` seconds."""
    taken = 0

    def on_step(step: Step) -> None:
        nonlocal taken
        clock.now += seconds
        taken += 1
        if taken == stop_after:
            raise KeyboardInterrupt

    def on_epoch(result: object, folder: Path) -> None:
        clock.now += look

    return train(
        config,
        [dataset],
        [],
        choose_device("cpu"),
        out,
        resume=resume,
        on_step=on_step,
        on_epoch=on_epoch,
        on_teacher=lambda done, total: None,
        tell=tell,
        clock=clock,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [4.0, 25.0])
def test_a_run_ends_in_time_and_its_schedules_have_run_out(
    seconds: float, toy_dataset: Dataset, tmp_path: Path
):
    clock = Clock()
    result = run(toy_dataset, tmp_path / "run", clock, seconds)
    last = result.history[-1]
    assert clock.now - 1000 <= 60 + seconds and last.minutes is not None and last.minutes > 0.55
    assert last.lr < 0.02 * BY_CLOCK.lr and last.margin_rad == pytest.approx(BY_CLOCK.margin_rad, rel=0.03)
    assert last.step == pytest.approx(60 / seconds, abs=1.01)
    assert (tmp_path / "run" / STATE).is_file() and read_state(tmp_path / "run" / STATE)[1]["over"]
    assert run(toy_dataset, tmp_path / "run", clock, seconds, resume=True).already_done


def test_what_was_not_reached_is_told(toy_dataset: Dataset, tmp_path: Path):
    told: list[str] = []
    run(toy_dataset, tmp_path / "run", Clock(), 9.0, tell=told.append)
    assert "1 min: 7 steps, 2.3 rounds of the photos" in told


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_minutes_that_are_left(toy_dataset: Dataset, tmp_path: Path):
    """The state of its last minute is there; another process, on another clock, takes up the time that was
    spent.
    """
    config = BY_CLOCK.changed(["minutes=4.0"])
    with pytest.raises(KeyboardInterrupt):
        run(toy_dataset, tmp_path / "run", Clock(), 8.0, config=config, stop_after=20)
    spent = read_state(tmp_path / "run" / STATE)[1]["spent"]
    assert 100 <= spent <= 160
    clock = Clock()
    clock.now = 5.0
    run(toy_dataset, tmp_path / "run", clock, 8.0, config=config, resume=True)
    assert clock.now - 5 + spent == pytest.approx(240, abs=9)


@pytest.mark.slow
def test_looks_at_val_take_no_more_than_their_share(toy_dataset: Dataset, tmp_path: Path):
    """Each costs 2 s here and an epoch 18: they are 40 s apart, and time is kept for the last one."""
    clock, config = Clock(), BY_CLOCK.changed(["minutes=5.0"])
    result = run(toy_dataset, tmp_path / "run", clock, 6.0, config=config, look=2.0)
    minutes = [epoch.minutes for epoch in result.history]
    gaps = [60 * (b - a) for a, b in pairwise(minutes)]
    assert len(minutes) >= 5 and min(gaps[1:-1]) >= 40
    assert clock.now - 1000 <= 300 + 6.0


def test_a_moment_is_counted_in_epochs_of_the_recipe():
    clock = Clock()
    by_steps, by_clock = Pace(SMALL, clock), Pace(BY_CLOCK, clock)
    assert by_steps.moment(1, 1, 4) == (1.25, 5)
    assert not by_steps.is_over() and by_steps.check_is_due()
    clock.now += 30
    moment, number = by_clock.moment(7, 3, 4)
    assert moment == pytest.approx(5.0) and number == pytest.approx(20.0)
    assert learning_rate(BY_CLOCK, number, 4) == pytest.approx(BY_CLOCK.lr / 2)
    clock.now += 31
    assert by_clock.is_over() and by_clock.moment(9, 0, 4)[0] == 10.0


def test_resuming_asks_for_the_same_minutes(toy_dataset: Dataset, tmp_path: Path):
    from facesearch.errors import OtherRun

    run(toy_dataset, tmp_path / "run", Clock(), 20.0)
    with pytest.raises(OtherRun, match="other settings"):
        go(BY_CLOCK.changed(["minutes=2.0"]), toy_dataset, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_on_the_real_clock_a_run_ends_in_time_too(toy_dataset: Dataset, tmp_path: Path):
    import time

    began = time.monotonic()
    result = go(BY_CLOCK.changed(["minutes=0.2"]), toy_dataset, tmp_path / "run")
    assert time.monotonic() - began < 60  # no race against a slow machine: it does end
    assert result.history[-1].minutes is not None and result.history[-1].step


@pytest.mark.alone
def test_an_interrupted_run_by_the_clock_says_how_to_go_on(toy_dataset: Dataset, tmp_path: Path):
    import os
    import signal

    clock = Clock()

    def on_step(step: Step) -> None:
        clock.now += 1
        if step.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with refused(Interrupted, "--resume"):
        train(
            BY_CLOCK,
            [toy_dataset],
            [],
            choose_device("cpu"),
            tmp_path / "run",
            resume=False,
            on_step=on_step,
            on_epoch=lambda result, out: None,
            on_teacher=lambda done, total: None,
            tell=lambda line: None,
            clock=clock,
        )
    assert run(toy_dataset, tmp_path / "run", clock, 5.0, resume=True).history
