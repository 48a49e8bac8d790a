"""All that decides a training run, in one frozen config; recipes are TOML files of these settings."""

from __future__ import annotations

import json
import math
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

from facesearch.encoder.config import LAST_LAYER, EncoderConfig
from facesearch.errors import BadConfig, UnknownSetting

Backbone = Literal["resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_v2_m"]
Colour = Literal[
    "grayscale", "jitter", "blur", "posterize", "equalize", "solarize", "invert", "sharpness", "autocontrast"
]


@dataclass(frozen=True, slots=True)
class Range:
    """Which numbers a setting may be: from low to high, the ends among them unless they are open. Lists: each
    entry.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    unit: str = ""

    def holds(self, value: float) -> bool:
        above = self.low is None or (value > self.low if self.low_open else value >= self.low)
        return above and (self.high is None or (value < self.high if self.high_open else value <= self.high))

    def words(self) -> str:
        return " and ".join(filter(None, self._limits())) + (f" {self.unit}" if self.unit else "")

    def broken_by(self, value: float) -> str:
        """The limit that a value breaks, where there are two."""
        low, high = self._limits()
        if not (low and high):
            return ""
        return low if replace(self, high=None).holds(value) is False else high

    def _limits(self) -> tuple[str, str]:
        low, high = ("above", "at least"), ("below", "at most")
        return (
            "" if self.low is None else f"{low[not self.low_open]} {self.low:g}",
            "" if self.high is None else f"{high[not self.high_open]} {self.high:g}",
        )


ANY = Range()
SHARE, BELOW_1 = Range(0, 1), Range(0, 1, high_open=True)
NOT_NEGATIVE, POSITIVE, COUNT = Range(0), Range(0, low_open=True), Range(1)
PIXELS = Range(32, 512)


def _setting(default: Any, words: str, within: Range = ANY) -> Any:
    """A field of TrainConfig. words: one sentence for the user."""
    return field(default=default, metadata={"words": words, "within": within})


SHARED_WITH_ENCODER = (
    "embedding_size",
    "head",
    "embedding_batchnorm",
    "dropout",
    "size_px",
    "flip_average",
    "pooling",
)
"""Settings that an encoder's own description repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Saved beside the weights that it made. Raises BadConfig for a value that makes no sense."""

    # the network
    backbone: Backbone = _setting("resnet34", "The torchvision network.")
    encoder_last_layer_name: str = _setting(
        "",
        "Dotted name of the layer that is replaced; empty: the backbone's usual one (fc, or classifier.1).",
    )
    embedding_size: int = _setting(512, "Numbers in a vector.", COUNT)
    head: tuple[int, ...] = _setting(
        (),
        "Widths of further linear layers before the last one, each with batch norm and ReLU; none: ONE linear"
        " layer.",
        COUNT,
    )
    embedding_batchnorm: bool = _setting(
        False, "Normalise the embedding over the batch, without weights of its own."
    )
    pooling: Literal["average", "weighted"] = _setting(
        "average",
        "How the last map becomes one cell: average, or weighted, a learned weight for each cell and channel,"
        " which begins as the average (global depthwise convolution, Chen et al. 2018, arXiv:1804.07573);"
        " resnets only.",
    )
    dropout: float = _setting(0.0, "Share of the last features that a step leaves out.", BELOW_1)
    flip_average: bool = _setting(
        True, "In use, embed the crop and its mirror image and average: twice the work, steadier vectors."
    )
    zero_init_residual: bool = _setting(
        False,
        "From random numbers, let every residual block of a resnet begin as the identity (Goyal et al. 2017,"
        " section 5.1).",
    )
    pretrained: str = _setting(
        "none",
        "none, imagenet (torchvision's weights, fetched), or a file: those weights, an encoder of ours, or a"
        " run's last.safetensors.",
    )

    # the loss
    loss: Literal["ce", "arcface"] = _setting(
        "arcface", "Cross entropy of a linear layer, or ArcFace (arXiv:1801.07698)."
    )
    scale: float = _setting(30.0, "ArcFace's scale of the cosines.", POSITIVE)
    margin_rad: float = _setting(
        0.2, "ArcFace's margin, an angle in radians.", Range(0, math.pi / 2, high_open=True, unit="radians")
    )
    margin_start_epoch: float = _setting(0.0, "Epoch until which the margin is 0.", NOT_NEGATIVE)
    margin_ramp_epochs: float = _setting(
        0.0, "The margin grows linearly from 0 over so many epochs, from margin_start_epoch on.", NOT_NEGATIVE
    )
    label_smoothing: float = _setting(0.0, "Share of each label that is spread over all people.", BELOW_1)
    shard_classes: bool = _setting(
        False,
        "Under torchrun every process holds its part of the class centres alone, for very many people (An et"
        " al. 2021, arXiv:2010.05222).",
    )
    class_sample: float = _setting(
        1.0,
        "Share of the centres that a step looks at, the batch's own always among them; for sharded classes.",
        Range(0, 1, low_open=True),
    )

    # the teacher, where there is one
    teacher: str = _setting(
        "", "An .onnx encoder whose vectors are learned (Hinton et al. 2015, arXiv:1503.02531); empty: none."
    )
    teacher_preprocess: Literal["imagenet", "arcface"] = _setting(
        "imagenet", "Mean and spread of the pixels that the teacher takes."
    )
    distill_vectors: float = _setting(
        20.0, "Weight of 1 - cosine between the teacher's vector and the student's guess at it.", NOT_NEGATIVE
    )
    distill_guess: Literal["linear", "embedding"] = _setting(
        "linear",
        "The guess at the teacher's vector: a linear layer on top of the embedding, or the embedding itself"
        " (of the same size).",
    )
    distill_length: float = _setting(
        0.0,
        "Weight of 1 - correlation, over the live photos of a batch, between the logarithms of the"
        " embedding's length and of the teacher's vector's before it is normalised: the length that tells"
        " poor photos.",
        NOT_NEGATIVE,
    )
    distill_relations: float = _setting(
        0.0,
        "Weight of the squared differences between the batch's cosines here and there (Park et al. 2019,"
        " arXiv:1904.05068).",
        NOT_NEGATIVE,
    )
    distill_maps: float = _setting(
        0.0,
        "Weight of what projections of the stages' maps leave unexplained of the teacher's maps of about the"
        " same size (hints).",
        NOT_NEGATIVE,
    )
    distill_stages: tuple[str, ...] = _setting(
        ("layer1", "layer2", "layer3"), "Dotted names of those stages of the backbone."
    )
    distill_live: float = _setting(
        0.0,
        "Share of each batch that is shown to the teacher as it is in this batch; maps and lengths come from"
        " these photos.",
        SHARE,
    )
    distill_live_start_epoch: int = _setting(0, "Epoch from which on photos are shown live.", NOT_NEGATIVE)
    distill_view: Literal["plain", "same"] = _setting(
        "plain",
        "What the teacher sees of a live photo: the plain crop, or the same changed pixels as the student"
        " (Beyer et al. 2022, arXiv:2106.05237).",
    )
    distill_mixed: float = _setting(
        0.0,
        "Share of the live photos that are mixtures of two: faces of nobody, which join the distillation"
        " alone.",
        SHARE,
    )

    # the optimiser
    optimizer: Literal["adam", "adamw", "sgd"] = _setting("adamw", "The optimiser.")
    lr: float = _setting(1e-3, "The highest learning rate.", Range(0, 100, low_open=True, high_open=True))
    weight_decay: float = _setting(0.05, "Weight decay.", NOT_NEGATIVE)
    decay_norms: bool = _setting(
        True, "Also decay biases and batch-norm weights, as torch does when not told otherwise."
    )
    momentum: float = _setting(0.9, "Momentum of sgd.", NOT_NEGATIVE)
    grad_clip: float = _setting(0.0, "Largest length of the gradient; 0: any.", NOT_NEGATIVE)
    schedule: Literal["constant", "warm_restarts", "onecycle", "cosine"] = _setting(
        "onecycle", "How the learning rate goes."
    )
    restart_epochs: float = _setting(3.0, "Epochs of one fall of warm_restarts (T_0).", POSITIVE)
    lr_min: float = _setting(0.0, "Lowest rate of cosine and warm_restarts (eta_min).", NOT_NEGATIVE)
    warmup_epochs: float = _setting(0.0, "Epochs over which the rate rises first.", NOT_NEGATIVE)
    onecycle_rise: float = _setting(
        0.3, "Share of the run in which onecycle rises.", Range(0, 1, low_open=True, high_open=True)
    )
    freeze: tuple[int, ...] = _setting(
        (),
        "Entry i: how many of the backbone's first layers are frozen in epoch i; the last entry stays in"
        " force.",
        NOT_NEGATIVE,
    )
    ema_decay: float = _setting(
        0.0,
        "Average the weights exponentially over steps and evaluate the average; 0: off. After n steps at most"
        " (1 + n) / (10 + n).",
        BELOW_1,
    )

    # the photos
    epochs: int = _setting(
        30,
        "How often all photos are seen; with minutes, what the settings that count epochs are counted in.",
        COUNT,
    )
    minutes: float = _setting(
        0.0,
        "End after so many minutes, all included: the recipe's epochs are then shares of that time, however"
        " many fit; 0: epochs count.",
        NOT_NEGATIVE,
    )
    batch_size: int = _setting(64, "Photos a step, of all processes together.", Range(2))
    repeat: tuple[int, ...] = _setting(
        (),
        "How often an epoch shows each photo of the first dataset, the second, ...; the last entry stays in"
        " force; none: once. Photos without names once.",
        COUNT,
    )
    size_px: int = _setting(112, "Side of the crops in pixels.", PIXELS)
    size_steps: tuple[tuple[int, int], ...] = _setting(
        (),
        "[[epoch, pixels], ...]: from this epoch on train at this size; size_px is what is used after"
        " training.",
    )
    colours: tuple[Colour, ...] = _setting((), "Colour augmentations of torchvision.")
    colour_mode: Literal["off", "multiply", "random"] = _setting(
        "off",
        "multiply: every photo once plain and once per colour augmentation (5 make the set 6 times as large);"
        " random: one version is drawn each time the photo is seen.",
    )
    colour_compose: bool = _setting(
        False, "Versions are all combinations of the colour augmentations rather than one at a time."
    )
    flip: bool = _setting(False, "Mirror half of the photos.")
    shift: float = _setting(0.0, "Largest shift, as a share of the crop's side.", Range(0, 0.9))
    zoom: float = _setting(0.0, "Largest zoom, as a share.", Range(0, 0.9))
    rotate_deg: float = _setting(0.0, "Largest turn in degrees.", NOT_NEGATIVE)
    border: float = _setting(
        0.0,
        "Chance that the crop's rim is replaced by its repeated border, as in crops from tight pictures.",
        SHARE,
    )
    light: float = _setting(
        0.0, "Strength of random brightness, contrast and saturation, drawn for each photo.", Range(0, 0.9)
    )
    grey: float = _setting(0.0, "Chance that the photo loses its colours.", SHARE)
    low_res: float = _setting(
        0.0, "Chance that the photo is first shrunk by up to 4 and enlarged again.", SHARE
    )
    erase: float = _setting(0.0, "Chance that a box of the photo is grey.", SHARE)
    mixup: float = _setting(
        0.0,
        "Share of each batch that is blended with another photo, both names counting by their part"
        " (arXiv:1710.09412).",
        SHARE,
    )

    # the run
    seed: int = _setting(0, "What all randomness grows from.")
    held_out: float = _setting(
        0.0,
        "Share of the photos without names that is not trained on: the teacher's likeness is measured on"
        " them.",
        BELOW_1,
    )
    best_by: Literal["verification", "teacher"] = _setting(
        "verification",
        "What makes an epoch the best: verification on val, or the cosine to the teacher on the held-out"
        " photos.",
    )
    val_fpr: float = _setting(1e-3, "The false-positive rate at which val verification is read.", SHARE)
    patience: int = _setting(
        0, "End the run when it has not become better for so many epochs; 0: never.", NOT_NEGATIVE
    )
    checkpoint_minutes: float = _setting(
        10.0, "Save the state within an epoch so often; at most every minute with minutes.", NOT_NEGATIVE
    )
    compile: bool = _setting(
        False,
        "On a GPU, let torch.compile make one program of the backbone, for each size: a minute at first,"
        " faster steps then. A CPU does without.",
    )
    compile_teacher: bool = _setting(False, "The same for the teacher, which gains most by it.")

    def __post_init__(self) -> None:
        def check(name: str, ok: bool, expected: str) -> None:
            if not ok:
                raise BadConfig(name, getattr(self, name), expected)

        for each in fields(self):
            within: Range = each.metadata["within"]
            value = getattr(self, each.name)
            listed = value if isinstance(value, tuple) else (value,)
            for entry in listed if within != ANY else ():
                if not within.holds(entry):
                    each_is = ", each" if listed is value else ""
                    raise BadConfig(
                        each.name, value, within.words() + each_is, broke=within.broken_by(entry), entry=entry
                    )
        check("lr_min", self.lr_min <= self.lr, f"at least 0 and at most lr, which is {self.lr:g}")
        check("colours", self.colour_mode == "off" or len(self.colours) > 0, "named when colour_mode is on")
        check(
            "size_steps",
            all(len(s) == 2 and s[0] >= 0 and PIXELS.holds(s[1]) for s in self.size_steps),
            "a list of [epoch, pixels from 32 to 512]",
        )
        check("size_steps", sorted(self.size_steps) == list(self.size_steps), "in order of epoch")
        check(
            "size_steps",
            self.pooling == "average" or not self.size_steps,
            "empty with weighted pooling, which is made for one size",
        )
        live = self.distill_maps or self.distill_mixed or self.distill_length
        check("distill_live", self.distill_live > 0 or not live, "above 0 for maps, mixtures and lengths")
        check("mixup", not (self.mixup and self.teacher), "0 with a teacher, which has distill_mixed")
        check(
            "shard_classes",
            not (self.shard_classes and self.loss != "arcface"),
            "false with a loss other than arcface",
        )
        check("class_sample", self.class_sample == 1 or self.shard_classes, "1 without shard_classes")
        check(
            "compile",
            not (self.compile and self.distill_maps),
            "false with distill_maps, which look into the network",
        )
        check(
            "pooling",
            self.pooling == "average" or self.backbone.startswith("resnet"),
            "average for a backbone that is no resnet",
        )
        check(
            "best_by",
            self.best_by == "verification" or self.held_out > 0,
            "verification without held_out photos",
        )

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "recipe") -> Self:
        """Take settings by name. Raises UnknownSetting for a name that is none, BadConfig for a value of
        another type.
        """
        kinds = typing.get_type_hints(cls)
        known = tuple(field.name for field in fields(cls))
        for name in raw:
            if name not in known:
                raise UnknownSetting(name, known, where)
        if type(raw.get("repeat")) is int:  # one number for all datasets
            raw = {**raw, "repeat": [raw["repeat"]]}
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

    def network(self) -> EncoderConfig:
        """What is trained, as its file will describe it."""
        return EncoderConfig(
            backbone=self.backbone,
            encoder_last_layer_name=self.encoder_last_layer_name or LAST_LAYER[self.backbone],
            **{name: getattr(self, name) for name in SHARED_WITH_ENCODER},
        )

    def size_at(self, epoch: float) -> int:
        """Side of the training crops at a moment of training, in pixels."""
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

    def idle(self) -> Iterator[str]:
        """The settings that were changed and change nothing beside the others, each with the reason."""
        changed = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        for names, works, reason in (
            (
                ("margin_rad", "margin_start_epoch", "margin_ramp_epochs", "scale"),
                self.loss == "arcface",
                f'loss = "{self.loss}"',
            ),
            (("margin_start_epoch", "margin_ramp_epochs"), self.margin_rad > 0, "margin_rad = 0"),
            (
                ("warmup_epochs",),
                self.schedule != "onecycle",
                'schedule = "onecycle", which has onecycle_rise',
            ),
            (("onecycle_rise",), self.schedule == "onecycle", f'schedule = "{self.schedule}"'),
            (("restart_epochs",), self.schedule == "warm_restarts", f'schedule = "{self.schedule}"'),
            (("lr_min",), self.schedule in ("cosine", "warm_restarts"), f'schedule = "{self.schedule}"'),
            (("momentum",), self.optimizer == "sgd", f'optimizer = "{self.optimizer}"'),
            (("colours", "colour_compose"), self.colour_mode != "off", 'colour_mode = "off"'),
            (("distill_stages",), self.distill_maps > 0, "distill_maps = 0"),
            (
                ("distill_mixed", "distill_view", "distill_live_start_epoch"),
                self.distill_live > 0,
                "distill_live = 0",
            ),
            (
                tuple(
                    n
                    for n in changed
                    if n.startswith(("distill_", "teacher_", "held_", "best_by", "compile_teacher"))
                ),
                bool(self.teacher),
                "there is no teacher",
            ),
            (("zero_init_residual",), self.pretrained == "none", f'pretrained = "{self.pretrained}"'),
            (("zero_init_residual",), self.backbone.startswith("resnet"), f'backbone = "{self.backbone}"'),
        ):
            if not works:
                yield from (f"{name} has no effect: {reason}" for name in changed if name in names)
                changed = [name for name in changed if name not in names]  # one reason is enough

    def as_toml(self) -> str:
        # JSON's numbers, strings, booleans and lists are TOML's too.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items())


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
