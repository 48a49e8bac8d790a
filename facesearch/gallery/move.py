"""Give some of a person's photos to somebody else: how a photo under the wrong name is corrected without its
file.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.errors import BadName, UnknownPhoto
from facesearch.faces.names import clean_name, usual_form
from facesearch.gallery.forget import forget
from facesearch.gallery.milvus.projections import Access
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.records import F32, Tell


@dataclass(frozen=True, slots=True)
class Moved:
    """photos: how many are under the new name now; known: how many of them were there already; left: what the
    old name keeps.
    """

    photos: int
    known: int
    left: int


def move(
    person: str,
    contents: Collection[str],
    to: str,
    folder: Path,
    tell: Tell,
    *,
    key: Key | None = None,
    access: Access = Access(),  # noqa: B008 - it is frozen
) -> Moved:
    """Enroll the photos with these SHA-256 hashes under `to`, by the vectors the gallery has, then forget
    them under `person`.

    In this order, so that a kill in between loses nothing: the same call goes on. Raises UnknownPerson,
    UnknownPhoto when none of the photos is the person's, BadName; NotErasedYet and StillThere as forget does.
    """
    person, to = usual_form(person), clean_name(to)
    if person == to:
        raise BadName(to, "that is the name they have already")
    with Store.open(folder, key) as gallery:
        own = gallery.faces.by_id(gallery.faces.ids([person]).tolist())
        chosen = [face for face in own.values() if face.sha256 in contents]
        if not chosen:
            raise UnknownPhoto(person)
        ids = [face.face_id for face in chosen]
        vectors, found_by = gallery.faces.vectors_at(ids), gallery.faces.found_by(ids)
        seen = gallery.faces.seen(ids)
        new = gallery.faces.add(
            [
                NewFace(
                    to,
                    face.sha256,
                    face.source,
                    _unit(vectors[face.face_id]),
                    found_by.get(face.face_id, ""),
                    seen.get(face.face_id),
                )
                for face in chosen
            ]
        )
    forget(person, folder, (), tell, contents={face.sha256 for face in chosen}, key=key, access=access)
    return Moved(len(chosen), len(chosen) - new, len(own) - len(chosen))


def _unit(vector: F32) -> F32:
    """On disk it is in float16, whose length is not quite 1."""
    return vector / np.linalg.norm(vector)
