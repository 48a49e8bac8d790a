"""ArcFace for more people than one process has room for: each process of a run holds a part of the class
centres.

As in PartialFC (An et al. 2021, arXiv:2010.05222; 2022, arXiv:2203.15565): every process compares all photos
of the step with its own centres, and the softmax over all classes is put together from one number a photo and
process. Losses and gradients are those of ArcFaceHead; with sample < 1 the classes of the step and a random
share of the others take part.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesearch.ranks import Ranks
from facesearch.training.losses import Names, harder

BLOCK = 4096
"""Centres drawn at a time, so that nobody needs room for all of them."""


class ShardedArcFace(nn.Module):
    """ArcFaceHead whose centres are spread over the processes of a run. centres: this one's, (c', d)."""

    def __init__(
        self, embedding_size: int, classes: int, scale: float, ranks: Ranks, sample: float = 1.0
    ) -> None:
        """Draws the same centres from torch's generator as ArcFaceHead does. Needs at least one class a
        process.
        """
        super().__init__()
        self.scale, self.ranks, self.sample, self.classes = scale, ranks, sample, classes
        edges = [classes * rank // ranks.world for rank in range(ranks.world + 1)]
        self.sizes = tuple(end - start for start, end in pairwise(edges))
        self.start, self.stop = edges[ranks.rank], edges[ranks.rank + 1]
        own = torch.empty(self.stop - self.start, embedding_size)
        for first in range(0, classes, BLOCK):
            drawn = torch.randn(min(BLOCK, classes - first), embedding_size) / math.sqrt(embedding_size)
            low, high = max(self.start, first), min(self.stop, first + len(drawn))
            if low < high:
                own[low - self.start : high - self.start] = drawn[low - first : high - first]
        self.centres = nn.Parameter(own)

    def judged(
        self, embedding: Tensor, names: Names, margin_rad: float, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """As ArcFaceHead.judged, for this process's embedding (n, d), n being the same in all; with a sample
        below 1 the right class is first among those that take part."""
        n, ranks = len(embedding), self.ranks
        own = slice(ranks.rank * n, (ranks.rank + 1) * n)
        everyone: Tensor = _Gathered.apply(embedding.float(), ranks)
        labels = ranks.rows(names.labels)
        taking_part = self._taking_part(labels)
        centres: Tensor = _MeanGradient.apply(
            self.centres if taking_part is None else self.centres[taking_part], ranks
        )
        cosines = F.linear(F.normalize(everyone), F.normalize(centres))
        count = int(ranks.sum(torch.tensor(len(centres)))) if smoothing else 0

        def loss(own_labels: Tensor) -> Tensor:
            column, mine = self._columns(ranks.rows(own_labels), taking_part)
            plain = cosines.gather(1, column[:, None])
            logits = self.scale * cosines.scatter(
                1, column[:, None], torch.where(mine[:, None], harder(plain, margin_rad), plain)
            )
            losses: Tensor = _SharedCrossEntropy.apply(logits, column, mine, smoothing, count, ranks)
            return losses

        with torch.no_grad():
            column, mine = self._columns(labels, taking_part)
            target = ranks.sum(torch.where(mine, cosines.gather(1, column[:, None])[:, 0], 0))
            right = (target >= ranks.max(cosines.max(1).values)) & (labels >= 0)
        return names.weighed(loss), right[own]

    def _taking_part(self, labels: Tensor) -> Tensor | None:
        """Which of the own centres a step looks at: ascending numbers (k,), or None for all. labels (N,) of
        the whole step.
        """
        if self.sample >= 1 or not self.training:
            return None
        chance = torch.rand(len(self.centres), device=labels.device)
        here = labels[(labels >= self.start) & (labels < self.stop)] - self.start
        chance[here] = 2
        most = max(math.ceil(self.sample * len(self.centres)), len(torch.unique(here)))
        return chance.topk(most).indices.sort().values

    def _columns(self, labels: Tensor, taking_part: Tensor | None) -> tuple[Tensor, Tensor]:
        """labels (N,) -> the column of each among the centres looked at here, and whether it is here at all;
        both (N,).
        """
        place = labels - self.start
        if taking_part is None:
            mine = (place >= 0) & (place < len(self.centres)) & (labels >= 0)
            return place.clamp(0, len(self.centres) - 1), mine
        column = torch.searchsorted(taking_part, place).clamp(max=len(taking_part) - 1)
        return column, (taking_part[column] == place) & (labels >= 0)

    def whole(self, values: Tensor) -> Tensor | None:
        """values (c', ...), one row a centre of this process -> (c, ...) on the first one's CPU; None on the
        others.
        """
        rows = self.ranks.collect(values.detach().cpu().numpy(), self.sizes)
        return None if rows is None else torch.from_numpy(rows)

    def part(self, values: Tensor) -> Tensor:
        """values (c, ...), one row a class -> the rows of this process's centres."""
        return values[self.start : self.stop]


class _Gathered(torch.autograd.Function):
    """x (n, d) of each process -> (world * n, d); backwards, what all of them have to say about the own
    rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.n = ranks, len(x)
        return x.clone() if ranks.world == 1 else ranks.rows(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ranks: Ranks = ctx.ranks
        return ranks.sum(gradients[0])[ranks.rank * ctx.n : (ranks.rank + 1) * ctx.n], None


class _MeanGradient(torch.autograd.Function):
    """Centres as they are; backwards divided by the number of processes, as data-parallel training does with
    all other gradients.
    """

    @staticmethod
    def forward(ctx: Any, centres: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return centres.view_as(centres)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] / ctx.ranks.world, None


class _SharedCrossEntropy(torch.autograd.Function):
    """logits (N, k) of all photos with the own centres -> cross entropy (n,) of the own photos over the
    centres of all.

    column, mine (N,): where the true class is, and whether it is here. count: centres of all processes, for
    smoothing.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, column: Tensor, mine: Tensor, smoothing: float, count: int, ranks: Ranks
    ) -> Tensor:
        top = ranks.max(logits.max(1).values)
        raised = (logits - top[:, None]).exp()
        target = torch.where(mine, logits.gather(1, column[:, None])[:, 0], 0)
        total, target, everything = ranks.sum(torch.stack([raised.sum(1), target, logits.sum(1)]))
        ctx.save_for_backward(raised.div_(total[:, None]), column, mine)
        ctx.smoothing, ctx.count, ctx.ranks = smoothing, count, ranks
        losses = total.log() + top - (1 - smoothing) * target
        if smoothing:
            losses = losses - smoothing / count * everything
        n = len(losses) // ranks.world
        own: Tensor = losses[ranks.rank * n : (ranks.rank + 1) * n]
        return own.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        share, column, mine = ctx.saved_tensors
        ranks: Ranks = ctx.ranks
        weight = ranks.rows(gradients[0])  # what the others' losses count is known to them alone
        result = share.clone() if not ctx.smoothing else share - ctx.smoothing / ctx.count
        result.scatter_add_(
            1, column[:, None], torch.where(mine, ctx.smoothing - 1.0, 0.0).to(result.dtype)[:, None]
        )
        return result * weight[:, None], None, None, None, None, None
