"""Which index for so many faces: an exact scan, or a scan of short codes, measured before it is believed.

Whatever finds candidates, the vectors themselves decide: the best `rerank` candidates are compared exactly.
How many that takes is measured on the gallery's own photos, each searched among all others: for the photos
nearest to it, and for the photos of other people nearest to it, as if it were a stranger's, which is much
harder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from facesearch.errors import BadIndex
from facesearch.gallery.index.bit_codes import code_bytes, encode, rotated, scanner
from facesearch.gallery.index.rows import parts, vectors_of
from facesearch.records import F32, I64, U8

AUTO = "auto"
FLAT = "flat"
BITS = {"bits1": 1, "bits2": 2}
KINDS = (AUTO, FLAT, *BITS)
"""What a gallery's index can be."""
CROSSOVER = 50_000
"""Up to so many faces all are compared: about 5 ms, and nothing can be missed."""
WANTED = 0.998
"""The recall that the measured trial must reach, so that other queries reach 0.995."""
LADDER = (200, 400, 800, 1600, 3200)
"""How many candidates are compared exactly; the first that is enough is taken."""
CHEAP = 800
"""With more candidates than this a finer code is quicker."""
NEIGHBOURS = 10
TRIALS = 200
OWN_PHOTOS = 64
MEMORY_SHARE = 0.25
"""Codes are held in memory; they may take so much of the machine's."""

Find = Callable[[F32, int], I64]
"""Queries (q, d) and how many candidates -> row numbers (q, most), -1 where there are no more."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of the 10 nearest that were found: of photos of people who are enrolled, and of strangers'
    photos.
    """

    photos: float
    strangers: float

    @property
    def least(self) -> float:
        return min(self.photos, self.strangers)


@dataclass(frozen=True, slots=True)
class Finder:
    """What finds candidates among rows.

    kind: flat, bits1 or bits2; index: None for an exact scan of the rows; codes (n, bytes): what there is to
    be kept of bits1 and bits2; rerank: how many candidates are compared exactly; recall: as measured, None
    for what is exact.
    """

    kind: str
    index: Any = None
    codes: U8 | None = None
    rerank: int = 0
    recall: Recall | None = None


def check_choice(choice: str) -> str:
    """A word for an index as it is kept. Raises BadIndex for what is none of KINDS."""
    if choice not in KINDS:
        raise BadIndex(choice, KINDS)
    return choice


def finder_for(choice: str, rows: U8, people: I64, dimension: int) -> Finder:
    """Make what finds candidates among rows (n, 2 d) uint8 of people (n,). So few
    rows that all are candidates anyway give flat.
    """
    if choice == FLAT or len(rows) <= NEIGHBOURS or (choice == AUTO and len(rows) <= CROSSOVER):
        return Finder(FLAT)
    trial = Trial(rows, people)
    if choice in BITS:
        return _of_bits(choice, rows, dimension, trial)
    for kind, most in (("bits1", CHEAP), ("bits2", LADDER[-1])):
        if len(rows) * code_bytes(dimension, BITS[kind]) > MEMORY_SHARE * _memory():
            break
        found = _of_bits(kind, rows, dimension, trial)
        if found.recall is not None and found.recall.least >= WANTED and found.rerank <= most:
            return found
    return Finder(FLAT)


def find_by_bits(index: faiss.Index) -> Find:
    return lambda queries, most: np.asarray(index.search(rotated(queries), most)[1], np.int64)


class Trial:
    """Photos of a gallery, each searched among all others: what is nearest by trying all, against what a
    finder gives.
    """

    def __init__(self, rows: U8, people: I64, *, seed: int = 0) -> None:
        self._rows, self._people = rows, people
        self._asked = np.sort(np.random.default_rng(seed).permutation(len(rows))[:TRIALS])
        self._queries = vectors_of(rows[self._asked])
        shape = (len(self._asked), NEIGHBOURS)
        self._truth = {True: np.full(shape, -2, np.float32), False: np.full(shape, -2, np.float32)}
        for part in parts(len(rows)):
            scores = self._queries @ vectors_of(rows[part]).T
            numbers = np.broadcast_to(np.arange(part.start, part.stop), scores.shape)
            for strangers, best in self._truth.items():
                allowed = np.where(self._left_out(numbers, strangers), np.float32(-2), scores)
                both = np.concatenate([best, allowed], axis=1)
                best[:] = -np.sort(-np.partition(both, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:], axis=1)

    def recalls(self, find: Find) -> Iterator[tuple[int, Recall]]:
        """(how many candidates are compared, the recall with so many), for all of LADDER."""
        depth = min(len(self._rows), LADDER[-1] + OWN_PHOTOS)
        found = np.concatenate([find(self._queries[part], depth) for part in parts(len(self._queries), 32)])
        scores = np.stack([self._exact(i, numbers) for i, numbers in enumerate(found)])
        for most in LADDER:
            yield (
                most,
                Recall(self._reached(found, scores, most, False), self._reached(found, scores, most, True)),
            )

    def _left_out(self, numbers: I64, strangers: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which rows (q, n) are not to be found by each query: itself, or with `strangers` all of its
        person."""
        if strangers:
            return np.asarray(self._people[numbers] == self._people[self._asked][:, None])
        return np.asarray(numbers == self._asked[:, None])

    def _exact(self, query: int, numbers: I64) -> F32:
        scores: F32 = vectors_of(self._rows[numbers]) @ self._queries[query]
        return np.where(numbers < 0, np.float32(-2), scores)

    def _reached(self, found: I64, scores: F32, most: int, strangers: bool) -> float:
        """Candidates as near as the tenth nearest count, any of equals."""
        wanted = self._truth[strangers]
        there = (wanted > -2).sum(axis=1)
        limit = np.take_along_axis(wanted, np.maximum(there - 1, 0)[:, None], axis=1) - 1e-5
        allowed = ~self._left_out(found, strangers) & (found >= 0)
        considered = allowed & (np.cumsum(allowed, axis=1) <= most)
        hits = np.minimum((considered & (scores >= limit)).sum(axis=1), there)
        return float(hits.sum() / max(1, there.sum()))


def _of_bits(kind: str, rows: U8, dimension: int, trial: Trial) -> Finder:
    codes = np.concatenate([encode(vectors_of(rows[part]), BITS[kind]) for part in parts(len(rows))])
    index = scanner(codes, dimension, BITS[kind])
    rerank, recall = _enough(trial, find_by_bits(index))
    return Finder(kind, index, codes, rerank, recall)


def _enough(trial: Trial, find: Find) -> tuple[int, Recall]:
    """The fewest candidates that reach WANTED, else the most there are, and the recall with them."""
    most, recall = 0, Recall(0, 0)
    for most, recall in trial.recalls(find):  # noqa: B007
        if recall.least >= WANTED:
            break
    return most, recall


def _memory() -> float:
    """The machine's memory in bytes; endless where nothing tells."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
