"""From which score on is a match believed? Never a constant: from a rate of strangers named, at this
gallery's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facesearch.errors import TooFewSearches, counted
from facesearch.gallery.store.rows import Threshold
from facesearch.metrics.bootstrap import enough_trials
from facesearch.metrics.openset import mean_templates, threshold_at_fpir
from facesearch.metrics.promise import promised_fpir
from facesearch.records import F32, ScoredBy

CURVE_SHARES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001, 3e-4, 1e-4)
USUAL_SEARCHES = 4000
"""Of a large gallery so many photos are searched, or more where the rate asked for needs more."""
FEWEST_PEOPLE = 20
DEFAULT_FPIR = 0.01
STALE_FACTOR = 1.5


def within_gallery(
    vectors: F32, people: NDArray[np.generic], fpir: float, *, seed: int = 0, by: ScoredBy = "best-photo"
) -> Threshold | None:
    """Play strangers with the gallery's own people: search each photo among everybody else's.

    vectors (n, d) unit rows, people (n,); by: what a person's score is. One search gives one number, its best
    score over all other people, so the gallery's size is accounted for. It is an extrapolation: where the
    encoder was trained on these very people it keeps them further apart than real strangers, and the
    threshold comes out too low. None when the data cannot speak of the rate: fewer than 3 / fpir searches or
    20 people.
    """
    names, codes = np.unique(people, return_inverse=True)
    if len(names) < FEWEST_PEOPLE or not enough_trials(len(vectors), fpir):
        return None
    others, whose = (vectors, people) if by == "best-photo" else mean_templates(vectors, people)
    mine = np.searchsorted(names, whose)
    order = np.random.default_rng(seed).permutation(len(vectors))[: max(USUAL_SEARCHES, math.ceil(3 / fpir))]
    best = np.empty(len(order), np.float32)
    for start in range(0, len(order), 256):
        rows = order[start : start + 256]
        cosines = vectors[rows] @ others.T
        cosines[codes[rows][:, None] == mine[None, :]] = -1
        best[start : start + len(rows)] = cosines.max(axis=1)
    method = "the gallery's own people, each searched among the others (an extrapolation to strangers)"
    return Threshold(
        threshold_at_fpir(best, fpir), fpir, method, len(order), len(vectors), curve=share_curve(best), by=by
    )


def from_impostors(
    table: Sequence[Sequence[float]], faces: int, fpir: float, *, by: ScoredBy = "best-photo"
) -> Threshold | None:
    """Read a threshold from an encoder's table of (false-positive rate a pair, score), for small galleries.

    A stranger is compared with every enrolled face, so the rate a pair must be fpir / faces. Past the table's
    end the score is continued on a straight line over the logarithm of the rate. None without a table. by: of
    one photo a person it is true of both ways to score; of a few it is an estimate.
    """
    if len(table) < 2 or faces < 1:
        return None
    rates, scores = np.log10([row[0] for row in table]), np.array([row[1] for row in table], np.float64)
    wanted = np.log10(fpir / faces)
    if wanted >= rates[-1]:
        score = float(np.interp(-wanted, -rates, scores))
    else:
        slope = (scores[-1] - scores[-2]) / (rates[-1] - rates[-2])
        score = min(0.999, float(scores[-1] + slope * (wanted - rates[-1])))
    method = "the encoder's table of impostor scores, for the number of faces enrolled"
    return Threshold(score, fpir, method, 0, faces, by=by)


def from_strangers(
    best: F32,
    people: NDArray[np.generic],
    faces: int,
    fpir: float,
    *,
    seed: int = 0,
    by: ScoredBy = "best-photo",
) -> Threshold:
    """Set the threshold on real strangers: best (s,) is each search's best score over the whole gallery of
    `faces` faces, people (s,) whose search it is; by: what these scores are. Raises TooFewSearches when they
    cannot speak of the rate.
    """
    if not enough_trials(len(best), fpir):
        raise TooFewSearches(len(best), math.ceil(3 / fpir), fpir)
    score = threshold_at_fpir(best, fpir)
    low, high = promised_fpir(best, people, fpir, seed=seed)
    count = len(np.unique(people))
    method = f"set on searches of {counted(count, 'stranger')}"
    curve = share_curve(best)
    return Threshold(score, fpir, method, len(best), faces, True, count, low, high, curve, by, to_come=count)


def share_curve(best: F32) -> tuple[tuple[float, float], ...]:
    """(score, share of searches at or above it), scores rising, down to the rarest share that so many
    searches (s,) tell of.
    """
    shares = [share for share in CURVE_SHARES if enough_trials(len(best), share)]
    points = {
        round(threshold_at_fpir(best, share), 4): share for share in shares
    }  # of equal scores the rarest share stays
    return tuple(sorted(points.items()))


def is_stale(threshold: Threshold | None, faces: int) -> bool:
    """Whether the gallery has grown or shrunk by half since its threshold was set."""
    if threshold is None:
        return True
    return not threshold.faces / STALE_FACTOR <= faces <= threshold.faces * STALE_FACTOR
