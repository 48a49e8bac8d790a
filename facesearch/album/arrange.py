"""Group an album's faces, and keep the groups that people have seen.

The album remembers what its groups were made of. Where nothing has changed since, nothing is done; faces that
are new are compared with all others, and nothing else; all is grouped from nothing when that is asked for, or
when much is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from facesearch.album.album import Album, AlbumFace
from facesearch.album.group import group, join_by_person, keep_apart, settle, usual_threshold
from facesearch.album.linkage import in_one_photo
from facesearch.album.promise import Believed, add_groups, find_groups
from facesearch.album.standing import Standing
from facesearch.records import Progress

LEAST_SCORE, LEAST_SHARPNESS = 0.85, 40.0
"""A face of which the detector is less sure, or whose crop has less in it, is blurred, turned away or cut
off, and looks like others of its kind rather than like its person. Measured by scripts/clustering.py."""
_MUCH_NEW = 0.25
"""With so large a share of new faces all are grouped from nothing."""
_ARRANGED = "arranged"


@dataclass(frozen=True, slots=True)
class Arranged:
    """cut: the mean cosine at which groups were told apart, None where the promise tells them; groups there
    are now, of them new, and how many are sure; joined: faces that came to a group there was; alone: faces in
    none, of them poor: not grouped for their quality; aside: faces that a reviewer put aside, which are left
    out; alike: pairs of groups that are perhaps one person's."""

    cut: float | None
    groups: int
    new: int
    sure: int
    joined: int
    alone: int
    poor: int
    aside: int
    alike: int


def is_poor(face: AlbumFace) -> bool:
    """Whether a face is left out of grouping for its quality. Never one that a person or the gallery knows."""
    poor = face.score < LEAST_SCORE or face.sharpness < LEAST_SHARPNESS
    return poor and not (face.person or face.reviewed or face.nobody or face.group)


def arrange(
    album: Album,
    method: str,
    cut: float | None = None,
    *,
    again: bool = False,
    progress: Progress | None = None,
) -> Arranged:
    """Group every face that is in no group yet; those that are stay in theirs, so numbers and names stay what
    they were.

    again: all that no reviewer has seen is grouped again. Groups of one person whom the gallery or a review
    names are joined. No two faces of one photo come into one group. Raises PackageMissing, TooManyFaces.
    """
    before = _noted(album)
    asked = [method, cut, LEAST_SCORE, LEAST_SHARPNESS]
    known = before.get("asked") == asked and not again
    if known and before.get("state") == _state(album.faces()):
        return replace(Arranged(**before["result"]), new=0, joined=0)
    faces, vectors = album.faces_and_vectors()
    started = [replace(face, group=0) if again and not face.reviewed else face for face in faces]
    free = np.array([i for i, face in enumerate(started) if not face.nobody and not is_poor(face)], np.int64)
    own, old = vectors[free], np.array([started[i].group for i in free], np.int64)
    photos = np.array([faces[i].sha256 for i in free], np.str_)
    seen = before.get("seen", 0) if known else 0  # faces have rising numbers
    fresh = np.array([faces[i].face_id > seen for i in free], bool)
    belief, limit, standing = before.get("belief") if known else None, None, Standing.of(album)
    found = None
    if cut is not None or method != "average":
        limit = cut if cut is not None else usual_threshold(own) if len(free) > 1 else 0.0
        labels = keep_apart(group(own, method, limit, in_one_photo(photos)), own, photos)
        standing, belief = Standing(), None
    elif belief is not None and fresh.mean() <= _MUCH_NEW:
        groups = np.where((old == 0) & fresh, -1, old)
        found, leaf = add_groups(own, groups, in_one_photo(photos), Believed.read(belief), progress)
        found = found.of_faces(leaf)
        labels = found.labels
    else:
        found = find_groups(own, in_one_photo(photos), album.notes.get("impostors"), progress)
        labels, standing, belief = found.labels, Standing(), asdict(found.by)
    joined = join_by_person(labels, [faces[i].person for i in free], photos)
    first = int(album.value("next_group"))
    new = settle(old, joined, own, photos, first)
    made = max(0, int(new.max(initial=0)) + 1 - first)
    album.new_groups(made)
    ids = [faces[i].face_id for i in free]
    album.change(
        {
            face_id: {"group": int(number)}
            for face_id, number, i in zip(ids, new, free, strict=True)
            if number != faces[i].group
        }
    )
    if found is not None:
        standing = standing.and_found(found, labels, new, ids)
    standing.keep(album)
    numbers = np.unique(new[new > 0])
    result = Arranged(
        cut=limit,
        groups=len(numbers),
        new=made,
        sure=sum(standing.sure.get(int(number), (False, 0.0))[0] for number in numbers),
        joined=int(((old == 0) & (new > 0) & (new < first)).sum()),
        alone=int((new == 0).sum()) + sum(is_poor(face) for face in started),
        poor=sum(is_poor(face) for face in started),
        aside=sum(face.nobody for face in faces),
        alike=len(standing.alike),
    )
    _note(album, asked, belief, result)
    return result


def _noted(album: Album) -> dict[str, Any]:
    """What was noted of the last grouping. An album may come from anybody: what is none counts as nothing."""
    try:
        noted = json.loads(album.value(_ARRANGED) or "{}")
        Arranged(**noted["result"])
        if noted["belief"] is not None:
            Believed.read(noted["belief"])
        return {
            "seen": int(noted["seen"]),
            **{key: noted[key] for key in ("asked", "state", "belief", "result")},
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _note(album: Album, asked: Sequence[object], belief: dict[str, Any] | None, result: Arranged) -> None:
    faces = album.faces()
    noted = {
        "asked": asked,
        "state": _state(faces),
        "seen": max((face.face_id for face in faces), default=0),
        "belief": belief,
        "result": asdict(result),
    }
    album.remember(_ARRANGED, json.dumps(noted))


def _state(faces: Sequence[AlbumFace]) -> str:
    """What grouping depends on, in short: which faces there are, and what is said of them."""
    facts = [(face.face_id, face.group, face.person, face.reviewed, face.nobody) for face in faces]
    return hashlib.sha256(repr(facts).encode()).hexdigest()
