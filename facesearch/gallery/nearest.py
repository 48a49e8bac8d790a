"""Who is nearest to a face, and what an index must be able to do to say so: FAISS on this machine, Milvus on
others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from facesearch.errors import CorruptGallery, GalleryChanged, IndexDiffers
from facesearch.gallery.store.store import Store
from facesearch.metrics.openset import mean_templates
from facesearch.records import F32, I64, EnrolledFace, Match, ScoredBy, Support

SUPPORTING = 3
SEARCHES_AT_ONCE = 256
ROUNDING = 1e-4
"""So far may a score by the index lie from the score of the row: sums in float32 in another order."""
COMPARED = 20
"""So many people, those with the nearest photos, are compared by their mean templates; more when more are
asked for.
"""


class Nearest(Protocol):
    """Nearest faces by cosine. erasures: how often somebody had been forgotten when it was made; built: why
    it was rebuilt for this opening, empty when it was taken as it is. len: how many faces it may answer
    with."""

    @property
    def erasures(self) -> int: ...

    @property
    def built(self) -> str: ...

    def __len__(self) -> int: ...

    def of(self, gallery: Store) -> Nearest:
        """The same, to be used with another connection to the same gallery: in another thread, or after the
        first one was closed.
        """
        ...

    def may_miss(self) -> str:
        """What a search now may miss, in a sentence; empty for nothing."""
        ...

    def search(self, queries: F32, k: int, among: I64 | None = None) -> tuple[I64, F32]:
        """queries (q, d) float32 unit rows, k >= 1 -> face ids (q, k) int64, cosines (q, k) float32, best
        first.

        among: only faces with these ids (m,), rising; all of them are compared. Where fewer than k faces are
        found, rows end in id -1 and score -inf. Equal scores: the lower id first.
        """
        ...


def nearest_people(
    gallery: Store,
    index: Nearest,
    vector: F32,
    top: int,
    among: I64 | None = None,
    by: ScoredBy = "best-photo",
) -> tuple[Match, ...]:
    """The `top` people nearest to one unit vector (d,), best first. The index proposes faces; who they are
    and their scores are read from the store.

    by: a person's score is the best cosine over their photos; or that with the mean of all their vectors,
    brought to length 1, of the COMPARED people whose photos are the nearest. among: only faces with these ids
    (m,), rising, see Gallery.face_ids. Raises CorruptGallery when a face of the index has no row, though
    nobody was forgotten since.
    """
    wanted = top if by == "best-photo" else max(top, COMPARED)
    by_person = _photos_near(gallery, index, vector, top, wanted, among)
    nearest = list(by_person)[:wanted]
    scores = (
        {name: by_person[name][0][1] for name in nearest}
        if by == "best-photo"
        else template_scores(gallery, nearest, vector)
    )
    chosen = sorted(scores, key=lambda name: -scores[name])[:top]
    counts = gallery.faces.photo_counts(chosen)
    return tuple(
        Match(
            name,
            scores[name],
            counts[name],
            tuple(Support(face.source, score, face.sha256) for face, score in by_person[name][:SUPPORTING]),
        )
        for name in chosen
    )


def nearest_to_each(
    gallery: Store, index: Nearest, vectors: F32, by: ScoredBy
) -> Iterator[tuple[str, float]]:
    """For each unit vector (n, d), in order, the nearest person and their score; no name and -inf where
    nobody is enrolled any more.
    """
    if by == "mean-template":
        for vector in vectors:
            found = nearest_people(gallery, index, vector, 1, by=by)
            yield (found[0].person, found[0].score) if found else ("", -np.inf)
        return
    for start in range(0, len(vectors), SEARCHES_AT_ONCE):
        ids, scores = index.search(vectors[start : start + SEARCHES_AT_ONCE], 1)
        firsts = ids[:, 0].tolist()
        faces, stored = gallery.faces.with_vectors({i for i in firsts if i >= 0})
        places = {face_id: place for place, face_id in enumerate(faces)}
        for number, (face_id, score) in enumerate(zip(firsts, scores[:, 0].tolist(), strict=True), start):
            if face_id not in faces:
                yield "", -np.inf
                continue
            own = _cosines(stored[places[face_id]][None], vectors[number])
            _require_alike(gallery, {face_id: own[0]}, {face_id: score})
            yield faces[face_id].person, own[0]


def template_scores(gallery: Store, people: Iterable[str], vector: F32) -> dict[str, float]:
    """The cosine of a unit vector (d,) with the mean template of each of these people who is enrolled
    still."""
    own = {name: vectors for name in people if len(vectors := gallery.faces.vectors_of(name))}
    if not own:
        return {}
    templates, names = mean_templates(
        np.concatenate(list(own.values())), np.repeat(list(own), [len(vectors) for vectors in own.values()])
    )
    return dict(zip(names.tolist(), np.clip(templates @ vector, -1, 1).tolist(), strict=True))


def person_score(gallery: Store, person: str, vector: F32, by: ScoredBy) -> float | None:
    """One person's score for a unit vector (d,); None of somebody who is not enrolled."""
    if by == "mean-template":
        return template_scores(gallery, [person], vector).get(person)
    own = gallery.faces.vectors_of(person) @ vector
    return float(own.max()) if len(own) else None


def _photos_near(
    gallery: Store, index: Nearest, vector: F32, top: int, people: int, among: I64 | None
) -> dict[str, list[tuple[EnrolledFace, float]]]:
    """The nearest photos with their cosines, of each person in the order of their nearest: of so many people,
    or of all.
    """
    most = len(index) if among is None else len(among)
    k = min(most, max(50, 10 * top))
    while True:
        ids, scores = index.search(vector[None, :], k, among)
        proposed = {int(i): float(s) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0}
        rows, stored = gallery.faces.with_vectors(proposed)
        own = dict(zip(rows, _cosines(stored, vector), strict=True))
        _require_alike(gallery, own, proposed)
        lost = next((face_id for face_id in proposed if face_id not in rows), None)
        if lost is not None and gallery.notes.erasures == index.erasures:
            raise CorruptGallery(
                gallery.folder, f"the row of face {lost} is gone, though nobody was forgotten"
            )
        by_person: dict[str, list[tuple[EnrolledFace, float]]] = {}
        for face_id in sorted(own, key=lambda i: (-own[i], i)):
            by_person.setdefault(rows[face_id].person, []).append((rows[face_id], own[face_id]))
        if len(by_person) >= people or k >= most:
            return by_person
        k = min(most, 4 * k)


def _cosines(vectors: F32, vector: F32) -> list[float]:
    """Of unit vectors (n, d) with one (d,). Summed in float64: equal vectors have equal scores, however many
    are compared at once.
    """
    cosines = vectors.astype(np.float64) @ vector.astype(np.float64)
    return [float(cosine) for cosine in np.clip(cosines, -1, 1).astype(np.float32)]


def _require_alike(gallery: Store, own: dict[int, float], proposed: dict[int, float]) -> None:
    """own: the scores of the rows in the store, which count; proposed: those by the index, by face id. Raises
    IndexDiffers, GalleryChanged.
    """
    for face_id, score in own.items():
        if abs(score - proposed[face_id]) > ROUNDING:
            if not gallery.notes.is_as_opened():
                raise GalleryChanged(gallery.folder)
            reason = f"its index shows another vector for face {face_id} than its row"
            raise IndexDiffers(gallery.folder, reason)
