"""95 % intervals by resampling people, since photos of one person are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.records import F64, I64, Bools

REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured share with its 95 % interval and the number of trials behind it; value nan: nothing to
    measure.
    """

    value: float
    low: float
    high: float
    trials: int


def enough_trials(trials: float, rate: float) -> bool:
    """Whether so many trials can speak of this rate: at least 3 / rate of them (the rule of three)."""
    return trials * rate >= 3


def draw_people(people: int, replicates: int, seed: int) -> I64:
    """How often each person is drawn in each replicate: (r, people) int64, rows sum to people."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(people, np.full(people, 1 / people), size=replicates).astype(np.int64)


def mean_over_people(
    values: NDArray[np.generic], people: NDArray[np.generic], *, seed: int = 0, macro: bool = False
) -> Rate:
    """The mean of values (q,) with its interval; people (q,) says whose photo each is.

    macro: first within a person, then over people, so that people with many photos weigh no more.
    """
    if not len(values):
        return Rate(float("nan"), float("nan"), float("nan"), 0)
    _, codes = np.unique(people, return_inverse=True)
    sums: F64 = np.bincount(codes, weights=values.astype(np.float64)).astype(np.float64)
    counts: F64 = np.bincount(codes).astype(np.float64)
    if macro:
        sums, counts = sums / counts, np.ones(len(counts))
    drawn = draw_people(len(sums), REPLICATES, seed)
    low, high = interval((drawn @ sums) / (drawn @ counts))
    return Rate(float(sums.sum() / counts.sum()), low, high, len(values))


def interval(replicates: F64) -> tuple[float, float]:
    """The middle 95 % of replicates (r,), nans left out."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def pair_weights(drawn: F64, first: I64, second: I64, same: Bools) -> F64:
    """How often each pair (p,) counts when people were drawn so often: a pair of two people as often as both,
    a pair of one person's photos as often as that person.

    drawn (people,); first, second (p,) numbers into it, second -1 for somebody who is always there; same
    (p,).
    """
    return np.where(same, drawn[first], drawn[first] * np.append(drawn, 1.0)[second])


def wilson(hits: int, trials: int) -> Rate:
    """A share of one person's photos with Wilson's 95 % interval (1927, JASA 22). The photos count as
    independent, which they are not quite: it says how little a few photos tell, and no more. trials >= 1.
    """
    z2 = 1.959964**2
    share = hits / trials
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = 1.959964 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return Rate(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)), trials)
