"""Lists of pairs in the form of Labeled Faces in the Wild: `pairs.txt` beside one folder a person.

    10      300                                  folds, and pairs of either kind in each
    Abel_Pacheco    1       4                    one person: Abel_Pacheco/Abel_Pacheco_0001.jpg and _0004.jpg
    Abdel_Madi_Shabneh      1       Dean_Barker  1     a pair of two people
In each fold the pairs of one person come first. Words are separated by tabs, or by blanks where a line
has no tab.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.datasets.sources import read_lines, stay_inside
from facesearch.errors import BadTable
from facesearch.faces.photos import SUFFIXES
from facesearch.records import I64, Bools

MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class PhotoName:
    """The number-th photo of a person, counted from 1."""

    person: str
    number: int

    def find(self, root: Path) -> Path:
        """Where it lies below root: `Name/Name_0001.jpg`, or with another suffix of a picture; the .jpg when
        none is there.
        """
        usual = root / self.person / f"{self.person}_{self.number:04d}.jpg"
        if usual.is_file():
            return usual
        others = (usual.with_name(usual.stem + suffix) for suffix in sorted(SUFFIXES))
        return next((path for path in others if path.is_file()), usual)


@dataclass(frozen=True)
class PairList:
    """photos: every photo that is named, once; first, second (p,) int64 numbers into it; same (p,) bool; fold
    (p,) int64.
    """

    path: Path
    folds: int
    photos: tuple[PhotoName, ...]
    first: I64
    second: I64
    same: Bools
    fold: I64

    def __len__(self) -> int:
        return len(self.first)


def read_pairs(table: Path) -> PairList:
    """Read a pairs.txt. Raises CannotRead, or BadTable naming the line that does not fit."""
    lines = read_lines(table)
    while lines and not lines[-1].strip():
        lines.pop()
    folds, each = _header(table, lines[0] if lines else "")
    expected = 1 + 2 * folds * each
    if len(lines) != expected:
        what = f"{folds} folds of {each} + {each} pairs make {expected - 1} lines after the first"
        raise BadTable(table, min(len(lines), expected) + 1, f"{what}, this file has {len(lines) - 1}")
    numbers: dict[PhotoName, int] = {}
    pairs = np.empty((len(lines) - 1, 2), np.int64)
    place = np.arange(len(pairs))
    same = place % (2 * each) < each
    for row, text in enumerate(lines[1:]):
        for side, photo in enumerate(_pair(table, row + 2, text, one_person=bool(same[row]))):
            pairs[row, side] = numbers.setdefault(photo, len(numbers))
    return PairList(table, folds, tuple(numbers), pairs[:, 0], pairs[:, 1], same, place // (2 * each))


def _header(table: Path, text: str) -> tuple[int, int]:
    words = text.split()
    if len(words) != 2:
        raise BadTable(
            table,
            1,
            "expected two numbers, folds and pairs of either kind in each (LFW: 10 300), found"
            f" {text[:60]!r}",
        )
    folds, each = (_number(table, 1, word) for word in words)
    if folds < 2:
        raise BadTable(
            table, 1, "there must be two folds at least: the threshold of each comes from the others"
        )
    return folds, each


def _pair(table: Path, line: int, text: str, *, one_person: bool) -> tuple[PhotoName, PhotoName]:
    words = [word.strip() for word in text.split("\t")] if "\t" in text else text.split()
    wanted = "a pair of one person (Name n1 n2)" if one_person else "a pair of two people (Name1 n1 Name2 n2)"
    if len(words) != (3 if one_person else 4):
        raise BadTable(table, line, f"expected {wanted}, found {len(words)} words")
    if one_person:
        words.insert(2, words[0])
    first, second = (
        PhotoName(_person(table, line, words[i]), _number(table, line, words[i + 1])) for i in (0, 2)
    )
    if first == second:
        raise BadTable(table, line, "a photo is paired with itself")
    if not one_person and first.person == second.person:
        raise BadTable(table, line, f"expected {wanted}, found {first.person!r} twice")
    return first, second


def _person(table: Path, line: int, name: str) -> str:
    if not name or "/" in name or "\\" in name or "\0" in name:
        raise BadTable(table, line, f"{name!r} is no name of a folder")
    stay_inside(table, line, name)
    return name


def _number(table: Path, line: int, word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS and int(word) > 0):
        raise BadTable(table, line, f"{word[:20]!r} is not a number from 1 up")
    return int(word)
