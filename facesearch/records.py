"""The nouns: frozen values that pass from room to room."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facesearch.errors import FacesearchError

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

Progress = Callable[[int, int], None]
"""Called with (done, total) while long work goes on."""

Tell = Callable[[str], None]
"""Says one line to the person in front of the screen (stderr)."""


Bound = Literal["about", "more", "less"]
"""What a figure is: the thing itself, or less or more than that where nothing finer was measured."""
ScoredBy = Literal["best-photo", "mean-template"]
"""How a person's score is made of their photos: the best cosine over them, or that with the mean of their
vectors.
"""
DEFAULT_WAY: ScoredBy = "mean-template"
"""Of a gallery that nobody has calibrated for another one. It misses fewer people who have several photos
(scripts/ways_to_score.py); of people with one photo both are the same."""
WAYS_TO_SCORE: tuple[ScoredBy, ...] = get_args(ScoredBy)


def scale_of(size: tuple[int, int], pixels: U8) -> float:
    """Pixels of an original of this size (w, h) to one of those (h, w, 3) that are reduced from it; 1.0 where
    it is kept whole.
    """
    long: int = max(pixels.shape[:2])
    return max(1.0, max(size) / max(long, 1))


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded file. pixels (h, w, 3) uint8 RGB, upright; sha256 is of the file's bytes. size: width and
    height of the upright original, which a large one's pixels are reduced from; whole: reads it again in all
    the size there is room for, where that is more.
    """

    path: Path
    sha256: str
    pixels: U8
    size: tuple[int, int]
    whole: Callable[[], Photo | Skipped] | None = None

    @property
    def scale(self) -> float:
        """Pixels of the original to one of `pixels`."""
        return scale_of(self.size, self.pixels)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left out, and why. A value, never an exception: the edge decides what it means.

    cause: the same as an error with its fields, where there is one.
    """

    path: Path
    reason: str
    cause: FacesearchError | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    @property
    def unread(self) -> str:
        """What it is, where it is a picture or a video of a kind that is not read; else empty."""
        found = _UNREAD.match(self.reason)
        return (found[1] or found[2]) if found else ""


_UNREAD = re.compile(r"(?:(video)s|(.+) pictures) are not read")


def not_read(path: Path, kind: str, advice: str = "") -> Skipped:
    """A picture or a video of a kind that is not read; kind: what such are called, as video, RAW."""
    return Skipped(path, f"{kind}{'s' if kind == 'video' else ' pictures'} are not read{advice}")


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a photo. box (4,) float32 x, y, width, height; landmarks (5, 2) float32: left eye, right eye,
    nose, left and right mouth corner as seen in the picture; all in pixels of the photo. score in [0, 1].
    found_by: the detector's name. upright: False where it could not tell which way up the face is."""

    box: F32
    landmarks: F32
    score: float
    found_by: str
    upright: bool = True


Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a face besides its vector. box (x, y, width, height) and five landmarks in pixels of
    the upright original, none of a photo that was taken as a crop; score: the detector's; sharpness: variance
    of the crop's Laplacian; length: of the encoder's vector before it was brought to 1, 0 where it is not
    known.
    """

    box: tuple[float, float, float, float]
    landmarks: Points = ()
    score: float = 1.0
    sharpness: float = 0.0
    length: float = 0.0


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """One row of a gallery without its vector."""

    face_id: int
    person: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Support:
    """An enrolled photo that speaks for a match.

    Attributes:
        source: The photo's name.
        score: Its cosine with the face, from -1 to 1.
        sha256: Of the photo's bytes, since a name may occur twice.
    """

    source: str
    score: float
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A person of the gallery against one face.

    Attributes:
        person: The name.
        score: See FaceAnswer.scored_by.
        photos: How many photos of them are enrolled.
        support: Their nearest photos, each with its own cosine.
    """

    person: str
    score: float
    photos: int
    support: tuple[Support, ...]
