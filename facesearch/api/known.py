"""What a gallery knows of somebody's photos."""

from __future__ import annotations

from collections.abc import Iterable

from facesearch.answers import EnrolledPhoto
from facesearch.gallery.store.store import Store


def known_photos(store: Store, person: str) -> list[EnrolledPhoto]:
    """Somebody's enrolled photos, by name.

    Raises:
        UnknownPerson: Nobody of this name is enrolled.
        CorruptGallery: A row is damaged.
    """
    ids = store.faces.ids([person]).tolist()
    faces, found_by, seen = store.faces.by_id(ids), store.faces.found_by(ids), store.faces.seen(ids)
    photos = []
    for face_id, face in faces.items():
        known = seen.get(face_id)
        detector = found_by.get(face_id, "")
        if known is None:
            photos.append(EnrolledPhoto(face.source, face.sha256, detector))
            continue
        x, y, w, h = _rounded(known.box)
        points = tuple((px, py) for px, py in map(_rounded, known.landmarks))
        score = round(known.score, 3)
        photos.append(EnrolledPhoto(face.source, face.sha256, detector, (x, y, w, h), points, score))
    return sorted(photos, key=lambda photo: (photo.photo, photo.sha256))


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(value, 1) for value in values)
