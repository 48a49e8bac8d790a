"""Enroll people, and ask who is in a photo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from facesearch.errors import CannotRead, CloserToAnother, NotFound, NothingToDo, reason_of
from facesearch.faces.detect import Detector
from facesearch.faces.photos import walk
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.faiss_index import open_index
from facesearch.gallery.nearest import Nearest, nearest_people, person_score
from facesearch.gallery.rows import NewFace, Threshold, clean_name, way_of
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs.build import tidy
from facesearch.jobs.stream import Cropped, detected, embedded, one_face, read_faces
from facesearch.model.runtime import Runtime
from facesearch.records import F32, I64, U8, Answer, Progress, ScoredBy, Skipped

COMMIT = 64


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

    stored: the gallery's own threshold; limit: the score that decides; fpir: what is to be expected of it; faces enrolled; by:
    what the scores are.
    """

    stored: Threshold | None
    limit: float | None
    fpir: float | None
    faces: int
    by: ScoredBy

    @classmethod
    def of(cls, gallery: Gallery, threshold: float | None, faces: int) -> Self:
        """threshold decides in the place of the gallery's own; faces: how many are searched, as the index knows without counting."""
        stored = gallery.threshold()
        limit = threshold if threshold is not None else stored.score if stored else None
        return cls(stored, limit, None if stored is None or limit is None else stored.expected_fpir(limit, faces), faces, way_of(stored))


def enroll(
    photos: Sequence[tuple[str, Path | Cropped]],
    folder: Path,
    runtime: Runtime,
    detector: Detector | None,
    *,
    largest: bool,
    fpir: float | None,
    progress: Progress,
    strict: bool = False,
) -> Enrolled:
    """Add photos, given as (person, file or one face cut out already), to a gallery; makes the gallery when there is none.

    A photo without a face, or with several unless `largest`, is skipped. A photo that its person has already is left as
    it is. strict: a photo closer to somebody who was enrolled before is skipped too. Raises NothingToDo when every photo
    was skipped, CloserToAnother when that was the only one, BadName, EncoderMismatch, CannotWrite, GalleryBusy.
    """
    wanted = [(clean_name(person), photo) for person, photo in photos]
    skipped: list[Skipped] = []
    added: Counter[str] = Counter()
    known = 0
    with ExitStack() as stack:
        gallery = stack.enter_context(Gallery.open(folder)) if (folder / FILE).is_file() else None
        if gallery is not None:
            gallery.require_encoder(runtime.encoder_id)
        guard = _Guard(gallery) if strict and gallery is not None and not gallery.is_empty() else None

        def look(photo: Path | Cropped, own: Detector | None) -> Cropped | Skipped:
            return photo if isinstance(photo, Cropped) else one_face(photo, own, largest=largest)

        def new_faces() -> Iterator[tuple[tuple[str, Cropped], list[U8]]]:
            """Faces that are to be enrolled; counts those that are not."""
            nonlocal known
            seen: set[tuple[str, str]] = set()
            progress(0, len(wanted))
            found = detected(look, (photo for _, photo in wanted), detector)
            for number, ((person, _), face) in enumerate(zip(wanted, found, strict=True), 1):
                if isinstance(face, Skipped):
                    skipped.append(face)
                elif (person, face.sha256) in seen or (gallery is not None and gallery.has_photo(person, face.sha256)):
                    known += 1
                else:
                    seen.add((person, face.sha256))
                    yield (person, face), [face.crop]
                progress(number, len(wanted))

        new: list[NewFace] = []
        for (person, face), vectors in embedded(new_faces(), runtime):
            refusal = None if guard is None else guard.refusal(person, face.path, vectors[0])
            if refusal is not None:
                skipped.append(Skipped(face.path, refusal.reason, refusal))
            else:
                new.append(NewFace(person, face.sha256, face.path.name, vectors[0]))
                added[person] += 1
            if len(new) >= COMMIT:
                gallery = _added(new, gallery, folder, runtime, stack)
                new = []
        if new:
            gallery = _added(new, gallery, folder, runtime, stack)
        if added and gallery is not None:
            tidy(gallery, runtime.notes, fpir)
    if not added and not known:
        if len(wanted) == 1 and skipped and skipped[0].cause is not None:
            raise skipped[0].cause
        reason = str(skipped[0].reason) if skipped else "no photo was given"
        raise NothingToDo(_where(wanted), f"none of {len(wanted)} photos could be enrolled; the first: {reason}")
    return Enrolled(dict(added), known, tuple(skipped), guard.unchecked if guard else 0)


def _added(new: Sequence[NewFace], gallery: Gallery | None, folder: Path, runtime: Runtime, stack: ExitStack) -> Gallery:
    """The gallery with these faces; made only now when it was not there, so that photos of nobody leave no empty gallery behind."""
    if gallery is None:
        gallery = stack.enter_context(Gallery.create(folder, runtime.encoder_id, runtime.dimension, runtime.words))
        gallery.require_encoder(runtime.encoder_id)
    gallery.add(new)
    return gallery


class _Guard:
    """Refuses photos closer to somebody else than to the person they are given to, by who was enrolled before this go.

    So a second name for somebody who is enrolled is refused too. The index is opened once.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery, self._index = gallery, open_index(gallery)
        stored = gallery.threshold()
        self._limit, self._by = stored.score if stored else None, way_of(stored)
        self.unchecked = 0

    def refusal(self, person: str, photo: Path, vector: F32) -> CloserToAnother | None:
        """Why a photo with this vector (d,) is not enrolled as person; None when nothing speaks against it. One search.

        The nearest person must be another one, at or above the gallery's threshold.
        """
        if self._limit is None:
            self.unchecked += 1
            return None
        nearest = nearest_people(self._gallery, self._index, vector, 1, by=self._by)
        if not nearest or nearest[0].person == person or nearest[0].score < self._limit:
            return None
        own = person_score(self._gallery, person, vector, self._by)
        match = nearest[0]
        return CloserToAnother(photo, person, match.person, match.score, match.support[0].source, own, self._limit)


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


class Asker:
    """Asks a gallery photo by photo, and sees what others change in it meanwhile. Belongs to one thread, as the gallery does."""

    def __init__(
        self, gallery: Gallery, runtime: Runtime, *, top: int = 5, largest: bool = False, threshold: float | None = None,
        among: Sequence[str] = (), search_in: Callable[[Gallery], Nearest] = open_index,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        """threshold overrides the gallery's own. among: only these people, all of whose photos are compared. search_in: opens
        what is searched, now and whenever the gallery has changed; by itself the gallery's own index.

        Raises EmptyGallery, EncoderMismatch, UnknownPerson.
        """
        gallery.require_encoder(runtime.encoder_id)
        self.gallery, self.runtime, self.clock = gallery, runtime, clock or Clock()
        self._top, self._largest, self._threshold, self._among = top, largest, threshold, among
        self._search_in = search_in
        self.built = ""
        self._open()

    @property
    def outgrown(self) -> int:
        """For how many faces the gallery's threshold was set, when it decides and has become stale; else 0."""
        stored = self._belief.stored
        stale = stored is not None and self._threshold is None and is_stale(stored, len(self._index))
        return stored.faces if stored is not None and stale else 0

    def chosen(self, faces: list[Cropped]) -> list[Cropped]:
        """Those that are asked for."""
        return faces[:1] if self._largest else faces

    def answer(self, faces: Sequence[Cropped], vectors: F32) -> list[Answer]:
        """faces with their unit vectors (n, d) -> who is nearest to each. Raises CorruptGallery, EmptyGallery."""
        started = time.perf_counter()
        if self.gallery.generation != self._generation:
            self._open()
        pairs = zip(faces, vectors, strict=True)
        answers = [decide(face, vector, self.gallery, self._index, self._belief, self._top, self._chosen) for face, vector in pairs]
        self.clock.add("search", started)
        return answers

    def ask(self, path: Path | Skipped, detector: Detector | None) -> list[Answer] | Skipped:
        """One photo at once, from file to answers."""
        started = time.perf_counter()
        faces = read_faces(path, detector)
        self.clock.add("detect", started)
        if isinstance(faces, Skipped):
            return faces
        faces = self.chosen(faces)
        started = time.perf_counter()
        vectors = self.runtime.embed(np.stack([face.crop for face in faces]))
        self.clock.add("embed", started)
        return self.answer(faces, vectors)

    def _open(self) -> None:
        started = time.perf_counter()
        self._generation = self.gallery.generation
        self._chosen = self.gallery.face_ids(self._among) if self._among else None
        self._index = self._search_in(self.gallery)
        self._belief = Belief.of(self.gallery, self._threshold, len(self._index) if self._chosen is None else len(self._chosen))
        self.built = self.built or self._index.built
        self.clock.add("search", started)


def decide(face: Cropped, vector: F32, gallery: Gallery, index: Nearest, belief: Belief, top: int, among: I64 | None = None) -> Answer:
    """Who is nearest to a face with this unit vector (d,), of all or of the faces with these ids, and whether that is a match."""
    matches = nearest_people(gallery, index, vector, max(top, 2), among, belief.by)
    gap = matches[0].score - matches[1].score if len(matches) > 1 else None
    known = None if belief.limit is None else matches[0].score >= belief.limit
    risk = None if belief.stored is None else belief.stored.share_above(matches[0].score, belief.faces)
    return Answer(face.path, face.number, face.of, face.box, matches[:top], gap, belief.limit, known, belief.fpir, risk, belief.by)


def query(paths: Iterable[Path], asker: Asker, detector: Detector | None) -> Queried:
    """Say for each face in each photo (or folder of photos) who in the gallery is nearest, or that nobody is.

    Raises NotFound; NothingToDo when no photo could be used at all.
    """
    answers: list[Answer] = []
    skipped: list[Skipped] = []
    files = list(_all_files(paths))
    if len(files) == 1:
        found = asker.ask(files[0], detector)
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            answers += found
    else:

        def faces() -> Iterator[tuple[list[Cropped], list[U8]]]:
            for found in detected(read_faces, files, detector):
                if isinstance(found, Skipped):
                    skipped.append(found)
                else:
                    chosen = asker.chosen(found)
                    yield chosen, [face.crop for face in chosen]

        for own, vectors in embedded(faces(), asker.runtime):
            answers += asker.answer(own, vectors)
    if not answers:
        reason = skipped[0].reason if skipped else "there is no photo"
        where = str(skipped[0].path) if len(skipped) == 1 else f"{len(skipped)} photos"
        raise NothingToDo(where, reason if len(skipped) <= 1 else f"none could be used; the first: {reason}")
    return Queried(tuple(answers), tuple(skipped), asker.built, asker.outgrown)


def named_in(file: Path) -> list[str]:
    """The names in a text file, one a line; empty lines do not count. Raises CannotRead, NothingToDo."""
    try:
        names = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise CannotRead(file, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise CannotRead(file, "it is not text in UTF-8") from error
    if not names:
        raise NothingToDo(str(file), "no name in it")
    return names


def _all_files(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    for path in paths:
        yield from walk(path)


def _where(wanted: Sequence[tuple[str, Path | Cropped]]) -> str:
    if len(wanted) != 1:
        return f"{len(wanted)} photos"
    photo = wanted[0][1]
    return str(photo.path if isinstance(photo, Cropped) else photo)
