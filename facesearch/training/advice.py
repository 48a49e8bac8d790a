"""What a user should know before a run starts and while it goes on: the data, settings that are unusual for
it, the time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from facesearch.errors import counted
from facesearch.training.photos import Photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import EpochResult

FEW_PHOTOS = 5
SMALL_DATA = 100_000
"""Photos under which a network that starts from random numbers is short of them."""
SURE = 0.9
"""How sure of a training photo the classifier must be able to become, for a scale to be large enough."""
STALE_EPOCHS = 5
STALLING_BATCH = 32
"""From this size of a batch on deep networks without zero_init_residual did not get going; in batches of 16
they did.
"""


def about_data(train: Photos, val: Photos, held: Photos | None = None) -> str:
    """One line: people, photos, how many people have few, and how many photos of val show people who are not
    in train.
    """
    named = train.label[train.label >= 0]
    counts = np.array(list(Counter(named.tolist()).values()))
    few = int((counts < FEW_PHOTOS).sum())
    line = (
        f"{counted(len(named), 'photo')} of {counted(len(counts), 'person')} to learn from"
        f" ({counts.min()} to {counts.max()} a"
        f" person, median {np.median(counts):g}), {len(val)} to check on"
    )
    if len(named) < len(train):
        line += f", {len(train) - len(named)} without a name"
    if held is not None and len(held):
        line += f", {len(held)} of such held out"
    if strangers := int((val.label < 0).sum()):
        line += (
            f"; {strangers} of those to check on show people without a training photo: they count for"
            " verification, not for accuracy"
        )
    if few:
        line += (
            f"; {counted(few, 'person has', 'people have')} under {FEW_PHOTOS} photos: expect"
            " to know these worse"
        )
    return line


def unusual(config: TrainConfig, train: Photos, val: Photos, classes: int) -> Iterator[str]:
    """Settings that rarely go well with data of this size, each with its reason and what to set instead."""
    c = config
    photos = int((train.label >= 0).sum())
    if c.loss == "arcface":
        lowest = least_scale(classes)
        if c.scale < lowest:
            yield (
                f"scale {c.scale:g} is low for {classes} people: even a perfect encoder would be"
                f" {surest(c.scale, classes):.0%} sure of a training photo at most; {SURE:.0%} take"
                f" scale={lowest:.0f} (after Ranjan et al. 2017), and 30 is usual"
            )
        if c.scale > 64:
            yield (
                f"scale {c.scale:g} is above the ArcFace paper's 64, which had millions of photos: a few hard"
                " photos rule the gradient"
            )
        if c.margin_rad > 0.1 and not c.margin_ramp_epochs and c.pretrained == "none" and not c.teacher:
            yield (
                f"a margin of {c.margin_rad:g} from the first step on, on a network of random numbers, often"
                f" learns nothing; let it grow with margin_ramp_epochs={max(1, c.epochs // 3)}"
            )
    if c.pretrained == "none" and not c.teacher and photos < SMALL_DATA:
        yield (
            f"no pretraining: {counted(photos, 'photo is', 'photos are')} few to learn seeing from;"
            " pass --teacher MODEL.onnx, or set"
            " pretrained=FILE or pretrained=imagenet"
        )
    deep = c.backbone in ("resnet34", "resnet50")
    if deep and c.pretrained == "none" and not c.zero_init_residual and c.batch_size >= STALLING_BATCH:
        yield (
            f"{c.backbone} from random numbers, in batches of {STALLING_BATCH} and more, learned nothing here"
            " in its first epochs without zero_init_residual=true (scripts/LOG.md)"
        )
    low, high = (1e-3, 0.5) if c.optimizer == "sgd" else (1e-5, 3e-3)
    if not low <= c.lr <= high:
        yield f"lr {c.lr:g} is outside the {low:g} to {high:g} that {c.optimizer} usually takes"
    if c.schedule == "constant" and c.epochs > 10:
        yield 'a constant learning rate leaves the last percents unlearned; schedule="onecycle" ends at zero'
    if photos < c.batch_size:
        yield (
            f"batch_size {c.batch_size} is more than the {counted(photos, 'photo')} there"
            f" {'is' if photos == 1 else 'are'}: an epoch is one step of a"
            " part of it"
        )
    steps = c.epochs * max(1, len(train) // c.batch_size)
    if c.ema_decay and not c.minutes and steps < (window := round(2 / (1 - c.ema_decay))):
        yield (
            f"ema_decay {c.ema_decay:g} averages over some {window} steps, and the run has about {steps}: the"
            " average follows the first ones more closely and may still lag; set a smaller one, or 0"
        )
    if not _can_validate(val) and not (c.teacher and c.held_out):
        yield (
            "nothing to check on: val holds no photo of anybody who is trained on, nor two of one person. The"
            " last epoch will be taken for the best, and new galleries keep the encoder that they have;"
            " prepare with --split random to set photos apart"
        )
    if c.colour_mode == "multiply" and c.colour_compose:
        yield (
            f"all combinations of {len(c.colours)} colours make {2 ** len(c.colours)} versions of each photo,"
            " and epochs as much longer"
        )


def _can_validate(val: Photos) -> bool:
    """Whether val holds a photo of somebody who is trained on, or two of one person and one of another."""
    if (val.label >= 0).any():
        return True
    people = Counter((i, val.datasets[i].people[row]) for i, row in zip(val.dataset, val.row, strict=True))
    return len(people) > 1 and max(people.values()) > 1


def least_scale(classes: int) -> float:
    """The smallest scale at which `surest` reaches SURE (as Ranjan et al. 2017, arXiv:1703.09507, eq. 8, for
    spread centres).
    """
    return math.log(SURE * (classes - 1) / (1 - SURE)) * (classes - 1) / classes


def surest(scale: float, classes: int) -> float:
    """The probability of its class that a photo on its centre gets, the centres being spread as far as they
    go.
    """
    return 1 / (1 + (classes - 1) * math.exp(-scale * classes / (classes - 1)))


def waited(history: Sequence[EpochResult]) -> int:
    """Looks at val, one an epoch in a run by steps, since it was last better than ever before."""
    return len(history) - max((number for number, result in enumerate(history, 1) if result.best), default=0)


def not_rising(history: Sequence[EpochResult]) -> str:
    """A line when val has not become better for another STALE_EPOCHS epochs, else nothing."""
    since = waited(history)
    if not since or since % STALE_EPOCHS:
        return ""
    if since == len(history):
        return f"val has not been of any use in {counted(since, 'epoch')}"
    best = history[-1 - since]
    return (
        f"val has not become better for {counted(since, 'epoch')}; best: epoch {best.epoch}, verification"
        f" {best.val_tpr:.4f}"
    )


def duration(seconds: float) -> str:
    """2 h 05 min, 7 min, 40 s."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
