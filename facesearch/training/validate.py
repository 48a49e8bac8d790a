"""How good a network is on val and on the held-out faces: every process looks at its part of the photos, and
all know the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from facesearch.encoder.device import Device
from facesearch.metrics.verification import Roc, roc_of_all_pairs
from facesearch.ranks import Ranks
from facesearch.training.distillation import Distillation
from facesearch.training.learner import Learner
from facesearch.training.losses import Names, vector_distance
from facesearch.training.photos import LOOK, Photos


@dataclass(frozen=True, slots=True)
class Validation:
    """Loss and accuracy of the classifier without the margin, over the photos of people it was trained on;
    mean cosine to the teacher on val and on the held-out faces, and the rank correlation of lengths on these
    (None: no teacher, or none held out); the ROC of val's pairs (None: too few photos); whether weights and
    vectors are numbers, whether these are better than chance, and whether there was anything to see that
    on."""

    loss: float = math.nan
    accuracy: float = math.nan
    teacher: float | None = None
    held_teacher: float | None = None
    held_length: float | None = None
    roc: Roc | None = None
    finite: bool = True
    usable: bool = True
    validated: bool = True


@torch.inference_mode()
def validate(
    model: Learner,
    val: Photos,
    held: Photos,
    size_px: int,
    device: Device,
    distillation: Distillation | None,
    ranks: Ranks,
) -> Validation:
    """Look at all of val and held in one size: a network that has only seen 64 pixels is lost at 112."""
    model.eval()
    finite = bool(torch.isfinite(_flat_weights(model)).all())
    found = Validation(finite=finite, usable=finite)
    if len(held) and distillation is not None:
        guesses, lengths = _looked_at(model, held, size_px, device, ranks, with_names=False)[-2:]
        likeness = 1 - float(vector_distance(guesses, distillation.held))
        found = _with(
            found, held_teacher=likeness, held_length=rank_correlation(lengths, distillation.held_lengths)
        )
    if not len(val):
        return _with(found, validated=found.held_teacher is not None)
    vectors, losses, rights, guesses, _ = _looked_at(model, val, size_px, device, ranks, with_names=True)
    known = val.label >= 0
    loss_each, right = losses.double().numpy()[known], rights.double().numpy()[known]
    finite = finite and bool(torch.isfinite(vectors).all())
    curve = roc_of_all_pairs(vectors.numpy(), _people(val)) if finite else None
    chance = 1 / max(2, int(val.label.max()) + 1)
    validated = curve is not None or len(right) > 0 or not finite or found.held_teacher is not None
    return _with(
        found,
        loss=float(loss_each.mean()) if len(loss_each) else math.nan,
        accuracy=float(right.mean()) if len(right) else math.nan,
        teacher=1 - float(vector_distance(guesses, distillation.val)) if distillation is not None else None,
        roc=curve,
        finite=finite,
        usable=finite
        and bool(
            not validated
            or (curve is not None and curve.auc > 0.5)
            or (len(right) > 0 and right.mean() > chance)
        ),
        validated=validated,
    )


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: Pearson's correlation of the ranks of a (n,) and b (n,); nan for fewer than two."""
    if len(a) < 2:
        return math.nan
    ranks = [torch.argsort(torch.argsort(each)).double() for each in (a, b)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def _with(found: Validation, **changes: object) -> Validation:
    return replace(found, **changes)  # type: ignore[arg-type]


def _flat_weights(model: Learner) -> Tensor:
    """One number of each tensor of the encoder that is a number only when all of it are."""
    return torch.stack(
        [value.sum().float() for value in model.encoder.state_dict().values() if value.is_floating_point()]
    )


def _looked_at(
    model: Learner, photos: Photos, size_px: int, device: Device, ranks: Ranks, *, with_names: bool
) -> list[Tensor]:
    """Unit vectors (n, d), losses (n,), whether right (n,), guesses at the teacher's vectors (n, t) and the
    vectors' own lengths (n,) of all photos, on the CPU; losses and rights are empty without names, guesses
    without a teacher."""
    part = math.ceil(len(photos) / ranks.world)
    # Every process looks at as many photos, the last ones at some again, for they answer together; these are
    # cut off below.
    mine = np.arange(ranks.rank * part, (ranks.rank + 1) * part).clip(max=len(photos) - 1)
    parts: list[list[Tensor]] = [[] for _ in range(5)]
    for start in range(0, part, LOOK):
        numbers = mine[start : start + LOOK]
        with device.autocast():
            embedding = model.encoder(photos.pixels(numbers, device.torch, size_px))
        found: list[Tensor | None] = [F.normalize(embedding), None, None, None, embedding.norm(dim=1)]
        if with_names:
            labels = torch.from_numpy(photos.label[numbers]).to(device.torch)
            found[1:3] = model.head.judged(embedding, Names(labels), 0.0, 0.0)
        if model.student is not None:
            with device.autocast():
                found[3] = model.student.vector(embedding).float()
        for kept, value in zip(parts, found, strict=True):
            if value is not None:
                kept.append(value.cpu())
    return [ranks.rows(torch.cat(values))[: len(photos)] if values else torch.zeros(0) for values in parts]


def _people(val: Photos) -> NDArray[np.str_]:
    rows = zip(val.dataset, val.row, strict=True)
    return np.array([f"{i} {val.datasets[i].people[row]}" for i, row in rows])
