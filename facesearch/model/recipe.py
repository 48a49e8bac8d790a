"""All that decides a training run, in one frozen config; recipes are TOML files of these settings."""

from __future__ import annotations

import json
import math
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from facesearch.errors import BadConfig, CannotRead, NotFound, UnknownSetting, reason_of

Backbone = Literal["resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_v2_m"]
Colour = Literal["grayscale", "jitter", "blur", "posterize", "equalize", "solarize", "invert", "sharpness", "autocontrast"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Saved beside the weights that it made. Raises BadConfig for a value that makes no sense."""

    # the network
    backbone: Backbone = "resnet34"
    encoder_last_layer_name: str = ""
    """Dotted name of the layer that is replaced; empty: the backbone's usual one (fc, or classifier.1)."""
    embedding_size: int = 512
    head: tuple[int, ...] = ()
    """Widths of further linear layers before the last one, each with batch norm and ReLU; none: ONE linear layer."""
    embedding_batchnorm: bool = False
    dropout: float = 0.0
    flip_average: bool = True
    """In use, embed the crop and its mirror image and average: twice the work, steadier vectors."""
    zero_init_residual: bool = False
    """From random numbers, let every residual block of a resnet begin as the identity (Goyal et al. 2017, section 5.1)."""
    pretrained: str = "none"
    """none, imagenet (torchvision's weights, fetched), or a file: those weights, an encoder of ours, or a run's last.safetensors."""

    # the loss
    loss: Literal["ce", "arcface"] = "arcface"
    scale: float = 30.0
    margin_rad: float = 0.2
    margin_start_epoch: float = 0.0
    margin_ramp_epochs: float = 0.0
    """The margin grows linearly from 0 over so many epochs, from margin_start_epoch on."""
    label_smoothing: float = 0.0
    shard_classes: bool = False
    """Under torchrun every process holds its part of the class centres alone, for very many people (An et al. 2021, arXiv:2010.05222)."""
    class_sample: float = 1.0
    """Share of the centres that a step looks at, the batch's own always among them; for sharded classes."""

    # the teacher, where there is one
    teacher: str = ""
    """An .onnx encoder whose vectors the embedding shall foretell (Hinton et al. 2015, arXiv:1503.02531); empty: none."""
    teacher_preprocess: Literal["imagenet", "arcface"] = "imagenet"
    distill_vectors: float = 20.0
    """Weight of 1 - cosine between the teacher's vector and a linear projection of the embedding."""
    distill_relations: float = 0.0
    """Weight of the squared differences between the batch's cosines here and there (Park et al. 2019, arXiv:1904.05068)."""
    distill_maps: float = 0.0
    """Weight of what projections of the stages' maps leave unexplained of the teacher's maps of about the same size (hints)."""
    distill_stages: tuple[str, ...] = ("layer1", "layer2", "layer3")
    """Dotted names of those parts of the backbone."""
    distill_live: float = 0.0
    """Share of each batch that is shown to the teacher too, as it is in this batch; maps come from these photos."""
    distill_live_start_epoch: int = 0
    distill_mixed: float = 0.0
    """Share of the live photos that are mixtures of two: faces of nobody, which join the distillation alone."""

    # the optimiser
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    decay_norms: bool = True
    """Also decay biases and batch-norm weights, as torch does when not told otherwise."""
    momentum: float = 0.9
    grad_clip: float = 0.0
    schedule: Literal["constant", "warm_restarts", "onecycle", "cosine"] = "onecycle"
    restart_epochs: float = 3.0
    """T_0 of CosineAnnealingWarmRestarts."""
    lr_min: float = 0.0
    """eta_min of the cosine schedules."""
    warmup_epochs: float = 0.0
    onecycle_rise: float = 0.3
    freeze: tuple[int, ...] = ()
    """Entry i: how many of the backbone's first layers are frozen in epoch i; the last entry stays in force."""
    ema_decay: float = 0.0
    """Average the weights exponentially over steps and evaluate the average; 0: off."""

    # the photos
    epochs: int = 30
    batch_size: int = 64
    size_px: int = 112
    size_steps: tuple[tuple[int, int], ...] = ()
    """(epoch, pixels): from this epoch on train at this size; size_px is what is used after training."""
    colours: tuple[Colour, ...] = ()
    colour_mode: Literal["off", "multiply", "random"] = "off"
    """multiply: every photo once plain and once per colour augmentation (5 make the set 6 times as large);
    random: one version is drawn each time the photo is seen."""
    colour_compose: bool = False
    """Versions are all combinations of the colour augmentations rather than one at a time."""
    flip: bool = False
    shift: float = 0.0
    """Largest shift, as a share of the crop's side."""
    zoom: float = 0.0
    rotate_deg: float = 0.0
    border: float = 0.0
    """Chance that the crop's rim is replaced by its repeated border, as in crops from tight pictures."""
    light: float = 0.0
    """Strength of random brightness, contrast and saturation, drawn for each photo."""
    grey: float = 0.0
    low_res: float = 0.0
    """Chance that the photo is first shrunk by up to 4 and enlarged again."""
    erase: float = 0.0
    mixup: float = 0.0
    """Share of each batch that is blended with another photo, both names counting by their part (arXiv:1710.09412)."""

    # the run
    seed: int = 0
    val_fpr: float = 1e-3
    """The false-positive rate at which val verification is read; the best checkpoint is chosen by it."""
    patience: int = 0
    """End the run when val has not become better for so many epochs; 0: never."""
    checkpoint_minutes: float = 10.0
    compile: bool = False
    """On a GPU, let torch.compile make one program of the backbone, for each size: minutes at first, faster steps then."""

    def __post_init__(self) -> None:
        def check(name: str, ok: bool, expected: str) -> None:
            if not ok:
                raise BadConfig(name, getattr(self, name), expected)

        for name in ("embedding_size", "epochs", "batch_size"):
            check(name, getattr(self, name) >= 1, "at least 1")
        check("batch_size", self.batch_size >= 2, "at least 2, since batch norm needs more than one photo")
        check("size_px", 32 <= self.size_px <= 512, "from 32 to 512 pixels")
        check("head", all(width >= 1 for width in self.head), "a list of layer widths, each at least 1")
        check("scale", self.scale > 0, "above 0")
        check("margin_rad", 0 <= self.margin_rad < math.pi / 2, "an angle in radians from 0 to 1.57")
        check("lr", 0 < self.lr < 100, "above 0")
        check("lr_min", 0 <= self.lr_min <= self.lr, "from 0 to lr")
        check("restart_epochs", self.restart_epochs > 0, "above 0")
        check("onecycle_rise", 0 < self.onecycle_rise < 1, "between 0 and 1")
        check("freeze", all(n >= 0 for n in self.freeze), "a list of layer counts, one an epoch, none negative")
        check("colours", self.colour_mode == "off" or len(self.colours) > 0, "named when colour_mode is on")
        check("size_steps", all(len(s) == 2 and s[0] >= 0 and 32 <= s[1] <= 512 for s in self.size_steps),
              "a list of [epoch, pixels from 32 to 512]")  # fmt: skip
        check("size_steps", sorted(self.size_steps) == list(self.size_steps), "in order of epoch")
        check("distill_live", self.distill_live > 0 or not (self.distill_maps or self.distill_mixed), "above 0 for maps and mixtures")
        check("mixup", not (self.mixup and self.teacher), "0 with a teacher, which has distill_mixed")
        check("shard_classes", not (self.shard_classes and self.loss != "arcface"), "false with a loss other than arcface")
        check("class_sample", 0 < self.class_sample <= 1, "a share above 0, up to 1")
        check("class_sample", self.class_sample == 1 or self.shard_classes, "1 without shard_classes")
        check("compile", not (self.compile and self.distill_maps), "false with distill_maps, which look into the network")
        for name in ("label_smoothing", "dropout", "ema_decay"):
            check(name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        for name in ("shift", "zoom", "light"):
            check(name, 0 <= getattr(self, name) <= 0.9, "from 0 to 0.9")
        for name in ("grey", "low_res", "erase", "border", "val_fpr", "distill_live", "distill_mixed", "mixup"):
            check(name, 0 <= getattr(self, name) <= 1, "a share from 0 to 1")
        for name in ("weight_decay", "momentum", "grad_clip", "warmup_epochs", "margin_start_epoch", "margin_ramp_epochs",
                     "rotate_deg", "checkpoint_minutes", "distill_vectors", "distill_relations", "distill_maps",
                     "distill_live_start_epoch", "patience"):  # fmt: skip
            check(name, getattr(self, name) >= 0, "0 or more")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "recipe") -> Self:
        """Take settings by name. Raises UnknownSetting for a name that is none, BadConfig for a value of another type."""
        kinds = typing.get_type_hints(cls)
        known = tuple(field.name for field in fields(cls))
        for name in raw:
            if name not in known:
                raise UnknownSetting(name, known, where)
        return cls(**{name: _as(name, value, kinds[name]) for name, value in raw.items()})

    def changed(self, settings: Sequence[str]) -> Self:
        """Apply overrides written `key=value`; values are read as TOML, bare words as text."""
        raw = asdict(self)
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise BadConfig(name, "", f"given as {name}=VALUE")
            if name.strip() not in raw:
                raise UnknownSetting(name.strip(), tuple(raw), "--set")
            raw[name.strip()] = _toml_value(text.strip())
        return type(self).from_dict(raw, "--set")

    def size_at(self, epoch: int) -> int:
        """Side of the training crops in this epoch, in pixels."""
        size = self.size_px
        for start, pixels in self.size_steps:
            if epoch >= start:
                size = pixels
        return size

    def margin_at(self, epoch: float) -> float:
        """The margin in radians at a moment of training, counted in epochs and parts of them."""
        if epoch < self.margin_start_epoch:
            return 0.0
        if self.margin_ramp_epochs == 0:
            return self.margin_rad
        return self.margin_rad * min(1.0, (epoch - self.margin_start_epoch) / self.margin_ramp_epochs)

    def as_toml(self) -> str:
        # JSON's numbers, strings, booleans and lists are TOML's too.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items())


def find_recipe(name: str) -> Path:
    """A .toml file, or the name of one of the recipes that come with facesearch. Raises NotFound with those names."""
    if name.endswith(".toml"):
        return Path(name)
    package = Path(__file__).parent.parent
    folders = (package / "recipes", package.parent / "scripts" / "recipes")  # installed, or in a checkout
    known = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    if name not in known:
        raise NotFound(Path(name), "recipe", f"Known: {', '.join(sorted(known))}; or give a .toml file.")
    return known[name]


def load_recipe(path: Path) -> TrainConfig:
    """Read a recipe. Raises NotFound, CannotRead, UnknownSetting, BadConfig."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFound(path, "recipe") from error
    except OSError as error:
        raise CannotRead(path, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise CannotRead(path, "not text in UTF-8") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotRead(path, f"not TOML: {error}") from error
    return TrainConfig.from_dict(raw, str(path))


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _as(name: str, value: Any, kind: Any) -> Any:
    """Check value against a field's type, turning lists into tuples and whole numbers into floats."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        allowed = typing.get_args(kind)
        if value not in allowed:
            raise BadConfig(name, value, f"one of {', '.join(allowed)}")
        return value
    if origin is tuple:
        inner = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            raise BadConfig(name, value, "a list")
        kinds = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise BadConfig(name, value, f"a list of {len(kinds)}")
        return tuple(_as(name, item, each) for item, each in zip(value, kinds, strict=True))
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise BadConfig(name, value, words[kind])
    return value
