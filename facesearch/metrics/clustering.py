"""How well photos were put together by person, without names: BCubed and pairs of photos. Pure numpy.

A clustering is one number a photo; -1 stands for "in no group", which is a group of its own for every such
photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.metrics.bootstrap import REPLICATES, Rate, draw_people, interval
from facesearch.records import F64, I64


@dataclass(frozen=True, slots=True)
class Grouping:
    """How a clustering fits the people. Each rate with its interval over people; trials: photos, for pairs
    the pairs.

    bcubed_precision: of a photo's group, the share that is of its person, the mean over photos;
    bcubed_recall: of its person's photos, the share that is in its group (Bagga and Baldwin 1998; a photo is
    compared with itself too). pair_precision: of the pairs of photos in one group the share of one person,
    nan when there is none; pair_recall: of one person's pairs the share in one group. f: the harmonic mean.
    groups: of two photos or more; alone: the share of photos that are in none.
    """

    bcubed_precision: Rate
    bcubed_recall: Rate
    bcubed_f: Rate
    pair_precision: Rate
    pair_recall: Rate
    pair_f: Rate
    groups: int
    alone: float


def judge(people: NDArray[np.generic], groups: I64, *, seed: int = 0) -> Grouping:
    """Judge groups (n,) int64 against whose photos they are, people (n,); n >= 1. Intervals: people drawn
    again.

    A person drawn twice counts twice, as two people would who are never in one group with each other.
    """
    found = singled_out(groups)
    cells = _Cells.of(people, found)
    point = cells.figures(np.ones(cells.people))
    drawn = draw_people(cells.people, REPLICATES, seed).astype(np.float64)
    draws = np.array([cells.figures(times) for times in drawn])
    sizes = np.bincount(np.unique(found, return_inverse=True)[1])
    pairs, own_pairs = int((sizes * (sizes - 1)).sum() // 2), int(cells.own_pairs.sum())
    trials = (len(people), len(people), len(people), pairs, own_pairs, pairs + own_pairs)
    a, b, c, d, e, f = (
        Rate(float(value), *_spread(draws[:, i]), count)
        for i, (value, count) in enumerate(zip(point, trials, strict=True))
    )
    return Grouping(a, b, c, d, e, f, int((sizes > 1).sum()), float((sizes == 1).sum() / len(people)))


def singled_out(groups: I64) -> I64:
    """groups (n,) in which every -1 has become a number of its own."""
    out = groups.copy()
    alone = np.flatnonzero(groups < 0)
    out[alone] = groups.max(initial=-1) + 1 + np.arange(len(alone))
    return out


def bcubed_of_photos(people: NDArray[np.generic], groups: I64) -> tuple[F64, F64]:
    """Each photo's own BCubed precision and recall (n,), (n,)."""
    cells = _Cells.of(people, singled_out(groups))
    group_sizes = np.bincount(cells.group, cells.count)
    precision, recall = cells.count / group_sizes[cells.group], cells.count / cells.photos[cells.person]
    return precision[cells.of_photo], recall[cells.of_photo]


@dataclass(frozen=True)
class _Cells:
    """How many photos (count) of each person are in each group, where there are any; photos, own_pairs: of
    each person.
    """

    person: I64
    group: I64
    count: F64
    photos: F64
    own_pairs: F64
    of_photo: I64

    @property
    def people(self) -> int:
        return len(self.photos)

    @classmethod
    def of(cls, people: NDArray[np.generic], groups: I64) -> _Cells:
        who, which = np.unique(people, return_inverse=True)[1], np.unique(groups, return_inverse=True)[1]
        width = int(which.max()) + 1
        keys, of_photo, count = np.unique(who * width + which, return_inverse=True, return_counts=True)
        photos = np.bincount(who).astype(np.float64)
        return cls(
            keys // width, keys % width, count.astype(np.float64), photos, photos * (photos - 1) / 2, of_photo
        )

    def figures(self, times: F64) -> F64:
        """(6,) in the order of Grouping's fields, when each person counts so many times, (people,)."""
        weight = times[self.person]
        in_group = np.bincount(self.group, weight * self.count)[self.group]
        around = self.count + np.maximum(
            in_group - weight * self.count, 0
        )  # one's own copies are not around: they are one person
        total = float(times @ self.photos)
        precision = float((weight * self.count * self.count / around).sum()) / total
        recall = float((weight * self.count * self.count / self.photos[self.person]).sum()) / total
        right = float((weight * self.count * (self.count - 1) / 2).sum())
        wrong = max(0.0, float((weight * self.count * (around - self.count)).sum()) / 2)
        own = float(times @ self.own_pairs)
        return np.array([
            precision, recall, _harmonic(precision, recall), _share(right, right + wrong), _share(right, own),
            _share(2 * right, right + wrong + own),
        ])  # fmt: skip


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _spread(draws: F64) -> tuple[float, float]:
    return interval(draws) if np.isfinite(draws).any() else (float("nan"), float("nan"))
