"""What a gallery is made of: the nouns of the store, and what makes a row right."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from facesearch.errors import BadName, counted
from facesearch.faces.names import LONGEST_NAME, kept_name
from facesearch.records import DEFAULT_WAY, F32, WAYS_TO_SCORE, Bound, ScoredBy, Seen

LONGEST_WORD = 4096
"""Characters of what a gallery says of itself."""
VECTOR = np.dtype("<f2")

Stored = str | bytes
"""A name, source or content hash as it lies on disk: text in a plain gallery, bytes in an encrypted one."""


class Row(NamedTuple):
    """What a gallery knows of a face. vector: bytes in float16."""

    name: str
    sha256: str
    source: str
    vector: bytes


class Template(NamedTuple):
    """The mean of a person's vectors, brought to length 1. photos: of how many; vector: bytes in float16."""

    name: str
    photos: int
    vector: bytes


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face to be enrolled. vector (d,) float32 of length 1; source: the photo's name, without folders of
    the machine.

    detector: what found the face (faces/found_by.py); empty where nobody knows. seen: what else is known.
    """

    person: str
    sha256: str
    source: str
    vector: F32
    detector: str = ""
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class PersonCount:
    name: str
    faces: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score from which a match is believed, and what that belief rests on.

    fpir: the rate of strangers named that it aims at; method in words; searches: how many it was read from;
    faces: the gallery's size then. on_strangers: it was set on searches of real strangers, `people` of them;
    low, high: where the rate of `to_come` other strangers lies, 95 %; to_come is 0 where version 0.1.0 set
    it, which drew these strangers again and promised too much. curve: (score, share of searches with a
    candidate at or above it), scores rising. by: what the scores are, which the gallery's answers follow.
    """

    score: float
    fpir: float
    method: str
    searches: int
    faces: int
    on_strangers: bool = False
    people: int = 0
    low: float | None = None
    high: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    by: ScoredBy = "best-photo"
    to_come: int = 0

    @classmethod
    def read(cls, noted: Any) -> Self:
        """From a gallery's note, which may come from anybody. Raises ValueError, TypeError and the like for
        what no threshold can say.
        """
        found = cls(**{**noted, "curve": tuple((point[0], point[1]) for point in noted.get("curve", ()))})
        scores, shares = [point[0] for point in found.curve], [point[1] for point in found.curve]
        right = (
            all(_is_between(score, -1.001, 1.001) for score in (found.score, *scores))
            and all(_is_between(share, 0, 1) for share in (found.fpir, *shares))
            and all(end is None or _is_between(end, 0, 1) for end in (found.low, found.high))
            and all(is_count(count) for count in (found.searches, found.faces, found.people, found.to_come))
            and all(share > 0 for share in shares)
            and scores == sorted(scores)
            and isinstance(found.on_strangers, bool)
            and is_word(found.method)
            and found.by in WAYS_TO_SCORE
        )
        if not right:
            raise ValueError("not the values of a threshold")
        return found

    def expected_fpir(self, score: float, faces: int) -> float | None:
        """The FPIR to be expected when `score` decides, in a gallery of so many faces now; None when nothing
        tells.
        """
        if score == self.score and self.faces:
            return min(1.0, self.fpir * faces / self.faces)
        return self.share_above(score, faces)

    def share_above(self, score: float, faces: int) -> float | None:
        """Expected share of strangers' searches with a candidate at or above score, in a gallery of so many
        faces now.

        Every further face is one more chance to be mistaken for somebody, so shares grow with the number of
        faces. Between the curve's points the logarithm is interpolated; past its ends the outermost share is
        given. None without a curve.
        """
        if not self.curve or not self.faces:
            return None
        scores, shares = zip(*self.curve, strict=True)
        return min(1.0, float(np.exp(np.interp(score, scores, np.log(shares)))) * faces / self.faces)

    def bound(self, score: float, faces: int) -> Bound:
        """Whether share_above tells of this score itself, or only that the share is more, or less, than that
        of the outermost point.
        """
        if self.share_above(score, faces) in (None, 1.0):
            return "about"
        return "more" if score < self.curve[0][0] else "less" if score > self.curve[-1][0] else "about"


def is_count(value: object) -> bool:
    """Whether this is a whole number from 0 that SQLite can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_word(value: object) -> bool:
    """Whether this is a text of bounded length that a terminal only shows."""
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_WORD


def _is_between(value: object, low: float, high: float) -> bool:
    """NaN is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def way_of(threshold: Threshold | None) -> ScoredBy:
    """What a person's score is in the answers of a gallery with this threshold, or with none."""
    return threshold.by if threshold else DEFAULT_WAY


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted, kept in memory for those who must prove that it is gone: vectors' bytes and other
    bytes that were on disk, and names of people and photos. note: what the deletion left in the gallery."""

    note: Unfinished
    vectors: tuple[bytes, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, note: Unfinished, pieces: Iterable[bytes | str]) -> Self:
        """Sorts pieces into bytes and texts."""
        pieces = set(pieces)
        return cls(
            note,
            tuple(sorted(piece for piece in pieces if isinstance(piece, bytes))),
            tuple(sorted(piece for piece in pieces if isinstance(piece, str))),
        )


Action = Literal["forget", "encrypt"]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An erasure whose rows are gone, but whose bytes have not been looked for yet.

    digest: of salt and name; generation: the gallery's before it; action: what was done. After encrypt all
    rows are there, under another key than before."""

    salt: str
    digest: str
    faces: int
    generation: int
    action: Action = "forget"

    @classmethod
    def read(cls, noted: dict[str, Any]) -> Self:
        """From a gallery's note; until version 0.1.0 the action was called `deed`. Raises TypeError,
        ValueError.
        """
        if "deed" in noted:
            noted = {**noted, "action": noted["deed"]}
            del noted["deed"]
        found = cls(**noted)
        words = is_word(found.salt) and is_word(found.digest) and found.action in ("forget", "encrypt")
        if not (words and is_count(found.faces) and is_count(found.generation)):
            raise ValueError("not the values of an erasure")
        return found


def as_note(detector: str) -> str | None:
    """What found a face as a row notes it: printable, and of bounded length. It may come from anybody's
    table.
    """
    return "".join(filter(str.isprintable, detector))[:LONGEST_NAME] or None


def is_note(value: object) -> bool:
    """Whether this can be such a note."""
    return value is None or (isinstance(value, str) and as_note(value) == value)


def vector_bytes(vector: F32, dimension: int) -> bytes:
    """A unit vector (d,) as it is stored, in float16. Raises ValueError for what is no such vector."""
    length = float(np.linalg.norm(vector))
    if vector.shape != (dimension,) or not abs(length - 1) < 1e-3:
        raise ValueError(
            f"a vector of shape {vector.shape} and length {length} is no unit vector of {dimension} numbers"
        )
    return vector.astype(VECTOR).tobytes()


def wrong_with(row: Row, dimension: int, *, fits: bool) -> str:
    """What is wrong with a row, in words; empty: nothing. The values may come from anywhere and be of any
    type.

    fits: whether the row as it is stored fits its checksum.
    """
    name, sha256, source, blob = row
    if not (
        isinstance(name, str)
        and isinstance(sha256, str)
        and isinstance(source, str)
        and isinstance(blob, bytes)
    ):
        return "its values are not of the right kinds"
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        return "its content hash is none"
    try:
        if kept_name(name) != name:
            return "its person's name is not in the usual form"
        kept_name(source)
    except BadName as error:
        return f"a name in it cannot be: {error.reason}"
    if len(blob) != dimension * VECTOR.itemsize:
        return f"its vector has {counted(len(blob), 'byte')}, {dimension * VECTOR.itemsize} are right"
    if not fits:
        return "it does not fit its checksum"
    length = float(np.linalg.norm(np.frombuffer(blob, VECTOR).astype(np.float64)))
    return "" if abs(length - 1) < 0.01 else f"its vector has the length {length:.3f}, not 1"


def checksum_of(name: Stored, sha256: Stored, source: Stored, blob: bytes) -> int:
    """Of all that a row says, as it is stored."""
    if isinstance(name, str) and isinstance(sha256, str) and isinstance(source, str):
        texts = "\0".join((name, sha256, source)).encode()
    else:
        texts = b"\0".join(
            text if isinstance(text, bytes) else text.encode() for text in (name, sha256, source)
        )
    return zlib.crc32(blob, zlib.crc32(texts))


def template_checksum(name: Stored, photos: int, blob: bytes) -> int:
    """Of all that a template says, as it is stored."""
    text = name if isinstance(name, bytes) else name.encode()
    return zlib.crc32(blob, zlib.crc32(b"\0".join((text, str(photos).encode()))))
