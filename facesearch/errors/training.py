"""What training and encoders can refuse: data, settings, devices, weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class UnknownSource(FaceSearchError):
    path: Path

    def __str__(self) -> str:
        return (
            f"{self.path}: no photo source is recognised here. It should hold one of\n"
            "  celebA_imgs/ + celebA_anno.txt               CelebA-500 as handed out (and its extra people: + roles.txt)\n"
            "  img_align_celeba/ + identity_CelebA.txt      CelebA's own files\n"
            "  celebA_query/ + celebA_anno_query.csv        the identification-rate set\n"
            "  one folder a person, with photos in each"
        )


@dataclass(eq=False)
class BadTable(FaceSearchError):
    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}."


@dataclass(eq=False)
class BadDataset(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} is not a whole prepared dataset: {self.reason}.\nMake it again with: facesearch prepare SOURCE --out {self.path}"
        )


@dataclass(eq=False)
class BadConfig(FaceSearchError):
    name: str
    value: object
    expected: str

    def __str__(self) -> str:
        return f"setting {self.name!r} is {self.value!r}; it should be {self.expected}."


OTHER_NAMES = {
    "learning_rate": "lr", "max_lr": "lr", "min_lr": "lr_min", "eta_min": "lr_min", "wd": "weight_decay", "margin": "margin_rad",
    "m": "margin_rad", "s": "scale", "arch": "backbone", "model": "backbone", "network": "backbone", "num_epochs": "epochs",
    "n_epochs": "epochs", "bs": "batch_size", "batch": "batch_size", "image_size": "size_px", "img_size": "size_px", "size": "size_px",
    "input_size": "size_px", "dim": "embedding_size", "embedding_dim": "embedding_size", "ema": "ema_decay", "scheduler": "schedule",
    "lr_scheduler": "schedule", "warmup": "warmup_epochs", "early_stopping": "patience", "clip": "grad_clip",
    "max_grad_norm": "grad_clip", "hflip": "flip", "horizontal_flip": "flip", "rotation": "rotate_deg", "random_erasing": "erase",
    "weights": "pretrained", "random_state": "seed", "torch_compile": "compile", "optim": "optimizer", "smoothing": "label_smoothing",
}  # fmt: skip
"""What settings are called elsewhere."""


@dataclass(eq=False)
class UnknownSetting(FaceSearchError):
    name: str
    known: tuple[str, ...]
    where: str

    def __str__(self) -> str:
        import difflib

        close = [name for name in (OTHER_NAMES.get(self.name.lower()),) if name in self.known]
        close = close or difflib.get_close_matches(self.name, self.known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f"\nKnown settings: {', '.join(self.known)}"
        return f"{self.where}: there is no setting {self.name!r}.{hint}"


@dataclass(eq=False)
class DeviceMissing(FaceSearchError):
    device: str
    reason: str

    def __str__(self) -> str:
        return (
            f"device {self.device!r} was asked for, but {self.reason}.\nPass --device cpu (slower), or --device auto to take what is there."
        )


@dataclass(eq=False)
class EngineUnfit(FaceSearchError):
    engine: str
    weights: Path
    fit: str

    def __str__(self) -> str:
        return f"the engine {self.engine} cannot run {self.weights}. Pass --engine {self.fit}, or leave it at auto."


@dataclass(eq=False)
class BadCheckpoint(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is not a facesearch checkpoint: {self.reason}."


@dataclass(eq=False)
class OtherRun(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be gone on with: {self.reason}."


@dataclass(eq=False)
class PickleRefused(FaceSearchError):
    path: Path

    def __str__(self) -> str:
        return (
            f"{self.path} is a pickle (torch.save). Loading one can run any code it holds, so it is refused.\n"
            "Convert it where you trust it: safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )


@dataclass(eq=False)
class NoPretrained(FaceSearchError):
    backbone: str
    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the ImageNet weights of {self.backbone} could not be fetched ({self.reason}).\n"
            f"Fetch {self.url} on a machine with a network and pass it with --set pretrained=FILE,\n"
            "or start from random numbers with --set pretrained=none."
        )


@dataclass(eq=False)
class LossIsNaN(FaceSearchError):
    epoch: int
    step: int
    lr: float
    settings: str
    checkpoint: Path

    def __str__(self) -> str:
        return (
            f"the loss is not a number any more at epoch {self.epoch}, step {self.step}, learning rate {self.lr:.3g} "
            f"({self.settings}).\nThe last good state is {self.checkpoint}. Try a smaller lr, a longer warm-up "
            "(warmup_epochs), a smaller margin_rad or grad_clip=1."
        )


@dataclass(eq=False)
class NothingLearned(FaceSearchError):
    out: Path
    epochs: int

    def __str__(self) -> str:
        return (
            f"{self.out}: not usable. In each of {self.epochs} looks at val the network's weights or vectors were no numbers, so no "
            "encoder was written, and the one in use stays.\n"
            "Try a smaller lr, a longer warm-up (warmup_epochs, onecycle_rise), a smaller margin_rad or grad_clip=1, in a new --out."
        )


@dataclass(eq=False)
class NotNumbers(FaceSearchError):
    encoder: str

    def __str__(self) -> str:
        return (
            f"the encoder {self.encoder} gives vectors that are no numbers, so nothing can be searched or measured with it: its "
            "training diverged, or its file was made by another program.\nChoose another one with --weights FILE."
        )


@dataclass(eq=False)
class NoWeights(FaceSearchError):
    looked: tuple[str, ...]

    def __str__(self) -> str:
        return (
            "there is no encoder yet. Looked at: " + "; ".join(self.looked) + ".\n"
            "Train one with: facesearch train --data DATASET   or pass --weights FILE (.safetensors or .onnx)"
        )
