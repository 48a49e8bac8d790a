"""Photos alone, without a gallery: find faces, make vectors of them, compare two."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from facesearch.answers import (
    ComparedFace,
    Comparison,
    DetectedFace,
    DetectedPhoto,
    EmbeddedFace,
    EmbeddedPhoto,
)
from facesearch.api.detector import FaceDetector, as_detector
from facesearch.api.encoder import Encoder, EncoderLike, as_encoder
from facesearch.api.inputs import PhotoLike, read, usable
from facesearch.encoder.stream import Cropped, Source, detected, embedded, faces_of, read_source
from facesearch.errors import NoFace, SeveralFaces, UnusablePhoto, unshown, written
from facesearch.faces.budget import DECODING
from facesearch.faces.cutting import NO_FACE
from facesearch.faces.photos import MAX_PIXELS
from facesearch.gallery.calibration import from_impostors
from facesearch.records import U8, Skipped

FMR = 0.001
"""How many pairs of different people may be called the same by compare, unless it is told otherwise."""

MOST_FACES = 1000
"""Faces a photo that are looked at, unless the caller says otherwise."""

DetectorLike = FaceDetector | str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Look:
    """A photo as far as it was understood.

    Attributes:
        photo: Its path or name.
        sha256: Of the file's bytes.
        size: (width, height) of the upright photo, in pixels.
        faces: Its faces, largest first.
        skipped: Why there is none; else None.
    """

    photo: str
    sha256: str
    size: tuple[int, int]
    faces: Sequence[Cropped]
    skipped: str | None

    def chosen(self, most: int) -> Sequence[Cropped]:
        """The largest faces, so many of them."""
        return self.faces[:most]


def detect(photo: PhotoLike, *, detector: DetectorLike = None, max_pixels: int = MAX_PIXELS) -> DetectedPhoto:
    """The faces of a photo, each with its aligned crop.

    Args:
        photo: The photo.
        detector: A FaceDetector; a YuNet .onnx file; "aligned" for a photo that is a face crop already; None
            for the detector that comes with facesearch.
        max_pixels: A larger photo is not read.

    Returns:
        The faces, largest first; empty when none is found.

    Raises:
        UnusablePhoto: The photo cannot be read.
        TypeError: It is no photo at all.
    """
    found = look(photo, _detector(detector), max_pixels)
    usable_look(found)
    return as_detected(found)


def detect_each(
    photos: Iterable[PhotoLike | Skipped],
    *,
    detector: DetectorLike = None,
    max_pixels: int = MAX_PIXELS,
    max_faces: int = MOST_FACES,
) -> Iterator[DetectedPhoto]:
    """The faces of many photos, as a stream.

    Args:
        photos: The photos, of which only some are read ahead.
        detector: See detect.
        max_pixels: A larger photo is not read.
        max_faces: Of a photo only so many of the largest faces are given.

    Yields:
        The answers in the order of the photos. A photo that cannot be used has the reason in `skipped`.
    """
    for found in looks(photos, _detector(detector), max_pixels):
        yield as_detected(found, max_faces)


def embed(
    photo: PhotoLike,
    *,
    encoder: EncoderLike = None,
    detector: DetectorLike = None,
    max_pixels: int = MAX_PIXELS,
) -> EmbeddedPhoto:
    """The faces of a photo, each with its vector (d,) float32 of length 1.

    Args:
        photo: The photo.
        encoder: An Encoder; a file, or the folder of a training run; None for the one that comes with
            facesearch.
        detector: See detect.
        max_pixels: A larger photo is not read.

    Returns:
        The faces, largest first; empty when none is found.

    Raises:
        UnusablePhoto: The photo cannot be read.
        TypeError: It is no photo at all.
        EncoderError: The encoder cannot be loaded.
    """
    eyes, brain = _detector(detector), _shared(encoder)
    found = look(photo, eyes, max_pixels)
    usable_look(found)
    vectors = brain.embed(np.stack([face.crop for face in found.faces])) if found.faces else ()
    return as_embedded(found, vectors, brain)


def embed_each(
    photos: Iterable[PhotoLike | Skipped],
    *,
    encoder: EncoderLike = None,
    detector: DetectorLike = None,
    max_pixels: int = MAX_PIXELS,
    max_faces: int = MOST_FACES,
) -> Iterator[EmbeddedPhoto]:
    """The vectors of many photos, as a stream; crops of several photos go through the network together.

    Args:
        photos: The photos, of which only some are read ahead.
        encoder: See embed.
        detector: See detect.
        max_pixels: A larger photo is not read.
        max_faces: Of a photo only so many of the largest faces are given.

    Yields:
        The answers in the order of the photos. A photo that cannot be used has the reason in `skipped`.
    """
    brain = _shared(encoder)

    def faces() -> Iterator[tuple[Look, list[U8]]]:
        for found in looks(photos, _detector(detector), max_pixels):
            yield found, [face.crop for face in found.chosen(max_faces)]

    for found, vectors, _ in embedded(faces(), brain.runtime):
        yield as_embedded(found, vectors, brain)


def compare(
    a: PhotoLike,
    b: PhotoLike,
    *,
    fmr: float = FMR,
    largest: bool = False,
    encoder: EncoderLike = None,
    detector: DetectorLike = None,
    max_pixels: int = MAX_PIXELS,
) -> Comparison:
    """Whether two photos show the same person, decided at the encoder's own false match rate.

    Args:
        a: The first photo.
        b: The second photo.
        fmr: The share of pairs of different people that may be called the same, above 0 and below 1. The
            encoder's file holds the scores that belong to such rates.
        largest: Of several faces take the largest.
        encoder: See embed.
        detector: See detect.
        max_pixels: A larger photo is not read.

    Returns:
        The score and the decision.

    Raises:
        UnusablePhoto: A photo cannot be read.
        NoFace: A photo shows no face.
        SeveralFaces: A photo shows several, and `largest` is not set.
        TypeError: It is no photo at all.
        ValueError: fmr is no such share.
    """
    if not 0 < fmr < 1:
        raise ValueError(f"fmr {fmr} is no share between 0 and 1")
    eyes, brain = _detector(detector), _shared(encoder)
    both = [_only_face(look(photo, eyes, max_pixels), largest=largest) for photo in (a, b)]
    vectors = brain.embed(np.stack([face.crop for face in both]))
    score = float(np.clip(vectors[0] @ vectors[1], -1, 1))
    table = brain.runtime.notes.get("impostors")
    threshold = from_impostors(table, 1, fmr) if isinstance(table, list) else None
    limit = None if threshold is None else threshold.score
    if isinstance(table, list) and table:
        fmr = min(fmr, float(table[0][0]))  # a looser rate than any that was measured is not promised
    decision = "undecided" if limit is None else "same" if score >= limit else "different"
    one, two = (
        ComparedFace(written(face.path), face.sha256, face.number, face.of, face.box) for face in both
    )
    return Comparison(score, decision, limit, None if limit is None else fmr, one, two, brain.id)  # type: ignore[arg-type]


# ---- for the gallery and the service too


def look(photo: PhotoLike | Skipped, detector: FaceDetector, max_pixels: int = MAX_PIXELS) -> Look:
    """Decode a photo and cut out its faces, in this thread."""
    return _looked(partial(read, photo, max_pixels), detector)


def looks(
    photos: Iterable[PhotoLike | Skipped], detector: FaceDetector, max_pixels: int = MAX_PIXELS
) -> Iterator[Look]:
    """The same of many photos, in order, in as many threads as the detector has places."""
    sources: Iterator[Source] = (partial(read, photo, max_pixels) for photo in photos)
    return detected(lambda source, _: _looked(source, detector), sources, None, workers=detector.workers)


def as_look(found: Cropped | Skipped) -> Look:
    """What one face, or its absence, tells of its photo; the size is not known any more."""
    if isinstance(found, Cropped):
        return Look(written(found.path), found.sha256, (0, 0), (found,), None)
    read_at_all = found.cause is not None and not isinstance(found.cause, UnusablePhoto)
    return Look(written(found.path), "?" if read_at_all else "", (0, 0), (), found.reason)


def usable_look(found: Look) -> None:
    """Raises UnusablePhoto for a photo that could not be read; one without a face is usable."""
    if found.skipped is not None and not found.sha256:
        usable(Skipped(Path(unshown(found.photo)), found.skipped))


def as_detected(found: Look, max_faces: int = MOST_FACES) -> DetectedPhoto:
    chosen = found.chosen(max_faces)
    faces = tuple(
        DetectedFace(face.number, face.of, face.box, face.landmarks, face.score, face.crop) for face in chosen
    )
    return DetectedPhoto(found.photo, found.sha256, *found.size, found.skipped, faces)


def as_embedded(found: Look, vectors: Iterable[U8], encoder: Encoder) -> EmbeddedPhoto:
    faces = tuple(
        EmbeddedFace(face.number, face.of, face.box, face.score, np.array(vector))
        for face, vector in zip(found.faces, vectors, strict=False)  # as many as were chosen
    )
    return EmbeddedPhoto(found.photo, found.sha256, *found.size, found.skipped, encoder.id, faces)


def _looked(source: Source, detector: FaceDetector) -> Look:
    with detector.place() as own, DECODING.span():
        photo = read_source(source)
        if isinstance(photo, Skipped):
            return Look(written(photo.path), "", (0, 0), (), photo.reason)
        faces, refused = faces_of(photo, own)
    name = written(photo.path)
    return Look(name, photo.sha256, photo.size, faces, None if faces else refused or NO_FACE)


def _only_face(found: Look, *, largest: bool) -> Cropped:
    usable_look(found)
    if not found.faces:
        raise NoFace(Path(unshown(found.photo)))
    if len(found.faces) > 1 and not largest:
        raise SeveralFaces(Path(unshown(found.photo)), len(found.faces))
    return found.faces[0]


@cache
def _own_detector() -> FaceDetector:
    """The one that comes with facesearch, made once for all calls that name none."""
    return as_detector(None)


@cache
def _own_encoder() -> Encoder:
    """The same of encoders."""
    return as_encoder(None)


def _detector(given: DetectorLike) -> FaceDetector:
    return _own_detector() if given is None else as_detector(given)


def _shared(given: EncoderLike) -> Encoder:
    return _own_encoder() if given is None else as_encoder(given)
