"""Train an encoder: epochs over photos in memory, checked on val, saved after every epoch, resumable bit for
bit.

One process, or several that torchrun has started: then each batch is shared out among them, torch's
DistributedDataParallel averages the gradients, batch norms see the whole batch, and the first process alone
writes files and talks.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facesearch.datasets.table import Dataset
from facesearch.encoder.device import Device, memory_words
from facesearch.encoder.weights import BEST
from facesearch.errors import Interrupted, NotFound, NothingLearned, OutputExists, counted
from facesearch.files import make_folder, replace_file
from facesearch.ranks import ALONE, Ranks
from facesearch.records import Progress, Tell
from facesearch.training.advice import about_data, duration, not_rising, unusual
from facesearch.training.pace import Clock
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import CONFIG, STATE, EpochResult, save_history
from facesearch.training.stop_signal import stop_signal
from facesearch.training.trainer import Step, Training


@dataclass(frozen=True, slots=True)
class TrainResult:
    out: Path
    best: Path
    best_epoch: EpochResult
    history: tuple[EpochResult, ...]
    already_done: bool


def train(
    config: TrainConfig,
    datasets: list[Dataset],
    nameless: list[Dataset],
    device: Device,
    out: Path,
    *,
    resume: bool,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[EpochResult, Path], None],
    on_teacher: Progress,
    tell: Tell,
    ranks: Ranks = ALONE,
    clock: Clock = time.monotonic,
    started: float | None = None,
) -> TrainResult:
    """Train to the end and return the best epoch; nameless datasets are learned from the teacher alone.

    on_epoch comes after the files of an epoch that was checked on val are written, in the first process;
    on_teacher while the teacher looks at the photos. clock: what a run by minutes goes by; started: when
    these began on it, if not now.

    Raises OutputExists, OtherRun, BadCheckpoint, LossIsNaN, CannotWrite, BadConfig; NothingLearned when no
    epoch is of use; Interrupted after Ctrl-C or SIGTERM, with all saved; PeerLost when another process of the
    run is gone.
    """
    if resume and not (out / STATE).is_file() and not (out / CONFIG).is_file():
        raise NotFound(out, "training run to resume", "Leave --resume out to begin one.")
    if not resume and (out / CONFIG).exists():
        raise OutputExists(
            out, "holds a training run", "Pass --resume to go on with it, or choose another --out."
        )
    again = _resume_command(out, datasets, nameless, ranks.world)
    kept = (
        f"The last state that was saved stands in {out / STATE}"
        if resume
        else f"What was saved until then stands in {out}"
    )
    with ranks.watched(kept, again):
        ranks.wait()  # all have looked into the folder before anything is written there
        make_folder(out)
        for line in config.idle():
            tell(f"unusual: {line}")
        training = Training(config, datasets, nameless, device, out, on_teacher, ranks, tell, clock, started)
        _begin(training, resume=resume, tell=tell)
        already_done = training.is_done()
        if not already_done:
            _say_what_is_ahead(training, tell)
            _run(training, again, on_step, on_epoch, tell)
    best = [result for result in training.history if result.best]
    if not best:
        raise NothingLearned(out, len(training.history))
    return TrainResult(out, out / BEST, best[-1], tuple(training.history), already_done)


def _begin(training: Training, *, resume: bool, tell: Tell) -> None:
    """Take up the state that was saved, or begin with the recipe's weights and write the recipe down."""
    config, out, ranks = training.config, training.out, training.ranks
    if resume and (out / STATE).is_file():
        processes = training.resume()
        tell(f"resuming at epoch {training.epoch + 1}, step {training.step} of {training.steps}")
        if processes != ranks.world:
            tell(
                f"saved by {counted(processes, 'process')}, going on with {ranks.world}: the same"
                " photos in the same"
                " order, not bit for bit"
            )
    else:
        training.start_from(config.pretrained)
        if ranks.is_first:
            replace_file(out / CONFIG, config.as_toml().encode())


def _say_what_is_ahead(training: Training, tell: Tell) -> None:
    """The data, what is unusual, and how long it will take; a run by minutes rehearses its end."""
    config = training.config
    tell(about_data(training.train, training.val, training.held))
    for line in unusual(config, training.train, training.val, len(training.classes)):
        tell(f"unusual: {line}")
    if config.minutes:
        training.rehearse_end()
        left = duration(60 * config.minutes - training.pace.spent)
        tell(f"{left} of {config.minutes:g} min are left for training")
    else:
        left = duration(training.seconds_left())
        look = duration(training.seconds_of_val())
        memory = memory_words(training.device)
        tell(
            f"about {left} of training, by a trial step at each size, {look} for each look at val;"
            f" memory {memory}"
        )


def _resume_command(out: Path, datasets: list[Dataset], nameless: list[Dataset], processes: int) -> str:
    """What a user types to go on with a run, ready for the shell: its settings are in out, its photos are
    not.
    """
    start = (
        ["facesearch"]
        if processes == 1
        else ["torchrun", "--nproc-per-node", str(processes), "-m", "facesearch"]
    )
    folders = [("--data", d.folder) for d in datasets] + [("--unlabelled", d.folder) for d in nameless]
    photos = [word for option, folder in folders for word in (option, str(folder))]
    return shlex.join([*start, "train", *photos, "--out", str(out), "--resume"])


def _run(
    training: Training,
    again: str,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[EpochResult, Path], None],
    tell: Tell,
) -> None:
    """Epoch after epoch to the end, saving on the way. Raises Interrupted."""
    c, out, ranks = training.config, training.out, training.ranks
    with stop_signal() as stop:
        last_save = time.monotonic()

        def stop_or_save() -> bool:
            nonlocal last_save
            every = min(c.checkpoint_minutes, 1.0) if c.minutes else c.checkpoint_minutes
            is_due = ranks.is_first and time.monotonic() - last_save > 60 * every > 0
            stopped, is_due = ranks.any(bool(stop()), is_due)
            if is_due:
                training.save()
                last_save = time.monotonic()
            return stopped

        while not training.is_done():
            finished = training.run_epoch(on_step, stop_or_save)
            if not finished:
                training.save()
                saved = f"epoch {training.epoch + 1}, step {training.step} is saved"
                raise Interrupted(saved, again, out, stop() or signal.SIGINT)
            is_whole, training.ended = training.step >= training.steps, training.is_over()
            if training.learned_since_check and (
                training.ended or ranks.first_says(training.pace.check_is_due())
            ):
                started = training.pace.clock()
                if not training.pace.by_clock:
                    # Before val is looked at, so that nothing that happens there costs the epoch
                    training.save()
                result, curve = training.check()
                if result.best:
                    training.save_best(result, curve)
                _next(training, is_whole)
                training.save()
                last_save = time.monotonic()
                if ranks.is_first:
                    save_history(out, training.history)
                    on_epoch(result, out)
                training.pace.ending(ranks.first_says(training.pace.clock() - started))
                if line := not_rising(training.history):
                    tell(line)
            else:
                _next(training, is_whole)
                if training.ended:
                    training.save()
        if c.minutes:
            rounds = training.epoch + training.step / training.steps
            tell(
                f"{c.minutes:g} min: {counted(training.total_steps, 'step')}, {rounds:.1f} rounds"
                " of the photos"
            )


def _next(training: Training, is_whole: bool) -> None:
    if is_whole:
        training.next_epoch()
