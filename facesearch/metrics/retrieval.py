"""Closed set: everyone asked for is in the gallery. Who comes first? Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesearch.records import F32, F64, I64, Bools

CHUNK = 256
RANKS = 20


@dataclass(frozen=True, slots=True)
class ClosedSet:
    """One entry a probe that has something to find. left_out counts probes whose person has no (other)
    gallery photo.

    rank, template_rank (q,) int64: place of the true person among people, by best photo and by mean template,
    from 1. r_precision, map_at_r (q,) float64 as in Musgrave et al. 2020 (arXiv:2003.08505). probe (q,)
    int64: row of the probe. best_row, own_row (q,) int64: gallery row of the nearest photo, and of the
    nearest one of the true person; best_score, own_score (q,) float32 their cosines.
    """

    probe: I64
    rank: I64
    template_rank: I64
    r_precision: F64
    map_at_r: F64
    best_row: I64
    own_row: I64
    best_score: F32
    own_score: F32
    left_out: int

    def within(self, k: int) -> Bools:
        """Whether each probe's person is among the first k people (a point of the CMC)."""
        return self.rank <= k


def closed_set(
    probes: F32,
    probe_people: NDArray[np.generic],
    probe_ids: NDArray[np.generic],
    gallery: F32,
    gallery_people: NDArray[np.generic],
    gallery_ids: NDArray[np.generic],
) -> ClosedSet:
    """Rank the gallery for each probe. probes (q, d), gallery (n, d) unit rows float32; ids name a photo's
    content.

    A probe never matches its own content; ties go to the lower row; a probe without a mate is left out and
    counted. A mean template is the normalised mean of a person's gallery vectors, without the probe's own
    content.
    """
    people, codes = np.unique(np.concatenate([gallery_people, probe_people]), return_inverse=True)
    g_code, p_code = codes[: len(gallery)], codes[len(gallery) :]
    by_person = np.argsort(g_code, kind="stable")
    starts = np.flatnonzero(np.diff(g_code[by_person], prepend=-1))
    present = g_code[by_person][starts]  # people with a gallery photo, ascending
    column = np.full(len(people), -1)
    column[present] = np.arange(len(present))
    sums = np.add.reduceat(gallery[by_person].astype(np.float64), starts, axis=0)
    ranking = _Ranking(gallery, g_code, by_person, starts, column, sums)
    parts = []
    for start in range(0, len(probes), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(probes)))
        own = probe_ids[rows][:, None] == gallery_ids[None, :]
        mates = (p_code[rows][:, None] == g_code[None, :]) & ~own
        found = mates.any(axis=1)
        if found.any():
            rows = rows[found]
            parts.append((rows, *ranking.of(probes[rows], p_code[rows], own[found], mates[found])))
    if not parts:
        nothing, no_rate, no_score = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.float32)
        return ClosedSet(
            nothing, nothing, nothing, no_rate, no_rate, nothing, nothing, no_score, no_score, len(probes)
        )
    columns: list[Any] = [np.concatenate(c) for c in zip(*parts, strict=True)]
    return ClosedSet(*(*columns, len(probes) - len(columns[0])))


@dataclass(frozen=True)
class _Ranking:
    """A gallery (n, d) that probes are ranked in. by_person: its rows by person, each person's from a row of
    starts on; column: the number of each person among those who are there; sums: of each one's vectors.
    """

    gallery: F32
    g_code: I64
    by_person: I64
    starts: I64
    column: I64
    sums: F64

    def of(self, probes: F32, people: I64, own: Bools, mates: Bools) -> tuple[NDArray[Any], ...]:
        """ClosedSet's columns but the first, of probes (m, d) of these people (m,), each with a mate. own,
        mates (m, n): the gallery rows that are the probe itself, or of its person.
        """
        cosines = probes @ self.gallery.T
        cosines[own] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")
        place = np.empty_like(order)
        np.put_along_axis(place, order, np.arange(len(self.gallery))[None, :], axis=1)
        first = np.minimum.reduceat(place[:, self.by_person], self.starts, axis=1)  # (m, people present)
        mine, each = self.column[people], np.arange(len(probes))
        rank = (first <= first[each, mine][:, None]).sum(axis=1)
        best_row, own_row = order[:, 0], order[each, first[each, mine]]
        wide = probes.astype(np.float64)
        template = _template_scores(wide, self.sums, own, self.gallery, self.g_code, self.column)
        t_own = template[each, mine][:, None]
        lower = np.arange(len(self.starts))[None, :] < mine[:, None]
        t_rank = 1 + (template > t_own).sum(axis=1) + ((template == t_own) & lower).sum(axis=1)
        total = mates.sum(axis=1)
        deepest = int(total.max())
        hits = np.take_along_axis(mates, order[:, :deepest], axis=1)
        hits &= np.arange(1, deepest + 1)[None, :] <= total[:, None]
        precision = np.cumsum(hits, axis=1) / np.arange(1, deepest + 1)
        return (
            rank,
            t_rank,
            hits.sum(axis=1) / total,
            (precision * hits).sum(axis=1) / total,
            best_row,
            own_row,
            cosines[each, best_row],
            cosines[each, own_row],
        )


def _template_scores(probes: F64, sums: F64, own: Bools, gallery: F32, g_code: I64, column: I64) -> F64:
    """Cosine of each probe (m, d) to each person's mean, the probe's own content taken out of the mean
    first."""
    scores: F64 = (probes @ sums.T) / np.maximum(np.linalg.norm(sums, axis=1), 1e-12)
    for probe, photo in np.argwhere(own):
        person = column[g_code[photo]]
        also = own[probe] & (g_code == g_code[photo])
        rest = sums[person] - gallery[also].astype(np.float64).sum(axis=0)
        length = np.linalg.norm(rest)
        scores[probe, person] = probes[probe] @ rest / length if length > 1e-9 else -np.inf
    return scores
