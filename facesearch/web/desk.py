"""The desk between HTTP and the jobs: many threads ask, each opens the gallery for itself; the index and the encoder are shared.

SQLite's connections belong to one thread, so a gallery is opened and closed within each call. The mapped index is kept while the
gallery's generation stays, and let go as soon as another process has enrolled or forgotten somebody: it would hold their vectors.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.errors import GalleryBusy
from facesearch.faces.detect import Detector
from facesearch.faces.photos import photo_of
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.faiss_index import FaceIndex, open_index
from facesearch.gallery.rows import clean_name
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs import care
from facesearch.jobs.calibrate import calibrate_within
from facesearch.jobs.erase import Receipt
from facesearch.jobs.erase import forget as erase
from facesearch.jobs.move import Moved, move
from facesearch.jobs.people import Belief, decide, enroll
from facesearch.jobs.separation import Apart, separations
from facesearch.jobs.stream import Cropped, faces_of
from facesearch.model.runtime import Runtime
from facesearch.records import Answer, Skipped
from facesearch.web.observe import Meters
from facesearch.web.problems import Problem
from facesearch.web.settings import Settings
from facesearch.web.uploads import Upload

WRITE_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo as far as it was understood. answers: one a face, none while nobody is enrolled; refused: why it could not be used."""

    name: str
    sha256: str
    size: tuple[int, int]
    faces: tuple[Cropped, ...]
    answers: tuple[Answer, ...]
    left_out: int
    refused: str


@dataclass(frozen=True, slots=True)
class Searched:
    photos: tuple[Seen, ...]
    enrolled: int
    stale: bool


class Desk:
    """Every deed of the service, safe to call from many threads. Raises what the jobs raise, and Problem."""

    def __init__(self, settings: Settings, runtime: Runtime, detector: Detector | None, meters: Meters) -> None:
        self._settings, self._runtime, self._meters = settings, runtime, meters
        self.folder = settings.gallery
        self.detector = detector.name if detector else "none"
        # One place a core for decoding and detecting, each with a detector of its own; many threads may wait for the encoder.
        self._places: queue.SimpleQueue[Detector | None] = queue.SimpleQueue()
        for number in range(settings.workers):
            self._places.put(detector.another() if detector and number else detector)
        self._writing = threading.Lock()
        self._indexing = threading.Lock()
        self._index: tuple[int, FaceIndex] | None = None
        self._apart: tuple[int, list[Apart]] | None = None

    # ---- reading

    @contextmanager
    def gallery(self) -> Iterator[Gallery | None]:
        """The gallery, opened for this thread; None while there is none."""
        if not (self.folder / FILE).is_file():
            yield None
            return
        with Gallery.open(self.folder) as gallery:
            yield gallery

    def search(self, uploads: Sequence[Upload], *, top: int, threshold: float | None, largest: bool) -> Searched:
        """Who is in these photos? All their faces go through the encoder together."""
        looked = [self._look(upload, largest=largest) for upload in uploads]
        faces = [face for seen in looked for face in seen.faces]
        with self.gallery() as gallery:
            if gallery is not None:
                gallery.require_encoder(self._runtime.encoder_id)
            index = None if gallery is None else self.index(gallery)
            if gallery is None or index is None:
                return Searched(tuple(looked), 0, False)
            belief = Belief.of(gallery, threshold, len(index))
            vectors = self._runtime.embed(np.stack([face.crop for face in faces])) if faces else ()
            answers = (decide(face, vector, gallery, index, belief, top) for face, vector in zip(faces, vectors, strict=True))
            found = [_answered(seen, [next(answers) for _ in seen.faces]) for seen in looked]
        stale = belief.stored is not None and threshold is None and is_stale(belief.stored, belief.faces)
        return Searched(tuple(found), belief.faces, stale)

    def index(self, gallery: Gallery) -> FaceIndex | None:
        """The gallery's index as of now, mapped once a generation; None while nobody is enrolled."""
        with self._indexing:
            generation = gallery.generation
            if self._index is None or self._index[0] != generation:
                self._index = None
                if not gallery.is_empty():
                    self._index = generation, open_index(gallery)
                self._meters.enrolled.set(len(self._index[1]) if self._index else 0)
            return self._index[1] if self._index else None

    def refresh(self) -> None:
        """Let go of an index that another process has outdated."""
        with self.gallery() as gallery:
            if gallery is not None and self._index is not None and self._index[0] != gallery.generation:
                self.index(gallery)

    def separations(self) -> list[Apart]:
        """Everybody, the worst separated first; computed once a generation."""
        with self.gallery() as gallery:
            if gallery is None:
                return []
            generation, known = gallery.generation, self._apart
            if known is None or known[0] != generation:
                known = self._apart = generation, separations(gallery)
            return known[1]

    # ---- writing

    def enroll(self, upload: Upload, name: str, face_no: int | None, *, force: bool) -> tuple[str, str, int, bool, bool]:
        """Enroll one face of a photo. Returns name, content hash, photos now, whether it was known, whether it was unchecked.

        Without force a face closer to somebody else is refused: CloserToAnother.
        """
        person = clean_name(name)
        seen = self._look(upload, largest=False)
        if seen.refused:
            raise Problem("bad-photo", 422, f"The photo cannot be used: {seen.refused}.")
        face = _chosen(seen, face_no)
        with self._write():
            done = enroll(
                [(person, face)], self.folder, self._runtime, None, largest=False, fpir=None, progress=_quiet, strict=not force
            )  # fmt: skip
        with Gallery.open(self.folder) as gallery:
            return person, seen.sha256, len(gallery.photos_of(person)), bool(done.known), bool(done.unchecked)

    def rename(self, old: str, new: str, *, join: bool) -> int:
        """Returns how many photos moved."""
        with self._write():
            return care.rename(old, new, self.folder, join=join)

    def move(self, person: str, contents: Sequence[str], to: str) -> Moved:
        """Give photos to somebody else."""
        with self._write():
            return move(person, contents, to, self.folder, _silent)

    def forget(self, name: str, contents: Sequence[str]) -> tuple[Receipt, Path]:
        """Erase a person, or some of their photos, and prove it."""
        try:
            with self._write():
                return erase(name, self.folder, (), _silent, contents=contents)
        finally:
            with self._indexing:  # a mapped file keeps its bytes on the disk although its name is gone
                self._index = self._apart = None

    def calibrate(self, fpir: float, *, replace: bool) -> None:
        """Set the threshold with the gallery's own people as strangers."""
        with self._write(), Gallery.open(self.folder) as gallery:
            stored = gallery.threshold()
            if stored is not None and stored.on_strangers and not replace:
                raise Problem(
                    "replaces-better", 409,
                    "The threshold was set on real strangers. The gallery's own people are an extrapolation; ask again with replace.",
                )  # fmt: skip
            calibrate_within(gallery, fpir, seed=0)

    # ---- inside

    def _look(self, upload: Upload, *, largest: bool) -> Seen:
        """Decode a photo and cut out its faces, in one of the places."""
        limits = self._settings.limits
        detector = self._places.get()
        try:
            photo = photo_of(upload.data, Path(upload.name), max_pixels=limits.pixels)
            if isinstance(photo, Skipped):
                self._meters.photos.labels("refused").inc()
                return Seen(upload.name, "", (0, 0), (), (), 0, photo.reason)
            faces = faces_of(photo, detector)
        finally:
            self._places.put(detector)
        self._meters.photos.labels("faces" if faces else "no face").inc()
        most = 1 if largest else limits.faces
        h, w = photo.pixels.shape[:2]
        return Seen(upload.name, photo.sha256, (w, h), tuple(faces[:most]), (), max(0, len(faces) - most), "")

    @contextmanager
    def _write(self) -> Iterator[None]:
        """One writer of this process at a time; others wait for a bounded time."""
        if not self._writing.acquire(timeout=WRITE_WAIT_S):
            raise GalleryBusy(self.folder, WRITE_WAIT_S)
        try:
            yield
        finally:
            self._writing.release()


def _answered(seen: Seen, answers: list[Answer]) -> Seen:
    return Seen(seen.name, seen.sha256, seen.size, seen.faces, tuple(answers), seen.left_out, seen.refused)


def _chosen(seen: Seen, face_no: int | None) -> Cropped:
    """The face with this number, or the only one."""
    if not seen.faces:
        raise Problem("no-face", 422, "No face was found in the photo.")
    if face_no is None and len(seen.faces) > 1:
        raise Problem("no-face", 422, f"There are {len(seen.faces)} faces in the photo. Say which one: face, from 1, the largest first.")
    number = face_no or 1
    if not 1 <= number <= len(seen.faces):
        raise Problem("no-face", 422, f"There is no face {number} in the photo; it shows {len(seen.faces)}.")
    return seen.faces[number - 1]


def _quiet(done: int, total: int) -> None:
    return


def _silent(line: str) -> None:
    return
