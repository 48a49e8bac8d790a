"""A threshold was set on some strangers: what rate will others reach? Pure numpy.

A rising function of the scores changes neither who sets the threshold nor who reaches it, so the answer does
not depend on how scores are spread. It depends on how many people and photos there are on both sides, and on
how much the photos of one person go together: of a person who looks like somebody enrolled, nearly all
photos do.
So scores are drawn as a part of the person and a part of the photo. The person's part has heavy tails
(Student's t with DEGREES), as that of look-alikes has; how large it is, is read from the strangers at hand.
The t and the way to read it were chosen on halvings of celebA_extra's train people (scripts/LOG.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facesearch.metrics.bootstrap import REPLICATES, draw_people, interval
from facesearch.records import F64, I64

DEGREES = 3
UPPER = 0.1
"""Of scores this share is looked at apart: there photos of one person go together more than below."""
SHARES = np.linspace(0, 0.95, 20)
"""Of the person's part, from none to nearly all."""
PAIRS = 20_000
"""Of so many pairs of photos of one person it is told what a share looks like."""


def promised_fpir(
    stranger_best: NDArray[np.floating], people: NDArray[np.generic], fpir: float, *, seed: int = 0
) -> tuple[float, float]:
    """Where the FPIR of as many other strangers will lie, 95 %, when the threshold is set on these for
    `fpir`.

    stranger_best (s,), people (s,) whose search each is. Those who set the threshold and those who come are
    drawn again each time, so both their spreads are in it; those who come bring as many photos as people
    drawn from these do. How much photos of one person go together is known from these people only, and drawn
    over them too.
    """
    _, codes, photos = np.unique(people, return_inverse=True, return_counts=True)
    shares = _person_shares(stranger_best, codes, photos, seed)
    rng = np.random.default_rng(seed + 1)
    allowed = int(fpir * len(codes) * (1 + 1e-12))  # at most so many searches get a name
    reached = np.empty(REPLICATES)
    for i, share in enumerate(shares):
        those_to_come = photos[rng.integers(0, len(photos), len(photos))]
        here, there = _drawn(photos, share, rng), _drawn(those_to_come, share, rng)
        limit = np.partition(here, len(here) - 1 - allowed)[len(here) - 1 - allowed]
        reached[i] = (there > limit).mean()
    return interval(reached)


def _drawn(photos: I64, share: float, rng: np.random.Generator) -> F64:
    """Scores of people with so many photos (p,), of which `share` is the person's part."""
    person = np.repeat(rng.standard_t(DEGREES, len(photos)), photos)
    mixed: F64 = np.sqrt(share) * person + np.sqrt(1 - share) * rng.standard_normal(len(person))
    return mixed


def _person_shares(scores: NDArray[np.floating], codes: I64, photos: I64, seed: int) -> F64:
    """How large the person's part is (r,), people drawn again each time: by all scores or by whether they are
    among the highest, the one that says more. Where there is one person only, as large as it can be.
    """
    if photos.max() < 2:
        return np.zeros(REPLICATES)  # nobody has two photos to go together
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(len(scores))
    drawn = draw_people(len(photos), REPLICATES, seed).astype(np.float64)
    spread, high = _as_normal((ranks + 0.5) / len(scores)), (ranks >= (1 - UPPER) * len(scores)).astype(float)
    by_spread, by_high = _looks(seed)
    found: F64 = np.maximum(
        np.interp(_alike(spread, codes, photos, drawn), by_spread, SHARES),
        np.interp(_alike(high, codes, photos, drawn), by_high, SHARES),
    )
    return found


def _alike(values: F64, codes: I64, photos: I64, drawn: F64) -> F64:
    """The intraclass correlation (r,) of values (s,) within people, one-way analysis of variance (Fisher
    1925), with people drawn so often (r, p); 1 where no two people were drawn.
    """
    sums, squares = np.bincount(codes, values), np.bincount(codes, values * values)
    people, n = drawn.sum(axis=1), drawn @ photos
    mean = drawn @ sums / n
    within = drawn @ (squares - sums * sums / photos) / np.maximum(n - people, 1)
    between = (drawn @ (sums * sums / photos) - n * mean * mean) / np.maximum(people - 1, 1)
    usual = (n - drawn @ (photos * photos) / n) / np.maximum(people - 1, 1)
    part = np.maximum(0, (between - within) / np.maximum(usual, 1e-12))
    alike = np.divide(part, part + within, out=np.zeros(len(n)), where=part + within > 0)
    return np.where((drawn > 0).sum(axis=1) > 1, alike, 1.0)


def _looks(seed: int) -> tuple[F64, F64]:
    """What each of SHARES looks like: the correlation of all scores of two photos of one person, and of
    whether they are among the highest; both rising.
    """
    rng = np.random.default_rng(seed)
    person, photo = rng.standard_t(DEGREES, PAIRS)[:, None], rng.standard_normal((PAIRS, 2))
    seen = []
    for share in SHARES:
        scores = np.sqrt(share) * person + np.sqrt(1 - share) * photo
        ranks = np.empty(2 * PAIRS)
        ranks[np.argsort(scores, axis=None)] = np.arange(2 * PAIRS)
        both = (ranks.reshape(-1, 2) + 0.5) / (2 * PAIRS)
        spread, high = _as_normal(both), (both >= 1 - UPPER).astype(float)
        seen.append([_correlation(values) for values in (spread, high)])
    rising = np.maximum.accumulate(np.array(seen), axis=0)
    return rising[:, 0], rising[:, 1]


def _correlation(pairs: F64) -> float:
    first, second = (pairs - pairs.mean(axis=0)).T
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def _as_normal(shares: F64) -> F64:
    """The normal scores of shares in (0, 1): the inverse of the normal distribution, read from a table."""
    grid = np.linspace(-6, 6, 6001)
    density = np.exp(-grid * grid / 2)
    below = np.cumsum(density) - density / 2
    return np.interp(shares, below / density.sum(), grid)
