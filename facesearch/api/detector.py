"""Faces in photos, found from many threads: one detector a place, and as many places as there are cores."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facesearch.api import checks
from facesearch.api.per_process import PerProcess
from facesearch.faces.by_hand import Box as Box
from facesearch.faces.detect import Detector, LooksInBox, find_faces, load_detector
from facesearch.faces.found_by import BY_HAND as BY_HAND
from facesearch.records import F32, U8, Face

ALIGNED = "aligned"
"""In the place of a detector: photos are aligned face crops already, and no face is looked for."""


class FaceDetector:
    """A face detector for many threads. name: what it is; crops of detectors with the same name can be
    compared.
    """

    def __init__(
        self, model: Path | str | None = None, *, aligned: bool = False, workers: int | None = None
    ) -> None:
        """model: YuNet's .onnx file, None for the one that comes with facesearch. aligned: photos are face
        crops already. workers: how many photos are looked at at once, None for one a core. Raises NotFound,
        CannotRead."""
        checks.at_least("workers", workers, 1)
        self.workers = workers or os.cpu_count() or 1
        self._model = None if model is None else Path(model)
        self._begin(None if aligned else load_detector(self._model))

    @classmethod
    def of(cls, detector: Detector, workers: int | None = None) -> FaceDetector:
        """A detector of your own: anything with name, detect and another, see Detector."""
        made = cls(aligned=True, workers=workers)
        made._begin(detector)
        return made

    def _begin(self, first: Detector | None) -> None:
        self._first = first
        self.name = ALIGNED if first is None else first.name
        self._places = PerProcess(self._made)

    @property
    def own(self) -> Detector | None:
        """This as a Detector of many threads; None where photos are crops."""
        return None if self._first is None else self

    def detect(self, pixels: U8) -> list[Face]:
        """The faces in pixels (h, w, 3) uint8 RGB, largest first. Raises ValueError where photos are
        crops."""
        with self.place() as detector:
            if detector is None:
                raise ValueError("nothing is detected in photos that are taken as aligned crops")
            return find_faces(detector, pixels)

    def detect_in(self, pixels: U8, box: F32, least_overlap: float) -> Face | None:
        """The face in a box (x, y, w, h) that a person has drawn, as far as this detector can look closer."""
        with self.place() as detector:
            if not isinstance(detector, LooksInBox):
                return None
            return detector.detect_in(pixels, box, least_overlap)

    def another(self) -> FaceDetector:
        """Itself: one is enough for all threads."""
        return self

    @contextmanager
    def place(self) -> Iterator[Detector | None]:
        """A detector for this thread alone, as soon as one is free; None where photos are crops."""
        places = self._places.get()
        detector = places.get()
        try:
            if detector is None and self._first is not None:
                detector = self._first.another()
            yield detector
        finally:
            places.put(detector)

    def _made(self) -> queue.LifoQueue[Detector | None]:
        """As many places as workers; what stands in one is made when it is first needed, and those that were
        used go first.
        """
        places: queue.LifoQueue[Detector | None] = queue.LifoQueue()
        for _ in range(self.workers):
            places.put(None)
        return places


def as_detector(
    given: FaceDetector | str | os.PathLike[str] | None, workers: int | None = None
) -> FaceDetector:
    """What a caller gives for a detector: one of ours, "aligned", a YuNet file, or None for the one that
    comes with facesearch.
    """
    if isinstance(given, FaceDetector):
        return given
    if given == ALIGNED:
        return FaceDetector(aligned=True, workers=workers)
    return FaceDetector(None if given is None else Path(given), workers=workers)
