"""Who it works badly for: figures by person, and who is taken for which other person. Pure numpy."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.metrics.bootstrap import REPLICATES, Rate, draw_people, interval, wilson
from facesearch.records import F32, F64

SHOWN_MISTAKES = 5


@dataclass(frozen=True, slots=True)
class TakenFor:
    person: str
    times: int


@dataclass(frozen=True, slots=True)
class PersonRate:
    """rank-1 of one person's probes, with Wilson's interval over them; enrolled: photos of them in the
    gallery; taken_for: the people who came first instead, most often first."""

    person: str
    rank1: Rate
    enrolled: int
    taken_for: tuple[TakenFor, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often the best candidate for `person` was `taken_for`: times of so many probes; back: times the
    other way round.

    mean_score, highest_score of those candidates; mean_own_score: what the true person's best photo scored
    then.
    """

    person: str
    taken_for: str
    times: int
    probes: int
    back: int
    mean_score: float
    highest_score: float
    mean_own_score: float


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A stranger whose best candidate was `resembles`, in so many of their searches; highest and mean score
    of those.
    """

    person: str
    resembles: str
    searches: int
    of: int
    highest_score: float
    mean_score: float


def per_person(
    people: NDArray[np.generic], best: NDArray[np.generic], gallery_people: NDArray[np.generic]
) -> list[PersonRate]:
    """One entry a person, the worst first; of equally bad ones the one with more probes.

    people (q,) whose photo each probe is, best (q,) who came first, gallery_people (n,) whose photos are
    enrolled.
    """
    enrolled = Counter(str(name) for name in gallery_people)
    rows = []
    for name in np.unique(people):
        came_first = best[people == name]
        hits = int((came_first == name).sum())
        others = Counter(str(other) for other in came_first if other != name)
        most = sorted(others.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_MISTAKES]
        taken = tuple(TakenFor(*item) for item in most)
        rows.append(PersonRate(str(name), wilson(hits, len(came_first)), enrolled[str(name)], taken))
    return sorted(rows, key=lambda row: (row.rank1.value, -row.rank1.trials, row.person))


def worst_share(rates: F64, share: float, *, seed: int = 0) -> Rate:
    """The mean over the worst `share` of people, at least one: rates (n,) one a person, n >= 1. Drawn again
    over people.
    """
    rising = np.sort(rates)
    count = max(1, math.ceil(share * len(rising) - 1e-9))
    drawn = draw_people(len(rising), REPLICATES, seed)
    replicates = np.array([np.repeat(rising, times)[:count].mean() for times in drawn])
    return Rate(float(rising[:count].mean()), *interval(replicates), count)


def confusions(
    people: NDArray[np.generic], best: NDArray[np.generic], best_score: F32, own_score: F32
) -> list[Confusion]:
    """Every (person, taken for) that occurs, the most frequent first, then by the mean score; all (q,), one
    entry a probe.
    """
    probes = Counter(str(name) for name in people)
    groups: dict[tuple[str, str], list[int]] = {}
    for i in np.flatnonzero(people != best):
        groups.setdefault((str(people[i]), str(best[i])), []).append(int(i))
    rows = [
        Confusion(
            who, other, len(at), probes[who], len(groups.get((other, who), ())),
            float(best_score[at].mean()), float(best_score[at].max()), float(own_score[at].mean()),
        )
        for (who, other), at in groups.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row.times, -row.mean_score, row.person, row.taken_for))


def resemblances(people: NDArray[np.generic], best: NDArray[np.generic], score: F32) -> list[Resemblance]:
    """Every (stranger, person they resemble) that occurs, the highest score first; all (s,), one entry a
    search.
    """
    searches = Counter(str(name) for name in people)
    groups: dict[tuple[str, str], list[int]] = {}
    for i in range(len(people)):
        groups.setdefault((str(people[i]), str(best[i])), []).append(i)
    rows = [
        Resemblance(who, other, len(at), searches[who], float(score[at].max()), float(score[at].mean()))
        for (who, other), at in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.highest_score, row.person, row.resembles))
