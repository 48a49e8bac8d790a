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
    """The device to compute on.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "float32" or "bfloat16".

    Raises:
        DeviceMissing: It is not there.
    """
    from facesearch.encoder.device import choose_device as choose

    return choose(device, precision)


def config_to_train(
    asked: TrainConfig, out: Path, *, resume: bool, chosen: bool, teacher: Path | None
) -> TrainConfig:
    """The settings of a run: those asked for, or of one that goes on those it was begun with.

    Args:
        asked: The settings asked for.
        out: The run's folder.
        resume: Go on with the run there.
        chosen: A recipe or settings were named, which must then be the run's.
        teacher: The teacher's file, where the run was moved.

    Raises:
        NotFound: There is no such run.
        CannotRead: Its settings cannot be read.
        OtherRun: It was begun with other settings.
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
    """Train to the end. New galleries are made with the encoder from then on, if val shows that it is of use.

    Args:
        config: The settings.
        data: Prepared datasets to learn from.
        out: The run's folder.
        unlabelled: Datasets that are learned from the teacher alone.
        device: Where to compute; None for what is there.
        resume: Go on with the run in out.
        runs: Where the encoder of new galleries is noted.
        on_step: Called after each step.
        on_epoch: Called with each epoch's result and the run's folder.
        on_teacher: Called with (done, total) while the teacher looks at photos.
        tell: Called with sentences about what goes on.
        ranks: The processes that share the work, see facesearch.ranks.
        started: When the run began, by time.monotonic.

    Raises:
        ValueError: Unlabelled datasets without a teacher.
        TrainingError: It cannot be trained, or the loss is no number any more.
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
