"""What training can refuse: settings, runs, numbers that are none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import TrainingError, sentence


@dataclass(eq=False)
class BadConfig(TrainingError):
    """A setting has a value that makes no sense.

    Attributes:
        value: The value; a Path where the setting names a file.
        broke: The limit that it goes past.
        entry: The value, or the entry of it that does.
    """

    name: str
    value: object
    expected: str
    hint: str = ""
    broke: str = ""
    entry: object = None

    status = 422

    @property
    def where(self) -> str:
        return str(self.value) if isinstance(self.value, Path) else ""

    @property
    def what(self) -> str:
        value = "this file" if isinstance(self.value, Path) else _number(self.value)
        one = "" if self.entry is None or self.entry == self.value else f" {_number(self.entry)}"
        broke = f", and{one or ' that'} is not {self.broke}" if self.broke else ""
        return f"The setting {self.name!r} is {value}{broke}; it should be {self.expected}."

    @property
    def advice(self) -> str:
        return self.hint


def _number(value: object) -> str:
    """A number as people write it: 1e+08 and not 100000000.0."""
    return f"{value:g}" if isinstance(value, float) and (abs(value) >= 1e6) else repr(value)


OTHER_NAMES = {
    "learning_rate": "lr",
    "max_lr": "lr",
    "min_lr": "lr_min",
    "eta_min": "lr_min",
    "wd": "weight_decay",
    "margin": "margin_rad",
    "m": "margin_rad",
    "s": "scale",
    "arch": "backbone",
    "model": "backbone",
    "network": "backbone",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "bs": "batch_size",
    "batch": "batch_size",
    "image_size": "size_px",
    "img_size": "size_px",
    "size": "size_px",
    "input_size": "size_px",
    "dim": "embedding_size",
    "embedding_dim": "embedding_size",
    "ema": "ema_decay",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "warmup": "warmup_epochs",
    "early_stopping": "patience",
    "clip": "grad_clip",
    "max_grad_norm": "grad_clip",
    "hflip": "flip",
    "horizontal_flip": "flip",
    "rotation": "rotate_deg",
    "random_erasing": "erase",
    "weights": "pretrained",
    "random_state": "seed",
    "torch_compile": "compile",
    "optim": "optimizer",
    "smoothing": "label_smoothing",
}
"""What settings are called elsewhere."""


@dataclass(eq=False)
class UnknownSetting(TrainingError):
    """A setting has a name that does not exist.

    Attributes:
        named_in: The file, or the option, that named it.
    """

    name: str
    known: tuple[str, ...]
    named_in: str

    status = 422
    about = "named_in"

    @property
    def what(self) -> str:
        close = self._close()
        return f"There is no setting {self.name!r}." + (f" Did you mean {close!r}?" if close else "")

    @property
    def advice(self) -> str:
        return "" if self._close() else f"Known settings: {', '.join(self.known)}"

    def _close(self) -> str:
        """The known setting that was probably meant."""
        import difflib

        close = [name for name in (OTHER_NAMES.get(self.name.lower()),) if name in self.known]
        return next(iter(close or difflib.get_close_matches(self.name, self.known, n=1)), "")


@dataclass(eq=False)
class OtherRun(TrainingError):
    """A run cannot be continued as asked."""

    path: Path
    reason: str
    hint: str = ""

    status = 409
    about = "path"

    @property
    def what(self) -> str:
        return f"This run cannot be continued: {self.reason}."

    @property
    def advice(self) -> str:
        return self.hint


@dataclass(eq=False)
class NoPretrained(TrainingError):
    """Pretrained weights cannot be fetched."""

    backbone: str
    url: str
    reason: str

    @property
    def what(self) -> str:
        return f"The ImageNet weights of {self.backbone} could not be fetched ({self.reason})."

    @property
    def advice(self) -> str:
        return (
            f"Fetch {self.url} on a machine with a network and pass it with --set pretrained=FILE,\n"
            "or start from random numbers with --set pretrained=none. They are kept below TORCH_HOME: set it"
            "\nto a folder that can be written where that is what went wrong."
        )


@dataclass(eq=False)
class LossIsNaN(TrainingError):
    """The loss is not a number any more."""

    epoch: int
    step: int
    lr: float
    settings: str
    checkpoint: Path

    kind = "loss-is-nan"

    @property
    def where(self) -> str:
        return str(self.checkpoint.parent)

    @property
    def what(self) -> str:
        return sentence(
            f"the loss is not a number any more at epoch {self.epoch}, step {self.step}, learning rate"
            f" {self.lr:.3g} ({self.settings})"
        )

    @property
    def advice(self) -> str:
        return (
            f"The last good state is {self.checkpoint}. Try a smaller lr, a longer warm-up (warmup_epochs), a"
            " smaller margin_rad or grad_clip=1."
        )


@dataclass(eq=False)
class NothingLearned(TrainingError):
    """In every look at val the network's weights or vectors were no numbers."""

    out: Path
    epochs: int

    about = "out"
    advice = (
        "Try a smaller lr, a longer warm-up (warmup_epochs, onecycle_rise), a smaller margin_rad or"
        " grad_clip=1, in a new --out."
    )

    @property
    def what(self) -> str:
        return (
            f"This run is not usable. In each of {self.epochs} looks at val the network's weights or vectors"
            " were no numbers. So no encoder was written, and the one in use stays."
        )
