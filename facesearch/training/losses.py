"""Classification heads and their losses. Logits without the margin are what accuracy is read from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EDGE = 1e-6
"""Cosines are kept this far from +-1, where acos is infinitely steep."""


def arcface_logits(cosines: Tensor, labels: Tensor, *, margin_rad: float, scale: float) -> Tensor:
    """Push each face further from its own class centre (Deng et al. 2019, arXiv:1801.07698, eq. 3).

    cosines     (n, c) float, cosine between face i and class centre j, in [-1, 1]
    labels      (n,) int64, the true class of each face
    margin_rad  radians; the paper uses 0.5.   scale: no unit; the paper uses 64

    Returns float32 logits (n, c) for cross entropy. The input is left as it was.
    Past pi - margin the curve would turn back up, so there the cosine is lowered by a constant instead.
    """
    column, cosines = labels[:, None], cosines.float()
    return scale * cosines.scatter(1, column, harder(cosines.gather(1, column), margin_rad))


def harder(own: Tensor, margin_rad: float) -> Tensor:
    """Cosines to the own class's centre, of any shape, float32, with the angle larger by the margin."""
    own = own.clamp(-1 + EDGE, 1 - EDGE)
    angle = own.acos()
    past_turn = own - margin_rad * math.sin(margin_rad)
    return torch.where(angle <= math.pi - margin_rad, (angle + margin_rad).cos(), past_turn)


@dataclass(frozen=True, slots=True)
class Names:
    """Who is on a batch. labels (n,) int64, -1: nobody with a name. Where photos are blended, second (n,)
    int64 names the other one, and share (n,) float is the first one's part."""

    labels: Tensor
    second: Tensor | None = None
    share: Tensor | None = None

    def weighed(self, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """loss, a function of labels (n,) that gives (n,), over both names by their parts; 0 for nobody."""
        losses = loss(self.labels)
        if self.second is not None and self.share is not None:
            losses = self.share * losses + (1 - self.share) * loss(self.second)
        return losses.masked_fill(self.labels < 0, 0)


class _WholeHead(nn.Module):
    """A head that has all classes before it."""

    def judged(
        self, embedding: Tensor, names: Names, margin_rad: float, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """embedding (n, d) -> cross entropy (n,) with the margin, 0 for nobody; and whether the right class
        is first (n,) bool without it, False for nobody."""
        logits = self(embedding)

        def loss(labels: Tensor) -> Tensor:
            known = labels.clamp(min=0)
            harder = self.with_margin(logits, known, margin_rad)
            return F.cross_entropy(harder.float(), known, label_smoothing=smoothing, reduction="none")

        return names.weighed(loss), logits.detach().argmax(1) == names.labels

    def with_margin(self, logits: Tensor, labels: Tensor, margin_rad: float) -> Tensor:
        """logits (n, c) as forward gave them, labels (n,) int64 -> (n, c) with the margin on each true
        class."""
        raise NotImplementedError


class LinearHead(_WholeHead):
    """The classification layer of the cross-entropy runs: an ordinary linear layer."""

    def __init__(self, embedding_size: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_size, classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """embedding (n, d) -> logits (n, c) float32."""
        logits: Tensor = self.linear(embedding.float())
        return logits

    def with_margin(self, logits: Tensor, labels: Tensor, margin_rad: float) -> Tensor:
        """Cross entropy has no margin: returns logits."""
        return logits


class ArcFaceHead(_WholeHead):
    """One centre a class; logits are scaled cosines."""

    def __init__(self, embedding_size: int, classes: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.centres = nn.Parameter(torch.randn(classes, embedding_size) / math.sqrt(embedding_size))

    def forward(self, embedding: Tensor) -> Tensor:
        """embedding (n, d) -> scaled cosines (n, c) float32, without the margin."""
        return self.scale * F.linear(F.normalize(embedding.float()), F.normalize(self.centres))

    def with_margin(self, logits: Tensor, labels: Tensor, margin_rad: float) -> Tensor:
        return arcface_logits(logits / self.scale, labels, margin_rad=margin_rad, scale=self.scale)


Head = LinearHead | ArcFaceHead


def make_head(loss: str, embedding_size: int, classes: int, scale: float) -> Head:
    return (
        ArcFaceHead(embedding_size, classes, scale)
        if loss == "arcface"
        else LinearHead(embedding_size, classes)
    )


def vector_distance(projected: Tensor, teacher: Tensor) -> Tensor:
    """projected, teacher (n, t) float -> mean of 1 - cosine, row by row."""
    return 1 - F.cosine_similarity(projected.float(), teacher, dim=1).mean()


def length_distance(embedding: Tensor, lengths: Tensor) -> Tensor:
    """embedding (n, d), lengths (n,) above 0 -> 1 - Pearson's correlation of the logarithms of both lengths,
    n above 1.

    It asks for the order and the proportions, and leaves the embedding's scale free.
    """
    own, theirs = (
        torch.log(length.float().clamp(min=1e-6)) for length in (embedding.float().norm(dim=1), lengths)
    )
    return 1 - F.cosine_similarity(own - own.mean(), theirs - theirs.mean(), dim=0)


def relation_distance(embedding: Tensor, teacher: Tensor) -> Tensor:
    """embedding (n, d), teacher (n, t) float -> mean squared difference of their n * (n - 1) cosines between
    two rows.

    The distance-wise loss of Park et al. 2019 (arXiv:1904.05068) with cosines in place of distances.
    """
    own, theirs = F.normalize(embedding.float()), F.normalize(teacher)
    differences = (own @ own.T - theirs @ theirs.T).fill_diagonal_(0)
    return differences.square().sum() / max(1, len(own) * (len(own) - 1))


def map_distance(projected: Tensor, teacher: Tensor) -> Tensor:
    """projected, teacher (n, c, h, w) float -> the share of the teacher's variance that projected leaves
    unexplained.

    Each of the teacher's channels is brought to mean 0 and variance 1 over the batch first, so that all count
    alike (FitNets' hints, Romero et al. 2014, arXiv:1412.6550, eq. 3, on standardised maps). 0: all
    explained; 1: as good as the mean.
    """
    spread, mean = torch.std_mean(teacher, dim=(0, 2, 3), keepdim=True, correction=0)
    return (projected.float() - (teacher - mean) / (spread + 1e-6)).square().mean()


class Student(nn.Module):
    """What turns an encoder's embedding and its maps into guesses at the teacher's; not part of the
    encoder."""

    def __init__(
        self,
        embedding_size: int,
        vector_size: int,
        maps: Sequence[tuple[int, int]] = (),
        *,
        direct: bool = False,
    ) -> None:
        """maps: (channels here, channels of the teacher's) of each stage. direct: the embedding itself is the
        guess at the vector.
        """
        super().__init__()
        self.vector = nn.Identity() if direct else nn.Linear(embedding_size, vector_size)
        self.maps = nn.ModuleList(nn.Conv2d(own, theirs, 1) for own, theirs in maps)
