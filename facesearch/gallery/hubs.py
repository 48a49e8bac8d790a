"""Which enrolled photos draw strangers: a few draw most of the wrong names that a gallery gives (hubs,
Radovanovic et al. 2010).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from facesearch.answers import Hub
from facesearch.faces.quality import quality_of
from facesearch.gallery.index.faiss_index import open_for, open_index
from facesearch.gallery.nearest import nearest_to_each
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.records import F32

AT_ONCE = 256
MOST = 10


def hubs(
    gallery: Store, strangers: F32, threshold: Threshold, notes: Mapping[str, Any], most: int = MOST
) -> tuple[Hub, ...]:
    """The enrolled photos that are nearest to most of the strangers who get a name, the worst first.
    strangers (s, d) unit rows, a search each; threshold: what names them; notes: of the encoder.

    Raises CorruptGallery.
    """
    index = open_index(gallery)
    people = index if threshold.by == "best-photo" else open_for(gallery, threshold.by)
    drawn: Counter[int] = Counter()
    named: Counter[int] = Counter()
    for start in range(0, len(strangers), AT_ONCE):
        part = strangers[start : start + AT_ONCE]
        ids, cosines = index.search(part, 1)
        scores: Iterable[float] = cosines[:, 0].tolist()
        if threshold.by != "best-photo":
            scores = (score for _, score in nearest_to_each(gallery, people, part, threshold.by))
        for face_id, score in zip(ids[:, 0].tolist(), scores, strict=True):
            drawn[face_id] += 1
            named[face_id] += score >= threshold.score
    worst = sorted((face_id for face_id in named if named[face_id]), key=lambda i: (-named[i], -drawn[i], i))
    chosen = worst[:most]
    faces, seen = gallery.faces.by_id(chosen), gallery.faces.seen(chosen)
    found_by = gallery.faces.found_by(chosen)
    return tuple(
        Hub(
            faces[i].person,
            faces[i].source,
            faces[i].sha256,
            drawn[i],
            named[i],
            quality_of(seen.get(i), found_by.get(i, ""), notes),
        )
        for i in chosen
        if i in faces
    )
