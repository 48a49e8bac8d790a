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
from numpy.typing import NDArray

from facesearch.album.album import Album, AlbumFace
from facesearch.album.group import group, join_by_person, keep_apart, settle, usual_threshold
from facesearch.album.linkage import in_one_photo
from facesearch.album.promise import Believed, Found, add_groups, find_groups
from facesearch.album.said import Said
from facesearch.album.standing import Standing
from facesearch.records import F32, I64, Progress

LEAST_SCORE, LEAST_SHARPNESS = 0.85, 40.0
"""A face of which the detector is less sure, or whose crop has less in it, is blurred, turned away or cut
off, and looks like others of its kind rather than like its person. Measured by scripts/clustering.py."""
_MUCH_NEW = 0.25
"""With so large a share of new faces all are grouped from nothing."""
_ARRANGED = "arranged"
_MOST_PAIRS = 1_000_000


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
    """Whether a face is left out of grouping for its quality: none that a person or the gallery knows."""
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

    again: all that no reviewer has seen is grouped again. Groups of one person that the gallery or a review
    names are joined. No two faces of one photo come into one group. What a person said of faces is kept to:
    see said.py. Raises PackageMissing, TooManyFaces.
    """
    asked = [method, cut, LEAST_SCORE, LEAST_SHARPNESS]
    before = _noted(album)
    if again or before.get("asked") != asked:
        before = {}
    elif before["state"] == _state(album, album.faces()):
        return replace(Arranged(**before["result"]), new=0, joined=0)
    faces, vectors = album.faces_and_vectors()
    said = album.said.of(faces)
    old = np.array(
        [0 if again and i not in said.kept else face.group for i, face in enumerate(faces)], np.int64
    )
    poor = {i for i, face in enumerate(faces) if is_poor(replace(face, group=int(old[i])))}
    free = np.array([i for i in range(len(faces)) if i not in said.aside | said.alone | poor], np.int64)
    heap = _Heap([faces[i] for i in free], vectors[free], old[free], _apart(faces, said, free))
    grouped = _grouped(heap, album, method, cut, before, progress)
    joined = join_by_person(grouped.labels, [face.person for face in heap.faces], heap.photos)
    first = int(album.value("next_group"))
    now = np.zeros(len(faces), np.int64)
    now[free] = settle(heap.old, joined, heap.vectors, heap.photos, first)
    now = said.corrected(faces, now)
    made = max(0, int(now.max(initial=0)) + 1 - first)
    album.new_groups(made)
    changed = [i for i in free.tolist() if now[i] != faces[i].group] + [i for i in poor if faces[i].group]
    album.change({faces[i].face_id: {"group": int(now[i])} for i in changed})
    standing = grouped.standing
    if grouped.found is not None:
        ids = [face.face_id for face in heap.faces]
        standing = standing.and_found(grouped.found, grouped.labels, now[free], ids)
    standing.keep(album)
    numbers = set(now.tolist()) - {0}
    result = Arranged(
        cut=grouped.cut,
        groups=len(numbers),
        new=len({number for number in numbers if number >= first}),
        sure=sum(standing.sure.get(number, (False, 0.0))[0] for number in numbers),
        joined=int(((old == 0) & (now > 0) & (now < first)).sum()),
        alone=int((now == 0).sum()) - len(said.aside),
        poor=len(poor),
        aside=len(said.aside),
        alike=len(standing.alike),
    )
    _note(album, asked, grouped.belief, result)
    return result


@dataclass(frozen=True, slots=True)
class _Heap:
    """The faces that are grouped, with their vectors (n, d), the group of each so far (n,), 0 for none, and
    the pairs (p, 2) that are never put together."""

    faces: list[AlbumFace]
    vectors: F32
    old: I64
    apart: I64

    @property
    def photos(self) -> NDArray[np.str_]:
        return np.array([face.sha256 for face in self.faces], np.str_)


@dataclass(frozen=True, slots=True)
class _Grouped:
    """labels (n,) from 0, -1 for none; found: what tells how sure they are, if anything does; standing: what
    is remembered of older groups; belief: for the faces that come later."""

    labels: I64
    found: Found | None
    standing: Standing
    belief: dict[str, Any] | None
    cut: float | None


def _grouped(
    heap: _Heap,
    album: Album,
    method: str,
    cut: float | None,
    before: dict[str, Any],
    progress: Progress | None,
) -> _Grouped:
    """The groups that there are by now, whatever groups there were."""
    if cut is not None or method != "average":
        enough = len(heap.faces) > 1
        limit = cut if cut is not None else usual_threshold(heap.vectors) if enough else 0.0
        labels = group(heap.vectors, method, limit, heap.apart)
        labels = keep_apart(labels, heap.vectors, heap.photos)
        return _Grouped(labels, None, Standing(), None, limit)
    fresh = np.array([face.face_id > before.get("seen", 0) for face in heap.faces], bool)
    if before.get("belief") and fresh.sum() <= _MUCH_NEW * len(fresh):
        groups = np.where((heap.old == 0) & fresh, -1, heap.old)
        belief = Believed.read(before["belief"])
        found, leaf = add_groups(heap.vectors, groups, heap.apart, belief, progress)
        found = found.of_faces(leaf)
        return _Grouped(found.labels, found, Standing.of(album), before["belief"], None)
    found = find_groups(heap.vectors, heap.apart, album.notes.get("impostors"), progress)
    return _Grouped(found.labels, found, Standing(), asdict(found.by), None)


def _apart(faces: Sequence[AlbumFace], said: Said, free: I64) -> I64:
    """Pairs (p, 2) of the free faces that are two people's: one photo shows both, or a person said so."""
    place = {int(i): at for at, i in enumerate(free)}
    pairs = [in_one_photo(np.array([faces[i].sha256 for i in free], np.str_))]
    for left, right in said.apart:
        a, b = ([place[i] for i in side if i in place] for side in (left, right))
        if a and b and len(a) * len(b) <= _MOST_PAIRS:  # a larger crowd is seen to in the end
            pairs.append(np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2).astype(np.int64))
    return np.concatenate(pairs)


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
        "state": _state(album, faces),
        "seen": max((face.face_id for face in faces), default=0),
        "belief": belief,
        "result": asdict(result),
    }
    album.remember(_ARRANGED, json.dumps(noted))


def _state(album: Album, faces: Sequence[AlbumFace]) -> str:
    """What grouping depends on, in short: which faces there are, and what is said of them."""
    said = album.said.of(faces)
    facts = [(face.face_id, face.group, face.person, face.reviewed, face.nobody) for face in faces]
    refused = sorted((i, sorted(people)) for i, people in said.refused.items())
    apart = sorted((sorted(one), sorted(other)) for one, other in said.apart)
    return hashlib.sha256(repr((facts, refused, apart)).encode()).hexdigest()
