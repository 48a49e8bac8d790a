"""Group an album's faces, and keep the groups that people have seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesearch.album.album import Album
from facesearch.album.group import group, join_by_person, settle, usual_threshold


@dataclass(frozen=True, slots=True)
class Arranged:
    """cut: the mean cosine at which groups were told apart; groups there are now, of them new; joined: faces
    that came to a group there was; alone: faces in none; aside: faces that a reviewer put aside, which are
    left out."""

    cut: float
    groups: int
    new: int
    joined: int
    alone: int
    aside: int


def arrange(album: Album, method: str, cut: float | None = None, *, again: bool = False) -> Arranged:
    """Group every face that is in no group yet; those that are stay in theirs, so numbers and names stay what
    they were.

    again: all that no reviewer has seen is grouped again. Groups of one person whom the gallery or a review
    names are joined. What a person said of faces is kept to: see said.py. Raises PackageMissing,
    TooManyFaces.
    """
    faces, vectors = album.faces_and_vectors()
    said = album.said.of(faces)
    free = np.array([i for i in range(len(faces)) if i not in said.aside | said.alone], np.int64)
    aside = len(said.aside)
    if not len(free):
        return Arranged(cut or 0.0, 0, 0, 0, len(said.alone), aside)
    own = vectors[free]
    limit = cut if cut is not None else usual_threshold(own, method) if len(free) > 1 else 0.0
    old = np.array([0 if again and i not in said.kept else faces[i].group for i in free.tolist()], np.int64)
    labels = join_by_person(group(own, method, limit), [faces[i].person for i in free])
    first = int(album.value("next_group"))
    new = settle(old, labels, own, first)
    made = max(0, int(new.max(initial=0)) + 1 - first)
    whole = np.zeros(len(faces), np.int64)
    whole[free] = new
    new = said.corrected(faces, whole)[free]
    album.new_groups(made)
    album.change(
        {
            faces[i].face_id: {"group": int(number)}
            for i, number in zip(free, new, strict=True)
            if number != faces[i].group
        }
    )
    joined = int(((old == 0) & (new > 0) & (new < first)).sum())
    alone = int((new == 0).sum()) + len(said.alone)
    return Arranged(limit, len(np.unique(new[new > 0])), made, joined, alone, aside)
