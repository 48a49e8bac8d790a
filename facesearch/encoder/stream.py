"""Photos to vectors as a stream: decoding, detection and alignment in threads, the network a batch ahead, all
in order.

Nothing is collected: a few photos a thread and three batches of crops are in memory, however many photos
come.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from facesearch.encoder.runtime import Runtime, measured
from facesearch.errors import BadBox, NoFace, SeveralFaces, UnusablePhoto
from facesearch.faces.align import TEMPLATE
from facesearch.faces.budget import DECODING
from facesearch.faces.by_hand import Box, face_in_box
from facesearch.faces.cutting import NO_FACE, CutFace, cut_faces, sharpness_of
from facesearch.faces.detect import Detector
from facesearch.faces.found_by import ALIGNED
from facesearch.faces.photos import read_photo
from facesearch.records import F32, U8, Photo, Points, Seen, Skipped
from facesearch.workers import Workers

T = TypeVar("T")
R = TypeVar("R")

BATCH = 64
"""Crops that go through the network together."""
LAST_BATCH = 8
"""The same after Ctrl-C, when there is time for a few."""
PAUSE_S = 0.3
"""When nothing has come for so long, what was found goes through the network as it is."""
AHEAD = 4
"""Photos a thread that may be decoded before they are wanted."""


Source: TypeAlias = Path | Skipped | Callable[[], Photo | Skipped]
"""A photo that is to be read: its file, what reads it, or why it is passed over."""


@dataclass(frozen=True, slots=True)
class Cropped:
    """One face of one photo, ready to be embedded. of: how many faces the photo has; box in its pixels: x, y,
    w, h; found_by: the detector's name, or what stands for none. landmarks and score: see Face; none of a
    photo that was taken as a crop."""

    path: Path
    sha256: str
    crop: U8
    number: int
    of: int
    box: tuple[float, float, float, float]
    found_by: str
    landmarks: Points = ()
    score: float = 1.0

    def seen(self, length: float = 0.0) -> Seen:
        """What a gallery keeps of it beside its vector, which had this length."""
        points = self.landmarks if len(self.landmarks) == len(TEMPLATE) else ()
        return Seen(self.box, points, self.score, sharpness_of(self.crop), length)


def faces_of(photo: Photo, detector: Detector | None) -> tuple[list[Cropped], str]:
    """All faces of a photo, largest first, and why what looked like the only ones was refused (empty: nothing
    did); without a detector the photo is taken as one aligned face crop.
    """
    found, reason = cut_faces(photo, detector)
    return [_cropped(photo, number, len(found), one) for number, one in enumerate(found, 1)], reason


def _cropped(photo: Photo, number: int, of: int, found: CutFace) -> Cropped:
    face = found.face
    if face is None:
        w, h = photo.size
        box = (0.0, 0.0, float(w), float(h))
        return Cropped(photo.path, photo.sha256, found.crop, number, of, box, ALIGNED)
    return Cropped(
        photo.path,
        photo.sha256,
        found.crop,
        number,
        of,
        _box(face.box),
        face.found_by,
        _points(face.landmarks),
        face.score,
    )


def read_source(source: Source) -> Photo | Skipped:
    """The photo itself, decoded now."""
    if isinstance(source, Skipped):
        return source
    return read_photo(source) if isinstance(source, Path) else source()


def read_faces(source: Source, detector: Detector | None) -> list[Cropped] | Skipped:
    """All faces of a photo, largest first and at least one."""
    photo = read_source(source)
    if isinstance(photo, Skipped):
        return photo
    faces, reason = faces_of(photo, detector)
    return faces or Skipped(photo.path, reason or NO_FACE, NoFace(photo.path, reason=reason))


def one_face(
    source: Source,
    detector: Detector | None,
    *,
    largest: bool,
    number: int | None = None,
    box: Box | None = None,
) -> Cropped | Skipped:
    """The face of a photo that shows one, or with `largest` the largest of several; or that with this number,
    or in this box, which a person has drawn.
    """
    if box is not None and detector is not None:
        return _in_box(source, box, detector)
    faces = read_faces(source, detector)
    if isinstance(faces, Skipped):
        return (
            faces
            if faces.cause is not None
            else Skipped(faces.path, faces.reason, UnusablePhoto(faces.path, faces.reason))
        )
    if number is not None and not 1 <= number <= len(faces):
        return Skipped(
            faces[0].path,
            f"there is no face {number} in it; it shows {len(faces)}",
            NoFace(faces[0].path, number, len(faces)),
        )
    if number is None and len(faces) > 1 and not largest:
        return Skipped(
            faces[0].path,
            f"{len(faces)} faces found; ask for the largest one, or say which",
            SeveralFaces(faces[0].path, len(faces)),
        )
    return faces[(number or 1) - 1]


def _in_box(source: Source, box: Box, detector: Detector) -> Cropped | Skipped:
    photo = read_source(source)
    if isinstance(photo, Skipped):
        return Skipped(photo.path, photo.reason, photo.cause or UnusablePhoto(photo.path, photo.reason))
    try:
        return _cropped(photo, 1, 1, face_in_box(photo, box, detector))
    except BadBox as error:
        return Skipped(photo.path, error.what, error)


def detected(
    find: Callable[[T, Detector | None], R],
    items: Iterable[T],
    detector: Detector | None,
    *,
    workers: int = 0,
) -> Iterator[R]:
    """find(item, detector) of every item, in the items' order, by `workers` threads (0: one a core), each
    with its own detector.
    """
    count = workers or os.cpu_count() or 1
    own = threading.local()

    def work(item: T) -> R:
        if detector is not None and not hasattr(own, "detector"):
            own.detector = detector.another()
        with DECODING.span():
            return find(item, None if detector is None else own.detector)

    with Workers(count, "photos") as pool:
        yield from _in_order((pool.submit(work, item) for item in items), AHEAD * count)


Embedded: TypeAlias = tuple[T, F32, F32]
"""An item, the unit vectors (n, d) of its crops, and the lengths (n,) that they had, see `measured`."""


def embedded(items: Iterable[tuple[T, Sequence[U8]]], runtime: Runtime) -> Iterator[Embedded[T]]:
    """(item, its crops (112, 112, 3), any number of them) -> (item, their vectors, their lengths), in order.

    While a batch is in the network, the next one is collected here, in the thread that reads the
    stream.
    """
    for batch in embedded_batches(items, runtime):
        yield from batch


def embedded_batches(
    items: Iterable[tuple[T, Sequence[U8]]],
    runtime: Runtime,
    early: Callable[[list[Embedded[T]]], None] | None = None,
) -> Iterator[list[Embedded[T]]]:
    """The same, as many items at a time as went through the network together: for callers that keep them in
    one step. early: takes those that are ready when nothing new comes for a while, before they would be
    yielded. After Ctrl-C what was found until then still comes.
    """
    group: Group[T] = []
    asked: deque[Future[list[Embedded[T]]]] = deque()
    with Workers(1, "network") as workers:

        def send(most: int = 4 * BATCH) -> None:
            for start in range(0, len(group), most):
                asked.append(workers.submit(_embed, group[start : start + most], runtime))
            group.clear()

        def pause() -> None:
            send()
            while early is not None and asked and asked[0].done():
                early(asked.popleft().result())

        try:
            with _at_pauses(pause):
                for item in items:
                    group.append(item)
                    if sum(len(own) for _, own in group) >= BATCH or len(group) >= 4 * BATCH:
                        send()
                    while len(asked) > 1:
                        yield _taken(asked)
        except KeyboardInterrupt:
            send(LAST_BATCH)
            while asked:
                yield _taken(asked)
            raise
        send()
        while asked:
            yield _taken(asked)


Group = list[tuple[T, Sequence[U8]]]


def _embed(group: Group[T], runtime: Runtime) -> list[Embedded[T]]:
    crops = [crop for _, own in group for crop in own]
    none = np.zeros((0, runtime.dimension), np.float32), np.zeros(0, np.float32)
    vectors, lengths = measured(runtime, np.stack(crops)) if crops else none
    ends = np.cumsum([len(own) for _, own in group])
    parts = [slice(end - len(own), end) for (_, own), end in zip(group, ends, strict=True)]
    return [(item, vectors[part], lengths[part]) for (item, _), part in zip(group, parts, strict=True)]


def _in_order(futures: Iterable[Future[R]], most: int) -> Iterator[R]:
    """Results in the order of asking; `most` and one more are under way at a time. What fails is raised here,
    the rest is called off.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for future in futures:
            waiting.append(future)
            if len(waiting) > most:
                yield _taken(waiting)
        while waiting:
            yield _taken(waiting)
    finally:
        for future in waiting:
            future.cancel()


_pauses = threading.local()
"""do: what this thread does when it has waited for a while."""


@contextmanager
def _at_pauses(do: Callable[[], None]) -> Iterator[None]:
    before = getattr(_pauses, "do", None)
    _pauses.do = do
    try:
        yield
    finally:
        _pauses.do = before


def _taken(waiting: deque[Future[R]]) -> R:
    """The first one's result; as long as it is waited for, it still stands there."""
    while not wait([waiting[0]], PAUSE_S).done:
        if (do := getattr(_pauses, "do", None)) is not None:
            do()
    return waiting.popleft().result()


def _points(landmarks: F32) -> Points:
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in landmarks)


def _box(box: F32) -> tuple[float, float, float, float]:
    x, y, w, h = (round(float(value), 1) for value in box)
    return x, y, w, h
