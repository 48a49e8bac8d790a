"""Are two photos of one person? Scores of pairs; higher is closer. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.metrics.bootstrap import enough_trials
from facesearch.records import F32, F64, I64, Bools


def pair_scores(vectors: F32, people: NDArray[np.generic]) -> tuple[F32, Bools]:
    """Score every pair once: vectors (n, d) unit rows, people (n,) any labels.

    Returns scores (p,) float32 cosines and same (p,) bool, p = n (n - 1) / 2, pairs in the order of
    np.triu_indices.
    """
    _, codes = np.unique(people, return_inverse=True)
    cosines = vectors @ vectors.T
    upper = np.triu_indices(len(vectors), 1)
    return cosines[upper].astype(np.float32, copy=False), codes[upper[0]] == codes[upper[1]]


BINS = 1 << 22
"""Of the cosines from -1 to 1 in roc_of_all_pairs: two scores in one bin differ by less than 5e-7."""
BLOCK = 2048


def roc_of_all_pairs(vectors: F32, people: NDArray[np.generic]) -> Roc | None:
    """The ROC of every pair of vectors (n, d) unit rows, people (n,) any labels; None without a mated and a
    non-mated pair.

    More than a BLOCK of vectors are counted into BINS block by block: memory stays the same for any n, time
    grows with its square. Thresholds are then the lower ends of bins.
    """
    if len(vectors) <= BLOCK:
        scores, same = pair_scores(vectors, people)
        return roc(scores, same) if 0 < same.sum() < len(same) else None
    _, codes = np.unique(people, return_inverse=True)
    order = np.argsort(codes, kind="stable")  # mated pairs then lie near the diagonal
    codes, vectors = codes[order], vectors[order]
    every, mated = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    starts = range(0, len(vectors), BLOCK)
    for i in starts:
        rows = slice(i, i + BLOCK)
        for j in starts[i // BLOCK :]:
            columns = slice(j, j + BLOCK)
            bins = _bins(vectors[rows] @ vectors[columns].T)
            if i == j:
                upper = np.triu(np.ones(bins.shape, bool), 1)
                every += np.bincount(bins[upper], minlength=BINS)
            else:
                every += np.bincount(bins.reshape(-1), minlength=BINS)
            if codes[j] <= codes[rows][-1]:
                same = codes[rows][:, None] == codes[columns][None]
                mated += np.bincount(bins[same & upper if i == j else same], minlength=BINS)
    falling = np.flatnonzero(every)[::-1]
    true, total = np.cumsum(mated[falling]), np.cumsum(every[falling])
    false = total - true
    if not len(true) or not true[-1] or not false[-1]:
        return None
    fpr, tpr = (np.concatenate([[0.0], count / count[-1]]) for count in (false, true))
    return Roc(fpr, tpr, np.concatenate([[np.inf], falling / (BINS / 2) - 1]))


def _bins(cosines: F32) -> NDArray[np.int32]:
    """The bin of each cosine, same shape."""
    cosines += 1
    cosines *= np.float32(BINS / 2)
    return np.clip(cosines, 0, BINS - 1).astype(np.int32)


def pair_cosines(vectors: F32, first: I64, second: I64, chunk: int = 65536) -> F32:
    """Cosines (p,) of chosen pairs: vectors (n, d) unit rows; first, second (p,) rows. A chunk of pairs is
    held at a time.
    """
    starts = range(0, len(first), chunk)
    parts = [
        np.einsum("ij,ij->i", vectors[first[s : s + chunk]], vectors[second[s : s + chunk]]) for s in starts
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Roc:
    """One point a threshold, thresholds falling: accepted are pairs with score >= threshold.

    fpr, tpr (t,) float64 rising from 0 to 1; threshold (t,) float64, the first +inf (nobody accepted).
    """

    fpr: F64
    tpr: F64
    threshold: F64

    @property
    def auc(self) -> float:
        """Area under the curve by the trapezoid rule: ties count one half."""
        return float(np.trapezoid(self.tpr, self.fpr))

    @property
    def eer(self) -> float:
        """The rate at which false rejections equal false acceptances, interpolated between thresholds."""
        gap = self.fpr - (1 - self.tpr)
        i = int(np.argmax(gap >= 0))
        if i == 0:
            return float(self.fpr[0])
        part = -gap[i - 1] / (gap[i] - gap[i - 1])
        return float(self.fpr[i - 1] + part * (self.fpr[i] - self.fpr[i - 1]))

    def at_fpr(self, fpr: float) -> tuple[float, float]:
        """(TPR, threshold) at the smallest threshold whose false-positive rate is at most fpr."""
        i = int(np.searchsorted(self.fpr, fpr, side="right")) - 1
        return float(self.tpr[i]), float(self.threshold[i])


def roc(scores: NDArray[np.floating], same: Bools, weights: F64 | None = None) -> Roc:
    """scores (p,), same (p,) bool: the pair is mated; weights (p,) >= 0 counts a pair several times
    (bootstrap).

    Raises ValueError when there is no mated or no non-mated pair: then the curve is not defined.
    """
    order = np.argsort(-scores, kind="stable")
    return Curve(scores[order], same[order]).roc(None if weights is None else weights[order])


def impostor_table(curve: Roc, photos: int) -> list[list[float]]:
    """[false-positive rate a pair, score] at rates falling by the square root of ten from a tenth, as far as
    all pairs of so many photos can tell of them: what an encoder's file knows of strangers."""
    rates = (10 ** (-exponent / 2) for exponent in range(2, 15))
    return [[rate, curve.at_fpr(rate)[1]] for rate in rates if enough_trials(photos * (photos - 1) / 2, rate)]


class Curve:
    """Pairs sorted once, so that a bootstrap can weigh them again many times without sorting."""

    def __init__(self, sorted_scores: NDArray[np.floating], same: Bools) -> None:
        """sorted_scores (p,) falling; same (p,) bool."""
        self._same = same
        last_of_tie = np.append(sorted_scores[1:] != sorted_scores[:-1], True)
        self._ends = np.flatnonzero(last_of_tie)
        self._thresholds = sorted_scores[self._ends].astype(np.float64)

    def roc(self, weights: F64 | None = None) -> Roc:
        """weights (p,) in the sorted order."""
        if weights is None:
            true = np.cumsum(self._same, dtype=np.int64)[self._ends].astype(np.float64)
            false = (self._ends + 1) - true
        else:
            true = np.cumsum(np.where(self._same, weights, 0.0))[self._ends]
            false = np.cumsum(np.where(self._same, 0.0, weights))[self._ends]
        if not len(true) or true[-1] <= 0 or false[-1] <= 0:
            raise ValueError("a ROC needs at least one mated and one non-mated pair")
        fpr = np.concatenate([[0.0], false / false[-1]])
        tpr = np.concatenate([[0.0], true / true[-1]])
        return Roc(fpr, tpr, np.concatenate([[np.inf], self._thresholds]))


@dataclass(frozen=True, slots=True)
class QueryPairs:
    """The pairs of the identification rate, each with the number of the two people it joins.

    scores (p,) float32, falling; same (p,) bool; first, second (p,) int64 numbers into people, second -1 for
    a distractor.
    """

    scores: F32
    same: Bools
    first: I64
    second: I64
    people: NDArray[np.generic]


def identification_pairs(queries: F32, people: NDArray[np.generic], distractors: F32) -> QueryPairs:
    """All same-person and different-person query pairs and every query x distractor pair (the CelebA-500
    course's set).

    queries (q, d), distractors (m, d) unit rows; people (q,) names the queries' people. It is pairwise, not
    1:N.
    """
    names, codes = np.unique(people, return_inverse=True)
    scores, same = pair_scores(queries, people)
    a, b = np.triu_indices(len(queries), 1)
    against = (queries @ distractors.T).reshape(-1)
    everything = np.concatenate([scores, against.astype(np.float32, copy=False)])
    first = np.concatenate([codes[a], np.repeat(codes, len(distractors))])
    second = np.concatenate([codes[b], np.full(len(against), -1)])
    order = np.argsort(-everything, kind="stable")
    both = np.concatenate([same, np.zeros(len(against), bool)])
    return QueryPairs(everything[order], both[order], first[order], second[order], names)
