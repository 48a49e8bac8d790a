"""Who is nearest to a face, and what an index must be able to do to say so: FAISS on this machine, Milvus on
others.

A person's score is that of their photo that is nearest, or that of their template, the mean of their photos'
vectors. Templates are searched themselves where the index is of templates. Where it is of photos, as in
Milvus and in a gallery that does not keep templates yet, the COMPARED people with the nearest photos are
compared by their templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np

from facesearch.errors import CorruptGallery, GalleryChanged, IndexDiffers
from facesearch.gallery.store.rows import Template
from facesearch.gallery.store.store import Store
from facesearch.metrics.openset import mean_templates
from facesearch.records import F32, I64, EnrolledFace, Match, ScoredBy, Support

SUPPORTING = 3
SEARCHES_AT_ONCE = 256
ROUNDING = 1e-4
"""So far may a score by the index lie from the score of the row: sums in float32 in another order."""
COMPARED = 20
"""So many people, those with the nearest photos, are compared by their templates where an index is of photos;
more when more are asked for.
"""
SPARE = 8
"""So many more templates than are asked for are looked at: some may have been replaced since."""


class Nearest(Protocol):
    """Nearest faces, or templates, by cosine. erasures: how often somebody had been forgotten when it was
    made; built: why it was rebuilt for this opening, empty when it was taken as it is. len: how many rows it
    may answer with; faces: how many photos these stand for; finds: of what its rows are."""

    @property
    def erasures(self) -> int: ...

    @property
    def built(self) -> str: ...

    @property
    def finds(self) -> Literal["photos", "templates"]: ...

    @property
    def faces(self) -> int: ...

    @property
    def last_id(self) -> int:
        """All rows with an id up to this one are in it."""
        ...

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
        """queries (q, d) float32 unit rows, k >= 1 -> ids (q, k) int64 of faces or templates, cosines (q, k)
        float32, best first.

        among: only rows with these ids (m,), rising; all of them are compared. Where fewer than k are found,
        rows end in id -1 and score -inf. Equal scores: the lower id first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Among:
    """The people who are searched. ids (m,), rising: of their rows in an index; faces: how many photos they
    have."""

    ids: I64
    faces: int

    @classmethod
    def of(cls, gallery: Store, index: Nearest, people: Iterable[str]) -> Self:
        """Raises UnknownPerson."""
        if index.finds == "photos":
            ids = gallery.faces.ids(people)
            return cls(ids, len(ids))
        ids = gallery.templates.ids({gallery.faces.person_id(name) for name in people})
        return cls(ids, gallery.templates.photos_of(ids.tolist()))


def nearest_people(
    gallery: Store,
    index: Nearest,
    vector: F32,
    top: int,
    among: Among | None = None,
    by: ScoredBy = "best-photo",
) -> tuple[Match, ...]:
    """The `top` people nearest to one unit vector (d,), best first. The index proposes rows; who they are and
    their scores are read from the store. Each comes with their photos that are nearest.

    by: what a person's score is; an index of templates serves "mean-template" alone. among: only these
    people. Raises CorruptGallery when a row of the index is not in the store, though nothing was changed
    since; IndexDiffers when it is another one there.
    """
    ids = None if among is None else among.ids
    if index.finds == "templates":
        chosen = _templates_near(gallery, index, vector[None], top, ids)[0]
        return tuple(_with_photos(gallery, name, score, vector) for name, score in chosen)
    wanted = top if by == "best-photo" else max(top, COMPARED)
    by_person = _photos_near(gallery, index, vector, top, wanted, ids)
    nearest = list(by_person)[:wanted]
    scores = (
        {name: by_person[name][0][1] for name in nearest}
        if by == "best-photo"
        else template_scores(gallery, nearest, vector)
    )
    best = sorted(scores, key=lambda name: -scores[name])[:top]
    counts = gallery.faces.photo_counts(best)
    return tuple(_match(name, scores[name], counts[name], by_person[name]) for name in best)


def nearest_to_each(
    gallery: Store, index: Nearest, vectors: F32, by: ScoredBy
) -> Iterator[tuple[str, float]]:
    """For each unit vector (n, d), in order, the nearest person and their score; no name and -inf where
    nobody is enrolled any more.
    """
    nobody = "", -np.inf
    if index.finds == "templates":
        for start in range(0, len(vectors), SEARCHES_AT_ONCE):
            for near in _templates_near(gallery, index, vectors[start : start + SEARCHES_AT_ONCE], 1, None):
                yield near[0] if near else nobody
        return
    if by == "mean-template":
        for vector in vectors:
            found = nearest_people(gallery, index, vector, 1, by=by)
            yield (found[0].person, found[0].score) if found else nobody
        return
    for start in range(0, len(vectors), SEARCHES_AT_ONCE):
        ids, scores = index.search(vectors[start : start + SEARCHES_AT_ONCE], 1)
        firsts = ids[:, 0].tolist()
        faces, stored = gallery.faces.with_vectors({i for i in firsts if i >= 0})
        places = {face_id: place for place, face_id in enumerate(faces)}
        for number, (face_id, score) in enumerate(zip(firsts, scores[:, 0].tolist(), strict=True), start):
            if face_id not in faces:
                yield nobody
                continue
            own = _cosines(stored[places[face_id]][None], vectors[number])
            _require_alike(gallery, {face_id: own[0]}, {face_id: score})
            yield faces[face_id].person, own[0]


def template_scores(gallery: Store, people: Iterable[str], vector: F32) -> dict[str, float]:
    """The cosine of a unit vector (d,) with the template of each of these people who is enrolled still."""
    if gallery.templates.are_kept():
        kept = gallery.templates.of_people(people)
        return dict(zip(kept, _cosines(np.stack([*kept.values()]), vector), strict=True)) if kept else {}
    own = {name: vectors for name in people if len(vectors := gallery.faces.vectors_of(name))}
    if not own:
        return {}
    templates, names = mean_templates(
        np.concatenate(list(own.values())), np.repeat(list(own), [len(vectors) for vectors in own.values()])
    )
    return dict(zip(names.tolist(), _cosines(templates, vector), strict=True))


def person_score(gallery: Store, person: str, vector: F32, by: ScoredBy) -> float | None:
    """One person's score for a unit vector (d,); None of somebody who is not enrolled."""
    if by == "mean-template":
        return template_scores(gallery, [person], vector).get(person)
    own = gallery.faces.vectors_of(person) @ vector
    return float(own.max()) if len(own) else None


def _templates_near(
    gallery: Store, index: Nearest, vectors: F32, top: int, among: I64 | None
) -> list[list[tuple[str, float]]]:
    """The `top` people with the nearest templates of each unit vector (n, d), with their scores, best first.
    Who was changed after the index was opened has a template that it does not know, which is compared too.
    """
    ids, rows, stored = _templates_proposed(gallery, index, vectors, top, among)
    places = {template_id: place for place, template_id in enumerate(rows)}
    newer, fresh, names = gallery.templates.vectors(index.last_id)
    if among is not None:
        chosen = np.isin(newer, among)
        fresh, names = fresh[chosen], [name for name, one in zip(names, chosen, strict=True) if one]
    out = []
    for vector, proposed in zip(vectors, ids, strict=True):
        there = [i for i in proposed if i in places]
        own = dict(zip(there, _cosines(stored[[places[i] for i in there]], vector), strict=True))
        _require_alike(gallery, own, proposed)
        found = {rows[i].name: score for i, score in own.items()}
        found |= zip(names, _cosines(fresh, vector), strict=True)
        out.append(sorted(found.items(), key=lambda near: (-near[1], near[0]))[:top])
    return out


def _templates_proposed(
    gallery: Store, index: Nearest, vectors: F32, top: int, among: I64 | None
) -> tuple[list[dict[int, float]], dict[int, Template], F32]:
    """For each unit vector (n, d) the ids of the nearest templates with their scores by the index, enough for
    `top` people; and those of them that are in the store still, with their vectors.
    """
    most = len(index) if among is None else len(among)
    k = max(1, min(most, top + SPARE))
    while True:
        ids, scores = index.search(vectors, k, among)
        rows, stored = gallery.templates.with_vectors({i for i in ids.ravel().tolist() if i >= 0})
        if k >= most or (np.isin(ids, list(rows)).sum(axis=1) >= top).all():
            both = zip(ids.tolist(), scores.tolist(), strict=True)
            return [{i: s for i, s in zip(*own, strict=True) if i >= 0} for own in both], rows, stored
        k = min(most, 4 * k)


def _with_photos(gallery: Store, name: str, score: float, vector: F32) -> Match:
    """A person with this score, and their photos that are nearest to a unit vector (d,)."""
    faces, vectors = gallery.faces.of_person(name)
    cosines = _cosines(vectors, vector)
    order = sorted(range(len(faces)), key=lambda i: (-cosines[i], faces[i].face_id))
    return _match(name, score, len(faces), [(faces[i], cosines[i]) for i in order[:SUPPORTING]])


def _match(name: str, score: float, photos: int, near: Sequence[tuple[EnrolledFace, float]]) -> Match:
    """near: their photos with their cosines, best first."""
    support = tuple(Support(face.source, cosine, face.sha256) for face, cosine in near[:SUPPORTING])
    return Match(name, score, photos, support)


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
