"""Which groups of faces are sure? Of the faces in groups called sure at most PROMISED are somebody else's.

Faces are joined by average linkage. Of each join it is known how many there would be by chance, were all
faces strangers' to each other: as many as there are pairs of groups of these sizes when it comes to this
join, times the share of pairs of strangers that are so much alike. How much alike two groups are is the
cosine of their means: strangers of any number have the same chance of it, while one person's faces come the
nearer the more there are. So small groups must be much alike, and large ones need not. A join of two large
groups that is wrong spoils many faces: it must be as much rarer.

How strict all of them must be follows from the album (Benjamini and Hochberg 1995): as many joins are
believed as keep those expected by chance below a share of what is found. Where nobody has a second photo,
nothing is found beyond chance, and no group is sure. Constants were fixed on people of celebA_extra's train
part by another encoder (scripts/clustering.py; scripts/LOG.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from facesearch.album.linkage import Joins, Near, average_joins, near_pairs
from facesearch.album.strangers import Strangers, known_strangers, strangers_of
from facesearch.records import F32, F64, I64, Bools, Progress

PROMISED = 0.02
_BY_CHANCE = 10.0
"""So many times as many false faces as one level of joining would give: there are several levels, and some
room for what no model foresees."""
_BY_CHANCE_HERE = 3.0
"""The same near one place, where it must be neither too many nor too few: for the statement of each group."""
_WEAKER = 30.0
"""Inside a sure group joins may be so many times likelier by chance: what came later speaks for them."""
_PERHAPS = 0.5
_FLOOR = 30.0
"""Joining ends where each face has so many strangers at or above the mean cosine, or at LARGEST_SHARE."""
_LARGEST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Believed:
    """What an album's joins must be like. strangers: how alike they look; sure: so many joins by chance at
    most; floor: the mean cosine at which joining ends; likely: (by chance, chance that it is right), rising
    and falling."""

    strangers: Strangers
    sure: float
    floor: float
    likely: tuple[tuple[float, float], ...]

    @classmethod
    def read(cls, noted: Mapping[str, Any]) -> Self:
        """As dataclasses.asdict wrote it. Raises ValueError, TypeError, KeyError."""
        one, likely = noted["strangers"], noted["likely"]
        return cls(
            Strangers(float(one["at"]), float(one["decade"])),
            float(noted["sure"]),
            float(noted["floor"]),
            tuple((float(at), float(chance)) for at, chance in likely),
        )

    def right(self, by_chance: F64) -> F64:
        """The chance that joins are right (j,)."""
        if not self.likely:
            return np.zeros(len(by_chance))
        at, chance = (np.array(column) for column in zip(*self.likely, strict=True))
        out: F64 = np.where(by_chance > at[-1], 0.0, np.interp(by_chance, at, chance))
        return out


@dataclass(frozen=True, slots=True)
class Found:
    """labels (n,): each leaf's group from 0, -1 for none; made (g,): whether it is another than there was;
    sure (g,): whether it is; right (g,): how likely all of it is one person's; alike: groups that are perhaps
    one person's, (one, other, how likely); leans (n,): the group to which a leaf in none perhaps belongs, -1
    for none."""

    labels: I64
    made: Bools
    sure: Bools
    right: F64
    alike: tuple[tuple[int, int, float], ...]
    leans: I64
    by: Believed

    def of_faces(self, leaf: I64) -> Found:
        """The same of faces, of which each is in a leaf (n,)."""
        return replace(self, labels=self.labels[leaf], leans=self.leans[leaf])


def find_groups(
    vectors: F32, apart: I64, table: Sequence[Sequence[float]] | None, progress: Progress | None = None
) -> Found:
    """Group unit vectors (n, d) of which none is in a group yet. apart (p, 2): faces of one photo; table: the
    encoder's impostor scores."""
    n = len(vectors)
    known = known_strangers(table)
    floor = known.score(min(_LARGEST_SHARE, _FLOOR / max(1, n)))
    ones = np.ones(n, np.int64)
    joins = average_joins(near_pairs(vectors, floor, progress), vectors, ones, apart, floor)
    close = np.concatenate([np.zeros(n, bool), joins.score >= known.score(_CLOSE)])
    strangers = strangers_of(vectors, joins.tops(close), table)
    chances = by_chance(joins, strangers)
    believed = Believed(strangers, _strictness(joins, chances), floor, _likely(joins, chances))
    return told(joins, chances, believed)


_CLOSE = 10.0**-3.5
"""Faces in groups that are so much alike are left out where strangers are looked for."""


def add_groups(
    vectors: F32, groups: I64, apart: I64, by: Believed, progress: Progress | None = None
) -> tuple[Found, I64]:
    """The same for an album that was grouped before, by the belief it gave then: only faces that are new are
    compared, with all others. groups (n,): the group so far, 0 for none, -1 for none and new.

    Returns what was found, of leaves, and each face's leaf (n,); groups that there were are leaves, and stay.
    """
    n = len(vectors)
    leaf = np.unique(np.where(groups > 0, groups, -1 - np.arange(n)), return_inverse=True)[1]
    count = int(leaf.max(initial=-1)) + 1
    sizes = np.bincount(leaf, minlength=count).astype(np.int64)
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    np.add.at(sums, leaf, vectors)
    near = near_pairs(vectors, by.floor, progress, of=np.flatnonzero(groups < 0))
    pairs = _of_leaves(np.stack([near.a, near.b], axis=1), leaf)
    settled = np.zeros(count, bool)
    settled[leaf[groups > 0]] = True
    near = Near(pairs[:, 0], pairs[:, 1], np.empty(0, np.float32), True)
    joins = average_joins(near, sums, sizes, _of_leaves(apart, leaf), by.floor, settled)
    return told(joins, by_chance(joins, by.strangers), by, settled), leaf


def _of_leaves(pairs: I64, leaf: I64) -> I64:
    """Pairs of faces (p, 2) as pairs of different leaves, each once."""
    both: I64 = np.unique(np.sort(leaf[pairs].reshape(-1, 2), axis=1), axis=0)
    different: I64 = both[both[:, 0] != both[:, 1]]
    return different


def by_chance(joins: Joins, strangers: Strangers) -> F64:
    """How many joins such as each (j,) there would be by chance, times the square of the smaller side's
    faces."""
    sizes, n = joins.sizes, joins.leaves
    smaller = np.minimum(sizes[joins.left], sizes[joins.right])
    larger = np.maximum(sizes[joins.left], sizes[joins.right])
    above = joins.parents()
    made = np.concatenate([np.full(n, np.inf, np.float32), joins.score])
    ended = np.where(above >= 0, np.append(joins.score, np.float32(-np.inf))[above], -np.inf)
    pairs = np.ones(len(joins.score))
    for side in (smaller, larger):
        for level in range(int(side.max(initial=1)).bit_length()):
            here = (side >= 2**level) & (side < 2 ** (level + 1))
            large = sizes >= 2**level
            began, over = np.sort(made[large]), np.sort(ended[large])
            score = joins.score[here]
            pairs[here] *= (
                len(began) - np.searchsorted(began, score) - len(over) + np.searchsorted(over, score)
            )
    expected: F64 = pairs / 2 * strangers.share(joins.alike) * smaller.astype(np.float64) ** 2
    return expected


def _least_above(joins: Joins, values: F64) -> F64:
    """Of each leaf (n,) the least of the values (j,) of the joins above it; inf where there is none."""
    least = np.full(len(joins.sizes), np.inf)
    for i in range(len(joins.left) - 1, -1, -1):
        least[joins.left[i]] = least[joins.right[i]] = min(least[joins.leaves + i], values[i])
    return least[: joins.leaves]


def _strictness(joins: Joins, chances: F64) -> float:
    """The largest number by chance that keeps false joins below their share of the faces that are joined."""
    own = np.sort(_least_above(joins, chances))
    own = own[np.isfinite(own)]
    kept = np.flatnonzero(_BY_CHANCE * own <= PROMISED * np.arange(1, len(own) + 1))
    return PROMISED * (int(kept[-1]) + 1) / _BY_CHANCE if len(kept) else 0.0


def _likely(joins: Joins, chances: F64) -> tuple[tuple[float, float], ...]:
    """How likely joins are right, by their number by chance: of those in a stretch, the share that are more
    than chance would give. Stretches are such that it falls (the least concave majorant, Grenander 1956).
    """
    at = np.sort(chances)
    corners = [(0.0, 0.0)]
    for x, y in zip((_BY_CHANCE_HERE * at).tolist(), range(1, len(at) + 1), strict=True):
        while len(corners) > 1 and _rises(corners[-2], corners[-1]) <= _rises(corners[-2], (x, y)):
            corners.pop()
        corners.append((x, float(y)))
    points = []
    for one, other in itertools.pairwise(corners):
        slope = _rises(one, other)
        if slope <= 1:
            break
        points.append((other[0] / _BY_CHANCE_HERE, round(1 - 1 / slope, 4)))
    return tuple(points)


def _rises(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (other[1] - one[1]) / max(other[0] - one[0], 1e-12)


def told(joins: Joins, chances: F64, by: Believed, settled: Bools | None = None) -> Found:
    """Which groups there are, by what is believed. settled (n,): leaves that are groups already."""
    n, count = joins.leaves, len(joins.left)
    likely = np.concatenate([np.zeros(n), by.right(chances)])
    worst = np.concatenate([np.zeros(n), chances])
    for i in range(count):
        worst[n + i] = max(worst[n + i], worst[joins.left[i]], worst[joins.right[i]])
    sure = np.concatenate([np.zeros(n, bool), chances <= by.sure]) & (worst <= by.sure * _WEAKER)
    holds = sure.copy()
    if settled is not None:
        holds[:n] |= settled
    for i in range(count):
        holds[n + i] |= holds[joins.left[i]] | holds[joins.right[i]]
    top = joins.tops(sure | ((likely >= _PERHAPS) & ~holds))
    is_group = top >= n
    if settled is not None:
        is_group |= settled
    nodes = np.unique(top[is_group])
    label = np.full(len(joins.sizes), -1)
    label[nodes] = np.arange(len(nodes))
    alike, leans = _perhaps(joins, likely, label)
    return Found(
        label[top], nodes >= n, sure[nodes], likely[nodes], alike, np.where(label[top] < 0, leans, -1), by
    )


def _perhaps(joins: Joins, likely: F64, label: I64) -> tuple[tuple[tuple[int, int, float], ...], I64]:
    """Groups that perhaps belong together, and to which group a leaf in none leans (n,): by the joins above
    them that are likelier than not. label (n + j,): the group that a node is."""
    n = joins.leaves
    main, within = label.copy(), label >= 0  # the largest group in a node; whether it lies inside a group
    for i in range(len(joins.left) - 1, -1, -1):
        inside = within[n + i]
        within[joins.left[i]] |= inside
        within[joins.right[i]] |= inside
    leans, size = np.full(n, -1), joins.sizes
    largest = np.where(label >= 0, size, 0)
    alike = []
    waiting: list[list[int]] = [[i] for i in range(n)] + [[] for _ in joins.left]
    for i in range(len(joins.left)):
        node, left, right = n + i, int(joins.left[i]), int(joins.right[i])
        if within[node] or likely[node] < _PERHAPS:
            continue
        one, other = int(main[left]), int(main[right])
        if one >= 0 and other >= 0:
            alike.append((min(one, other), max(one, other), round(float(likely[node]), 3)))
        for side, group in ((left, other), (right, one)):
            if main[side] < 0 and group >= 0:
                leans[waiting[side]] = group
        main[node] = one if largest[left] >= largest[right] else other
        largest[node] = max(largest[left], largest[right])
        waiting[node] = waiting[left] + waiting[right] if main[node] < 0 else []
    return tuple(alike), leans
