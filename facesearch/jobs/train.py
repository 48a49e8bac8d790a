"""Train an encoder: epochs over photos in memory, checked on val, saved after every epoch, resumable bit for bit."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facesearch.errors import BadCheckpoint, Interrupted, LossIsNaN, NotFound, OutputExists
from facesearch.faces.table import Dataset
from facesearch.files import make_folder, replace_file
from facesearch.jobs.run_folder import BEST, CLASSIFIER, CONFIG, STATE, EpochResult, backbone_weights, save_classifier, save_history
from facesearch.jobs.training_photos import training_photos
from facesearch.metrics.bootstrap import enough_trials
from facesearch.metrics.verification import Roc, pair_scores, roc
from facesearch.model.augment import Augmenter
from facesearch.model.checkpoint import pack_optimizer, read_tensors, save_encoder, unpack_optimizer, write_tensors
from facesearch.model.device import Device
from facesearch.model.encoder import Encoder, EncoderConfig, as_pixels
from facesearch.model.freeze import freeze_first, frozen_at
from facesearch.model.losses import Head, make_head
from facesearch.model.recipe import TrainConfig
from facesearch.model.schedule import learning_rate, make_optimizer
from facesearch.records import Tell

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
    """Encoder and classification head together, so that they are averaged and saved as one."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels (n, 3, s, s) float in 0..255 -> embeddings (n, d), logits without margin (n, c), float32."""
        embedding: Tensor = self.encoder(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            return embedding, self.head(embedding)


class Training:
    """One run: all state that changes from step to step, and nothing about how it is shown."""

    def __init__(self, config: TrainConfig, datasets: list[Dataset], device: Device, out: Path) -> None:
        self.config, self.device, self.out = config, device, out
        self.train, self.val, self.classes = training_photos(datasets)
        self.augmenter = Augmenter(config)
        self.drawn = len(self.train) * self.augmenter.multiplies
        self.steps = max(1, self.drawn // config.batch_size)
        torch.manual_seed(config.seed)
        encoder = Encoder(EncoderConfig.of(config))
        if config.zero_init_residual:
            encoder.zero_residuals()
        head = make_head(config.loss, config.embedding_size, len(self.classes), config.scale)
        self.model = Model(encoder, head).to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        decay = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.model, multi_avg_fn=decay, use_buffers=True) if config.ema_decay else None
        self.optimizer = make_optimizer([self.model], config)
        self.resident = self.train.resident(device.torch)
        self.epoch = self.step = 0
        # Loss, right answers and photos of the running epoch, summed where the loss is, so that a GPU is not waited for.
        self.sums = torch.zeros(3, dtype=torch.float64, device=device.torch)
        self.seconds = 0.0
        self.history: list[EpochResult] = []

    @property
    def evaluated(self) -> Model:
        return self.average.module if self.average is not None else self.model  # type: ignore[return-value]

    def start_from(self, pretrained: str) -> None:
        """Begin with ImageNet's weights, with one of our encoders, or with a torchvision state dict in a file."""
        if pretrained == "none":
            return
        encoder = self.model.encoder
        if pretrained == "imagenet":
            encoder.load_imagenet()
        else:
            encoder.load_backbone(backbone_weights(Path(pretrained)))
        if self.average is not None:
            self.average.module.load_state_dict(self.model.state_dict())

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
            loss, right = self._learn(numbers)
            self._check(pending)  # one step late, so that a GPU is never waited for
            pending = loss
            self.sums += torch.stack([loss * len(numbers), right, torch.full_like(loss, len(numbers))])
            self.step += 1
            self.seconds = saved_seconds + time.monotonic() - started
            if self.step % SHOW_EVERY == 1 or self.step == self.steps or math.isnan(shown):
                shown = float(self.sums[0] / self.sums[2])
            on_step(Step(self.epoch, c.epochs, self.step, self.steps, len(numbers), shown))
        self._check(pending)
        return True

    def _learn(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[Tensor, Tensor]:
        """One optimiser step on photos `numbers` (m,), numbered through all their versions. Returns loss, right answers."""
        c, dev = self.config, self.device.torch
        seed = int.from_bytes(hashlib.sha256(f"{c.seed} {self.epoch} {self.step}".encode()).digest()[:7], "big")
        torch.manual_seed(seed)  # dropout and torchvision's colour transforms draw from here
        generator = torch.Generator().manual_seed(seed)
        photo = numbers % len(self.train)
        version = torch.from_numpy(numbers // len(self.train)) if self.augmenter.multiplies > 1 else None
        index = torch.from_numpy(photo)
        crops = self.resident[index.to(dev)] if self.resident is not None else self.train.crops(photo).to(dev)
        labels = torch.from_numpy(self.train.label[photo]).to(dev)
        pixels = self.augmenter(crops, version, c.size_at(self.epoch), generator)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(c, self.epoch * self.steps + self.step, self.steps)
        with self.device.autocast():
            _, logits = self.model(pixels)
        margin = c.margin_at(self.epoch + self.step / self.steps)
        harder = self.model.head.with_margin(logits, labels, margin)
        loss = F.cross_entropy(harder, labels, label_smoothing=c.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if c.grad_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), c.grad_clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss.detach(), (logits.detach().argmax(1) == labels).sum().to(loss.dtype)

    def _check(self, loss: Tensor | None) -> None:
        if loss is not None and not torch.isfinite(loss):
            c = self.config
            rate = learning_rate(c, self.epoch * self.steps + self.step, self.steps)
            settings = f"{c.optimizer}, {c.loss}, scale {c.scale:g}, margin {c.margin_rad:g}, batch {c.batch_size}"
            raise LossIsNaN(self.epoch + 1, self.step, rate, settings, self.out / STATE)

    @torch.inference_mode()
    def validate(self) -> tuple[float, float, Roc | None]:
        """Loss and accuracy on val without the margin, and the ROC of val's pairs (None: too few photos for one).

        Photos are looked at in the size of this epoch's training: a network that has only seen 64 pixels is lost at 112.
        """
        if not len(self.val):
            return math.nan, math.nan, None
        model = self.evaluated.eval()
        embeddings, logits = [], []
        for start in range(0, len(self.val), VAL_BATCH):
            numbers = np.arange(start, min(start + VAL_BATCH, len(self.val)))
            pixels = as_pixels(self.val.crops(numbers).to(self.device.torch), self.config.size_at(self.epoch))
            with self.device.autocast():
                embedding, logit = model(pixels)
            embeddings.append(F.normalize(embedding).cpu())
            logits.append(logit.cpu())
        scores, labels = torch.cat(logits), torch.from_numpy(self.val.label)
        known = labels >= 0
        loss = float(F.cross_entropy(scores[known], labels[known])) if known.any() else math.nan
        accuracy = float((scores.argmax(1) == labels).double().mean())
        values, same = pair_scores(torch.cat(embeddings).numpy(), self._val_people())
        return loss, accuracy, roc(values, same) if 0 < same.sum() < len(same) else None

    def _val_people(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        rows = zip(self.val.dataset, self.val.row, strict=True)
        return np.array([f"{i} {self.val.datasets[i].people[row]}" for i, row in rows])

    def end_epoch(self) -> tuple[EpochResult, Roc | None]:
        """Validate, add the epoch to the history and make ready for the next."""
        val_loss, val_accuracy, curve = self.validate()
        tpr = curve.at_fpr(self.config.val_fpr)[0] if curve else math.nan
        before = max((_merit(result, self.config) for result in self.history), default=(-1.0, -1.0, -1.0))
        loss, right, photos = self.sums.tolist()
        result = EpochResult(
            epoch=self.epoch + 1, lr=learning_rate(self.config, self.epoch * self.steps, self.steps),
            margin_rad=self.config.margin_at(self.epoch + 1), size_px=self.config.size_at(self.epoch), train_loss=loss / photos,
            train_accuracy=right / photos, val_loss=val_loss, val_accuracy=val_accuracy, val_tpr=tpr,
            img_per_s=photos / max(1e-9, self.seconds), seconds=self.seconds, best=False,
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
            "config": asdict(self.config), "classes": _digest(self.classes), "history": [asdict(r) for r in self.history],
        }  # fmt: skip
        write_tensors(self.out / STATE, tensors, meta)

    def resume(self) -> None:
        """Take up what save left. Raises BadCheckpoint when it is of other settings or other people."""
        path = self.out / STATE
        tensors, meta = read_tensors(path)
        if meta.get("kind") != "training state":
            raise BadCheckpoint(path, "it is no training state")
        if json.dumps(meta["config"]) != json.dumps(asdict(self.config)):
            raise BadCheckpoint(path, f"it was made with other settings than {self.out / CONFIG}")
        if meta["classes"] != _digest(self.classes):
            raise BadCheckpoint(path, "it was trained on other people; pass the same --data")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts.get(part, {})[rest] = value
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        unpack_optimizer(self.optimizer, tensors)
        self.sums = tensors["sums"].to(self.device.torch)
        self.epoch, self.step, self.seconds = meta["epoch"], meta["step"], meta["seconds"]
        self.history = [EpochResult(**entry) for entry in meta["history"]]


def train(
    config: TrainConfig,
    datasets: list[Dataset],
    device: Device,
    out: Path,
    *,
    resume: bool,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[EpochResult, Path], None],
    tell: Tell,
) -> TrainResult:
    """Train to the end and return the best epoch. on_epoch comes after the epoch's files are written.

    Raises OutputExists, BadCheckpoint, LossIsNaN, CannotWrite; Interrupted after Ctrl-C or SIGTERM, with all saved.
    """
    if resume and not (out / STATE).is_file() and not (out / CONFIG).is_file():
        raise NotFound(out, "training run to resume", "Leave --resume out to begin one.")
    if not resume and (out / CONFIG).exists():
        raise OutputExists(out, "holds a training run; pass --resume to go on with it")
    make_folder(out)
    training = Training(config, datasets, device, out)
    if resume and (out / STATE).is_file():
        training.resume()
        tell(f"resuming at epoch {training.epoch + 1}, step {training.step} of {training.steps}")
    else:
        training.start_from(config.pretrained)
        replace_file(out / CONFIG, config.as_toml().encode())
    already_done = training.epoch >= config.epochs
    with _stop_signal() as stop:
        last_save = time.monotonic()

        def stop_or_save() -> bool:
            nonlocal last_save
            if time.monotonic() - last_save > 60 * config.checkpoint_minutes > 0:
                training.save()
                last_save = time.monotonic()
            return stop()

        while training.epoch < config.epochs:
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
    best = [result for result in training.history if result.best][-1]
    return TrainResult(out, out / BEST, best, tuple(training.history), already_done)


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
