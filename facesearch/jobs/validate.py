"""How good a network is on val: every process looks at its part of the photos, and all of them know the result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from facesearch.jobs.distillation import Distillation
from facesearch.jobs.learner import Learner
from facesearch.jobs.training_photos import Photos
from facesearch.metrics.verification import Roc, pair_scores, roc
from facesearch.model.device import Device
from facesearch.model.encoder import as_pixels
from facesearch.model.losses import Names, vector_distance
from facesearch.model.ranks import Ranks

VAL_BATCH = 256


@dataclass(frozen=True, slots=True)
class Validation:
    """Loss and accuracy of the classifier without the margin, mean cosine to the teacher, and the ROC of val's pairs (None: there
    is no teacher; too few photos)."""

    loss: float = math.nan
    accuracy: float = math.nan
    teacher: float | None = None
    curve: Roc | None = None


@torch.inference_mode()
def validate(model: Learner, val: Photos, size_px: int, device: Device, distillation: Distillation | None, ranks: Ranks) -> Validation:
    """Look at all of val in one size: a network that has only seen 64 pixels is lost at 112."""
    if not len(val):
        return Validation()
    model.eval()
    part = math.ceil(len(val) / ranks.world)
    # Every process looks at as many photos, the last ones at some again, for they answer together; these are cut off below.
    mine = np.arange(ranks.rank * part, (ranks.rank + 1) * part).clip(max=len(val) - 1)
    embeddings, losses, rights, guesses = [], [], [], []
    for start in range(0, part, VAL_BATCH):
        numbers = mine[start : start + VAL_BATCH]
        pixels = as_pixels(val.crops(numbers).to(device.torch), size_px)
        labels = torch.from_numpy(val.label[numbers]).to(device.torch)
        with device.autocast():
            embedding = model.encoder(pixels)
        loss, right = model.head.judged(embedding, Names(labels), 0.0, 0.0)
        embeddings.append(F.normalize(embedding).cpu())
        losses.append(loss.cpu())
        rights.append(right.cpu())
        if model.pupil is not None:
            with device.autocast():
                guesses.append(model.pupil.vector(embedding).float().cpu())
    whole = [ranks.rows(torch.cat(values))[: len(val)] for values in (embeddings, losses, rights, guesses) if values]
    known = val.label >= 0
    loss_each = whole[1].double().numpy()[known]
    values, same = pair_scores(whole[0].numpy(), _people(val))
    return Validation(
        float(loss_each.mean()) if len(loss_each) else math.nan,
        float(whole[2].double().mean()),
        1 - float(vector_distance(whole[3], distillation.val)) if distillation is not None else None,
        roc(values, same) if 0 < same.sum() < len(same) else None,
    )


def _people(val: Photos) -> NDArray[np.str_]:
    rows = zip(val.dataset, val.row, strict=True)
    return np.array([f"{i} {val.datasets[i].people[row]}" for i, row in rows])
