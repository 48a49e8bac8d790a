"""What a review's lines say, face by face: only what a person has changed is said, and it is said of the
faces that they saw.

A line says nothing where its group and name stand as they were shown. A nameless line takes the one name of
its group where the group had none when it was shown: who named the group saw it. A face that has come to
a named group since never takes that name by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facesearch.album.album import AlbumFace
from facesearch.album.said import Key, Saying
from facesearch.errors import BadName, BadReview
from facesearch.faces.names import clean_name
from facesearch.files import EMPTY_MARK

NOBODY = EMPTY_MARK
"""As a name: this face is put aside. It is in no group, has no name, and is not asked about again."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was read back of a row. refused: who it is said not to be; was: group and name as they were
    shown, None where the review does not tell."""

    number: int
    group: str
    name: str
    face: str
    refused: tuple[str, ...] = ()
    was: tuple[str, str] | None = None


@dataclass(slots=True)
class Word:
    """What is now true of one face: place (among the album's faces), name (NOBODY: put aside) and group
    number. touched: a person said it in this review; moved: by another label than was shown; refused: the
    people it is newly said not to be; not_groups: with which groups it is said not to belong."""

    line: Line
    place: int
    name: str
    touched: bool
    moved: bool
    refused: frozenset[str]
    not_groups: frozenset[int] = frozenset()
    group: int = 0


def label_of(face: AlbumFace) -> str:
    return f"g{face.group}" if face.group else ""


def understood(lines: Sequence[Line], faces: Sequence[AlbumFace], path: Path) -> list[Word]:
    """Each line's name, and whether it was said now. Raises BadReview."""
    by_key = {face.key: i for i, face in enumerate(faces)}
    places = _places(lines, by_key, path)
    own = [_name(line, path) for line in lines]
    labels = {label_of(face): face.group for face in faces if face.group}
    refused = [
        _refused(line, path).difference(faces[i].refused, labels)
        for line, i in zip(lines, places, strict=True)
    ]
    was = [
        line.was or (label_of(faces[i]), NOBODY if faces[i].nobody else faces[i].name)
        for line, i in zip(lines, places, strict=True)
    ]
    of_label: dict[str, set[str]] = {}
    for line, name in zip(lines, own, strict=True):
        if line.group and name not in ("", NOBODY):
            of_label.setdefault(line.group, set()).add(name)
    named_before = {group for group, name in was if group and name not in ("", NOBODY)}
    words = []
    for line, i, name, no, (label, before) in zip(lines, places, own, refused, was, strict=True):
        face, moved = faces[i], line.group != label
        if not name and line.group in of_label:
            seen = moved or before not in ("", NOBODY) or line.group not in named_before
            now = NOBODY if face.nobody else face.name
            later = not moved and before != now  # another review has spoken of it since
            if seen:
                only = _only(line, of_label[line.group], path)
                name = "" if later or only in no.union(() if moved else face.refused) else only
        if name in no:
            said = f"it calls {line.face} {name!r}, and says that it is not them"
            raise BadReview(path, line.number, said)
        touched = moved or name != before
        if not touched:  # as the album has it now, whatever an older review showed
            name = NOBODY if face.nobody else face.name
        groups = frozenset(labels[label] for label in line.refused if label in labels)
        words.append(Word(line, i, name, touched, moved, no - {name}, groups))
    return words


def _name(line: Line, path: Path) -> str:
    try:
        return line.name if line.name in ("", NOBODY) else clean_name(line.name)
    except BadName as error:
        raise BadReview(path, line.number, error.what.rstrip(".")) from error


def _refused(line: Line, path: Path) -> frozenset[str]:
    try:
        return frozenset(clean_name(person) for person in line.refused)
    except BadName as error:
        raise BadReview(path, line.number, error.what.rstrip(".")) from error


def _only(line: Line, names: set[str], path: Path) -> str:
    """The one name of its group."""
    if len(names) > 1:
        both = " and ".join(repr(name) for name in sorted(names)[:2])
        raise BadReview(
            path,
            line.number,
            f"the group {line.group} has the names {both}, and this face has none: write a name or"
            " another group",
        )
    return next(iter(names))


def _places(lines: Sequence[Line], by_key: dict[str, int], path: Path) -> list[int]:
    """The face that each line speaks of."""
    places: list[int] = []
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
        places.append(by_key[line.face])
    return places


def saying_of(words: Sequence[Word], faces: Sequence[AlbumFace], numbers: Sequence[int]) -> Saying:
    """What is to be remembered beside names and groups: who somebody is not, and which faces do not belong
    together.

    numbers (n,): the group of every face of the album, after the review.
    """
    saying = Saying()
    names = [face.name for face in faces]
    for word in words:
        names[word.place] = "" if word.name == NOBODY else word.name
    left: dict[int, list[Word]] = {}
    strangers: dict[tuple[int, int], list[Key]] = {}
    for word in words:
        face = faces[word.place]
        key = _key(face)
        saying.refused |= {(key, person) for person in word.refused}
        for number in word.not_groups:
            strangers.setdefault((number, word.group), []).append(key)
        if not word.touched or word.name == NOBODY:
            continue
        if word.name:
            saying.accepted.add((key, word.name))
        if face.known and word.moved and not word.group:  # its match stood beside it
            saying.refused.add((key, face.nearest))
        if word.moved and face.group and word.group != face.group:
            left.setdefault(face.group, []).append(word)
    members: dict[int, list[int]] = {}
    for i, face in enumerate(faces):
        members.setdefault(face.group, []).append(i)
    for (number, own), keys in strangers.items():
        said = set(keys)
        others = [_key(faces[i]) for i in members.get(number, ()) if numbers[i] != own or not own]
        saying.apart.append((keys, [key for key in others if key not in said]))
    for number, leaving in left.items():
        gone = {word.place for word in leaving}
        stay = [i for i in members[number] if i not in gone]
        _taken_out(saying, leaving, stay, faces, names, numbers)
    _put_together(saying, words, faces, numbers)
    return saying


def _taken_out(
    saying: Saying,
    leaving: Sequence[Word],
    stay: Sequence[int],
    faces: Sequence[AlbumFace],
    names: Sequence[str],
    numbers: Sequence[int],
) -> None:
    """Faces were taken out of a group in which others stay: they are none of those, nor the people
    that those are."""
    people = {names[i] for i in stay if names[i]}
    votes = Counter(faces[i].person for i in stay if faces[i].person)
    likely = {person for person, count in votes.most_common(1) if 2 * count >= len(stay)}
    by_end: dict[int, list[Word]] = {}
    for word in leaving:
        by_end.setdefault(word.group, []).append(word)
        face = faces[word.place]
        not_them = people | (likely & {face.person})
        saying.refused |= {(_key(face), person) for person in not_them - {word.name}}
    for end, own in by_end.items():
        others = [_key(faces[i]) for i in stay if not end or numbers[i] != end]
        if others:
            saying.apart.append(([_key(faces[word.place]) for word in own], others))


def _put_together(
    saying: Saying, words: Sequence[Word], faces: Sequence[AlbumFace], numbers: Sequence[int]
) -> None:
    placed: dict[int, set[Key]] = {}
    for word in words:
        if word.touched and word.group:
            placed.setdefault(word.group, set()).add(_key(faces[word.place]))
    whole: dict[int, set[Key]] = {number: set() for number in placed}
    for face, number in zip(faces, numbers, strict=True):
        if number in whole:
            whole[number].add(_key(face))
    saying.together += [(placed[number], whole[number]) for number in placed]


def _key(face: AlbumFace) -> Key:
    return face.sha256, face.number
