"""What a training run is: network, photos, optimiser and history, and all that changes them, step by step.

Under torchrun each batch is shared out among the processes, torch's DistributedDataParallel averages the
gradients, batch norms see the whole batch, and the first process alone writes files.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from facesearch.datasets.table import Dataset
from facesearch.encoder.checkpoint import save_encoder, write_tensors
from facesearch.encoder.device import Device, memory_words
from facesearch.encoder.weights import BEST
from facesearch.errors import BadConfig, LossIsNaN, OtherRun
from facesearch.metrics.verification import Roc, impostor_table
from facesearch.ranks import ALONE, Ranks
from facesearch.records import Progress, Tell
from facesearch.training.advice import waited
from facesearch.training.batches import Batch, Batches
from facesearch.training.distillation import Distillation
from facesearch.training.freeze import freeze_first, frozen_at
from facesearch.training.learner import Learner, make_encoder, make_learner, stages_of
from facesearch.training.pace import Clock, Pace
from facesearch.training.photos import LOOK, training_photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import CLASSIFIER, CONFIG, STATE, EpochResult
from facesearch.training.run_weights import backbone_weights, save_classifier
from facesearch.training.schedule import learning_rate, make_optimizer
from facesearch.training.state import CENTRES, digest, head_tensors, pack, read_state, take_over, unpack
from facesearch.training.synced_norm import synchronise_norms
from facesearch.training.validate import validate

SHOW_SECONDS = 1.0
"""The loss is read for the progress bar so often: each time a GPU is waited for."""
PAIR_SECONDS = 2e-8
"""Of one core for a pair of val's photos, where there are many (scripts/bench_val.py)."""
SLOW_START = 5.0
"""A first step of more seconds than this is told: kernels were chosen or compiled."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a running epoch is, for the progress bar. photos: of all processes."""

    epoch: int
    epochs: int
    step: int
    steps: int
    photos: int
    loss: float


class Training:
    """One run: all state that changes from step to step, and nothing about how it is shown."""

    def __init__(
        self,
        config: TrainConfig,
        datasets: list[Dataset],
        nameless: list[Dataset],
        device: Device,
        out: Path,
        progress: Progress,
        ranks: Ranks = ALONE,
        tell: Tell = lambda line: None,
        clock: Clock = time.monotonic,
        started: float | None = None,
    ) -> None:
        self.config, self.device, self.out, self.ranks = config, device, out, ranks
        self._tell: Tell | None = tell
        """Until the first step is over."""
        self.pace = Pace(config, clock, started)
        chosen = training_photos(datasets, nameless, held_out=config.held_out, seed=config.seed)
        self.train, self.val, self.held, self.classes = chosen.train, chosen.val, chosen.held, chosen.classes
        if config.teacher and config.best_by == "teacher" and not len(self.held):
            expected = "verification, since no photo without a name is held out"
            raise BadConfig("best_by", config.best_by, expected, "Or pass such photos with --unlabelled.")
        torch.manual_seed(config.seed)
        encoder = make_encoder(config)
        freeze_first(
            encoder.backbone, max(config.freeze, default=0)
        )  # refused now rather than in the epoch that it is of
        sides = [encoder.map_of(stage)[1] for stage in stages_of(config)]
        resident = self.train.resident(device.torch)
        self.distillation: Distillation | None = None
        if config.teacher:
            with ranks.first_goes_first():  # its vectors are kept in files beside the photos
                self.distillation = Distillation(
                    config, self.train, resident, self.val, self.held, sides, device, progress, tell
                )
        model = make_learner(config, len(self.classes), self.distillation, encoder, ranks)
        synchronise_norms(model, device.torch, ranks)
        self.model: Learner = model.to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = _averaged(self.model, config.ema_decay) if config.ema_decay else None
        self.optimizer = make_optimizer([self.model], config)
        if config.compile and device.torch.type == "cuda":
            self.model.encoder.backbone.compile(dynamic=False)
        elif config.compile:
            tell(
                "compile is for GPUs: on a CPU, where it gains little and many a compiler fails on it, the"
                " run does without"
            )
        self.network: nn.Module = self.model if ranks.world == 1 else _data_parallel(self.model, config)
        self.batches = Batches(config, self.train, device.torch, self.distillation, ranks, resident)
        self.steps = self.batches.steps
        self.epoch = self.step = 0
        self.total_steps = 0
        # Loss, photos, right answers and labelled photos since the last check, summed on the device: a GPU is
        # not waited for.
        self.sums = torch.zeros(4, dtype=torch.float64, device=device.torch)
        self.seconds = 0.0
        self.ended = False
        """Whether the minutes of the run were used up when it was saved."""
        self.history: list[EpochResult] = []

    @property
    def evaluated(self) -> Learner:
        return self.average.module if self.average is not None else self.model  # type: ignore[return-value]

    def start_from(self, pretrained: str) -> None:
        """Begin with ImageNet's weights, one of our encoders, a torchvision state dict, or all of another run
        (its last.safetensors).
        """
        if pretrained == "none":
            return
        encoder = self.model.encoder
        if pretrained == "imagenet":
            with self.ranks.first_goes_first():  # torch keeps what it fetches in a file
                encoder.load_imagenet()
        elif Path(pretrained).name == STATE:
            take_over(self.model, self.classes, Path(pretrained), self.config.backbone)
        else:
            encoder.load_backbone(backbone_weights(Path(pretrained)))
        if self.average is not None:
            self.average.module.load_state_dict(self.model.state_dict())

    def moment(self, step: int | None = None) -> tuple[float, float]:
        """Where the run is, in epochs of its recipe and in steps; the same in all processes."""
        here = self.pace.moment(self.epoch, self.step if step is None else step, self.steps)
        return (
            self.ranks.first_says(here)
            if self.pace.by_clock and self.ranks.world > 1 and step is None
            else here
        )

    def run_epoch(self, on_step: Callable[[Step], None], stop: Callable[[], bool]) -> bool:
        """Go on with the current epoch to its end, or to the end of the run's minutes. Returns False when
        stop() asked to leave earlier, in all processes at once."""
        c, started = self.config, self.pace.clock()
        saved_seconds = self.seconds
        freeze_first(self.model.encoder.backbone, frozen_at(c.freeze, int(self.moment()[0])))
        self.model.train()
        pending: Tensor | None = None
        shown, shown_at = math.nan, -math.inf
        steps = self.batches.of_epoch(self.epoch, self.step, lambda step: self.moment(step)[0])
        # Batches are of one size, for which it pays to try cuDNN's kernels out; what is looked at elsewhere
        # is of many.
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True),
            closing(steps) as batches,
        ):
            while self.step < self.steps and not self.is_over():
                if stop():
                    self._check(pending)
                    return False
                before = time.monotonic()
                loss, counts = self.learn(next(batches))
                self._check(pending)  # one step late, so that a GPU is never waited for
                pending = loss
                if self._tell is not None:
                    self._tell_first_step(loss, before)
                self.sums += counts
                self.step += 1
                self.total_steps += 1
                self.seconds = saved_seconds + self.pace.clock() - started
                if time.monotonic() - shown_at > SHOW_SECONDS or self.step == self.steps:
                    shown, shown_at = float(self.sums[0] / self.sums[1]), time.monotonic()
                on_step(
                    Step(
                        self.epoch,
                        c.epochs,
                        self.step,
                        self.steps,
                        min(c.batch_size, self.batches.drawn),
                        shown,
                    )
                )
            self._check(pending)
        return True

    @property
    def learned_since_check(self) -> bool:
        return not self.history or self.total_steps > (self.history[-1].step or 0)

    def is_done(self) -> bool:
        """Whether nothing is left to be done: all epochs or minutes are over, or patience is."""
        c = self.config
        patient = c.patience and waited(self.history) >= c.patience
        return bool(self.ended or patient or (not c.minutes and self.epoch >= c.epochs))

    def is_over(self) -> bool:
        """Whether the minutes of the run are used up but for its end, in all processes at once."""
        return self.pace.by_clock and self.ranks.any(self.pace.is_over())[0]

    def _tell_first_step(self, loss: Tensor, before: float) -> None:
        """Say once how long the first step took and what memory is taken, where that is worth it."""
        self._check(loss)
        seconds = time.monotonic() - before
        if self._tell is not None and seconds > SLOW_START and self.device.torch.type == "cuda":
            chosen = "chosen and compiled" if self.config.compile else "chosen"
            self._tell(
                f"the first step took {seconds:.0f} s: kernels were {chosen}; memory"
                f" {memory_words(self.device)}"
            )
        self._tell = None

    def learn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimiser step. Returns the loss of all processes' photos, and what is to be added to sums
        (4,).
        """
        c, world = self.config, self.ranks.world
        if c.colour_mode == "off":
            torch.manual_seed(
                self.batches.seed(self.epoch, self.step)
            )  # for dropout; with colours, making the batch has done it
        moment, number = self.moment()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(c, number, self.steps)
        margin = c.margin_at(moment)
        labelled = self.ranks.sum((batch.names.labels >= 0).sum())
        with self.device.autocast():
            losses, right, distance = self.network(batch, margin, c.label_smoothing, self.distillation)
            # The mean over all processes of what each makes small is the mean over all photos with a name.
            loss = losses.sum() * world / labelled.clamp(min=1)
            if distance is not None:
                loss = loss + distance
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if c.grad_clip:
            self._clip()
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        told = self.ranks.sum(torch.stack([loss.detach() / world, right.sum().to(loss.dtype)]))
        n = len(batch.pixels) * world
        return told[0], torch.stack(
            [told[0] * n, torch.full_like(told[0], n), told[1], labelled.to(loss.dtype)]
        )

    def _clip(self) -> None:
        """Shorten the gradient, over all processes' centres where these are sharded, to grad_clip."""
        gradients = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        shard = gradients.pop(CENTRES, None) if self.config.shard_classes else None
        length = nn.utils.get_total_norm(gradients.values())
        if shard is not None:
            length = (length.square() + self.ranks.sum(shard.square().sum())).sqrt()
        nn.utils.clip_grads_with_norm_(self.model.parameters(), self.config.grad_clip, length)

    def _check(self, loss: Tensor | None) -> None:
        if loss is not None and not torch.isfinite(loss):
            c = self.config
            rate = learning_rate(c, self.moment()[1], self.steps)
            settings = (
                f"{c.optimizer}, {c.loss}, scale {c.scale:g}, margin {c.margin_rad:g}, batch {c.batch_size}"
            )
            raise LossIsNaN(self.epoch + 1, self.step, rate, settings, self.out / STATE)

    def next_epoch(self) -> None:
        """Make ready for the photos to be seen once more. The schedules do not go by this in a run by the
        clock.
        """
        self.epoch, self.step = self.epoch + 1, 0

    def check(self) -> tuple[EpochResult, Roc | None]:
        """Look at val and at the held-out photos, and add what was learned since the last check to the
        history.

        It belongs to the epoch that has just ended, or in which the run's time did.
        """
        c = self.config
        epoch = self.epoch + (self.step > 0)
        moment = self.moment()[0] if self.pace.by_clock else epoch - 1
        size = c.size_at(moment)
        found = validate(
            self.evaluated, self.val, self.held, size, self.device, self.distillation, self.ranks
        )
        tpr = found.roc.at_fpr(c.val_fpr)[0] if found.roc else math.nan
        before = max((_merit(result, c) for result in self.history if result.best), default=(-1.0,) * 5)
        loss, photos, right, labelled = self.sums.tolist()
        number = self.moment()[1] if self.pace.by_clock else (epoch - 1) * self.steps
        result = EpochResult(
            epoch=epoch,
            lr=learning_rate(c, number, self.steps),
            margin_rad=c.margin_at(moment if self.pace.by_clock else epoch),
            size_px=size,
            train_loss=loss / photos,
            train_accuracy=right / max(1, labelled),
            val_loss=found.loss,
            val_accuracy=found.accuracy,
            val_tpr=tpr,
            img_per_s=photos / max(1e-9, self.seconds),
            seconds=self.seconds,
            best=False,
            val_teacher=found.teacher,
            held_teacher=found.held_teacher,
            held_length=found.held_length,
            usable=found.usable,
            validated=found.validated,
            step=self.total_steps,
            minutes=self.pace.spent / 60,
        )
        best = found.finite and (_merit(result, c) > before or not found.validated)
        result = self.ranks.first_says(replace(result, best=best))
        self.history.append(result)
        self.seconds = 0.0
        self.sums.zero_()
        return result, found.roc

    def save(self) -> None:
        """Write everything that resuming needs, in one step. All processes call it, the first one writes."""
        tensors = pack(self.model, self.average, self.optimizer) | {"sums": self.sums}
        meta = {
            "kind": "training state",
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "spent": self.pace.spent,
            "total_steps": self.total_steps,
            "over": self.ended,
            "config": asdict(self.config),
            "classes": digest(self.classes),
            "photos": len(self.train),
            "teacher": self._teacher_id(),
            "history": [asdict(r) for r in self.history],
            "processes": self.ranks.world,
        }
        if self.ranks.is_first:
            write_tensors(self.out / STATE, tensors, meta)

    def save_best(self, result: EpochResult, curve: Roc | None) -> None:
        """Write the encoder and its classifier as the best ones. All processes call it, the first one
        writes."""
        head = head_tensors(self.evaluated)
        if self.ranks.is_first and head is not None:
            identity = save_encoder(self.out / BEST, self.evaluated.encoder, _notes(self, result, curve))
            save_classifier(self.out / CLASSIFIER, head, self.config, self.classes, identity)

    def seconds_left(self) -> float:
        """How long the rest of the run takes, from two steps at each size on a throwaway copy of the
        network."""
        kept = self.model, self.network, self.optimizer, self.average, self.epoch
        first = self.epoch
        self.network = self.model = copy.deepcopy(self.model)
        self.average, self.optimizer = None, make_optimizer([self.model], self.config)
        self.model.train()
        numbers = np.arange(min(self.config.batch_size, self.batches.drawn))
        seconds: dict[int, float] = {}
        for number in range(first, self.config.epochs):
            size = self.config.size_at(number)
            if size not in seconds:
                self.epoch = number
                for _ in range(2):  # the first one warms up
                    started = time.monotonic()
                    float(self.learn(self.batches.make(numbers, number, self.step))[0])
                    seconds[size] = time.monotonic() - started
        self.model, self.network, self.optimizer, self.average, self.epoch = kept
        steps = sum(
            seconds[self.config.size_at(number)] * self.steps for number in range(first, self.config.epochs)
        )
        return steps * (1 - self.step / max(1, self.steps * (self.config.epochs - first)))

    def seconds_of_val(self) -> float:
        """How long one look at val takes, from a look at a part of it; its pairs grow with the square."""
        part, started = self.val.first(LOOK), time.monotonic()
        validate(self.evaluated, part, self.held.first(0), self.config.size_px, self.device, None, self.ranks)
        each = (time.monotonic() - started) / max(1, len(part))
        return each * (len(self.val) + len(self.held)) + PAIR_SECONDS * len(self.val) ** 2 / 2

    def rehearse_end(self) -> None:
        """Do once what the end of a run by the clock takes, so that time is kept for it."""
        started = self.pace.clock()
        validate(
            self.evaluated,
            self.val,
            self.held,
            self.config.size_px,
            self.device,
            self.distillation,
            self.ranks,
        )
        self.save()
        self.pace.ending(self.ranks.first_says(self.pace.clock() - started))

    def _teacher_id(self) -> str:
        return self.distillation.teacher.encoder_id if self.distillation is not None else ""

    def resume(self) -> int:
        """Take up what save left, and say how many processes it was left by.

        Raises OtherRun when it is of other settings, photos or another teacher; BadCheckpoint when it is
        damaged.
        """
        path = self.out / STATE
        tensors, meta = read_state(path)
        if not same_run(TrainConfig.from_dict(meta["config"], str(path)), self.config):
            raise OtherRun(path, f"it was made with other settings than {CONFIG} beside it")
        if meta["classes"] != digest(self.classes) or meta["photos"] != len(self.train):
            raise OtherRun(path, "it was trained on other photos", "Pass the same --data and --unlabelled.")
        if meta["teacher"] != self._teacher_id():
            raise OtherRun(
                path,
                "it was taught by another file than the teacher is now",
                f"The teacher now: {self.config.teacher or 'none'}",
            )
        unpack(tensors, self.model, self.average, self.optimizer)
        self.sums = tensors["sums"].to(self.device.torch)
        self.epoch, self.step, self.seconds = meta["epoch"], meta["step"], meta["seconds"]
        self.total_steps = meta.get("total_steps", self.epoch * self.steps + self.step)
        self.pace.spent_before, self.ended = meta.get("spent", 0.0), meta.get("over", False)
        self.history = [EpochResult(**entry) for entry in meta["history"]]
        return int(meta.get("processes", 1))


def same_run(before: TrainConfig, now: TrainConfig) -> bool:
    """Whether two configs are of one run. Files may lie elsewhere on another machine: a teacher is known by
    its hash.
    """
    return replace(before, teacher="", pretrained="") == replace(now, teacher="", pretrained="")


def _averaged(model: Learner, decay: float) -> AveragedModel:
    """The exponential average of a model over steps, with at most (1 + n) / (10 + n) after n of them: at
    first the start, which is nobody's opinion, soon counts for nothing."""
    average: AveragedModel

    @torch.no_grad()
    def towards(averages: Any, currents: Any, _: Any) -> None:
        if not averages[0].is_floating_point():  # counters
            for kept, current in zip(averages, currents, strict=True):
                kept.copy_(current)
            return
        n = int(average.n_averaged)  # on the CPU: no GPU is waited for
        torch._foreach_lerp_(averages, currents, 1 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, multi_avg_fn=towards, use_buffers=True)
    return average


def _data_parallel(model: Learner, config: TrainConfig) -> DistributedDataParallel:
    """The network whose gradients are averaged over all processes while they are computed.

    Frozen layers and, before the teacher shows photos, the student's maps get no gradient: torch looks for
    them in each step. It then also keeps its buckets as they are, and with them the order of summation, which
    a resumed run must find again.
    """
    if config.shard_classes:
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, [CENTRES])  # type: ignore[no-untyped-call]
    return DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)


def _notes(training: Training, result: EpochResult, curve: Roc | None) -> dict[str, Any]:
    """What an encoder's file tells of its making. impostors: false-positive rate a pair -> score, on val's
    pairs.
    """
    table = [] if curve is None else impostor_table(curve, len(training.val))
    data = [
        {"kind": d.kind, "photos": len(d), "plan": d.manifest.get("plan")} for d in training.train.datasets
    ]
    return {
        "recipe": asdict(training.config), "epoch": asdict(result), "classes": len(training.classes),
        "photos": len(training.train), "data": data, "impostors": table, "torch": torch.__version__,
    }  # fmt: skip


def _merit(result: EpochResult, config: TrainConfig) -> tuple[float, float, float, float, float]:
    """What makes an epoch the best: that it was trained at the size of use, that it is better than chance,
    then what best_by says, verification on val, accuracy."""
    held = result.held_teacher if config.best_by == "teacher" else 0.0
    scores = (
        -1.0 if score is None or math.isnan(score) else score
        for score in (held, result.val_tpr, result.val_accuracy)
    )
    return (float(result.size_px == config.size_px), float(result.usable), *scores)  # type: ignore[return-value]
