"""What is answered, in one form everywhere: the Python API gives these values, `--json` prints them, `/v1`
sends them.

Each class is described by a JSON Schema in `facesearch/schema/` (scripts/schemas.py writes them from here).
Boxes are x, y, width, height in pixels of the upright photo; scores are cosines in -1..1. A photo's path or
name is as `errors.written` says it: what is not UTF-8 in it, or shows nothing, is `\\xe9` or `\\u202e`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from facesearch.errors import written
from facesearch.records import DEFAULT_WAY, F32, U8, Bound, Match, ScoredBy, Skipped

Box = tuple[float, float, float, float]
Decision = Literal["match", "ambiguous", "unknown", "undecided"]
AMBIGUOUS_GAP = 0.001
"""A match that leads the second by less is called ambiguous."""
SAME_PICTURE = 0.95
"""Two photos that are so much alike are the same picture: of the 12,011 photos of CelebA-500 ten are so much
like one of somebody else, and all are copies of it."""


@dataclass(frozen=True, slots=True)
class FaceAnswer:
    """Who is nearest to one face of a photo.

    face: its number in the photo, from 1, the largest first, of so many. matches: the nearest people, best
    first. decision: "match" when the best score reaches the threshold; "ambiguous" when it does, but does not
    lead the second's by anything (0.001); "unknown" when it does not; "undecided" when there is no threshold,
    or nobody is enrolled. gap: the lead of the first over the second, null when there is no second.
    expected_fpir: the share of strangers' searches that get a name by this threshold (false-positive
    identification rate); stranger_share: the share that score as high as the best one here; null where the
    gallery's threshold does not tell. scored_by: a score is the best cosine over a person's photos, or that
    with the mean of their vectors. expected_fpir_is, stranger_share_is: "more" or "less" than the share given
    where the score lies past an end of what was measured, else "about". quality: the share of ordinary photos
    that are poorer; null where nothing is known of the face but its crop. poor: why the photo is too poor to
    be sure of; empty where it is not.
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


@dataclass(frozen=True, slots=True)
class PhotoAnswer:
    """The answers for one photo, largest face first; iterating over it gives them.

    photo: its path or name. sha256: of the file's bytes; empty for a photo that could not be read. skipped:
    why there is no answer, such as "no face found", else null. faces_left_out: how many smaller faces exceed
    the limit of faces a photo.
    """

    photo: str
    sha256: str
    width: int
    height: int
    skipped: str | None
    faces: tuple[FaceAnswer, ...]
    faces_left_out: int = 0

    def __iter__(self) -> Iterator[FaceAnswer]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, number: int) -> FaceAnswer:
        return self.faces[number]


@dataclass(frozen=True, slots=True)
class Searched:
    """Several photos, searched at one time. enrolled: faces in the gallery. stale: the gallery has outgrown
    its threshold. notes: what else should be known of these answers, in sentences."""

    photos: tuple[PhotoAnswer, ...]
    enrolled: int
    stale: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedPhoto:
    """A photo that was left out, and why."""

    photo: str
    reason: str

    @classmethod
    def of(cls, skipped: Skipped) -> Self:
        return cls(written(skipped.path), skipped.reason)


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """A face in a photo. landmarks (x, y): left eye, right eye, nose, left and right corner of the mouth, as
    seen in the picture; none for a photo that was taken as an aligned crop. score: the detector's, 0..1. crop
    (112, 112, 3) uint8 RGB: aligned as encoders take it; not part of the JSON."""

    face: int
    of: int
    box: Box
    landmarks: tuple[tuple[float, float], ...]
    score: float
    crop: U8 = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class DetectedPhoto:
    """The faces of one photo, largest first; iterating over it gives them. skipped: why there is none, else
    null.
    """

    photo: str
    sha256: str
    width: int
    height: int
    skipped: str | None
    faces: tuple[DetectedFace, ...]

    def __iter__(self) -> Iterator[DetectedFace]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, number: int) -> DetectedFace:
        return self.faces[number]


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """A face with its vector (d,) float32 of length 1; the cosine of two is their dot product."""

    face: int
    of: int
    box: Box
    score: float
    vector: F32 = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EmbeddedPhoto:
    """The faces of one photo with their vectors, largest first; iterating over it gives them. encoder_id:
    vectors of another encoder cannot be compared with these. skipped: why there is none, else null."""

    photo: str
    sha256: str
    width: int
    height: int
    skipped: str | None
    encoder_id: str
    faces: tuple[EmbeddedFace, ...]

    @property
    def vectors(self) -> F32:
        """All vectors (faces, d) float32; (0, 0) without a face."""
        return np.stack([face.vector for face in self.faces]) if self.faces else np.empty((0, 0), np.float32)

    def __iter__(self) -> Iterator[EmbeddedFace]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, number: int) -> EmbeddedFace:
        return self.faces[number]


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
    """The face of a photo that was compared."""

    photo: str
    sha256: str
    face: int
    of: int
    box: Box


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two faces compared, one to one. score: their cosine. decision: "same" or "different" person by
    threshold, at which so many pairs of different people are called the same (fmr, the encoder's false-match
    rate, measured on people it was not trained on); "undecided" for an encoder that does not tell its rates.
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
    """photos: how many were added in this go."""

    person: str
    photos: int


Doubt = Literal["poor", "unlike", "nearer", "twice"]


@dataclass(frozen=True, slots=True)
class EnrolmentWarning:
    """What should be known of a photo that was enrolled. kind: "poor": its person will hardly be recognised
    by it; "unlike" the person's other photos; "nearer" to somebody else; "twice": the same picture is
    enrolled under another name. reason: in words.
    """

    person: str
    photo: str
    kind: Doubt
    reason: str


@dataclass(frozen=True, slots=True)
class EnrolledPhotos:
    """What an enrolment did. known: photos that were enrolled already. unchecked: photos that could not be
    compared with other people first, since the gallery has no threshold. skipped: photos that were left out,
    each with its reason. warnings: of photos that were enrolled."""

    added: tuple[EnrolledPerson, ...]
    known: int
    unchecked: int
    skipped: tuple[SkippedPhoto, ...]
    warnings: tuple[EnrolmentWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class EnrolledVectors:
    """What bringing vectors in did. known: vectors that their people had already; new_people: names that were
    not in the gallery before; people: in the gallery now; encoder_id: of the encoder that made them."""

    added: int
    known: int
    new_people: int
    people: int
    encoder_id: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One photo, enrolled. photos: how many the person has now. known: it was enrolled under the name
    already, and nothing was changed. unchecked: there is no threshold yet, so nobody could say whether the
    face is closer to somebody else. warnings: what should be known of it."""

    person: str
    sha256: str
    photos: int
    known: bool
    unchecked: bool
    warnings: tuple[EnrolmentWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonPhotos:
    """Somebody enrolled, and how many photos of them are."""

    person: str
    photos: int


@dataclass(frozen=True, slots=True)
class EnrolledPhoto:
    """A photo of somebody. photo: its name; sha256: of its file's bytes. detector: what found the face, with
    its box (x, y, width, height) and landmarks (x, y) in pixels of the upright photo, and its score. Photos
    that were enrolled before galleries knew this have none of them.
    """

    photo: str
    sha256: str
    detector: str = ""
    box: Box | None = None
    landmarks: tuple[tuple[float, float], ...] = ()
    score: float | None = None


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """An enrolled photo as matches name it. source: its name; sha256: of its file's bytes."""

    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PhotosOfPerson:
    """Somebody enrolled, with all their photos."""

    name: str
    photos: tuple[PhotoSource, ...]


@dataclass(frozen=True, slots=True)
class Renamed:
    """The new name, and how many photos were put under it."""

    name: str
    photos: int


@dataclass(frozen=True, slots=True)
class ThresholdInfo:
    """The score from which a match is believed. fpir: the share of strangers' searches that may get a name
    (false-positive identification rate); low, high: where that share lies for `to_come` other strangers, 95 %
    (to_come 0: an interval of version 0.1.0, of these strangers drawn again, which is kept less often).
    searches and people: what it was set on; faces: the gallery's size then. on_strangers: they were real
    strangers."""

    score: float
    fpir: float
    low: float | None
    high: float | None
    method: str
    searches: int
    people: int
    faces: int
    on_strangers: bool
    by: ScoredBy
    to_come: int


@dataclass(frozen=True, slots=True)
class Hub:
    """An enrolled photo that strangers are taken for. strangers: how many searches of theirs find it first;
    named: how many of these reach the threshold; quality: see FaceAnswer."""

    person: str
    photo: str
    sha256: str
    strangers: int
    named: int
    quality: float | None


@dataclass(frozen=True, slots=True)
class OwnSearches:
    """What the gallery's own photos miss, each searched among all others. searches: how many; fnir: the share
    that does not find its person first and above the threshold; without_poorest: that of the searches without
    the poorest, which are this share of them."""

    searches: int
    poorest: float
    fnir: float
    without_poorest: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A threshold that was set, and the strangers' photos that were left out. hubs: the enrolled photos that
    draw most strangers, the worst first. own: what its own photos miss; null where too few of them are of
    known quality."""

    threshold: ThresholdInfo
    skipped: tuple[SkippedPhoto, ...]
    hubs: tuple[Hub, ...] = ()
    own: OwnSearches | None = None


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """current: the index is as the gallery is; state: in words, what is to be done else. choice: the kind
    that was chosen. parts: what it is made of, in words."""

    current: bool
    state: str
    choice: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProjectionInfo:
    """Another engine that holds the gallery's vectors. pending: erasures that it has not carried out yet.
    synced: whether the last sync ended."""

    store: str
    faces: int
    index: str
    synced: bool
    pending: int


@dataclass(frozen=True, slots=True)
class MeasuredFigure:
    """A figure of the encoder's card, with its 95 % interval."""

    split: str
    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """What a gallery is. threshold: the score from which a match is believed, null while there is none; its
    details are in calibration. stale: the gallery has outgrown it. generation: its number of changes.
    detectors: how many faces each detector found. bytes: on disk. measured: what the encoder's card tells."""

    gallery: str
    people: int
    faces: int
    dimension: int
    encoder: str
    encoder_id: str
    encoder_file: str | None
    threshold: float | None
    calibration: ThresholdInfo | None
    stale: bool
    generation: int
    index: IndexInfo
    bytes: int
    encrypted: bool
    detectors: dict[str, int]
    projections: tuple[ProjectionInfo, ...]
    measured: tuple[MeasuredFigure, ...]
