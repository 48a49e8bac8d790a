"""Give some of a person's photos to somebody else: how a photo under the wrong name is mended without its file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.errors import BadName, UnknownPerson, UnknownPhoto
from facesearch.gallery.rows import NewFace, clean_name, usual_form
from facesearch.gallery.store import Gallery
from facesearch.jobs.erase import forget
from facesearch.records import Tell


@dataclass(frozen=True, slots=True)
class Moved:
    """photos: how many are under the new name now; known: how many of them were there already; left: what the old name keeps."""

    photos: int
    known: int
    left: int


def move(person: str, contents: Collection[str], to: str, folder: Path, tell: Tell) -> Moved:
    """Enroll the photos with these SHA-256 hashes under `to`, by the vectors the gallery has, then forget them under `person`.

    In this order, so that a kill in between loses nothing: the same call goes on. Raises UnknownPerson, UnknownPhoto when none
    of the photos is the person's, BadName; NotErasedYet and StillThere as forget does.
    """
    person, to = usual_form(person), clean_name(to)
    if person == to:
        raise BadName(to, "that is the name they have already")
    with Gallery.open(folder) as gallery:
        faces, vectors = gallery.enrolled()
        own = [i for i, face in enumerate(faces) if face.person == person]
        if not own:
            raise UnknownPerson(person, ())
        chosen = [i for i in own if faces[i].sha256 in contents]
        if not chosen:
            raise UnknownPhoto(person)
        unit = vectors[chosen] / np.linalg.norm(vectors[chosen], axis=1, keepdims=True)  # float16 on disk
        new = gallery.add([NewFace(to, faces[i].sha256, faces[i].source, v) for i, v in zip(chosen, unit, strict=True)])
    forget(person, folder, (), tell, contents={faces[i].sha256 for i in chosen})
    return Moved(len(chosen), len(chosen) - new, len(own) - len(chosen))
