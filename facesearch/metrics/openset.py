"""Open set, 1:N: some of those asked for are strangers (ISO/IEC 19795-1; the terms of NIST's FRTE). Pure
numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.metrics.bootstrap import REPLICATES, Rate, draw_people, enough_trials, interval
from facesearch.records import F32, F64, Bools


@dataclass(frozen=True, slots=True)
class Searches:
    """The best candidate of each search. mated_right: the best candidate of a mated search is the true
    person.

    mated_score (m,), stranger_score (s,) float32; mated_people (m,), stranger_people (s,) whose photo each
    is.
    """

    mated_score: F32
    mated_right: Bools
    mated_people: NDArray[np.generic]
    stranger_score: F32
    stranger_people: NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class OpenSetPoint:
    """FNIR at one FPIR. fnir.value is nan with `enough` False: too few non-mated searches to speak of this
    rate.
    """

    fpir: float
    threshold: float
    fnir: Rate
    enough: bool


def best_candidates(
    probes: F32, gallery: F32, people: NDArray[np.generic], chunk: int = 512
) -> tuple[F32, NDArray[np.generic]]:
    """For each probe (q, d) the best score over the gallery (n, d), n >= 1, and whose it is; the lower row
    wins a tie.
    """
    scores, names = [], []
    for start in range(0, len(probes), chunk):
        cosines = probes[start : start + chunk] @ gallery.T
        best = cosines.argmax(axis=1)
        scores.append(cosines[np.arange(len(best)), best].astype(np.float32))
        names.append(people[best])
    if not scores:
        return np.zeros(0, np.float32), people[:0]
    return np.concatenate(scores), np.concatenate(names)


def threshold_at_fpir(stranger_best: NDArray[np.floating], fpir: float, weights: F64 | None = None) -> float:
    """The smallest threshold at which at most `fpir` of the strangers' searches have a candidate at or above
    it.

    stranger_best (s,): for each search of someone NOT enrolled its best score over the whole gallery: one
    number a search, not one a pair; s >= 1. weights (s,) >= 0 count a search several times. fpir in [0, 1).
    """
    order = np.argsort(-stranger_best, kind="stable")
    scores = stranger_best[order]
    counted = np.cumsum(np.ones(len(scores)) if weights is None else weights[order])
    accepted = int(np.searchsorted(counted, fpir * counted[-1] * (1 + 1e-12), side="right"))
    if accepted >= len(scores):
        return float("-inf")
    # Everyone scoring as much as the first stranger who must stay out stays out too.
    return float(np.nextafter(np.float32(scores[accepted]), np.float32(np.inf)))


def fpir_at(stranger_best: NDArray[np.floating], threshold: float) -> float:
    """Share of non-mated searches with at least one candidate at or above the threshold."""
    return float((stranger_best >= threshold).mean())


def fnir_at(searches: Searches, threshold: float) -> float:
    """Share of mated searches whose true person is not the first candidate at or above the threshold (rank R
    = 1).
    """
    return float(1 - (searches.mated_right & (searches.mated_score >= threshold)).mean())


def open_set_point(searches: Searches, fpir: float, *, seed: int = 0) -> OpenSetPoint:
    """FNIR at the threshold that gives this FPIR, both drawn again over people for the interval.

    With fewer than 3 / fpir non-mated searches the rate is not spoken of: `enough` is False.
    """
    threshold = threshold_at_fpir(searches.stranger_score, fpir)
    nan = float("nan")
    trials = len(searches.mated_score)
    if not enough_trials(len(searches.stranger_score), fpir):
        return OpenSetPoint(fpir, threshold, Rate(nan, nan, nan, trials), False)
    low, high = interval(_fnir_replicates(searches, fpir, seed))
    return OpenSetPoint(fpir, threshold, Rate(fnir_at(searches, threshold), low, high, trials), True)


def without(searches: Searches, mated: Bools, stranger: Bools) -> Searches:
    """Those mated (m,) and stranger (s,) searches alone that are marked."""
    return Searches(
        searches.mated_score[mated],
        searches.mated_right[mated],
        searches.mated_people[mated],
        searches.stranger_score[stranger],
        searches.stranger_people[stranger],
    )


def fnir_difference(ours: Searches, theirs: Searches, fpir: float, *, seed: int = 0) -> Rate:
    """FNIR of one way of scoring less that of another, at the same FPIR, on the same searches in the same
    order.

    Each replicate draws the same people for both, so what makes a person hard for both cancels out: the
    interval is narrower than the two single ones let one expect. Below 0: ours misses fewer.
    """
    if not enough_trials(len(ours.stranger_score), fpir):
        nan = float("nan")
        return Rate(nan, nan, nan, len(ours.mated_score))
    value = fnir_at(ours, threshold_at_fpir(ours.stranger_score, fpir)) - fnir_at(
        theirs, threshold_at_fpir(theirs.stranger_score, fpir)
    )
    low, high = interval(_fnir_replicates(ours, fpir, seed) - _fnir_replicates(theirs, fpir, seed))
    return Rate(value, low, high, len(ours.mated_score))


def _fnir_replicates(searches: Searches, fpir: float, seed: int) -> F64:
    """FNIR (r,) with people drawn again, strangers (who move the threshold) and enrolled ones
    independently."""
    _, mated = np.unique(searches.mated_people, return_inverse=True)
    _, stranger = np.unique(searches.stranger_people, return_inverse=True)
    mated_draws = draw_people(mated.max() + 1, REPLICATES, seed)[:, mated].astype(np.float64)
    stranger_draws = draw_people(stranger.max() + 1, REPLICATES, seed + 1)[:, stranger].astype(np.float64)
    replicates = np.empty(REPLICATES)
    for i, (m, s) in enumerate(zip(mated_draws, stranger_draws, strict=True)):
        hit = searches.mated_right & (
            searches.mated_score >= threshold_at_fpir(searches.stranger_score, fpir, s)
        )
        replicates[i] = 1 - (hit @ m) / m.sum()
    return replicates


def mean_templates(vectors: F32, people: NDArray[np.generic]) -> tuple[F32, NDArray[np.generic]]:
    """One vector a person, the mean of theirs brought to length 1: vectors (n, d), people (n,) -> (m, d)
    float32, names (m,).

    People come in the order of their names. A mean of length 0 stays as it is and is near to nobody.
    """
    names, codes = np.unique(people, return_inverse=True)
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, codes, vectors.astype(np.float64))
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return sums.astype(np.float32), names


def det_curve(searches: Searches) -> tuple[F64, F64]:
    """(FPIR, FNIR) at every threshold that changes something, FPIR rising: the points of a DET plot."""
    thresholds = np.unique(np.concatenate([searches.mated_score, searches.stranger_score]))[::-1]
    strangers = np.sort(searches.stranger_score)
    right = np.sort(searches.mated_score[searches.mated_right])
    fpir = 1 - np.searchsorted(strangers, thresholds, side="left") / len(strangers)
    fnir = 1 - (len(right) - np.searchsorted(right, thresholds, side="left")) / len(searches.mated_score)
    return fpir, fnir
