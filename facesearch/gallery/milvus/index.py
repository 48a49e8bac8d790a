"""Nearest faces from a projection in Milvus. The engine only proposes: who they are and how near is read from
the gallery.

Every proposed row must be a row of the gallery, with the content it was sent with; its score is computed
again from the gallery's vector. So nobody who was forgotten is named, and an engine that lies or has gone
stale cannot make up a match. Faces enrolled since the last sync are searched beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Literal

import numpy as np

from facesearch.errors import EmptyGallery, NotSynced, ProjectionDiffers, counted, pasted
from facesearch.gallery.milvus.engine import MOST, Engine, connected
from facesearch.gallery.milvus.projections import Place, collection_of, projection_at, require_plain, row_id
from facesearch.gallery.store.notes import Projection
from facesearch.gallery.store.rows import VECTOR
from facesearch.gallery.store.store import Store
from facesearch.records import F32, I64

DELTA_LIMIT = 10_000
"""So many faces enrolled since the last sync are searched in the gallery itself (10 MB of it); more ask for a
sync.
"""
FRESH_S = 60.0
"""So long after a sync the engine is asked for all that was written; later, what it shows a few seconds late
is shown by then.
"""


@dataclass(frozen=True)
class MilvusIndex:
    """The same as FaceIndex, from a projection. notes: what those who ask should know of how current it
    is."""

    gallery: Store
    engine: Engine
    projection: Projection
    delta_ids: I64
    delta: F32
    notes: tuple[str, ...]
    built: str = ""
    indexed: Event = field(default_factory=Event, repr=False, compare=False)
    """Set when the engine was seen to search all rows by their index."""

    finds: Literal["photos"] = "photos"

    @property
    def erasures(self) -> int:
        return self.projection.erasures

    @property
    def faces(self) -> int:
        return len(self)

    @property
    def last_id(self) -> int:
        return int(self.delta_ids[-1]) if len(self.delta_ids) else self.projection.last_face_id

    def __len__(self) -> int:
        return min(self.projection.faces, MOST) + len(self.delta_ids)

    def of(self, gallery: Store) -> MilvusIndex:
        """The same for another connection to the gallery."""
        return replace(self, gallery=gallery)

    def may_miss(self) -> str:
        """What a search now may miss, in a sentence; empty for nothing. The engine is asked until all its
        rows are searched by their index. Raises StoreUnreachable, StoreRefused.
        """
        if self.indexed.is_set():
            return ""
        if rows := self.engine.unindexed(self.projection.collection):
            return (
                f"{counted(rows, 'face is', 'faces are', commas=True)} not searched by their index"
                f" in {self.projection.store} yet, so the"
                f" nearest may be missed. Wait for it with: facesearch sync --store {self.projection.store}"
            )
        self.indexed.set()
        return ""

    def search(self, queries: F32, k: int, among: I64 | None = None) -> tuple[I64, F32]:
        """queries (q, d) float32 unit rows, k >= 1 -> face ids (q, k) int64, cosines (q, k) float32, best
        first.

        among: only faces with these ids (m,): they are compared in the gallery itself, all of them. Rows end
        in id -1 and score -inf where fewer are found. Equal scores: the lower id first. Raises
        StoreUnreachable, StoreRefused, CorruptGallery; ProjectionDiffers when a face is there with another
        content than the gallery's, or none at all.
        """
        if not np.isfinite(queries).all():
            raise ValueError("a query vector holds a number that is not finite")
        ids, scores = (
            np.full((len(queries), k), -1, np.int64),
            np.full((len(queries), k), -np.inf, np.float32),
        )
        if among is None:
            proposed = self._proposed(queries, k)
            known = self._vectors({hit for hits in proposed for hit in hits})
            mine = [[face for _, face in hits if face in known] for hits in proposed]
        else:
            known = self.gallery.faces.vectors_at(among.tolist())
            mine = [list(known)] * len(queries)
        delta_ids, delta = (
            (self.delta_ids, self.delta) if among is None else (self.delta_ids[:0], self.delta[:0])
        )
        for i, own in enumerate(mine):
            near = np.concatenate([np.array(own, np.int64), delta_ids])
            vectors = np.concatenate([np.stack([known[face] for face in own]), delta]) if own else delta
            cosines = np.clip(vectors @ queries[i], -1, 1)
            order = np.lexsort((near, -cosines))[:k]
            ids[i, : len(order)], scores[i, : len(order)] = near[order], cosines[order]
        return ids, scores

    def _proposed(self, queries: F32, k: int) -> list[list[tuple[str, int]]]:
        if not self.projection.faces:
            return [[] for _ in queries]
        known = self.projection
        strong = time.time() < known.synced + FRESH_S
        hits = self.engine.search(known.collection, known.index, queries, min(k, known.faces), strong=strong)
        if not all(
            hits
            # A stranger, too, has somebody nearest: an engine that has lost its rows must not make one of
            # everybody
        ):
            raise ProjectionDiffers(
                self.gallery.folder,
                known.store,
                f"it finds none of its {counted(known.faces, 'row', commas=True)}",
            )
        return hits

    def _vectors(self, hits: set[tuple[str, int]]) -> dict[int, F32]:
        """The gallery's own vectors (d,) of the proposed faces that are enrolled still."""
        key, found = self.gallery.notes.projection_key(), {}
        rows = self.gallery.faces.rows(face for _, face in hits)
        for there, face in hits:
            if face not in rows:  # forgotten since, or never ours
                continue
            row, blob = rows[face]
            if row_id(key, self.gallery.encoder_id, face, row.sha256, row.source, blob) != there:
                raise ProjectionDiffers(
                    self.gallery.folder, self.engine.place.text, f"face {face} is another one there"
                )
            found[face] = np.frombuffer(blob, VECTOR).astype(np.float32)
        return found


@contextmanager
def open_projection(gallery: Store, place: Place) -> Iterator[MilvusIndex]:
    """Connect to a projection, for as long as this lasts, and make sure that it is this gallery's as of its
    last sync.

    Raises EmptyGallery, CannotProject, PackageMissing, StoreUnreachable, StoreRefused, OtherCollection;
    NotSynced when it does not show the gallery as it is, or too much was enrolled since.
    """
    require_plain(gallery)
    if not gallery.faces.last_id():
        raise EmptyGallery(gallery.folder)
    known = projection_at(gallery, place)

    def stale(why: str) -> NotSynced:
        return NotSynced(gallery.folder, place.text, why)

    if known is None:
        raise stale("nothing was ever sent there")
    if known.collection != collection_of(gallery):
        raise stale("the gallery was embedded again with another encoder since")
    if not known.stamp:
        raise stale("a sync is under way or was interrupted")
    with connected(place) as engine:
        if not engine.has(known.collection):
            raise stale(f"its collection {known.collection} is gone")
        engine.check(known.collection, gallery.dimension, gallery.encoder_id)
        if engine.stamp(known.collection) != known.stamp:
            raise stale("it was changed by somebody else, or is a copy of an earlier time")
        ids, vectors = _newer(gallery, known.last_face_id)
        if len(ids) > DELTA_LIMIT:
            raise stale(f"more than {DELTA_LIMIT:,} faces were enrolled since")
        engine.load(known.collection)
        yield MilvusIndex(gallery, engine, known, ids, vectors, _notes(gallery, known, len(ids)))


def _newer(gallery: Store, last_face_id: int) -> tuple[I64, F32]:
    """Faces enrolled since, ids (n,) and vectors (n, d) float32; one more than DELTA_LIMIT at most, however
    many there are.
    """
    rows = next(gallery.faces.batches(DELTA_LIMIT + 1, after=last_face_id), [])
    if len(rows) > DELTA_LIMIT:
        return np.array([row[0] for row in rows], np.int64), np.zeros((0, gallery.dimension), np.float32)
    ids, vectors, _ = gallery.faces.vectors(after=last_face_id)
    return ids, vectors


def _notes(gallery: Store, known: Projection, newer: int) -> tuple[str, ...]:
    notes = []
    if newer:
        notes.append(
            f"{newer} face{'' if newer == 1 else 's'} enrolled since the last sync: searched in the gallery"
            " itself"
        )
    if gallery.notes.erasures != known.erasures:
        notes.append(
            f"somebody was forgotten since the last sync: no answer names them, but {known.store} still holds"
            " their vectors"
        )
    return tuple(f"{note}. Run: facesearch sync --store {pasted(known.store)}" for note in notes)
