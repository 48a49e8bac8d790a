"""The folder of a training run: what its files are called, what they hold, how its log is read back. Needs no
torch.

config.toml              the settings, written first
last.safetensors         all that resuming needs, replaced after every epoch
best.safetensors         the encoder of the best epoch
classifier.safetensors   the classification head that belongs to it
metrics.jsonl            one EpochResult a line
curves.svg               the same as a picture
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from facesearch.errors import CannotRead, NotFound
from facesearch.files import replace_file
from facesearch.training.recipe import TrainConfig
from facesearch.training.recipe_files import load_recipe

STATE, CLASSIFIER = "last.safetensors", "classifier.safetensors"
CONFIG, METRICS, CURVES = "config.toml", "metrics.jsonl", "curves.svg"


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
    """Mean cosine between the teacher's vectors of val's photos and the student's guesses; None without a
    teacher.
    """
    held_teacher: float | None = None
    """The same on the faces that are held out."""
    held_length: float | None = None
    """Rank correlation (Spearman's) between the lengths of the student's and the teacher's vectors on the
    held-out faces.
    """
    usable: bool = True
    """Whether the encoder's vectors are numbers and tell people of val apart better than chance."""
    validated: bool = True
    """Whether val holds what that can be seen on: a photo of somebody who is trained on, or two of one
    person.
    """
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
