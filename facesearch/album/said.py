"""What a person has said of an album's faces, and how every later grouping keeps to it.

Said of a face, which is known by its photo's content and its number there, so that no rescan, renaming or
regrouping loses it:

- it **is** somebody: `AlbumFace.name`; all faces of one name are in one group;
- it is **put aside**: `AlbumFace.nobody`; in no group, and not asked about again;
- it belongs to **no group**: `Said.alone`; it stays in none until somebody says otherwise;
- its **group is right**: `Said.kept`; it keeps that number;
- it is **not** somebody: `Said.refused`; no suggestion, match of a gallery or group makes it that person;
- it does **not belong with** some faces: `Said.apart`; it was taken out of a group in which those were left.

The later word wins. A grouping leaves out `aside` and `alone`, lets `kept` keep their numbers, joins no
two groups of which `may_join` says no, and lets the numbers go through `corrected` last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from facesearch.gallery.store.database import Database
from facesearch.records import I64

SCHEMA = """
CREATE TABLE refused (sha256 TEXT NOT NULL, number INTEGER NOT NULL, person TEXT NOT NULL,
                      PRIMARY KEY (sha256, number, person)) WITHOUT ROWID;
CREATE TABLE apart (sha256 TEXT NOT NULL, number INTEGER NOT NULL, crowd INTEGER NOT NULL,
                    PRIMARY KEY (sha256, number, crowd)) WITHOUT ROWID;
CREATE TABLE crowds (crowd INTEGER NOT NULL, sha256 TEXT NOT NULL, number INTEGER NOT NULL,
                     PRIMARY KEY (crowd, sha256, number)) WITHOUT ROWID;
"""
Key = tuple[str, int]
"""A face: its photo's sha256, and its number there."""
LIKELY_SHARE = 0.25
"""A group is taken for somebody's when so many of its faces match them."""


class Face(Protocol):
    """As much of an AlbumFace as is asked for here."""

    @property
    def sha256(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def reviewed(self) -> bool: ...
    @property
    def nobody(self) -> bool: ...
    @property
    def person(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a list of faces, by their place in it. apart: (faces, those with which they may not be
    in a group)."""

    aside: frozenset[int]
    alone: frozenset[int]
    kept: frozenset[int]
    refused: Mapping[int, frozenset[str]]
    apart: Sequence[tuple[frozenset[int], frozenset[int]]]

    def may_join(self, faces: Sequence[Face], one: Iterable[int], other: Iterable[int]) -> bool:
        """Whether nothing said is against these two sets of faces being one person."""
        left, right = set(one), set(other)
        names = [{faces[i].name for i in side if faces[i].name} for side in (left, right)]
        if names[0] and names[1] and names[0] != names[1]:
            return False
        if any(self.refused.get(i, frozenset()) & names[1] for i in left):
            return False
        if any(self.refused.get(i, frozenset()) & names[0] for i in right):
            return False
        return not any((a & left and b & right) or (a & right and b & left) for a, b in self.apart)

    def corrected(self, faces: Sequence[Face], numbers: I64) -> I64:
        """The group numbers (n,) with 0 for faces that may not be where a grouping has put them. A face stays
        where a person has put it.
        """
        out = numbers.copy()
        members: dict[int, list[int]] = {}
        for i, number in enumerate(out.tolist()):
            if number:
                members.setdefault(number, []).append(i)
        for own in members.values():
            people = _people_of([faces[i] for i in own])
            for i in own:
                if i not in self.kept and self.refused.get(i, frozenset()) & people:
                    out[i] = 0
        for left, right in self.apart:
            for number in {int(out[i]) for i in left} & {int(out[i]) for i in right} - {0}:
                here = [i for i in left if out[i] == number]
                there = [i for i in right if out[i] == number]
                loose = [i for i in here if i not in self.kept]
                if len(loose) < len(here):  # somebody put one of them here
                    loose += [i for i in there if i not in self.kept]
                out[loose] = 0
        return out


@dataclass(slots=True)
class Saying:
    """What is to be noted, all in one step. refused, accepted: (face, person); apart: (faces, those with
    which they do not belong); together: (faces that were put into a group, all faces of it)."""

    refused: set[tuple[Key, str]] = field(default_factory=set)
    accepted: set[tuple[Key, str]] = field(default_factory=set)
    apart: list[tuple[list[Key], list[Key]]] = field(default_factory=list)
    together: list[tuple[set[Key], set[Key]]] = field(default_factory=list)


class SaidTables:
    """The tables of an album's file in which it stands."""

    def __init__(self, database: Database, *, there: bool) -> None:
        """there: whether the file has such tables; one of an earlier version that may not be written has
        none."""
        self._database, self._there = database, there

    def refused(self) -> dict[Key, tuple[str, ...]]:
        """Who each face is said not to be."""
        out: dict[Key, tuple[str, ...]] = {}
        for sha256, number, person in self._all("SELECT sha256, number, person FROM refused"):
            out[sha256, number] = (*out.get((sha256, number), ()), person)
        return out

    def of(self, faces: Sequence[Face]) -> Said:
        """What was said of these faces."""
        place = {(face.sha256, face.number): i for i, face in enumerate(faces)}
        refused: dict[int, frozenset[str]] = {
            place[key]: frozenset(people) for key, people in self.refused().items() if key in place
        }
        left: dict[int, set[int]] = {}
        right: dict[int, set[int]] = {}
        for table, side in (("apart", left), ("crowds", right)):
            for sha256, number, crowd in self._all(f"SELECT sha256, number, crowd FROM {table}"):
                if (sha256, number) in place:
                    side.setdefault(crowd, set()).add(place[sha256, number])
        apart = [(frozenset(left[c]), frozenset(right[c])) for c in sorted(left.keys() & right.keys())]
        aside = frozenset(i for i, face in enumerate(faces) if face.nobody)
        alone = frozenset(
            i
            for i, face in enumerate(faces)
            if face.reviewed and not (face.group or face.name or face.nobody)
        )
        kept = frozenset(i for i, face in enumerate(faces) if face.group and (face.name or face.reviewed))
        return Said(aside, alone, kept, refused, apart)

    def note(self, saying: Saying) -> None:
        """Keep it, and let go of what it contradicts: the later word wins."""
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO refused VALUES (?, ?, ?)",
                [(*key, person) for key, person in sorted(saying.refused)],
            )
            db.executemany(
                "DELETE FROM refused WHERE sha256 = ? AND number = ? AND person = ?",
                [(*key, person) for key, person in sorted(saying.accepted)],
            )
            apart = list(saying.apart)
            rows, crowds = self._crowds() if saying.together else ([], {})
            group_of = {key: group for group in saying.together for key in group[1]}
            for face, crowd in rows:
                placed, whole = group_of.get(face, (set(), set()))
                if crowds.get(crowd, set()) & (whole if face in placed else placed):
                    # They are together now; from the others of that crowd it stays apart.
                    words = "DELETE FROM apart WHERE sha256 = ? AND number = ? AND crowd = ?"
                    db.execute(words, (*face, crowd))
                    apart.append(([face], sorted(crowds[crowd] - whole)))
            crowd = int(db.execute("SELECT coalesce(max(crowd), 0) FROM crowds").fetchone()[0])
            for faces, others in apart:
                crowd += bool(others)
                db.executemany(
                    "INSERT INTO apart VALUES (?, ?, ?)", [(*key, crowd) for key in faces if others]
                )
                db.executemany("INSERT INTO crowds VALUES (?, ?, ?)", [(crowd, *key) for key in others])

    def carry(self, pairs: Iterable[tuple[Key, Key]]) -> None:
        """What was said of the first of each two is said of the second as well: it is the same face."""
        with self._database.transaction() as db:
            for old, new in pairs:
                for table, rest in (("refused", "person"), ("apart", "crowd"), ("crowds", "crowd")):
                    db.execute(
                        f"INSERT OR IGNORE INTO {table} (sha256, number, {rest})"
                        f" SELECT ?, ?, {rest} FROM {table} WHERE sha256 = ? AND number = ?",
                        (*new, *old),
                    )

    def _crowds(self) -> tuple[list[tuple[Key, int]], dict[int, set[Key]]]:
        """(face, crowd) of each face that was taken out, and the faces of each crowd."""
        crowds: dict[int, set[Key]] = {}
        for sha256, number, crowd in self._all("SELECT sha256, number, crowd FROM crowds"):
            crowds.setdefault(crowd, set()).add((sha256, number))
        rows = self._all("SELECT sha256, number, crowd FROM apart ORDER BY crowd")
        return [((sha256, number), crowd) for sha256, number, crowd in rows], crowds

    def _all(self, sql: str) -> list[Any]:
        return self._database.all(sql) if self._there else []


def _people_of(faces: Sequence[Face]) -> set[str]:
    """Whose group this is: the people named in it, and the one that many of its faces match."""
    votes = Counter(face.person for face in faces if face.person)
    likely = {person for person, count in votes.most_common(1) if count >= LIKELY_SHARE * len(faces)}
    return {face.name for face in faces if face.name} | likely
