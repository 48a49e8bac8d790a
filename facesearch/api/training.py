"""Train an encoder: from datasets and a recipe to the folder of a run. Needs torch, the extra [train]."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesearch.api.how import quiet, silent
from facesearch.api.runs import RUNS
from facesearch.errors import OtherRun
from facesearch.records import Progress, Tell

if TYPE_CHECKING:
    from facesearch.datasets.table import Dataset
    from facesearch.encoder.device import Device
    from facesearch.ranks import Ranks
    from facesearch.training.recipe import TrainConfig as TrainConfig
    from facesearch.training.run_folder import EpochResult as EpochResult
    from facesearch.training.train import TrainResult as TrainResult


def choose_device(device: str = "auto", precision: Any = "auto") -> Device:
    """auto, cpu, cuda or cuda:N. Raises DeviceMissing."""
    from facesearch.encoder.device import choose_device as choose

    return choose(device, precision)


def config_to_train(
    asked: TrainConfig, out: Path, *, resume: bool, chosen: bool, teacher: Path | None
) -> TrainConfig:
    """The settings of a run: those asked for, or of one that goes on the ones it was begun with.

    chosen: whether a recipe or settings were named, which must then be the run's. teacher: the same file in
    another place, where a run was moved. Raises NotFound, CannotRead, OtherRun.
    """
    if not resume:
        return asked
    from facesearch.training.run_folder import config_of_run
    from facesearch.training.trainer import same_run

    config = config_of_run(out)
    if chosen and not same_run(asked, config):
        raise OtherRun(
            out,
            "it was begun with other settings",
            "Leave --recipe, --set and --minutes out, or begin a new run.",
        )
    return config if teacher is None else replace(config, teacher=str(teacher))


def train(
    config: TrainConfig,
    data: Sequence[Dataset],
    out: Path,
    *,
    unlabelled: Sequence[Dataset] = (),
    device: Device | None = None,
    resume: bool = False,
    runs: Path = RUNS,
    on_step: Callable[[Any], None] = lambda step: None,
    on_epoch: Callable[[EpochResult, Path], None] = lambda result, folder: None,
    on_teacher: Progress = quiet,
    tell: Tell = silent,
    ranks: Ranks | None = None,
    started: float | None = None,
) -> TrainResult:
    """Train to the end; new galleries are made with the encoder from then on, if it was seen on val to be of
    use.

    unlabelled: datasets that are learned from the teacher alone. resume: go on with the run in out. runs:
    where the encoder of new galleries is noted. on_step, on_epoch, on_teacher: told what goes on; tell: in
    sentences. ranks, started: see facesearch.ranks and training.train. Raises ValueError for unlabelled
    datasets without a teacher, and what training.train raises.
    """
    from facesearch.encoder.weights import point_to
    from facesearch.ranks import ALONE
    from facesearch.training.train import train as run

    if unlabelled and not config.teacher:
        raise ValueError("unlabelled photos need a teacher: nothing else can be learned from them")
    own = ranks or ALONE
    result = run(
        config,
        list(data),
        list(unlabelled),
        device or choose_device(),
        out,
        resume=resume,
        on_step=on_step,
        on_epoch=on_epoch,
        on_teacher=on_teacher,
        tell=tell,
        ranks=own,
        started=time.monotonic() if started is None else started,
    )
    if result.best_epoch.usable and result.best_epoch.validated and own.is_first:
        point_to(result.best, runs)
    return result
