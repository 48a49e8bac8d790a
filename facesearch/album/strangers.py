"""How alike do two strangers look? What an album's own faces tell of it, and what its encoder is known for.

The score that so few pairs of strangers reach is found where they are: the pairs of faces in different groups
are counted in their tail, at one pair in a hundred and in a thousand, and the tail goes on exponentially from
there (peaks over a threshold, Pickands 1975; of people that the encoder never saw, the measured tail falls a
little faster, so this errs to the safe side). An album of few people tells little, and pairs that belong
together and were not found swell its tail: so the encoder's table of impostor scores bounds both figures, and
counts for as much as FEW groups do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facesearch.records import F32, F64, I64

USUAL = (0.242, 0.104)
"""Score of one pair in a hundred, and how much more each further decade takes: of the shipped encoder; others
have much the same (scripts/LOG.md). For encoders without a table of their own."""
FEW = 30
LOWER, HIGHER = 0.02, 0.08
LEAST_STEEP, MOST_STEEP = 0.9, 1.5
PAIRS = 400_000


@dataclass(frozen=True, slots=True)
class Strangers:
    """at: the score that one pair of strangers in a hundred reaches; decade: how much higher it is for one in
    a thousand, and so on."""

    at: float
    decade: float

    def share(self, scores: F32) -> F64:
        """The share of pairs of strangers at or above scores (n,)."""
        return np.minimum(1.0, 10.0 ** (-2.0 - (scores.astype(np.float64) - self.at) / self.decade))

    def score(self, share: float) -> float:
        """The score that such a share of pairs of strangers reaches."""
        return float(self.at + self.decade * (-2.0 - np.log10(share)))


def strangers_of(
    vectors: F32, groups: I64, table: Sequence[Sequence[float]] | None, *, seed: int = 0
) -> Strangers:
    """Of unit vectors (n, d) in groups (n,), -1 for none; table: the encoder's (share, score), if any."""
    known = known_strangers(table)
    apart = np.where(groups < 0, -1 - np.arange(len(groups)), groups)
    count = len(np.unique(apart))
    if count < 2:
        return known
    rng = np.random.default_rng(seed)
    n = len(vectors)
    pairs = min(PAIRS, n * (n - 1))
    a = rng.integers(0, n, pairs)
    b = (a + rng.integers(1, n, pairs)) % n
    other = apart[a] != apart[b]
    a, b = a[other], b[other]
    parts = [slice(i, i + 8192) for i in range(0, len(a), 8192)]
    cosines = np.concatenate([np.einsum("ij,ij->i", vectors[a[part]], vectors[b[part]]) for part in parts])
    at, rare = (float(score) for score in np.quantile(cosines, [0.99, 0.999]))
    weight = count / (count + FEW)
    at = float(np.clip(at, known.at - LOWER, known.at + HIGHER))
    decade = float(np.clip(rare - at, LEAST_STEEP * known.decade, MOST_STEEP * known.decade))
    return Strangers(weight * at + (1 - weight) * known.at, weight * decade + (1 - weight) * known.decade)


def known_strangers(table: Sequence[Sequence[float]] | None) -> Strangers:
    """Between one pair in a hundred and in ten thousand: of rarer ones, those who were labelled wrongly
    decide."""
    rows = [row for row in table or () if 0.9e-4 <= row[0] <= 1.1e-2]
    if len(rows) < 2:
        return Strangers(*USUAL)
    shares, scores = np.log10([row[0] for row in rows]), np.array([row[1] for row in rows])
    slope, start = np.polyfit(-2.0 - shares, scores, 1)
    return Strangers(float(start), max(0.01, float(slope)))
