"""Train an encoder: epochs over photos in memory, checked on val, saved after every epoch, resumable bit for bit."""

from __future__ import annotations

import copy
import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facesearch.errors import BadCheckpoint, BadConfig, Interrupted, LossIsNaN, NotFound, OutputExists
from facesearch.faces.table import Dataset
from facesearch.files import make_folder, replace_file
from facesearch.jobs.advice import about_data, duration, not_rising, unusual, waited
from facesearch.jobs.distillation import Distillation
from facesearch.jobs.run_folder import BEST, CLASSIFIER, CONFIG, STATE, EpochResult, backbone_weights, save_classifier, save_history
from facesearch.jobs.training_photos import training_photos
from facesearch.metrics.bootstrap import enough_trials
from facesearch.metrics.verification import Roc, pair_scores, roc
from facesearch.model.augment import Augmenter, blended
from facesearch.model.checkpoint import pack_optimizer, read_tensors, save_encoder, unpack_optimizer, write_tensors
from facesearch.model.device import Device
from facesearch.model.encoder import Encoder, EncoderConfig, as_pixels
from facesearch.model.fast_conv import speed_up
from facesearch.model.freeze import freeze_first, frozen_at
from facesearch.model.losses import Head, Pupil, make_head, vector_distance
from facesearch.model.recipe import TrainConfig
from facesearch.model.schedule import learning_rate, make_optimizer
from facesearch.records import Progress, Tell

VAL_BATCH = 256
SHOW_EVERY = 10


@dataclass(frozen=True, slots=True)
class Step:
    """Where a running epoch is, for the progress bar."""

    epoch: int
    epochs: int
    step: int
    steps: int
    photos: int
    loss: float


@dataclass(frozen=True, slots=True)
class TrainResult:
    out: Path
    best: Path
    best_epoch: EpochResult
    history: tuple[EpochResult, ...]
    already_done: bool


class Model(nn.Module):
    """Encoder, classification head and pupil together, so that they are averaged and saved as one."""

    def __init__(self, encoder: Encoder, head: Head, pupil: Pupil | None, stages: Sequence[str]) -> None:
        """stages: dotted names of the backbone's parts whose outputs the pupil's maps are made of, in its order."""
        super().__init__()
        self.encoder, self.head, self.pupil = encoder, head, pupil
        self.stages: list[Tensor] = []
        """The stages' outputs in the forward pass that ran last, while training."""
        for stage in stages:
            encoder.backbone.get_submodule(stage).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        if self.training:
            self.stages.append(output)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels (n, 3, s, s) float in 0..255 -> embeddings (n, d), logits without margin (n, c), float32."""
        self.stages.clear()
        embedding: Tensor = self.encoder(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            return embedding, self.head(embedding)


class Training:
    """One run: all state that changes from step to step, and nothing about how it is shown."""

    def __init__(
        self, config: TrainConfig, datasets: list[Dataset], nameless: list[Dataset], device: Device, out: Path, progress: Progress
    ) -> None:
        self.config, self.device, self.out = config, device, out
        self.train, self.val, self.classes = training_photos(datasets, nameless)
        self.augmenter = Augmenter(config)
        self.drawn = len(self.train) * self.augmenter.multiplies
        self.steps = max(1, self.drawn // config.batch_size)
        torch.manual_seed(config.seed)
        encoder = Encoder(EncoderConfig.of(config))
        if config.zero_init_residual:
            encoder.zero_residuals()
        speed_up(encoder)
        head = make_head(config.loss, config.embedding_size, len(self.classes), config.scale)
        stages = config.distill_stages if config.teacher and config.distill_maps else ()
        shapes = [encoder.map_of(stage) for stage in stages]
        sides = [side for _, side in shapes]
        self.distillation = Distillation(config, self.train, self.val, sides, progress) if config.teacher else None
        model = Model(encoder, head, self._pupil([channels for channels, _ in shapes]), stages)
        self.model = model.to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        decay = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.model, multi_avg_fn=decay, use_buffers=True) if config.ema_decay else None
        self.optimizer = make_optimizer([self.model], config)
        self.resident = self.train.resident(device.torch)
        self.epoch = self.step = 0
        # Loss, photos, right answers and labelled photos of the running epoch, summed on the device: a GPU is not waited for.
        self.sums = torch.zeros(4, dtype=torch.float64, device=device.torch)
        self.seconds = 0.0
        self.history: list[EpochResult] = []

    @property
    def evaluated(self) -> Model:
        return self.average.module if self.average is not None else self.model  # type: ignore[return-value]

    def _pupil(self, channels: Sequence[int]) -> Pupil | None:
        if self.distillation is None:
            return None
        teacher = self.distillation.teacher
        return Pupil(self.config.embedding_size, teacher.dimension, list(zip(channels, teacher.channels, strict=True)))

    def start_from(self, pretrained: str) -> None:
        """Begin with ImageNet's weights, one of our encoders, a torchvision state dict, or all of another run (its last.safetensors)."""
        if pretrained == "none":
            return
        encoder = self.model.encoder
        if pretrained == "imagenet":
            encoder.load_imagenet()
        elif Path(pretrained).name == STATE:
            self._take_over(Path(pretrained))
        else:
            encoder.load_backbone(backbone_weights(Path(pretrained)))
        if self.average is not None:
            self.average.module.load_state_dict(self.model.state_dict())

    def _take_over(self, path: Path) -> None:
        """Another run's network with its head and pupil, as evaluated there; what learns other people starts anew."""
        tensors, meta = _read_state(path)
        theirs = _part(tensors, "average.module.") or _part(tensors, "model.")
        if meta["classes"] != _digest(self.classes):
            theirs = {name: value for name, value in theirs.items() if not name.startswith("head.")}
        own = self.model.state_dict()
        wrong = [name for name in own if name.startswith("encoder.") and (name not in theirs or theirs[name].shape != own[name].shape)]
        if wrong:
            raise BadConfig("pretrained", str(path), f"a run of {self.config.backbone} with the same last layers ({wrong[0]} differs)")
        self.model.load_state_dict(own | {name: value for name, value in theirs.items() if name in own and value.shape == own[name].shape})

    def run_epoch(self, on_step: Callable[[Step], None], stop: Callable[[], bool]) -> bool:
        """Go on with the current epoch to its end. Returns False when stop() asked to leave earlier."""
        c, started = self.config, time.monotonic()
        saved_seconds = self.seconds
        order = np.random.default_rng([c.seed, self.epoch]).permutation(self.drawn)
        freeze_first(self.model.encoder.backbone, frozen_at(c.freeze, self.epoch))
        self.model.train()
        pending: Tensor | None = None
        shown = math.nan
        while self.step < self.steps:
            if stop():
                self._check(pending)
                return False
            numbers = order[self.step * c.batch_size : (self.step + 1) * c.batch_size]
            loss, counts = self._learn(numbers)
            self._check(pending)  # one step late, so that a GPU is never waited for
            pending = loss
            self.sums += counts
            self.step += 1
            self.seconds = saved_seconds + time.monotonic() - started
            if self.step % SHOW_EVERY == 1 or self.step == self.steps or math.isnan(shown):
                shown = float(self.sums[0] / self.sums[1])
            on_step(Step(self.epoch, c.epochs, self.step, self.steps, len(numbers), shown))
        self._check(pending)
        return True

    def _learn(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[Tensor, Tensor]:
        """One optimiser step on photos `numbers` (m,), numbered through all their versions.

        Returns the loss, and what is to be added to sums (4,).
        """
        c, dev = self.config, self.device.torch
        seed = int.from_bytes(hashlib.sha256(f"{c.seed} {self.epoch} {self.step}".encode()).digest()[:7], "big")
        torch.manual_seed(seed)  # dropout and torchvision's colour transforms draw from here
        generator = torch.Generator().manual_seed(seed)
        photo = numbers % len(self.train)
        version = torch.from_numpy(numbers // len(self.train)) if self.augmenter.multiplies > 1 else None
        index = torch.from_numpy(photo)
        crops = self.resident[index.to(dev)] if self.resident is not None else self.train.crops(photo).to(dev)
        labels = torch.from_numpy(self.train.label[photo]).to(dev)
        views = self.augmenter.views(len(photo), generator)
        share, second = torch.ones(len(photo), device=dev), labels
        if c.mixup:
            count = round(c.mixup * len(photo))
            share[:count] = torch.rand((count,), generator=generator).to(dev)
            crops, second = blended(crops, share.view(-1, 1, 1, 1)), labels.roll(-1)
        if self.distillation is not None:
            crops, labels, views, lesson = self.distillation.show(crops, index, labels, views, self.epoch, generator)
        pixels = self.augmenter(crops, version, views, c.size_at(self.epoch), generator)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(c, self.epoch * self.steps + self.step, self.steps)
        labelled = labels >= 0
        with self.device.autocast():
            embedding, logits = self.model(pixels)
            logits, labels = logits[labelled], labels[labelled]
            losses = self._classified(logits, labels)
            if c.mixup:
                losses = share * losses + (1 - share) * self._classified(logits, second)
            loss = losses.sum() / max(1, len(labels))
            if self.distillation is not None and self.model.pupil is not None:
                loss = loss + self.distillation.loss(self.model.pupil, embedding, self.model.stages, views, lesson)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if c.grad_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), c.grad_clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        loss, n = loss.detach(), len(numbers)
        right = (logits.detach().argmax(1) == labels).sum()
        return loss, torch.stack([loss * n, torch.full_like(loss, n), right.to(loss.dtype), labelled.sum().to(loss.dtype)])

    def _classified(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy (n,) with this moment's margin."""
        margin = self.config.margin_at(self.epoch + self.step / self.steps)
        harder = self.model.head.with_margin(logits, labels, margin)
        return F.cross_entropy(harder.float(), labels, label_smoothing=self.config.label_smoothing, reduction="none")

    def _check(self, loss: Tensor | None) -> None:
        if loss is not None and not torch.isfinite(loss):
            c = self.config
            rate = learning_rate(c, self.epoch * self.steps + self.step, self.steps)
            settings = f"{c.optimizer}, {c.loss}, scale {c.scale:g}, margin {c.margin_rad:g}, batch {c.batch_size}"
            raise LossIsNaN(self.epoch + 1, self.step, rate, settings, self.out / STATE)

    @torch.inference_mode()
    def validate(self) -> tuple[float, float, float | None, Roc | None]:
        """Loss and accuracy on val without the margin, cosine to the teacher, and the ROC of val's pairs (None: too few photos).

        Photos are looked at in the size of this epoch's training: a network that has only seen 64 pixels is lost at 112.
        """
        if not len(self.val):
            return math.nan, math.nan, None, None
        model = self.evaluated.eval()
        embeddings, logits, guesses = [], [], []
        for start in range(0, len(self.val), VAL_BATCH):
            numbers = np.arange(start, min(start + VAL_BATCH, len(self.val)))
            pixels = as_pixels(self.val.crops(numbers).to(self.device.torch), self.config.size_at(self.epoch))
            with self.device.autocast():
                embedding, logit = model(pixels)
            embeddings.append(F.normalize(embedding).cpu())
            if model.pupil is not None:
                guesses.append(model.pupil.vector(embedding).cpu())
            logits.append(logit.cpu())
        scores, labels = torch.cat(logits), torch.from_numpy(self.val.label)
        known = labels >= 0
        loss = float(F.cross_entropy(scores[known], labels[known])) if known.any() else math.nan
        accuracy = float((scores.argmax(1) == labels).double().mean())
        values, same = pair_scores(torch.cat(embeddings).numpy(), self._val_people())
        cosine = 1 - float(vector_distance(torch.cat(guesses), self.distillation.val)) if self.distillation else None
        return loss, accuracy, cosine, roc(values, same) if 0 < same.sum() < len(same) else None

    def _val_people(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        rows = zip(self.val.dataset, self.val.row, strict=True)
        return np.array([f"{i} {self.val.datasets[i].people[row]}" for i, row in rows])

    def end_epoch(self) -> tuple[EpochResult, Roc | None]:
        """Validate, add the epoch to the history and make ready for the next."""
        val_loss, val_accuracy, val_teacher, curve = self.validate()
        tpr = curve.at_fpr(self.config.val_fpr)[0] if curve else math.nan
        before = max((_merit(result, self.config) for result in self.history), default=(-1.0, -1.0, -1.0))
        loss, photos, right, labelled = self.sums.tolist()
        result = EpochResult(
            epoch=self.epoch + 1, lr=learning_rate(self.config, self.epoch * self.steps, self.steps),
            margin_rad=self.config.margin_at(self.epoch + 1), size_px=self.config.size_at(self.epoch), train_loss=loss / photos,
            train_accuracy=right / max(1, labelled), val_loss=val_loss, val_accuracy=val_accuracy, val_tpr=tpr,
            img_per_s=photos / max(1e-9, self.seconds), seconds=self.seconds, best=False, val_teacher=val_teacher,
        )  # fmt: skip
        result = EpochResult(**{**asdict(result), "best": _merit(result, self.config) > before or not len(self.val)})
        self.history.append(result)
        self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
        self.sums.zero_()
        return result, curve

    def save(self) -> None:
        """Write everything that resuming needs, in one step."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        tensors |= pack_optimizer(self.optimizer) | {"sums": self.sums}
        meta = {
            "kind": "training state", "epoch": self.epoch, "step": self.step, "seconds": self.seconds,
            "config": asdict(self.config), "classes": _digest(self.classes), "photos": len(self.train), "teacher": self._teacher_id(),
            "history": [asdict(r) for r in self.history],
        }  # fmt: skip
        write_tensors(self.out / STATE, tensors, meta)

    def seconds_left(self) -> float:
        """How long the rest of the run takes, from two steps at each size on a throwaway copy of the network."""
        model, optimizer, average, epoch = self.model, self.optimizer, self.average, self.epoch
        self.model, self.average = copy.deepcopy(model), None
        self.optimizer = make_optimizer([self.model], self.config)
        self.model.train()
        numbers = np.arange(min(self.config.batch_size, self.drawn))
        seconds: dict[int, float] = {}
        for number in range(epoch, self.config.epochs):
            size = self.config.size_at(number)
            if size not in seconds:
                self.epoch = number
                for _ in range(2):  # the first one warms up
                    started = time.monotonic()
                    float(self._learn(numbers)[0])
                    seconds[size] = time.monotonic() - started
        self.model, self.optimizer, self.average, self.epoch = model, optimizer, average, epoch
        steps = sum(seconds[self.config.size_at(number)] * self.steps for number in range(epoch, self.config.epochs))
        return steps * (1 - self.step / max(1, self.steps * (self.config.epochs - epoch)))

    def _teacher_id(self) -> str:
        return self.distillation.teacher.encoder_id if self.distillation is not None else ""

    def resume(self) -> None:
        """Take up what save left. Raises BadCheckpoint when it is of other settings or other people."""
        path = self.out / STATE
        tensors, meta = _read_state(path)
        if TrainConfig.from_dict(meta["config"], str(path)) != self.config:
            raise BadCheckpoint(path, f"it was made with other settings than {self.out / CONFIG}")
        if meta["classes"] != _digest(self.classes) or meta["photos"] != len(self.train):
            raise BadCheckpoint(path, "it was trained on other photos; pass the same --data and --unlabelled")
        if meta["teacher"] != self._teacher_id():
            raise BadCheckpoint(path, f"it was taught by another file than {self.config.teacher or 'none'} is now")
        self.model.load_state_dict(_part(tensors, "model."))
        if self.average is not None:
            self.average.load_state_dict(_part(tensors, "average."))
        unpack_optimizer(self.optimizer, tensors)
        self.sums = tensors["sums"].to(self.device.torch)
        self.epoch, self.step, self.seconds = meta["epoch"], meta["step"], meta["seconds"]
        self.history = [EpochResult(**entry) for entry in meta["history"]]


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
) -> TrainResult:
    """Train to the end and return the best epoch; nameless datasets are learned from the teacher alone.

    on_epoch comes after the epoch's files are written, on_teacher while the teacher looks at the photos.

    Raises OutputExists, BadCheckpoint, LossIsNaN, CannotWrite; Interrupted after Ctrl-C or SIGTERM, with all saved.
    """
    if resume and not (out / STATE).is_file() and not (out / CONFIG).is_file():
        raise NotFound(out, "training run to resume", "Leave --resume out to begin one.")
    if not resume and (out / CONFIG).exists():
        raise OutputExists(out, "holds a training run; pass --resume to go on with it")
    make_folder(out)
    training = Training(config, datasets, nameless, device, out, on_teacher)
    if resume and (out / STATE).is_file():
        training.resume()
        tell(f"resuming at epoch {training.epoch + 1}, step {training.step} of {training.steps}")
    else:
        training.start_from(config.pretrained)
        replace_file(out / CONFIG, config.as_toml().encode())
    already_done = training.epoch >= config.epochs
    if not already_done:
        tell(about_data(training.train, training.val))
        for line in unusual(config, training.train, training.val, len(training.classes)):
            tell(f"unusual: {line}")
        tell(f"about {duration(training.seconds_left())} of training, by a trial step at each size")
    with _stop_signal() as stop:
        last_save = time.monotonic()

        def stop_or_save() -> bool:
            nonlocal last_save
            if time.monotonic() - last_save > 60 * config.checkpoint_minutes > 0:
                training.save()
                last_save = time.monotonic()
            return stop()

        while training.epoch < config.epochs and not (config.patience and waited(training.history) >= config.patience):
            finished = training.run_epoch(on_step, stop_or_save)
            if not finished:
                training.save()
                where = f"epoch {training.epoch + 1}, step {training.step} is saved in {out}"
                raise Interrupted(where, f"facesearch train --out {out} --resume")
            result, curve = training.end_epoch()
            if result.best:
                identity = save_encoder(out / BEST, training.evaluated.encoder, _notes(training, result, curve))
                save_classifier(out / CLASSIFIER, training.evaluated.head, config, training.classes, identity)
            training.save()
            last_save = time.monotonic()
            save_history(out, training.history)
            on_epoch(result, out)
            if line := not_rising(training.history):
                tell(line)
    best = [result for result in training.history if result.best][-1]
    return TrainResult(out, out / BEST, best, tuple(training.history), already_done)


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What Training.save wrote. Raises NotFound, PickleRefused, BadCheckpoint."""
    tensors, meta = read_tensors(path)
    if meta.get("kind") != "training state":
        raise BadCheckpoint(path, "it is no training state")
    return tensors, meta


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _notes(training: Training, result: EpochResult, curve: Roc | None) -> dict[str, Any]:
    """What an encoder's file tells of its making. impostors: false-positive rate a pair -> score, on val's pairs."""
    table = []
    if curve is not None:
        comparisons = len(training.val) * (len(training.val) - 1) / 2
        for exponent in range(2, 15):
            rate = 10 ** (-exponent / 2)
            if enough_trials(comparisons, rate):
                table.append([rate, curve.at_fpr(rate)[1]])
    data = [{"kind": d.kind, "photos": len(d), "plan": d.manifest.get("plan")} for d in training.train.datasets]
    return {
        "recipe": asdict(training.config), "epoch": asdict(result), "classes": len(training.classes),
        "photos": len(training.train), "data": data, "impostors": table, "torch": torch.__version__,
    }  # fmt: skip


def _merit(result: EpochResult, config: TrainConfig) -> tuple[float, float, float]:
    """What makes an epoch the best: that it was trained at the size of use, then verification on val, then accuracy."""
    tpr, accuracy = (-1.0 if math.isnan(score) else score for score in (result.val_tpr, result.val_accuracy))
    return float(result.size_px == config.size_px), tpr, accuracy


def _digest(classes: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(classes).encode()).hexdigest()


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question asked between steps; a second Ctrl-C breaks off at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, _: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
