"""The folder of a training run: what its files are called, what they hold, how they are read back.

config.toml              the settings, written first
last.safetensors         all that resuming needs, replaced after every epoch
best.safetensors         the encoder of the best epoch
classifier.safetensors   the classification head that belongs to it
metrics.jsonl            one EpochResult a line
curves.png               the same as a picture
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesearch.errors import BadCheckpoint, CannotRead, NotFound
from facesearch.files import replace_file
from facesearch.model.checkpoint import load_encoder, read_tensors, write_tensors
from facesearch.model.losses import Head, make_head
from facesearch.model.recipe import TrainConfig, load_recipe

STATE, BEST, CLASSIFIER = "last.safetensors", "best.safetensors", "classifier.safetensors"
CONFIG, METRICS, CURVES = "config.toml", "metrics.jsonl", "curves.png"


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One line of the log: an epoch, or in a run by the clock those since the last check on val.

    Accuracies are the classifier's top-1 without the margin; val_tpr is verification on val's pairs."""

    epoch: int
    lr: float
    margin_rad: float
    size_px: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_tpr: float
    img_per_s: float
    seconds: float
    best: bool
    val_teacher: float | None = None
    """Mean cosine between the teacher's vectors of val's photos and the student's guesses; None without a teacher."""
    held_teacher: float | None = None
    """The same on the faces that are held out."""
    held_length: float | None = None
    """Rank correlation (Spearman's) between the lengths of the student's and the teacher's vectors on the held-out faces."""
    usable: bool = True
    """Whether the encoder's vectors are numbers and tell people of val apart better than chance."""
    step: int | None = None
    """Steps of the run until then."""
    minutes: float | None = None
    """Minutes that the run had taken until then, all included."""


def config_of_run(out: Path) -> TrainConfig:
    """The settings a run was begun with. Raises NotFound, CannotRead."""
    return load_recipe(out / CONFIG)


def save_history(out: Path, history: Sequence[EpochResult]) -> None:
    """Write metrics.jsonl in one step. Raises CannotWrite."""
    replace_file(out / METRICS, "".join(json.dumps(asdict(result)) + "\n" for result in history).encode())


def load_history(out: Path) -> list[EpochResult]:
    """Read metrics.jsonl of a run that has finished an epoch. Raises NotFound, CannotRead."""
    path = out / METRICS
    if not path.is_file():
        raise NotFound(path, "log of a training run", "A run writes it when its first epoch is over.")
    try:
        history = [EpochResult(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise CannotRead(path, "not the log of a training run") from error
    if not history:
        raise CannotRead(path, "it holds no epoch")
    return history


def save_classifier(path: Path, head: dict[str, Tensor], config: TrainConfig, classes: Sequence[str], encoder_id: str) -> None:
    """Write the tensors of an encoder's head with the name of each class. Raises CannotWrite."""
    meta = {
        "kind": "classifier", "loss": config.loss, "embedding_size": config.embedding_size, "scale": config.scale,
        "classes": list(classes), "encoder_id": encoder_id,
    }  # fmt: skip
    write_tensors(path, head, meta)


def load_classifier(path: Path) -> tuple[Head, NDArray[np.str_], str]:
    """The classification head of a run's best encoder, the name of each class, and that encoder's id."""
    tensors, meta = read_tensors(path)
    if meta.get("kind") != "classifier":
        raise BadCheckpoint(path, "it holds no classifier")
    head = make_head(meta["loss"], meta["embedding_size"], len(meta["classes"]), meta["scale"])
    head.load_state_dict(tensors)
    return head.eval(), np.array(meta["classes"], dtype=np.str_), meta["encoder_id"]


def backbone_weights(path: Path) -> dict[str, Tensor]:
    """The backbone's tensors from one of our encoders, or from torchvision's own .pth (tensors only, no code is run)."""
    if path.suffix != ".pth":
        encoder, _ = load_encoder(path)
        return dict(encoder.backbone.state_dict())
    if not path.is_file():
        raise NotFound(path, "weights file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadCheckpoint(path, "not a plain state dict of tensors") from error
    if not isinstance(state, dict):
        raise BadCheckpoint(path, "not a plain state dict of tensors")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
