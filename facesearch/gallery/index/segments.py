"""A part of the index: the faces whose ids lie in one range, their vectors, and what finds candidates among
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import faiss
import numpy as np

from facesearch.gallery.index.checksums import ERASED, U64, row_checksums
from facesearch.gallery.index.kinds import FLAT, Finder, find_by_bits
from facesearch.gallery.index.rows import parts, vectors_of
from facesearch.records import F32, I64, U8

Reread = Callable[[list[int]], dict[int, F32]]
"""Face ids -> their vectors (d,), read from the store; those that are not enrolled any more are missing."""


@dataclass(frozen=True)
class Segment:
    """name: of its files; empty in memory. ids (n,) rising, also of erased rows; checksums (n,): see
    checksums.py; rows (n, 2 d) uint8: float16, zeros where erased; flat: scans the rows, where finder is
    exact."""

    name: str
    dimension: int
    ids: I64
    checksums: U64
    rows: U8
    finder: Finder
    flat: faiss.Index | None

    @property
    def last_id(self) -> int:
        return int(self.ids[-1])

    @cached_property
    def erased(self) -> I64:
        """Numbers of the rows that were erased."""
        return np.flatnonzero(self.checksums == ERASED)

    def __len__(self) -> int:
        """Faces that are not erased."""
        return len(self.ids) - len(self.erased)

    def search(self, queries: F32, k: int, reread: Reread) -> tuple[I64, F32]:
        """Queries (q, d) -> face ids (q, m) int64 and exact cosines (q, m), m <= k, in no order; -1 and -inf
        where there are no more.
        """
        k = min(k, len(self))
        most = max(self.finder.rerank, 2 * k)
        if self.finder.kind == FLAT and self.flat is not None:
            return self._scanned(queries, k)
        if self.finder.kind == FLAT or 4 * most > len(self.ids):
            return self._nearest(queries, np.flatnonzero(self.checksums != ERASED), k, reread)
        found = [
            self._nearest(query[None], self._there(places), k, reread)
            for query, places in zip(queries, self._find(queries, most + len(self.erased)), strict=True)
        ]
        return np.concatenate([ids for ids, _ in found]), np.concatenate([scores for _, scores in found])

    def among(self, queries: F32, wanted: I64, k: int, reread: Reread) -> tuple[I64, F32]:
        """The same, exact, among the faces with these ids (m,), rising."""
        places = np.searchsorted(self.ids, wanted).clip(max=len(self.ids) - 1)
        return self._nearest(queries, np.unique(places[self.ids[places] == wanted]), k, reread)

    def _nearest(self, queries: F32, places: I64, k: int, reread: Reread) -> tuple[I64, F32]:
        """The k best (q, k) of the rows at these places, all compared; always k wide."""
        ids, best = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        for part in parts(len(places)):
            numbers = places[part]
            both = np.concatenate([best, queries @ self._vectors(numbers, reread).T], axis=1)
            both[np.isnan(both)] = -np.inf  # rows that are gone
            named = np.concatenate(
                [ids, np.broadcast_to(self.ids[numbers], (len(queries), len(numbers)))], axis=1
            )
            order = np.lexsort((named, -both))[:, :k]
            ids, best = np.take_along_axis(named, order, axis=1), np.take_along_axis(both, order, axis=1)
        return np.where(np.isneginf(best), -1, ids), best

    def _vectors(self, places: I64, reread: Reread) -> F32:
        """Vectors (m, d) of the rows at these places, each checked. A damaged one comes from the store; NaN
        where it is gone there too.
        """
        rows = self.rows[places]
        vectors = vectors_of(rows)
        right = row_checksums(rows, self.ids[places]) == self.checksums[places]
        if not right.all():
            known = reread(self.ids[places[~right]].tolist())
            for i in np.flatnonzero(~right).tolist():
                vectors[i] = known.get(int(self.ids[places[i]]), np.float32(np.nan))
        return vectors

    def _there(self, places: I64) -> I64:
        """Candidates without the padding of short answers and without erased rows, in the order of the
        file."""
        places = np.sort(places[places >= 0])
        alive: I64 = places[self.checksums[places] != ERASED]
        return alive

    def _find(self, queries: F32, most: int) -> I64:
        with threads_for(queries):
            return find_by_bits(self.finder.index)(queries, min(most, len(self.ids)))

    def _scanned(self, queries: F32, k: int) -> tuple[I64, F32]:
        """The k best (q, k) by FAISS's exact scan. Erased rows are asked for on top and left out here: a
        selector would need an argument that faiss.contrib.torch_utils, with which pytorch-metric-learning
        replaces FAISS's own search, does not know."""
        assert self.flat is not None
        with threads_for(queries):
            scores, places = self.flat.search(
                np.ascontiguousarray(queries), min(k + len(self.erased), len(self.ids))
            )
        gone = (places < 0) | (self.checksums[places] == ERASED)
        scores = np.where(gone, -np.inf, scores).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(np.where(gone, -1, self.ids[places]), order, 1), np.take_along_axis(
            scores, order, 1
        )


@contextmanager
def threads_for(queries: F32) -> Iterator[None]:
    """FAISS shares out whole queries among threads: of a single one a second thread only waits, and on a busy
    machine is waited for.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(max(1, min(before, len(queries))))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
