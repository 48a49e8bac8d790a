"""What a person says of an album's groups: the review as rows, read back from CSV, and carried out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from facesearch.album.album import Album, AlbumFace
from facesearch.album.arrange import is_poor
from facesearch.album.names_elsewhere import names_in_photos
from facesearch.album.said import Said
from facesearch.album.standing import Standing
from facesearch.album.table import Table
from facesearch.album.understood import NOBODY as NOBODY
from facesearch.album.understood import Line, Word, label_of, saying_of, understood
from facesearch.errors import BadReview
from facesearch.files import as_cell as as_cell
from facesearch.files import of_cell
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.records import F32

REVIEW = "review.csv"


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One face as a reviewer sees it. group: g7, or empty; fit: its mean cosine to the others of its group;
    nearest, nearest_score: the person of the gallery that it resembles; state: new, known (a match of the
    gallery), reviewed, enrolled, aside or poor (not grouped for its quality). suggested: who it may be, by
    its group's name or the gallery; refused: who it was said not to be; also: other files that show the same
    photo; in_photo: the name that the photo, or a sidecar beside it, gives the face; was: group and name as
    they stand here. level: whether its group is sure or perhaps one person's, empty where
    nothing tells; likely: how likely all of the group is; perhaps: other groups that are perhaps the same
    person's, or of a face in none, the one where it perhaps belongs."""

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
    suggested: str
    refused: str
    also: str
    in_photo: str
    was: str
    level: str = ""
    likely: float | None = None
    perhaps: str = ""


SEVERAL = " | "
"""Between several people, or files, in one cell."""
REFUSED = "not"
"""What the column is called in which a reviewer writes who a face is not."""
NO_GROUP = "."
"""As a group in the column `was`, whose cells are never empty nor formulas."""
_NEEDED = ("group", "name", "face")
COLUMNS = tuple({"refused": REFUSED}.get(field.name, field.name) for field in fields(ReviewRow))


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
    photos: dict[str, list[str]] = {}
    for file in album.files().values():
        photos.setdefault(file.sha256, []).append(file.path)
    names: dict[int, str] = {face.group: face.name for face in faces if face.name}
    fit = _fits(np.array([face.group for face in faces], np.int64), vectors)
    sizes = Counter(face.group for face in faces)
    standing = Standing.of(album)
    perhaps = _perhaps(standing, faces, album.said.of(faces))
    named = {face.group for face in faces if face.name}
    order = sorted(
        range(len(faces)),
        key=lambda i: (
            faces[i].nobody,
            faces[i].group == 0,
            is_poor(faces[i]),
            faces[i].group in named,
            not standing.sure.get(faces[i].group, (False, 0.0))[0],
            -sizes[faces[i].group],
            faces[i].group,
            not faces[i].name,
            -fit[i],
            faces[i].face_id,
        ),
    )
    said = names_in_photos(album, faces)
    rows = []
    for i in order:
        face = faces[i]
        row = _row(face, photos[face.sha256], fit[i], names.get(face.group, ""), said)
        others = perhaps.get(face.group if face.group else -face.face_id, [])
        labels = SEVERAL.join(f"g{number}" for number in others if not face.nobody)
        sure, likely = standing.sure.get(face.group, (False, None))
        level = "" if likely is None else "sure" if sure else "perhaps"
        rows.append(replace(row, level=level, likely=likely, perhaps=labels))
    return rows


def _perhaps(standing: Standing, faces: Sequence[AlbumFace], said: Said) -> dict[int, list[int]]:
    """The groups that are perhaps the same person's as a group, the most likely first; and of a face in none,
    by its id below zero. What a person has denied is not asked again.
    """
    members: dict[int, list[int]] = {}
    for i, face in enumerate(faces):
        members.setdefault(face.group, []).append(i)
    out: dict[int, list[int]] = {}
    for one, other, _ in sorted(standing.alike, key=lambda pair: -pair[2]):
        if one in members and other in members and said.may_join(faces, members[one], members[other]):
            out.setdefault(one, []).append(other)
            out.setdefault(other, []).append(one)
    for i in members.get(0, ()):
        number = standing.leans.get(faces[i].face_id, 0)
        if number in members and number and said.may_join(faces, [i], members[number]):
            out[-faces[i].face_id] = [number]
    return out


def read_review(path: Path) -> list[Line]:
    """A review as saved by the page, an editor or a spreadsheet. Columns may stand in any order; others are
    passed over.

    Raises NotFound, BadReview.
    """
    table = Table(path)
    if missing := [name for name in _NEEDED if name not in table.header]:
        raise BadReview(path, 1, f"no column is called {missing[0]}")
    at = {name: table.header.index(name) for name in (*_NEEDED, REFUSED, "was") if name in table.header}
    lines = []
    for number, cells in table.rows():
        if len(cells) <= max(at[name] for name in _NEEDED):
            raise BadReview(path, number, f"it has {len(cells)} cells")
        said = {name: cells[i].strip() for name, i in at.items() if i < len(cells)}
        refused = of_cell(said.get(REFUSED, "")).split(SEVERAL)
        lines.append(
            Line(
                number,
                said["group"],
                of_cell(said["name"]),
                said["face"],
                tuple(of_cell(person) for person in refused if person),
                _was(said.get("was", "")),
            )
        )
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

    Only what was changed is said: see understood.py. One name: one group. Faces that are not in the file stay
    as they are. All is checked before anything is changed. Raises NotFound, BadReview, EncoderMismatch,
    CannotWrite, GalleryBusy.
    """
    lines = read_review(path)
    faces, vectors = album.faces_and_vectors()
    words = understood(lines, faces, path)
    numbers = _groups(words, faces, album)
    photos = {file.sha256: file.path.rpartition("/")[2] for file in reversed(album.files().values())}
    named = [
        NewFace(
            word.name, faces[i].sha256, photos[faces[i].sha256], vectors[i], album.detector, faces[i].seen()
        )
        for word, i in ((word, word.place) for word in words)
        if word.name not in ("", NOBODY)
    ]
    added = _enroll(named, album, gallery, fpir, key, encoder_file)
    saying = saying_of(words, faces, numbers)
    album.said.note(saying)
    changes = _changes(words, faces, numbers)
    for face in faces:
        if face.known and ((face.sha256, face.number), face.nearest) in saying.refused:
            changes.setdefault(face.face_id, {}).update(nearest="", nearest_score=None, known=False)
    album.change(changes)
    elsewhere = [
        (faces[word.place].enrolled, photos[faces[word.place].sha256])
        for word in words
        if faces[word.place].enrolled not in ("", word.name)
    ]
    count = Counter("aside" if word.name == NOBODY else "named" if word.name else "unnamed" for word in words)
    return Applied(
        dict(added),
        len(named) - added.total(),
        count["named"],
        count["aside"],
        count["unnamed"],
        len({word.name for word in words} - {"", NOBODY}),
        tuple(elsewhere),
    )


def _changes(
    words: Sequence[Word], faces: Sequence[AlbumFace], numbers: Sequence[int]
) -> dict[int, dict[str, object]]:
    """What each face's row is to say from now on."""
    joined = {word.group for word in words if word.moved and word.group and not word.name}
    changes: dict[int, dict[str, object]] = {
        face.face_id: {"group": number, "reviewed": face.reviewed or number in joined}
        for face, number in zip(faces, numbers, strict=True)
        if number != face.group or (number in joined and not face.reviewed)
    }
    for word in words:
        face = faces[word.place]
        own = "" if word.name == NOBODY else word.name
        asked_again = face.nobody and not word.name and not word.group
        changes.setdefault(face.face_id, {}).update(
            group=word.group,
            name=own,
            # A face that was left as it was has not been spoken of.
            reviewed=not asked_again
            and (bool(word.name) or word.moved or word.group in joined or face.reviewed),
            nobody=word.name == NOBODY,
            enrolled=own or face.enrolled,
        )
    return changes


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


def _row(face: AlbumFace, photos: Sequence[str], fit: float, person: str, said: dict[str, str]) -> ReviewRow:
    """person: whose group it is in; said: what photos call faces."""
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
    label, name = label_of(face), NOBODY if face.nobody else face.name
    suggested = "" if person in face.refused else person
    return ReviewRow(
        label,
        name,
        face.key,
        photos[0],
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
        state or ("known" if face.person and not suggested else "poor" if is_poor(face) else "new"),
        "" if name else suggested or face.person,
        SEVERAL.join(sorted(face.refused)),
        SEVERAL.join(photos[1:]),
        "" if (called := said.get(face.key, "")) in face.refused else called,
        f"{label or NO_GROUP} {name}".strip(),
    )


def _fits(groups: np.ndarray[tuple[int, ...], np.dtype[np.int64]], vectors: F32) -> F32:
    """Each face's mean cosine to the other faces of its group (n,); -inf for faces that are in none or alone
    in it.
    """
    fit = np.full(len(groups), -np.inf, np.float32)
    order = np.argsort(groups, kind="stable")
    starts = np.unique(groups[order], return_index=True)[1]
    for members in np.split(order, starts[1:]):
        if len(members) > 1 and groups[members[0]] > 0:
            total = vectors[members].sum(axis=0)
            fit[members] = (vectors[members] @ total - 1) / (len(members) - 1)
    return fit


def _groups(words: Sequence[Word], faces: Sequence[AlbumFace], album: Album) -> list[int]:
    """The group number of every face of the album, which each word's is set to. A label keeps its number for
    the most faces of one name in it; a name has one number, the lowest.
    """
    there = {face.group for face in faces if face.group}
    numbers = [face.group for face in faces]
    names = [face.name for face in faces]
    of_name: dict[str, int] = {}
    touched = {word.place for word in words if word.touched}
    for i, face in enumerate(faces):
        if face.name and face.group and i not in touched:
            of_name[face.name] = min(face.group, of_name.get(face.name, face.group))
    labels: dict[str, Counter[str]] = {}
    for word in words:
        if word.line.group and word.name != NOBODY:
            labels.setdefault(word.line.group, Counter())[word.name] += 1
    own: dict[tuple[str, str], int] = {}
    for label, count in labels.items():
        number = int(label[1:]) if re.fullmatch(r"g[0-9]{1,15}", label) else 0
        if number in there:
            name = min(count, key=lambda n: (-count[n], n))
            own[label, name] = number
            if name:
                of_name[name] = min(number, of_name.get(name, number))
    for word in words:
        if word.touched:
            numbers[word.place] = _number_of(word, of_name, own, album)
            names[word.place] = "" if word.name == NOBODY else word.name
    _follow(numbers, names, faces, of_name)
    who = {number: name for number, name in zip(numbers, names, strict=True) if name}
    for word in words:
        if not word.name and who.get(numbers[word.place]) in word.refused.union(faces[word.place].refused):
            numbers[word.place] = 0
        if not word.name and numbers[word.place] in word.not_groups:
            numbers[word.place] = 0
        word.group = numbers[word.place]
    return numbers


def _number_of(word: Word, of_name: dict[str, int], own: dict[tuple[str, str], int], album: Album) -> int:
    """The group of a face of which this review speaks."""
    label, name = word.line.group, word.name
    if name == NOBODY or not (name or label):
        return 0
    if name:
        if name not in of_name:
            of_name[name] = album.new_groups(1)[0]
        return of_name[name]
    if (label, name) not in own:
        own[label, name] = album.new_groups(1)[0]
    return own[label, name]


def _follow(
    numbers: list[int], names: Sequence[str], faces: Sequence[AlbumFace], of_name: dict[str, int]
) -> None:
    """A face that has a name goes into its group; those suggested to be that person go with it."""
    moved: dict[int, int] = {}
    for i, name in enumerate(names):
        if name and name in of_name and numbers[i] != of_name[name]:
            moved[numbers[i]] = numbers[i] = of_name[name]
    for i, name in enumerate(names):
        if not name and not faces[i].reviewed and numbers[i] == faces[i].group and numbers[i] in moved:
            numbers[i] = moved[numbers[i]]


def _was(cell: str) -> tuple[str, str] | None:
    """Group and name as they were shown; None where the cell does not tell."""
    if not cell:
        return None
    group, _, name = cell.partition(" ")
    return "" if group == NO_GROUP else group, name
