"""What is answered, in one form everywhere: the Python API gives these values, `--json` prints them, `/v1`
sends them.

Each class is described by a JSON Schema in `facesearch/schema/` (scripts/schemas.py writes them from here).
Boxes are x, y, width, height in pixels of the upright photo; scores are cosines in -1..1. A photo's path or
name is as `errors.written` says it: what is not UTF-8 in it, or shows nothing, is `\\xe9` or `\\u202e`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, Self, TypeVar

import numpy as np

from facesearch.errors import written
from facesearch.gallery_answers import GalleryInfo as GalleryInfo
from facesearch.gallery_answers import IndexInfo as IndexInfo
from facesearch.gallery_answers import MeasuredFigure as MeasuredFigure
from facesearch.gallery_answers import PersonPhotos as PersonPhotos
from facesearch.gallery_answers import PhotosOfPerson as PhotosOfPerson
from facesearch.gallery_answers import PhotoSource as PhotoSource
from facesearch.gallery_answers import ProjectionInfo as ProjectionInfo
from facesearch.gallery_answers import Renamed as Renamed
from facesearch.gallery_answers import ThresholdInfo as ThresholdInfo
from facesearch.records import DEFAULT_WAY, F32, U8, Bound, Match, ScoredBy, Skipped

Box = tuple[float, float, float, float]
Decision = Literal["match", "ambiguous", "unknown", "undecided"]
AMBIGUOUS_GAP = 0.001
"""A match that leads the second by less is called ambiguous."""
SAME_PICTURE = 0.95
"""Two photos that are so much alike are the same picture: of the 12,011 photos of CelebA-500 ten are so much
like one of somebody else, and all are copies of it."""


F = TypeVar("F")


class _OfFaces(Generic[F]):
    """A photo's answer: iterating over it gives the answers for its faces."""

    __slots__ = ()
    faces: tuple[F, ...]

    def __iter__(self) -> Iterator[F]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, number: int) -> F:
        return self.faces[number]


@dataclass(frozen=True, slots=True)
class FaceAnswer:
    """Who is nearest to one face of a photo.

    Attributes:
        face: The face's number in the photo, from 1; the largest is first.
        of: How many faces the photo has.
        box: (x, y, width, height) in pixels of the upright photo.
        decision: "match": the best score reaches the threshold. "ambiguous": it does, but leads the second by
            less than 0.001, or the picture is enrolled under both names. "unknown": it does not. "undecided":
            there is no threshold, or nobody is enrolled.
        matches: The nearest people, best first.
        gap: The lead of the first score over the second; None without a second.
        threshold: The score from which a match is believed; None where there is none.
        expected_fpir: The share of strangers' searches that get a name at this threshold (FPIR); None where
            the gallery's threshold does not say.
        stranger_share: The share of strangers' searches that score as high as the best match here; None
            likewise.
        scored_by: "best-photo": a score is the best cosine over a person's photos. "mean-template": it is the
            cosine with the mean of their vectors.
        expected_fpir_is: "more" or "less" where the share lies past an end of what was measured, else
            "about".
        stranger_share_is: The same of stranger_share.
        quality: The share of ordinary photos that are poorer; None where nothing but the crop is known.
        poor: Why the photo is too poor to be sure of; empty where it is not.
        ambiguous_with: Who else it may be where the decision is "ambiguous", even where `matches` has no room
            for that person; else None.
    """

    face: int
    of: int
    box: Box
    decision: Decision
    matches: tuple[Match, ...]
    gap: float | None = None
    threshold: float | None = None
    expected_fpir: float | None = None
    stranger_share: float | None = None
    scored_by: ScoredBy = DEFAULT_WAY
    expected_fpir_is: Bound = "about"
    stranger_share_is: Bound = "about"
    quality: float | None = None
    poor: tuple[str, ...] = ()
    ambiguous_with: str | None = None


@dataclass(frozen=True, slots=True)
class PhotoAnswer(_OfFaces[FaceAnswer]):
    """The answers for one photo, largest face first. Iterating over it gives them.

    Attributes:
        photo: The photo's path or name.
        sha256: Of the file's bytes; empty for a photo that could not be read.
        width: Of the upright photo, in pixels.
        height: Of the upright photo, in pixels.
        skipped: Why there is no answer, such as "no face found"; else None.
        faces: An answer for each face.
        faces_left_out: How many smaller faces are left out by the limit of faces a photo.
    """

    photo: str
    sha256: str
    width: int
    height: int
    skipped: str | None
    faces: tuple[FaceAnswer, ...]
    faces_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Searched:
    """Several photos, searched at one time.

    Attributes:
        photos: An answer for each photo, in the order given.
        enrolled: Faces in the gallery.
        stale: The gallery has outgrown its threshold.
        notes: What else should be known of these answers, in sentences.
    """

    photos: tuple[PhotoAnswer, ...]
    enrolled: int
    stale: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedPhoto:
    """A photo that was left out.

    Attributes:
        photo: Its path or name.
        reason: Why, in words.
    """

    photo: str
    reason: str

    @classmethod
    def of(cls, skipped: Skipped) -> Self:
        return cls(written(skipped.path), skipped.reason)


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """A face in a photo.

    Attributes:
        face: Its number in the photo, from 1; the largest is first.
        of: How many faces the photo has.
        box: (x, y, width, height) in pixels of the upright photo.
        landmarks: Five points (x, y) in pixels: left eye, right eye, nose, left and right corner of the
            mouth, as seen in the picture. None of them for a photo that was taken as an aligned crop.
        score: The detector's, from 0 to 1.
        crop: (112, 112, 3) uint8 RGB, aligned as encoders take it. Not part of the JSON.
    """

    face: int
    of: int
    box: Box
    landmarks: tuple[tuple[float, float], ...]
    score: float
    crop: U8 = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class DetectedPhoto(_OfFaces[DetectedFace]):
    """The faces of one photo, largest first. Iterating over it gives them.

    Attributes:
        photo: The photo's path or name.
        sha256: Of the file's bytes; empty for a photo that could not be read.
        width: Of the upright photo, in pixels.
        height: Of the upright photo, in pixels.
        skipped: Why there is no face; else None.
        faces: The faces.
    """

    photo: str
    sha256: str
    width: int
    height: int
    skipped: str | None
    faces: tuple[DetectedFace, ...]


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """A face with its vector.

    Attributes:
        face: Its number in the photo, from 1; the largest is first.
        of: How many faces the photo has.
        box: (x, y, width, height) in pixels of the upright photo.
        score: The detector's, from 0 to 1.
        vector: (d,) float32 of length 1. The cosine of two vectors is their dot product.
    """

    face: int
    of: int
    box: Box
    score: float
    vector: F32 = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EmbeddedPhoto(_OfFaces[EmbeddedFace]):
    """The faces of one photo with their vectors, largest first. Iterating over it gives them.

    Attributes:
        photo: The photo's path or name.
        sha256: Of the file's bytes; empty for a photo that could not be read.
        width: Of the upright photo, in pixels.
        height: Of the upright photo, in pixels.
        skipped: Why there is no face; else None.
        encoder_id: Of the encoder that made the vectors. Those of another one cannot be compared with these.
        faces: The faces.
    """

    photo: str
    sha256: str
    width: int
    height: int
    skipped: str | None
    encoder_id: str
    faces: tuple[EmbeddedFace, ...]

    @property
    def vectors(self) -> F32:
        """All vectors, (faces, d) float32; (0, 0) without a face."""
        return np.stack([face.vector for face in self.faces]) if self.faces else np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Detected:
    """Several photos with their faces."""

    photos: tuple[DetectedPhoto, ...]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Several photos with the vectors of their faces."""

    photos: tuple[EmbeddedPhoto, ...]


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """The face of a photo that was compared.

    Attributes:
        photo: The photo's path or name.
        sha256: Of the file's bytes.
        face: The face's number in the photo, from 1.
        of: How many faces the photo has.
        box: (x, y, width, height) in pixels of the upright photo.
    """

    photo: str
    sha256: str
    face: int
    of: int
    box: Box


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two faces compared, one to one.

    Attributes:
        score: Their cosine, from -1 to 1.
        decision: "same" or "different" person by the threshold; "undecided" for an encoder that does not tell
            its rates.
        threshold: The score from which two faces are called the same; None where undecided.
        fmr: The share of pairs of different people that are called the same at this threshold (false match
            rate), measured on people the encoder was not trained on; None where undecided.
        a: The face of the first photo.
        b: The face of the second photo.
        encoder_id: Of the encoder that made the vectors.
    """

    score: float
    decision: Literal["same", "different", "undecided"]
    threshold: float | None
    fmr: float | None
    a: ComparedFace
    b: ComparedFace
    encoder_id: str


@dataclass(frozen=True, slots=True)
class EnrolledPerson:
    """A person who got photos.

    Attributes:
        person: The name.
        photos: How many photos were added in this go.
    """

    person: str
    photos: int


Doubt = Literal["poor", "unlike", "nearer", "twice"]


@dataclass(frozen=True, slots=True)
class EnrolmentWarning:
    """What should be known of a photo that was enrolled.

    Attributes:
        person: The name under which it was enrolled.
        photo: Its name.
        kind: "poor": its person will hardly be recognised by it. "unlike": it is unlike the person's other
            photos. "nearer": it is nearer to somebody else. "twice": the same picture is enrolled under
            another name.
        reason: The same in words.
    """

    person: str
    photo: str
    kind: Doubt
    reason: str


@dataclass(frozen=True, slots=True)
class EnrolledPhotos:
    """What an enrolment did.

    Attributes:
        added: How many photos of each person were added.
        known: Photos that were enrolled already.
        unchecked: Photos that could not be compared with other people first, since there is no threshold.
        skipped: Photos that were left out, each with its reason.
        warnings: What should be known of photos that were enrolled.
    """

    added: tuple[EnrolledPerson, ...]
    known: int
    unchecked: int
    skipped: tuple[SkippedPhoto, ...]
    warnings: tuple[EnrolmentWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class EnrolledVectors:
    """What bringing vectors in did.

    Attributes:
        added: Vectors that were added.
        known: Vectors that their people had already.
        new_people: Names that were not in the gallery before.
        people: People in the gallery now.
        encoder_id: Of the encoder that made the vectors.
    """

    added: int
    known: int
    new_people: int
    people: int
    encoder_id: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One photo, enrolled.

    Attributes:
        person: The name.
        sha256: Of the photo's bytes.
        photos: How many photos the person has now.
        known: It was enrolled under the name already, and nothing was changed.
        unchecked: There is no threshold yet, so nobody could say whether the face is closer to somebody else.
        warnings: What should be known of it.
    """

    person: str
    sha256: str
    photos: int
    known: bool
    unchecked: bool
    warnings: tuple[EnrolmentWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class EnrolledPhoto:
    """A photo of somebody. Photos that were enrolled before galleries kept this have no box, landmarks and
    score.

    Attributes:
        photo: Its name.
        sha256: Of the file's bytes.
        detector: What found the face.
        box: (x, y, width, height) in pixels of the upright photo.
        landmarks: Five points (x, y) in pixels of the upright photo.
        score: The detector's, from 0 to 1.
    """

    photo: str
    sha256: str
    detector: str = ""
    box: Box | None = None
    landmarks: tuple[tuple[float, float], ...] = ()
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """An enrolled photo that strangers are taken for.

    Attributes:
        person: The name.
        photo: The photo's name.
        sha256: Of its bytes.
        strangers: How many searches of strangers find it first.
        named: How many of these reach the threshold.
        quality: See FaceAnswer.quality.
    """

    person: str
    photo: str
    sha256: str
    strangers: int
    named: int
    quality: float | None


@dataclass(frozen=True, slots=True)
class OwnSearches:
    """What the gallery's own photos miss, each searched among all others.

    Attributes:
        searches: How many were searched.
        poorest: The share of the searches that counts as the poorest.
        fnir: The share that does not find its person first and above the threshold.
        without_poorest: The same without the poorest searches.
    """

    searches: int
    poorest: float
    fnir: float
    without_poorest: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A threshold that was set.

    Attributes:
        threshold: The threshold.
        skipped: The strangers' photos that were left out.
        hubs: The enrolled photos that most strangers are taken for, the worst first.
        own: What the gallery's own photos miss; None where too few of them are of known quality.
    """

    threshold: ThresholdInfo
    skipped: tuple[SkippedPhoto, ...]
    hubs: tuple[Hub, ...] = ()
    own: OwnSearches | None = None
