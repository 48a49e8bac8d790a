"""What is answered about a gallery and its people, in the form of answers.py, which gives these names too."""

from __future__ import annotations

from dataclasses import dataclass

from facesearch.records import ScoredBy


@dataclass(frozen=True, slots=True)
class PersonPhotos:
    """Somebody enrolled.

    Attributes:
        person: The name.
        photos: How many photos of them are enrolled.
    """

    person: str
    photos: int


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """An enrolled photo as matches name it.

    Attributes:
        source: Its name.
        sha256: Of its bytes.
    """

    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PhotosOfPerson:
    """Somebody enrolled, with all their photos.

    Attributes:
        name: The name.
        photos: The photos.
    """

    name: str
    photos: tuple[PhotoSource, ...]


@dataclass(frozen=True, slots=True)
class Renamed:
    """Somebody has another name.

    Attributes:
        name: The new name.
        photos: How many photos were put under it.
    """

    name: str
    photos: int


@dataclass(frozen=True, slots=True)
class ThresholdInfo:
    """The score from which a match is believed, and what it was set on.

    Attributes:
        score: A cosine, from -1 to 1.
        fpir: The share of strangers' searches that may get a name (false positive identification rate).
        low: Lower end of the 95 % interval of that share for `to_come` other strangers; None where unknown.
        high: Upper end of the same interval.
        method: How it was set, in words.
        searches: How many searches it was set on.
        people: How many strangers these were of.
        faces: The gallery's size then.
        on_strangers: They were real strangers, not the gallery's own people.
        by: What a person's score is, see FaceAnswer.scored_by.
        to_come: Other strangers that the interval is about. 0: an interval of version 0.1.0, of the same
            strangers drawn again, which is kept less often.
    """

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
class IndexInfo:
    """The search index.

    Attributes:
        current: It is as the gallery is.
        state: In words; where it is not current, what is to be done.
        choice: The kind that was chosen.
        parts: What it is made of, in words.
    """

    current: bool
    state: str
    choice: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProjectionInfo:
    """Another engine that holds the gallery's vectors.

    Attributes:
        store: Its address.
        faces: How many vectors it holds.
        index: Its kind of index.
        synced: The last sync ended.
        pending: Erasures that it has not carried out yet.
    """

    store: str
    faces: int
    index: str
    synced: bool
    pending: int


@dataclass(frozen=True, slots=True)
class MeasuredFigure:
    """A figure of the encoder's card, with its 95 % interval.

    Attributes:
        split: The part of the data it was measured on.
        name: What it is.
        value: The figure.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    split: str
    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """What a gallery is.

    Attributes:
        gallery: The gallery's folder.
        people: How many people are enrolled.
        faces: How many faces are enrolled.
        dimension: Numbers in a vector.
        encoder: The encoder in words, and where it runs.
        encoder_id: A hash of the encoder's weights, crop geometry and preprocessing.
        encoder_file: The encoder's file; None where it is not at hand.
        threshold: The score from which a match is believed; None while there is none.
        calibration: The threshold's details.
        stale: The gallery has outgrown its threshold.
        generation: The gallery's number of changes.
        index: The search index.
        bytes: On disk.
        encrypted: Names, hashes and vectors are encrypted.
        detectors: How many faces each detector found.
        projections: Other engines that hold the vectors.
        measured: What the encoder's card tells.
    """

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
