"""Average linkage of faces without an n x n matrix, in which two faces of one photo never meet.

Two groups whose mean cosine reaches the cut have at least one pair of faces that does. So all there is to
know lies in the graph of such pairs, which is small; a group's mean to another is had from the sums of their
vectors. Groups that are each other's nearest are joined, round by round. Average linkage is reducible
(Bruynooghe 1977): a join never brings anybody nearer, so what falls below the cut is forgotten for good, and
the order of the joins changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.records import F32, I64, Bools, Progress

BLOCK = 512
"""So many faces are compared with all others at once: 100 MB for 50,000."""
MOST_NEAR = 128
"""A face keeps so many of its nearest at most; where that leaves any out, the groups are compared once more
by their means, so that nothing is missed that matters."""
PAIRS_AT_ONCE = 32_768


@dataclass(frozen=True, slots=True)
class Joins:
    """Every join that was made. Nodes 0 to n - 1 are the leaves that there were, n + i is what join i made;
    left and right (j,): the two nodes of each; score (j,): the mean cosine between them; alike (j,): the
    cosine of their means; sizes (n + j,): faces of each node. A join stands after those of its nodes."""

    leaves: int
    left: I64
    right: I64
    score: F32
    alike: F32
    sizes: I64

    def parents(self) -> I64:
        """The join (n + j,) in which each node went up; -1 for the topmost."""
        above = np.full(len(self.sizes), -1)
        made = np.arange(len(self.left))
        above[self.left], above[self.right] = made, made
        return above

    def tops(self, kept: Bools | None = None) -> I64:
        """The topmost node (n,) of each leaf; or its topmost of those `kept` (n + j,), itself if there is
        none."""
        top = np.arange(len(self.sizes))
        for i in range(len(self.left) - 1, -1, -1):
            node = self.leaves + i
            if top[node] != node or kept is None or kept[node]:
                top[self.left[i]] = top[self.right[i]] = top[node]
        return top[: self.leaves]


class _Groups:
    """The groups as they stand: sums (n, d) of vectors, sizes (n,), of (n,): where each leaf is now, node
    (n,) of each group."""

    def __init__(self, sums: F32, sizes: I64, apart: I64, settled: Bools | None) -> None:
        n = len(sums)
        self.settled = np.zeros(n, bool) if settled is None else settled.copy()
        self.sums, self.sizes = sums.astype(np.float32), sizes.copy()
        self.of, self.node, self.apart = np.arange(n), np.arange(n), apart
        self.joins: list[tuple[I64, I64, F32, F32, I64]] = []
        self.made = n

    def scores(self, a: I64, b: I64) -> F32:
        """The mean cosine between groups a and b (e,)."""
        out = np.empty(len(a), np.float32)
        for start in range(0, len(a), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            out[part] = np.einsum("ij,ij->i", self.sums[a[part]], self.sums[b[part]])
        return (out / (self.sizes[a] * self.sizes[b])).astype(np.float32)

    def join(self, into: I64, gone: I64, score: F32) -> None:
        """Join pairs of groups; no group stands in two pairs."""
        lengths = np.linalg.norm(self.sums[into], axis=1) * np.linalg.norm(self.sums[gone], axis=1)
        dots = score * (self.sizes[into] * self.sizes[gone])
        alike = (dots / np.maximum(lengths, 1e-9)).astype(np.float32)
        self.sums[into] += self.sums[gone]
        self.sizes[into] += self.sizes[gone]
        self.settled[into] |= self.settled[gone]
        self.joins.append((self.node[into], self.node[gone], score, alike, self.sizes[into]))
        self.node[into] = self.made + np.arange(len(into))
        self.made += len(into)
        target = np.arange(len(self.of))
        target[gone] = into
        self.of = target[self.of]

    def made_so_far(self) -> tuple[I64, I64, F32, F32, I64]:
        """All joins in order: left, right, score, alike, and the sizes of what they made."""
        if not self.joins:
            none = np.empty(0, np.int64)
            return none, none, none.astype(np.float32), none.astype(np.float32), none
        left, right, score, alike, size = zip(*self.joins, strict=True)
        chained = (np.concatenate(left), np.concatenate(right), np.concatenate(score), np.concatenate(alike))
        return *chained, np.concatenate(size)

    def may_join(self, a: I64, b: I64) -> Bools:
        """Whether groups a and b (e,) may become one: no photo shows a face of each, and not both are
        settled."""
        n = len(self.of)
        allowed: Bools = ~(self.settled[a] & self.settled[b])
        if len(self.apart):
            refused = np.unique(_codes(self.of[self.apart[:, 0]], self.of[self.apart[:, 1]], n))
            allowed &= ~np.isin(_codes(a, b, n), refused)
        return allowed


def average_joins(
    near: Near, sums: F32, sizes: I64, apart: I64, limit: float, settled: Bools | None = None
) -> Joins:
    """Join leaves as long as two groups' mean cosine is at least `limit`. A leaf is a face, or some that are
    together already: sums (n, d) of their unit vectors, sizes (n,). near: see near_pairs. apart (p, 2):
    leaves that hold two faces of one photo, who are two people: groups with two such are never joined.
    settled (n,): leaves of which no two are joined.

    Exact but for ties, float32's rounding, and what `apart` keeps from being each other's nearest.
    """
    n = len(sums)
    groups = _Groups(sums, sizes, apart, settled)
    _join_all(groups, near.a, near.b, groups.scores(near.a, near.b), limit)
    if not near.whole:
        alive = np.unique(groups.of)
        means: F32 = (groups.sums[alive] / groups.sizes[alive, None]).astype(np.float32)
        rest = near_pairs(means, limit)
        _join_all(groups, alive[rest.a], alive[rest.b], rest.score, limit)
    left, right, scores, alike, grown = groups.made_so_far()
    return Joins(n, left, right, scores, alike, np.concatenate([sizes, grown]))


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs a < b (e,) of rows, with their cosine score (e,). whole: they are all that there are."""

    a: I64
    b: I64
    score: F32
    whole: bool


def near_pairs(
    vectors: F32, limit: float, progress: Progress | None = None, *, of: I64 | None = None
) -> Near:
    """All pairs of rows (n, d) whose dot product is at least `limit`; with `of` (r,), those of these rows
    with any other. Of a row with more than MOST_NEAR others the nearest are kept."""
    n = len(vectors)
    rows_of = np.arange(n) if of is None else of
    codes: list[I64] = [np.empty(0, np.int64)]
    scores: list[F32] = [np.empty(0, np.float32)]
    whole = True
    for start in range(0, len(rows_of), BLOCK):
        if progress is not None:
            progress(start, len(rows_of))
        own = rows_of[start : start + BLOCK]
        first = start if of is None else 0  # of all rows, each is compared with those that come after it
        block = vectors[own] @ vectors[first:].T
        if of is None:
            block[:, : len(own)][np.tril_indices(len(own))] = -np.inf
        else:
            block[np.arange(len(own)), own] = -np.inf
        near = block >= limit
        for row in np.flatnonzero(np.count_nonzero(near, axis=1) > MOST_NEAR).tolist():
            whole = False
            kept = block.shape[1] - MOST_NEAR
            near[row] &= block[row] >= np.partition(block[row], kept)[kept]
        rows, columns = np.divmod(np.flatnonzero(near), block.shape[1])
        codes.append(_codes(own[rows], columns + first, n))
        scores.append(block[rows, columns])
    if progress is not None:
        progress(len(rows_of), len(rows_of))
    code, once = np.unique(np.concatenate(codes), return_index=True)
    return Near(code // n, code % n, np.concatenate(scores)[once], whole)


def in_one_photo(photos: NDArray[np.generic]) -> I64:
    """Pairs (p, 2) of faces of one photo; photos (n,): whose each is."""
    order = np.argsort(photos, kind="stable")
    pairs: list[I64] = []
    for step in range(1, len(photos)):
        same = np.flatnonzero(photos[order[step:]] == photos[order[:-step]])
        if not len(same):
            break
        pairs.append(np.stack([order[same], order[same + step]], axis=1))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)


def _join_all(groups: _Groups, a: I64, b: I64, score: F32, limit: float) -> None:
    """Join as long as two groups are each other's nearest of those that may be joined."""
    n = len(groups.of)
    while len(a):
        allowed = groups.may_join(a, b)
        a, b, score = a[allowed], b[allowed], score[allowed]
        into, gone, at = _each_others_nearest(a, b, score, n)
        if not len(into):
            return
        groups.join(into, gone, at)
        target = np.arange(n)
        target[gone] = into
        touched = np.zeros(n, bool)
        touched[into] = True
        code, first = np.unique(_codes(target[a], target[b], n), return_index=True)
        score = score[first]
        a, b = code // n, code % n
        other = a != b
        a, b, score = a[other], b[other], score[other]
        stale = np.flatnonzero(touched[a] | touched[b])
        score[stale] = groups.scores(a[stale], b[stale])
        kept = score >= limit
        a, b, score = a[kept], b[kept], score[kept]


def _each_others_nearest(a: I64, b: I64, score: F32, n: int) -> tuple[I64, I64, F32]:
    """Of pairs (e,) those that are each other's nearest, no group twice."""
    best = np.full(n, -np.inf, np.float32)
    np.maximum.at(best, a, score)
    np.maximum.at(best, b, score)
    mutual = np.flatnonzero((score >= best[a]) & (score >= best[b]))
    both = np.stack([a[mutual], b[mutual]], axis=1)  # (m, 2), in order of code
    first = np.full(n, len(mutual))
    np.minimum.at(first, both.ravel(), np.repeat(np.arange(len(mutual)), 2))
    own = np.arange(len(mutual))
    kept = mutual[(first[both[:, 0]] == own) & (first[both[:, 1]] == own)]
    return a[kept], b[kept], score[kept]


def _codes(a: I64, b: I64, n: int) -> I64:
    return np.minimum(a, b) * n + np.maximum(a, b)
