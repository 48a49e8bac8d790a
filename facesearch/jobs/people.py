"""Enroll people, and ask who is in a photo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from facesearch.errors import NotFound, NothingToDo
from facesearch.faces.align import crop_face, scaled
from facesearch.faces.detect import Detector
from facesearch.faces.photos import read_photo, walk
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.faiss_index import nearest_people, open_index
from facesearch.gallery.nearest import Nearest
from facesearch.gallery.rows import NewFace, Threshold, clean_name
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs.build import tidy
from facesearch.model.runtime import Runtime
from facesearch.records import F32, U8, Answer, Photo, Progress, Skipped

COMMIT = 64


@dataclass(frozen=True, slots=True)
class Cropped:
    """One face of one photo, ready to be embedded. of: how many faces the photo has; box in its pixels: x, y, w, h."""

    path: Path
    sha256: str
    crop: U8
    number: int
    of: int
    box: tuple[float, float, float, float]


@dataclass(slots=True)
class Clock:
    """Seconds spent a stage, for whoever wants to know where the time goes."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, started: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Enrolled:
    """unchecked: photos that `strict` could not check against others, for want of a threshold."""

    added: dict[str, int]
    known: int
    skipped: tuple[Skipped, ...]
    unchecked: int = 0


@dataclass(frozen=True, slots=True)
class Queried:
    """stale: the gallery has outgrown its threshold, which was set for so many faces; 0 while it has not."""

    answers: tuple[Answer, ...]
    skipped: tuple[Skipped, ...]
    index_built: str
    stale: int


@dataclass(frozen=True, slots=True)
class Belief:
    """By what the answers of one go are decided, read once: counting a large gallery takes longer than searching it.

    stored: the gallery's own threshold; limit: the score that decides; fpir: what is to be expected of it; faces enrolled.
    """

    stored: Threshold | None
    limit: float | None
    fpir: float | None
    faces: int

    @classmethod
    def of(cls, gallery: Gallery, threshold: float | None) -> Self:
        """threshold decides in the place of the gallery's own."""
        stored, faces = gallery.threshold(), len(gallery)
        limit = threshold if threshold is not None else stored.score if stored else None
        return cls(stored, limit, None if stored is None or limit is None else stored.expected_fpir(limit, faces), faces)


def faces_of(photo: Photo, detector: Detector | None) -> list[Cropped]:
    """All faces of a photo, largest first; without a detector the photo is taken as one aligned face crop."""
    h, w = photo.pixels.shape[:2]
    if detector is None:
        return [Cropped(photo.path, photo.sha256, scaled(photo.pixels), 1, 1, (0.0, 0.0, float(w), float(h)))]
    found = detector.detect(photo.pixels)
    return [
        Cropped(photo.path, photo.sha256, crop_face(photo.pixels, face.landmarks), i, len(found), _box(face.box))
        for i, face in enumerate(found, 1)
    ]


def enroll(
    photos: Sequence[tuple[str, Path]],
    folder: Path,
    runtime: Runtime,
    detector: Detector | None,
    *,
    largest: bool,
    fpir: float | None,
    progress: Progress,
    strict: bool = False,
) -> Enrolled:
    """Add photos, given as (person, file), to a gallery; makes the gallery when there is none.

    A photo without a face, or with several unless `largest`, is skipped. A photo that its person has already is left as
    it is. strict: a photo closer to somebody who was enrolled before is skipped too. Raises NothingToDo when every photo
    was skipped, BadName, EncoderMismatch, CannotWrite, GalleryBusy.
    """
    wanted = [(clean_name(person), path) for person, path in photos]
    skipped: list[Skipped] = []
    added: Counter[str] = Counter()
    known = 0
    progress(0, len(wanted))
    with ExitStack() as stack:
        gallery = stack.enter_context(Gallery.open(folder)) if (folder / FILE).is_file() else None
        if gallery is not None:
            gallery.require_encoder(runtime.encoder_id)
        guard = _Guard(gallery) if strict and gallery is not None and len(gallery) else None
        waiting: dict[tuple[str, str], Cropped] = {}
        for number, (person, path) in enumerate(wanted, 1):
            face = one_face(path, detector, largest=largest)
            if isinstance(face, Skipped):
                skipped.append(face)
            elif (person, face.sha256) in waiting or (gallery is not None and gallery.has_photo(person, face.sha256)):
                known += 1
            else:
                waiting[person, face.sha256] = face
            if waiting and (len(waiting) >= COMMIT or number == len(wanted)):
                vectors = runtime.embed(np.stack([face.crop for face in waiting.values()]))
                if guard is not None:
                    reasons = [guard.reason(who, v) for (who, _), v in zip(waiting, vectors, strict=True)]
                    skipped += [Skipped(f.path, why) for f, why in zip(waiting.values(), reasons, strict=True) if why]
                    kept = [i for i, why in enumerate(reasons) if not why]
                    faces = list(waiting.items())
                    waiting, vectors = dict(faces[i] for i in kept), vectors[kept]
                new = [NewFace(who, sha, f.path.name, v) for ((who, sha), f), v in zip(waiting.items(), vectors, strict=True)]
                if gallery is None:  # made only now, so that photos of nobody leave no empty gallery behind
                    gallery = Gallery.create(folder, runtime.encoder_id, runtime.dimension, runtime.words)
                    stack.enter_context(gallery)
                    gallery.require_encoder(runtime.encoder_id)
                if new:
                    gallery.add(new)
                added.update(face.person for face in new)
                waiting = {}
            progress(number, len(wanted))
        if added and gallery is not None:
            tidy(gallery, runtime.notes, fpir)
    if not added and not known:
        reason = str(skipped[0].reason) if skipped else "no photo was given"
        raise NothingToDo(_where(wanted), f"none of {len(wanted)} photos could be enrolled; the first: {reason}")
    return Enrolled(dict(added), known, tuple(skipped), guard.unchecked if guard else 0)


class _Guard:
    """Refuses photos closer to somebody else than to the person they are given to, by who was enrolled before this go.

    So a second name for somebody who is enrolled is refused too. The index is opened once.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery, self._index = gallery, open_index(gallery)
        stored = gallery.threshold()
        self._limit = stored.score if stored else None
        self.unchecked = 0

    def reason(self, person: str, vector: F32) -> str:
        """Why a photo with this vector (d,) is not enrolled as person; empty when nothing speaks against it. One search.

        The nearest person must be another one, at or above the gallery's threshold.
        """
        if self._limit is None:
            self.unchecked += 1
            return ""
        nearest = nearest_people(self._gallery, self._index, vector, 1)
        if not nearest or nearest[0].person == person or nearest[0].score < self._limit:
            return ""
        own = self._gallery.vectors_of(person) @ vector
        its = f"{own.max():.3f} with {person}" if len(own) else f"{person} has no photo yet"
        match = nearest[0]
        return f"closer to {match.person}, {match.score:.3f} with {match.support[0].source}; {its}; threshold {self._limit:.3f}"


def people_folders(root: Path) -> tuple[list[tuple[str, Path]], list[Skipped]]:
    """One folder a person below root, as (name, photo). Raises NotFound, NothingToDo."""
    if not root.is_dir():
        raise NotFound(root, "folder")
    photos: list[tuple[str, Path]] = []
    skipped: list[Skipped] = []
    for found in walk(root):
        if isinstance(found, Skipped):
            skipped.append(found)
        elif found.parent == root:
            skipped.append(Skipped(found, "not in a person's folder"))
        else:
            photos.append((found.relative_to(root).parts[0], found))
    if not photos:
        raise NothingToDo(str(root), "no photo in any person's folder (expected: one folder a person, photos in each)")
    return photos, skipped


def query(
    paths: Iterable[Path],
    gallery: Gallery,
    runtime: Runtime,
    detector: Detector | None,
    *,
    top: int,
    largest: bool,
    threshold: float | None,
    clock: Clock,
    index: Nearest | None = None,
) -> Queried:
    """Say for each face in each photo (or folder of photos) who in the gallery is nearest, or that nobody is.

    threshold overrides the gallery's own; index: where to search instead of the gallery's own. Raises EmptyGallery,
    EncoderMismatch, NotFound; NothingToDo when no photo could be used at all.
    """
    gallery.require_encoder(runtime.encoder_id)
    started = time.perf_counter()
    index = open_index(gallery) if index is None else index
    belief = Belief.of(gallery, threshold)
    clock.add("search", started)
    answers: list[Answer] = []
    skipped: list[Skipped] = []
    for path in _all_files(paths):
        started = time.perf_counter()
        photo = path if isinstance(path, Skipped) else read_photo(path)
        clock.add("read", started)
        if isinstance(photo, Skipped):
            skipped.append(photo)
            continue
        started = time.perf_counter()
        faces = faces_of(photo, detector)
        clock.add("detect", started)
        if not faces:
            skipped.append(Skipped(photo.path, "no face found"))
            continue
        answers += _ask(faces[:1] if largest else faces, gallery, index, runtime, top, belief, clock)
    if not answers:
        reason = skipped[0].reason if skipped else "there is no photo"
        where = str(skipped[0].path) if len(skipped) == 1 else f"{len(skipped)} photos"
        raise NothingToDo(where, reason if len(skipped) <= 1 else f"none could be used; the first: {reason}")
    outgrown = belief.stored is not None and threshold is None and is_stale(belief.stored, belief.faces)
    return Queried(tuple(answers), tuple(skipped), index.built, belief.stored.faces if belief.stored and outgrown else 0)


def _ask(
    faces: list[Cropped], gallery: Gallery, index: Nearest, runtime: Runtime, top: int, belief: Belief, clock: Clock
) -> Iterator[Answer]:
    started = time.perf_counter()
    vectors = runtime.embed(np.stack([face.crop for face in faces]))
    clock.add("embed", started)
    for face, vector in zip(faces, vectors, strict=True):
        started = time.perf_counter()
        matches = nearest_people(gallery, index, vector, max(top, 2))
        clock.add("search", started)
        gap = matches[0].score - matches[1].score if len(matches) > 1 else None
        known = None if belief.limit is None else matches[0].score >= belief.limit
        risk = None if belief.stored is None else belief.stored.share_above(matches[0].score, belief.faces)
        yield Answer(face.path, face.number, face.of, face.box, matches[:top], gap, belief.limit, known, belief.fpir, risk)


def one_face(path: Path, detector: Detector | None, *, largest: bool) -> Cropped | Skipped:
    """The face of a photo that shows one, or with `largest` the largest of several."""
    photo = read_photo(path)
    if isinstance(photo, Skipped):
        return photo
    faces = faces_of(photo, detector)
    if not faces:
        return Skipped(path, "no face found")
    if len(faces) > 1 and not largest:
        return Skipped(path, f"{len(faces)} faces found; --largest takes the largest one")
    return faces[0]


def _all_files(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    for path in paths:
        yield from walk(path)


def _box(box: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, float, float, float]:
    x, y, w, h = (round(float(value), 1) for value in box)
    return x, y, w, h


def _where(wanted: Sequence[tuple[str, Path]]) -> str:
    return str(wanted[0][1]) if len(wanted) == 1 else f"{len(wanted)} photos"
