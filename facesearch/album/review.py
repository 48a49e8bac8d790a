"""What a person says of an album's groups: the review as rows, read back from CSV, and carried out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from facesearch.album.album import Album, AlbumFace
from facesearch.album.table import Table
from facesearch.errors import BadName, BadReview
from facesearch.faces.names import clean_name
from facesearch.files import EMPTY_MARK, of_cell
from facesearch.files import as_cell as as_cell
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.records import F32

NOBODY = EMPTY_MARK
"""As a name: this face is put aside. It is in no group, has no name, and is not asked about again."""
REVIEW = "review.csv"


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One face as a reviewer sees it. group: g7, or empty; fit: its mean cosine to the others of its group;
    nearest, nearest_score: whom of the gallery it resembles; state: new, known (a match of the gallery),
    reviewed, enrolled or aside."""

    group: str
    name: str
    face: str
    photo: str
    x: int
    y: int
    w: int
    h: int
    detector: float
    size_px: int
    sharpness: int
    fit: float | None
    nearest: str
    nearest_score: float | None
    state: str


COLUMNS = tuple(field.name for field in fields(ReviewRow))


@dataclass(frozen=True, slots=True)
class Line:
    """What was read back of a row: only these three count."""

    number: int
    group: str
    name: str
    face: str


@dataclass(frozen=True, slots=True)
class Applied:
    """enrolled: faces a person, new in the gallery; known: faces that were enrolled so before; named, aside,
    unnamed: faces reviewed; groups: what is now a group with a name; elsewhere: (name, photo) that an earlier
    review enrolled and this one calls otherwise."""

    enrolled: dict[str, int]
    known: int
    named: int
    aside: int
    unnamed: int
    people: int
    elsewhere: tuple[tuple[str, str], ...]


def review_rows(album: Album) -> list[ReviewRow]:
    """Every face, the groups still without a name first, larger ones first; within a group those that fit
    best first.
    """
    faces, vectors = album.faces_and_vectors()
    photos: dict[str, str] = {}
    for file in album.files().values():
        photos.setdefault(file.sha256, file.path)
    fit = _fits(np.array([face.group for face in faces], np.int64), vectors)
    sizes = Counter(face.group for face in faces)
    named = {face.group for face in faces if face.name}
    order = sorted(
        range(len(faces)),
        key=lambda i: (
            faces[i].nobody,
            faces[i].group == 0,
            faces[i].group in named,
            -sizes[faces[i].group],
            faces[i].group,
            -fit[i],
            faces[i].face_id,
        ),
    )
    return [_row(faces[i], photos[faces[i].sha256], fit[i]) for i in order]


def read_review(path: Path) -> list[Line]:
    """A review as saved by the page, an editor or a spreadsheet. Columns may stand in any order; others are
    passed over.

    Raises NotFound, BadReview.
    """
    table = Table(path)
    if missing := [name for name in ("group", "name", "face") if name not in table.header]:
        raise BadReview(path, 1, f"no column is called {missing[0]}")
    at = [table.header.index(name) for name in ("group", "name", "face")]
    lines = []
    for number, cells in table.rows():
        if len(cells) <= max(at):
            raise BadReview(path, number, f"it has {len(cells)} cells")
        group, name, face = (cells[i].strip() for i in at)
        lines.append(Line(number, group, of_cell(name), face))
    return lines


def apply(
    album: Album,
    gallery: Path,
    path: Path,
    fpir: float | None,
    *,
    key: Key | None = None,
    encoder_file: str = "",
) -> Applied:
    """Take a review's word for its faces, and enroll those that have a name; makes the gallery when there is
    none.

    A face without a name of its own takes the one name of its group. One name: one group. Faces that are not
    in the file stay as they are. All is checked before anything is changed. Raises NotFound, BadReview,
    EncoderMismatch, CannotWrite, GalleryBusy.
    """
    lines = read_review(path)
    faces, vectors = album.faces_and_vectors()
    chosen = _chosen(lines, {face.key: i for i, face in enumerate(faces)}, path)
    names = _names(lines, path)
    groups = _groups(lines, names, [faces[i] for i in chosen], faces, album)
    photos = {file.sha256: file.path.rpartition("/")[2] for file in reversed(album.files().values())}
    named = [
        NewFace(name, faces[i].sha256, photos[faces[i].sha256], vectors[i], album.detector)
        for name, i in zip(names, chosen, strict=True)
        if name not in ("", NOBODY)
    ]
    added = _enroll(named, album, gallery, fpir, key, encoder_file)
    changes: dict[int, dict[str, object]] = {}
    elsewhere = []
    for name, number, i in zip(names, groups, chosen, strict=True):
        face = faces[i]
        own = "" if name == NOBODY else name
        if face.enrolled and face.enrolled != own:
            elsewhere.append((face.enrolled, photos[face.sha256]))
        changes[face.face_id] = {
            "group": number,
            "name": own,
            # A face that was left as it was has not been spoken of.
            "reviewed": bool(name) or number != face.group or face.reviewed,
            "nobody": name == NOBODY,
            "enrolled": own or face.enrolled,
        }
    album.change(changes)
    count = Counter("aside" if name == NOBODY else "named" if name else "unnamed" for name in names)
    return Applied(
        dict(added),
        len(named) - added.total(),
        count["named"],
        count["aside"],
        count["unnamed"],
        len(set(names) - {"", NOBODY}),
        tuple(elsewhere),
    )


def _enroll(
    named: Sequence[NewFace],
    album: Album,
    gallery: Path,
    fpir: float | None,
    key: Key | None,
    encoder_file: str,
) -> Counter[str]:
    """Enroll the faces that are not enrolled yet; returns how many of each person."""
    with ExitStack() as stack:
        opened = stack.enter_context(Store.open(gallery, key)) if (gallery / FILE).is_file() else None
        if opened is not None:
            opened.require_encoder(album.encoder_id)
        if named and opened is None:
            made = (gallery, album.encoder_id, album.dimension, album.encoder, key)
            opened = stack.enter_context(Store.create(*made, encoder_file=encoder_file))
            opened.require_encoder(album.encoder_id)
        if opened is None:
            return Counter()
        new = [face for face in named if not opened.faces.has_photo(face.person, face.sha256)]
        if new:
            opened.faces.add(new)
            tidy(opened, album.notes, fpir)
        return Counter(face.person for face in new)


def _row(face: AlbumFace, photo: str, fit: float) -> ReviewRow:
    x, y, w, h = (round(value) for value in face.box)
    state = (
        "aside"
        if face.nobody
        else "enrolled"
        if face.name and face.enrolled == face.name
        else "reviewed"
        if face.reviewed
        else ""
    )
    return ReviewRow(
        f"g{face.group}" if face.group else "",
        NOBODY if face.nobody else face.name,
        face.key,
        photo,
        x,
        y,
        w,
        h,
        round(face.score, 3),
        round(face.size_px),
        round(face.sharpness),
        None if not np.isfinite(fit) else round(float(fit), 3),
        face.nearest,
        None if face.nearest_score is None else round(face.nearest_score, 3),
        state or ("known" if face.known else "new"),
    )


def _fits(groups: np.ndarray[tuple[int, ...], np.dtype[np.int64]], vectors: F32) -> F32:
    """Each face's mean cosine to the other faces of its group (n,); -inf for whoever is in none or alone in
    it.
    """
    fit = np.full(len(groups), -np.inf, np.float32)
    for number in np.unique(groups[groups > 0]):
        members = np.flatnonzero(groups == number)
        if len(members) > 1:
            total = vectors[members].sum(axis=0)
            fit[members] = (vectors[members] @ total - 1) / (len(members) - 1)
    return fit


def _chosen(lines: Sequence[Line], by_key: dict[str, int], path: Path) -> list[int]:
    """The face that each line speaks of."""
    chosen: list[int] = []
    seen: dict[str, int] = {}
    for line in lines:
        if line.face not in by_key:
            raise BadReview(
                path,
                line.number,
                f"this scan has no face {line.face!r}: it is a review of another album, or the photo is gone",
            )
        if line.face in seen:
            raise BadReview(
                path, line.number, f"the face {line.face} stands in line {seen[line.face]} already"
            )
        seen[line.face] = line.number
        chosen.append(by_key[line.face])
    return chosen


def _names(lines: Sequence[Line], path: Path) -> list[str]:
    """Each line's name: its own, else the one of its group."""
    own: list[str] = []
    for line in lines:
        try:
            own.append(line.name if line.name in ("", NOBODY) else clean_name(line.name))
        except BadName as error:
            raise BadReview(path, line.number, error.what.rstrip(".")) from error
    of_group: dict[str, set[str]] = {}
    for line, name in zip(lines, own, strict=True):
        if line.group and name not in ("", NOBODY):
            of_group.setdefault(line.group, set()).add(name)
    for i, line in enumerate(lines):
        several = of_group.get(line.group, set())
        if own[i] or not several:
            continue
        if len(several) > 1:
            both = " and ".join(repr(name) for name in sorted(several)[:2])
            raise BadReview(
                path,
                line.number,
                f"the group {line.group} has the names {both}, and this face has none: write a name or"
                " another group",
            )
        own[i] = next(iter(several))
    return own


def _groups(
    lines: Sequence[Line],
    names: Sequence[str],
    chosen: Sequence[AlbumFace],
    every: Iterable[AlbumFace],
    album: Album,
) -> list[int]:
    """Each line's group number. A label keeps its number for the most faces of one name in it; a name has one
    number, the lowest.
    """
    there = {face.group for face in every if face.group}
    of_name: dict[str, int] = {}
    in_file = {face.face_id for face in chosen}
    for face in every:
        if face.name and face.group and face.face_id not in in_file:
            of_name[face.name] = min(face.group, of_name.get(face.name, face.group))
    labels: dict[str, Counter[str]] = {}
    for line, name in zip(lines, names, strict=True):
        if line.group and name != NOBODY:
            labels.setdefault(line.group, Counter())[name] += 1
    own: dict[tuple[str, str], int] = {}
    for label, count in labels.items():
        number = int(label[1:]) if re.fullmatch(r"g[0-9]{1,15}", label) else 0
        if number in there:
            name = min(count, key=lambda n: (-count[n], n))
            own[label, name] = number
            if name:
                of_name[name] = min(number, of_name.get(name, number))
    out = []
    for line, name in zip(lines, names, strict=True):
        key = (line.group, name)
        if name == NOBODY or not (name or line.group):
            out.append(0)
        elif name:
            if name not in of_name:
                of_name[name] = album.new_groups(1)[0]
            out.append(of_name[name])
        else:
            if key not in own:
                own[key] = album.new_groups(1)[0]
            out.append(own[key])
    return out
