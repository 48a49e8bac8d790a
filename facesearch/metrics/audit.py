"""Which labels do the vectors contradict? Wrong names, one person under two names, two people under one. Pure
numpy.

Every threshold is read from the data themselves: from what photos score with strangers, and with their own
person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from facesearch.metrics.verification import pair_cosines
from facesearch.records import F32, F64, I64, Bools

CELLS = 1 << 24
"""Of a matrix of photos against people so many numbers are held at a time."""
ROWS = 8192
"""So many photos are scored with their own person at a time."""
SAMPLE = 400_000
SHOWN = 3
"""So many nearest photos are told as evidence."""
LARGEST_PERSON = 2000
"""Of a person with more photos so many, evenly chosen, are clustered."""

RARE_STRANGER = 0.95
"""A photo that scores with its own person no higher than 1 in 20 strangers' photos do is hardly its person's.
"""
LOWEST = 0.02
"""Nor is it, when it is among the lowest 2 % of its part of the data (an encoder lifts the photos that it was
trained on).
"""
AS_OWN = 0.25
"""A photo that scores with somebody else what 3 in 4 photos score with their own person is probably that
person's.
"""
LONELY = 10
"""By chance a photo has none of so many expected scores once in 20,000 times."""
FALSE_PAIRS = 0.05
"""So many pairs of different people may be expected beyond the score from which two people are believed to be
one.
"""
FEWEST_TO_STAND_OUT = 20
"""Among fewer people nobody stands out."""
LEAST_DEVIATIONS = 6.5
"""Two people who stand out by less are two: the tail of few pairs tells little."""
MANY_PAIRS = 10_000


@dataclass(frozen=True, slots=True)
class Levels:
    """What scores are usual in these data. Photo against photo: stranger_95, stranger_99, stranger_999
    quantiles of photos of different people; mates: the median of photos of one person (nan when nobody has
    two); lonely: what LONELY photos of strangers should reach by chance, so that a photo which none reaches
    is like nothing here."""

    stranger_95: float
    stranger_99: float
    stranger_999: float
    mates: float
    lonely: float


@dataclass(frozen=True, slots=True)
class Fit:
    """How each photo fits people (n,). own: cosine with the mean of its person's other photos, copies of it
    left out; nan where there are none. other: the best cosine with the mean of somebody else, who: that
    person's code. random: with a person drawn at random, nan where there is no other."""

    own: F32
    other: F32
    who: I64
    random: F32


@dataclass(frozen=True, slots=True)
class WrongName:
    """A photo closer to somebody else. stranger_share: of photos of strangers, how many score as high with
    its person.
    """

    row: int
    own: float
    other: float
    who: int
    stranger_share: float
    nearest_own: tuple[tuple[int, float], ...]
    nearest_other: tuple[tuple[int, float], ...]

    @property
    def margin(self) -> float:
        return self.other - self.own


@dataclass(frozen=True, slots=True)
class SamePerson:
    """Two people as alike as one. score: cosine of their mean vectors; fitting: share of the photos of both
    that score with the other one what 9 in 10 photos score with their own person; halves: share of people
    whose own two halves are no more alike."""

    a: int
    b: int
    score: float
    fitting: float
    halves: float
    nearest: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class TwoClusters:
    """One person's photos that fall in two parts, larger first. between: cosine of their means; within: mean
    cosine of two photos of one part, the lower of both; stranger_share: of pairs of different people, how
    many are as alike as the two parts."""

    person: int
    large: tuple[int, ...]
    small: tuple[int, ...]
    between: float
    within: float
    stranger_share: float


def levels(vectors: F32, codes: I64, *, seed: int = 0) -> Levels:
    """Read the usual scores from random pairs of photos: vectors (n, d) unit rows, codes (n,) whose."""
    rng = np.random.default_rng(seed)
    n = len(vectors)
    i, j = rng.integers(0, n, SAMPLE), rng.integers(0, n, SAMPLE)
    keep = codes[i] != codes[j]
    strangers = pair_cosines(vectors, i[keep], j[keep])
    order = np.argsort(codes, kind="stable")
    starts, counts = np.unique(codes[order], return_index=True, return_counts=True)[1:]
    many = np.flatnonzero(counts > 1)
    if len(many):
        person = rng.choice(many, SAMPLE // 4, p=counts[many] / counts[many].sum())
        one = rng.integers(0, counts[person])
        two = (one + rng.integers(1, counts[person])) % counts[person]
        mates = float(
            np.median(pair_cosines(vectors, order[starts[person] + one], order[starts[person] + two]))
        )
    else:
        mates = float("nan")
    if not len(strangers):
        return Levels(1.0, 1.0, -1.0, mates, -1.0)
    q95, q99, q999 = np.quantile(strangers, [0.95, 0.99, 0.999])
    lonely = float(np.quantile(strangers, min(0.999, 1 - LONELY / n))) if n > LONELY else -1.0
    return Levels(float(q95), float(q99), float(q999), mates, lonely)


def means(vectors: F32, codes: I64, people: int, weights: F32 | Bools) -> tuple[F32, F32]:
    """Sums (people, d) of each person's vectors (n, d) by weights (n,) >= 0, and the same brought to length 1
    (0 where there is none).
    """
    sums = np.zeros((people, vectors.shape[1]), np.float32)
    order = np.argsort(codes, kind="stable")
    order = order[weights[order] > 0]
    if len(order):
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        sums[codes[order][starts]] = np.add.reduceat(
            vectors[order] * weights[order, None], starts, axis=0, dtype=np.float32
        )
    return sums, _unit(sums)


def fit(
    vectors: F32, codes: I64, groups: I64, use: Bools, same: Sequence[tuple[int, int]] = (), *, seed: int = 0
) -> Fit:
    """Score every photo with its own person, without itself and its copies, and with everybody else's mean.

    vectors (n, d) unit rows; codes (n,) people 0..p-1; groups (n,) copies of one picture share a number and
    count for their person as one photo; use (n,) photos that may speak for a person; same: pairs of codes
    that are one person, and so not "somebody else" to each other.
    """
    n, people = len(vectors), int(codes.max()) + 1
    alias = np.arange(people)
    for a, b in same:
        alias[alias == alias[max(a, b)]] = alias[min(a, b)]
    templates, own = own_scores(vectors, codes, groups, use)
    random = np.random.default_rng(seed).integers(1, max(2, people), n)
    other, drawn = np.empty(n, np.float32), np.full(n, np.nan, np.float32)
    who = np.empty(n, np.int64)
    step = max(1, CELLS // people)
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        cosines = vectors[rows] @ templates.T
        cosines[alias[codes[rows]][:, None] == alias[None, :]] = -2
        who[rows] = cosines.argmax(axis=1)
        other[rows] = cosines[np.arange(len(rows)), who[rows]]
        someone = cosines[np.arange(len(rows)), (codes[rows] + random[rows]) % people]
        drawn[rows] = np.where(someone > -2, someone, np.nan)
    return Fit(own, other, who, drawn)


def own_scores(vectors: F32, codes: I64, groups: I64, use: Bools) -> tuple[F32, F32]:
    """The mean vector of each person (p, d), brought to length 1, and what each photo (n,) scores with its
    own person, without itself and its copies: nan where nothing else is left. See fit.
    """
    people = int(codes.max()) + 1
    packed, counts = np.unique(
        codes * (int(groups.max()) + 1) + groups, return_inverse=True, return_counts=True
    )[1:]
    voices = np.bincount(packed, weights=use.astype(np.float64))[packed]
    weights = np.where(use, 1 / np.maximum(voices, 1), 0).astype(np.float32)
    sums, templates = means(vectors, codes, people, weights)
    several = counts[packed] > 1
    number = np.cumsum(counts > 1) - 1  # of the groups with copies, which one
    copies, _ = means(
        vectors[several], number[packed[several]], max(1, int((counts > 1).sum())), weights[several]
    )
    own = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), ROWS):
        rows = np.arange(start, min(start + ROWS, len(vectors)))
        chunk = vectors[rows]
        itself = np.where(
            several[rows][:, None], copies[number[packed[rows]]], chunk * weights[rows][:, None]
        )
        rest = sums[codes[rows]] - itself
        length = np.linalg.norm(rest, axis=1)
        scores = np.einsum("ij,ij->i", rest, chunk)
        own[rows] = np.divide(scores, length, out=np.full(len(rows), np.nan, np.float32), where=length > 1e-3)
    return templates, own


def suspects(fitted: Fit, parts: NDArray[np.generic]) -> Bools:
    """Which photos (n,) are probably under the wrong name. parts (n,): the part of the data (split) that each
    belongs to.

    Such a photo is closer to somebody else than to its own person, and scores with its own no more
    than strangers do, or than the lowest of its part, or scores with the other one what is usual for one's
    own.
    """
    known = np.isfinite(fitted.own)
    strangers = fitted.random[np.isfinite(fitted.random)]
    if not known.any() or not len(strangers):
        return np.zeros(len(known), np.bool_)
    lowest = np.full(len(known), -2.0)
    for part in np.unique(parts):
        inside = known & (parts == part)
        if inside.any():
            lowest[inside] = np.quantile(fitted.own[inside], LOWEST)
    usual = np.quantile(fitted.own[known], AS_OWN)
    strange = (
        (fitted.own <= np.quantile(strangers, RARE_STRANGER))
        | (fitted.own <= lowest)
        | (fitted.other >= usual)
    )
    found: Bools = known & (fitted.other > fitted.own) & strange
    return found


def trusted(suspect: Bools, codes: I64) -> Bools:
    """Photos (n,) that may speak for their person: those not suspected, but all of a person most of whose
    photos are.
    """
    share = np.bincount(codes, weights=suspect.astype(np.float64)) / np.maximum(1, np.bincount(codes))
    return ~suspect | (share[codes] > 0.5)


def wrong_names(vectors: F32, codes: I64, fitted: Fit, suspect: Bools) -> list[WrongName]:
    """The suspected photos with their evidence, the largest margin first."""
    strangers = np.sort(fitted.random[np.isfinite(fitted.random)])
    found = []
    for row in np.flatnonzero(suspect).tolist():
        own, who = float(fitted.own[row]), int(fitted.who[row])
        share = 1 - float(np.searchsorted(strangers, own, side="left")) / len(strangers)
        mine = _nearest(vectors, row, np.flatnonzero(codes == codes[row]))
        theirs = _nearest(vectors, row, np.flatnonzero(codes == who))
        found.append(WrongName(row, own, float(fitted.other[row]), who, share, mine, theirs))
    return sorted(found, key=lambda wrong: (-wrong.margin, wrong.row))


def same_people(vectors: F32, codes: I64, own: F32, use: Bools, *, seed: int = 0) -> list[SamePerson]:
    """Pairs of people that are probably one, the most alike first. own (n,): what photos score with their own
    person.

    Their mean vectors must be more alike than different people come: of the pairs of different people fewer
    than FALSE_PAIRS should lie beyond, if their highest go on as a normal curve does; or, in data so large
    that this leads beyond all people, as alike as the halves of 19 in 20 single persons. And half of their
    photos must fit the other one, or the two stand out by as much among all that either of them has with
    others (scores less their mean, by their deviation; the mean of both sides, as in Shum et al. 2010's
    s-norm): photos of two ages or two styles of one person need not be near each other.
    """
    people = int(codes.max()) + 1
    if people < 2:
        return []
    _, templates = means(vectors, codes, people, use)
    halves = np.sort(_halves(vectors, codes, people, use, seed))
    pairs = _some_pairs(people, seed)
    known = pair_cosines(templates, *pairs).astype(np.float64)
    floor, usual = _tail(known, people), _Usual.of(templates)
    outstanding = max(LEAST_DEVIATIONS, _tail(usual.stands_out(known, *pairs), people))
    if people < FEWEST_TO_STAND_OUT:
        outstanding = np.inf
    if len(halves):
        floor = min(floor, float(np.quantile(halves, 0.05)))
    fits = float(np.nanquantile(own, 0.1)) if np.isfinite(own).any() else floor
    found = []
    for start in range(0, people, 1024):
        cosines = templates[start : start + 1024] @ templates.T
        rows, columns = np.arange(start, start + len(cosines))[:, None], np.arange(people)[None, :]
        stands_out = usual.stands_out(cosines, rows, columns) >= outstanding
        for i, b in np.argwhere(((cosines >= floor) | stands_out) & (rows < columns)).tolist():
            a, score = start + i, float(cosines[i, b])
            of_a, of_b = np.flatnonzero(codes == a), np.flatnonzero(codes == b)
            fitting = np.concatenate([vectors[of_a] @ templates[b], vectors[of_b] @ templates[a]]) >= fits
            if stands_out[i, b] or fitting.mean() >= 0.5:
                share = float(np.searchsorted(halves, score, side="right")) / max(1, len(halves))
                nearest = _nearest_pairs(vectors, of_a, of_b)
                found.append(SamePerson(a, b, min(1.0, score), float(fitting.mean()), share, nearest))
    return sorted(found, key=lambda pair: (-pair.score, pair.a, pair.b))


def two_clusters(
    vectors: F32, codes: I64, groups: I64, levels_: Levels, *, seed: int = 0
) -> list[TwoClusters]:
    """People whose photos fall in two parts that are no more alike than different people are; the least alike
    parts first.

    Average linkage of each person's photos (copies count once); a part has at least two photos, which are
    more alike than 99 % of photos of different people. The means of both parts must be less alike than 1 % of
    pairs of different people.
    """
    people = int(codes.max()) + 1
    if people < 2:
        return []
    _, templates = means(vectors, codes, people, np.ones(len(codes), np.bool_))
    strangers = np.sort(pair_cosines(templates, *_some_pairs(people, seed)).astype(np.float64))
    limit = float(np.quantile(strangers, 0.99))
    order = np.argsort(codes, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        _, first = np.unique(groups[rows], return_index=True)
        rows = rows[np.sort(first)]
        if len(rows) > LARGEST_PERSON:
            rows = rows[np.linspace(0, len(rows) - 1, LARGEST_PERSON).astype(np.int64)]
        best: TwoClusters | None = None
        if len(rows) >= 4:
            own = vectors[rows]
            for left, right in merges(own @ own.T):
                if min(len(left), len(right)) < 2:
                    continue
                within = min(_within(own[left]), _within(own[right]))
                between = float(
                    _unit(own[left].sum(axis=0)[None])[0] @ _unit(own[right].sum(axis=0)[None])[0]
                )
                if within >= levels_.stranger_99 and between < (best.between if best else limit):
                    large, small = (left, right) if len(left) >= len(right) else (right, left)
                    share = 1 - float(np.searchsorted(strangers, between, side="left")) / len(strangers)
                    code = int(codes[rows[0]])
                    best = TwoClusters(
                        code,
                        tuple(sorted(rows[large].tolist())),
                        tuple(sorted(rows[small].tolist())),
                        between,
                        within,
                        share,
                    )
        if best is not None:
            found.append(best)
    return sorted(found, key=lambda split: (split.between, split.person))


def merges(similarity: F32) -> Iterator[tuple[list[int], list[int]]]:
    """The joins of average linkage over k things, similarity (k, k) symmetric: both sides of each, as lists
    of members.

    By chains of nearest neighbours (Murtagh 1983): k^2 steps, the same tree as by always joining the closest;
    the order differs.
    """
    close = similarity.astype(np.float64)
    np.fill_diagonal(close, -np.inf)
    members = {i: [i] for i in range(len(close))}
    chain: list[int] = []
    while len(members) > 1:
        if not chain:
            chain.append(next(iter(members)))
        top = chain[-1]
        nearest = int(close[top].argmax())
        if len(chain) > 1 and close[top, chain[-2]] >= close[top, nearest]:
            nearest = chain[-2]
        if len(chain) < 2 or nearest != chain[-2]:
            chain.append(nearest)
            continue
        del chain[-2:]
        left, right = members.pop(top), members.pop(nearest)
        yield left, right
        with np.errstate(invalid="ignore"):
            row = (len(left) * close[top] + len(right) * close[nearest]) / (len(left) + len(right))
        close[nearest, :], close[:, nearest] = -np.inf, -np.inf
        row[[top, nearest]] = -np.inf
        close[top, :], close[:, top] = row, row
        members[top] = left + right


def _halves(vectors: F32, codes: I64, people: int, use: Bools, seed: int) -> F64:
    """How alike the two halves of single persons are, dealt at random: one cosine a person with four photos
    or more.
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    order = order[use[order]]
    place = np.arange(len(order)) - np.searchsorted(codes[order], codes[order], side="left")
    odd = np.zeros(len(codes), np.bool_)
    odd[order] = place % 2 == 1
    one, two = means(vectors, codes, people, use & odd)[1], means(vectors, codes, people, use & ~odd)[1]
    enough = np.bincount(codes[use], minlength=people) >= 4
    return np.asarray(np.einsum("ij,ij->i", one[enough], two[enough]), np.float64)


def _some_pairs(people: int, seed: int) -> tuple[I64, I64]:
    """Pairs of people: all of them, or of very many a random sample."""
    if people * (people - 1) // 2 <= SAMPLE:
        first, second = np.triu_indices(people, 1)
        return first, second
    rng = np.random.default_rng(seed)
    a = rng.integers(0, people, SAMPLE)
    return a, (a + rng.integers(1, people, SAMPLE)) % people


@dataclass(frozen=True, slots=True)
class _Usual:
    """What each person's mean vector has with everybody else's: sums of cosines and of their squares (p,)."""

    sums: F64
    squares: F64

    @classmethod
    def of(cls, templates: F32) -> _Usual:
        """templates (p, d), most of length 1."""
        wide = templates.astype(np.float64)
        own = np.einsum("ij,ij->i", wide, wide)
        squares = np.einsum("ij,ij->i", wide @ (wide.T @ wide), wide)
        return _Usual(wide @ wide.sum(axis=0) - own, squares - own * own)

    def stands_out(self, cosines: NDArray[np.floating], a: I64, b: I64) -> F64:
        """By how many deviations the cosines of a with b lie above what either has with all others, the mean
        of both sides. Shapes as numpy broadcasts them.
        """
        others = max(1, len(self.sums) - 2)

        def one_side(person: I64) -> F64:
            mean = (self.sums[person] - cosines) / others
            spread = (self.squares[person] - cosines * cosines) / others - mean * mean
            above: F64 = (cosines - mean) / np.sqrt(np.maximum(spread, 1e-6))
            return above

        return (one_side(a) + one_side(b)) / 2


def _tail(values: F64, people: int) -> float:
    """The value beyond which FALSE_PAIRS of all pairs of different people are expected; values (k,) of pairs.
    Of few pairs the highest 1 % may be one person's two names themselves, so it goes by wider parts.
    """
    shares = (0.01, 0.001) if len(values) >= MANY_PAIRS else (0.1, 0.01)
    high, higher = np.quantile(values, [1 - share for share in shares])
    normal = NormalDist()
    wanted = min(shares[1], FALSE_PAIRS / (people * (people - 1) / 2))
    steps = [normal.inv_cdf(1 - share) for share in (*shares, wanted)]
    return float(higher + (steps[2] - steps[1]) * (higher - high) / (steps[1] - steps[0]))


def _nearest(vectors: F32, row: int, among: I64) -> tuple[tuple[int, float], ...]:
    among = among[among != row]
    scores = vectors[among] @ vectors[row]
    best = np.argsort(-scores, kind="stable")[:SHOWN]
    return tuple((int(among[i]), float(scores[i])) for i in best)


def _nearest_pairs(vectors: F32, of_a: I64, of_b: I64) -> tuple[tuple[int, int, float], ...]:
    cosines = vectors[of_a] @ vectors[of_b].T
    best = np.argsort(-cosines, axis=None, kind="stable")[:SHOWN]
    places = [divmod(int(i), cosines.shape[1]) for i in best]
    return tuple((int(of_a[i]), int(of_b[j]), float(cosines[i, j])) for i, j in places)


def _within(vectors: F32) -> float:
    """Mean cosine of two different ones of vectors (k, d), k >= 2."""
    k = len(vectors)
    return float((np.square(vectors.sum(axis=0, dtype=np.float64)).sum() - k) / (k * (k - 1)))


def _unit(vectors: F32) -> F32:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: F32 = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-6)
    return unit
