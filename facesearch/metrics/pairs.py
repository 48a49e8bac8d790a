"""Pairs in folds, the protocol of Labeled Faces in the Wild (Huang et al. 2007, UMass TR 07-49). Pure
numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facesearch.metrics.bootstrap import REPLICATES, Rate, draw_people, enough_trials, interval, pair_weights
from facesearch.metrics.verification import Curve, Roc
from facesearch.records import F32, F64, I64, Bools


@dataclass(frozen=True, slots=True)
class FoldedPairs:
    """scores (p,) float32 cosines; same (p,) bool; fold (p,) int64 from 0; first, second (p,) int64 whose
    photos they are.
    """

    scores: F32
    same: Bools
    fold: I64
    first: I64
    second: I64


@dataclass(frozen=True, slots=True)
class PairPoint:
    """TAR at one FAR. `enough` False: fewer than 3 / far pairs of different people, and tar.value is nan."""

    far: float
    threshold: float
    tar: Rate
    enough: bool


@dataclass(frozen=True, slots=True)
class PairsMeasured:
    """accuracy: mean over folds, its interval drawn over people; standard_error over folds, as LFW's tables
    give it.

    fold (f,) the folds' numbers, fold_accuracy, fold_threshold (f,) float64 by fold.
    """

    accuracy: Rate
    standard_error: float
    fold: I64
    fold_accuracy: F64
    fold_threshold: F64
    auc: Rate
    eer: Rate
    points: tuple[PairPoint, ...]
    curve: Roc


class Folds:
    """Pairs sorted once and split into folds, so that a bootstrap can weigh them again many times without
    sorting.
    """

    def __init__(self, scores: F32 | F64, same: Bools, fold: I64) -> None:
        """scores, same, fold (p,); at least two folds."""
        self.numbers = np.unique(fold)
        if len(self.numbers) < 2:
            raise ValueError("a fold's threshold comes from the others: there must be two")
        self._order = np.argsort(-scores, kind="stable")
        self._scores, self._same, place = (
            scores[self._order].astype(np.float64),
            same[self._order],
            fold[self._order],
        )
        self._parts = []
        for number in self.numbers:
            others = np.flatnonzero(place != number)
            falling = self._scores[others]
            ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
            between = np.append((falling[ends[:-1]] + falling[ends[:-1] + 1]) / 2, falling[-1])
            cuts = np.concatenate([[np.nextafter(falling[0], np.inf)], between])
            self._parts.append((np.flatnonzero(place == number), others, ends, cuts))

    def accuracies(self, weights: F64 | None = None) -> tuple[F64, F64]:
        """(accuracy, threshold), each (f,): what each fold reaches by the threshold that serves the other
        folds best.

        Candidates lie midway between neighbouring scores of the other folds; of equally good ones the highest
        is taken. weights (p,) >= 0, in the order given at first, count a pair several times; a fold without
        weight gives nan.
        """
        w = np.ones(len(self._scores)) if weights is None else weights[self._order]
        right, wrong = np.where(self._same, w, 0.0), np.where(self._same, 0.0, w)
        accuracy, threshold = np.empty(len(self._parts)), np.empty(len(self._parts))
        for i, (own, others, ends, cuts) in enumerate(self._parts):
            gain = np.cumsum(right[others] - wrong[others])[ends]  # accepted rightly less accepted wrongly
            threshold[i] = cuts[int(np.argmax(np.concatenate([[0.0], gain])))]
            hit = (self._scores[own] >= threshold[i]) == self._same[own]
            total = w[own].sum()
            accuracy[i] = (hit @ w[own]) / total if total > 0 else np.nan
        return accuracy, threshold


def curve_replicates(
    curve: Curve,
    same: Bools,
    first: I64,
    second: I64,
    people: int,
    measure: Callable[[Roc], Sequence[float]],
    *,
    replicates: int,
    seed: int,
) -> F64:
    """What measure says of the ROC with people drawn again: (r, m). same, first, second (p,) in the curve's
    own order.

    A draw without a pair of either kind gives nan.
    """
    rows = []
    for drawn in draw_people(people, replicates, seed).astype(np.float64):
        weights = pair_weights(drawn, first, second, same)
        if weights[same].sum() > 0 and weights[~same].sum() > 0:
            rows.append(list(measure(curve.roc(weights))))
        else:
            rows.append([])
    width = max(map(len, rows))
    return np.array([row or [np.nan] * width for row in rows], np.float64).reshape(len(rows), width)


def measure_pairs(pairs: FoldedPairs, fars: Sequence[float], *, seed: int = 0) -> PairsMeasured:
    """All figures of the pairs. Every fold needs a pair of either kind and there must be two folds:
    ValueError otherwise.
    """
    for number in np.unique(pairs.fold):
        if len(np.unique(pairs.same[pairs.fold == number])) < 2:
            raise ValueError(f"fold {number} lacks pairs of one kind")
    folds = Folds(pairs.scores, pairs.same, pairs.fold)
    accuracy, threshold = folds.accuracies()
    people = int(max(pairs.first.max(), pairs.second.max())) + 1
    order = np.argsort(-pairs.scores, kind="stable")
    same, first, second = pairs.same[order], pairs.first[order], pairs.second[order]
    curve = Curve(pairs.scores[order], same)
    whole = curve.roc()
    redrawn = curve_replicates(
        curve,
        same,
        first,
        second,
        people,
        lambda roc: [roc.auc, roc.eer, *(roc.at_fpr(far)[0] for far in fars)],
        replicates=REPLICATES,
        seed=seed,
    )
    means = np.empty(REPLICATES)
    of_fold = np.searchsorted(folds.numbers, pairs.fold)
    for i, drawn in enumerate(draw_people(people, REPLICATES, seed).astype(np.float64)):
        weights = pair_weights(drawn, pairs.first, pairs.second, pairs.same)
        reached, _ = folds.accuracies(weights)
        total = np.bincount(
            of_fold, weights, len(reached)
        )  # a fold counts by the pairs drawn in it; all alike without a draw
        means[i] = np.nansum(reached * total) / total.sum() if total.any() else np.nan
    mated, other = int(same.sum()), int((~same).sum())
    points = []
    for k, far in enumerate(fars):
        tar, at = whole.at_fpr(far)
        enough = enough_trials(other, far)
        nan = float("nan")
        points.append(
            PairPoint(
                far,
                at,
                Rate(tar, *interval(redrawn[:, 2 + k]), mated) if enough else Rate(nan, nan, nan, mated),
                enough,
            )
        )
    return PairsMeasured(
        Rate(float(accuracy.mean()), *interval(means), len(same)),
        float(accuracy.std(ddof=1) / np.sqrt(len(accuracy))),
        folds.numbers,
        accuracy,
        threshold,
        Rate(whole.auc, *interval(redrawn[:, 0]), len(same)),
        Rate(whole.eer, *interval(redrawn[:, 1]), len(same)),
        tuple(points),
        whole,
    )
