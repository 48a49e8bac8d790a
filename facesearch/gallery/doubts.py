"""What should be known of faces that were just enrolled: that a photo is poor, or that it speaks against its
name. Nothing is refused for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesearch.answers import SAME_PICTURE, EnrolmentWarning
from facesearch.faces.quality import poor_because
from facesearch.gallery.calibration import from_impostors
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.store.store import Store
from facesearch.records import EnrolledFace, Seen

AT_ONCE = 256
NEAREST = 20
"""So many enrolled photos are looked at for each new one."""
UNLIKE = 0.003
"""A photo is unlike its person's others when so many pairs of strangers are as alike as it is to the most
alike of them."""
FEWEST_OTHERS = 2
"""With fewer other photos nobody can say which one is the odd one."""
NEARER = 1e-4
"""Somebody else is taken for the nearer one when at most so many pairs of strangers are as alike."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A face that was just enrolled. vector (d,) of length 1, in half precision: all of one go are held."""

    person: str
    photo: str
    sha256: str
    vector: NDArray[np.float16]
    found_by: str
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class _Near:
    """The most alike photos of a new one: of somebody else, and of its own person but itself. own is None
    where none was among the nearest."""

    other: EnrolledFace | None
    other_score: float
    own: float | None


def doubts(gallery: Store, fresh: Sequence[Fresh], notes: dict[str, Any]) -> list[EnrolmentWarning]:
    """What to say of new faces, which are in the gallery already, in their order. notes: of the encoder. Each
    face is searched once.

    Raises CorruptGallery.
    """
    if not fresh:
        return []
    limits = _Limits(gallery, notes)
    counts = gallery.faces.photo_counts({face.person for face in fresh})
    found = []
    for face, near in zip(fresh, _nearest(gallery, fresh), strict=True):
        because = poor_because(face.seen, face.found_by, notes)
        if because:
            found.append(_warning(face, "poor", f"a poor photo: {', '.join(because)}"))
        against = limits.against(face, near, counts[face.person] - 1)
        if against is not None:
            found.append(against)
    return found


class _Limits:
    """From which scores on a photo speaks against its name: by the encoder's own table of strangers' scores,
    else by the gallery's threshold."""

    def __init__(self, gallery: Store, notes: dict[str, Any]) -> None:
        self._gallery = gallery
        stored = gallery.notes.threshold()
        self._threshold = None if stored is None else stored.score
        self._unlike, self._nearer = (_score_at(notes, rate) for rate in (UNLIKE, NEARER))

    def against(self, face: Fresh, near: _Near, others: int) -> EnrolmentWarning | None:
        """others: how many more photos the person has."""
        other, score = near.other, near.other_score
        if other is not None and score >= SAME_PICTURE:
            what = "the same file" if other.sha256 == face.sha256 else f"{other.source} is the same picture"
            return _warning(face, "twice", f"it is enrolled under {other.person} too ({what}, {score:.2f})")
        own = near.own
        nearer = other is not None and (own is None or own < score)
        if others and nearer and own is None:
            own = self._own(face)
            nearer = own < score
        limit = self._nearer if others and self._nearer is not None else self._threshold
        if other is not None and nearer and limit is not None and score >= limit:
            to_own = f", to {face.person}'s other photos {own:.2f}" if own is not None else ""
            words = f"nearer to {other.source} of {other.person}: {score:.2f}{to_own}"
            return _warning(face, "nearer", words)
        if others < FEWEST_OTHERS or self._unlike is None or (own is not None and own >= self._unlike):
            return None
        own = self._own(face) if own is None else own
        if own >= self._unlike:
            return None
        return _warning(face, "unlike", f"unlike {face.person}'s {others} other photos: {own:.2f} at best")

    def _own(self, face: Fresh) -> float:
        """The best score with the person's other photos: without the best of all, which is the photo
        itself."""
        scores = np.sort(self._gallery.faces.vectors_of(face.person) @ face.vector.astype(np.float32))
        return float(scores[-2]) if len(scores) > 1 else -1.0


def _nearest(gallery: Store, fresh: Sequence[Fresh]) -> Iterator[_Near]:
    index = open_index(gallery)
    for start in range(0, len(fresh), AT_ONCE):
        part = fresh[start : start + AT_ONCE]
        vectors = np.stack([face.vector for face in part]).astype(np.float32)
        ids, scores = index.search(vectors, min(NEAREST, max(1, len(index))))
        rows = gallery.faces.by_id({face_id for face_id in ids.ravel().tolist() if face_id >= 0})
        for face, own_ids, own_scores in zip(part, ids.tolist(), scores.tolist(), strict=True):
            yield _near(face, [(rows[i], s) for i, s in zip(own_ids, own_scores, strict=True) if i in rows])


def _near(face: Fresh, found: Iterable[tuple[EnrolledFace, float]]) -> _Near:
    """found: best first."""
    other: tuple[EnrolledFace | None, float] = (None, -1.0)
    own = None
    for row, score in found:
        if row.person != face.person:
            other = (row, score) if other[0] is None else other
        elif row.sha256 != face.sha256:
            own = score if own is None else own
    return _Near(*other, own)


def _score_at(notes: dict[str, Any], rate: float) -> float | None:
    """The score that so many pairs of strangers reach; None of an encoder that does not tell."""
    table = notes.get("impostors")
    found = from_impostors(table, 1, rate) if isinstance(table, list) else None
    return None if found is None else found.score


def _warning(face: Fresh, kind: Any, reason: str) -> EnrolmentWarning:
    return EnrolmentWarning(face.person, face.photo, kind, reason)
