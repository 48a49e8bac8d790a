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
"""Stands for a detector: photos are aligned face crops already, and no face is looked for."""


class FaceDetector:
    """A face detector for many threads.

    Attributes:
        name: What it is. Crops of detectors with one name can be compared.
        workers: How many photos it looks at at once.
    """

    def __init__(
        self, model: Path | str | None = None, *, aligned: bool = False, workers: int | None = None
    ) -> None:
        """Load the detector.

        Args:
            model: YuNet's .onnx file; None for the one that comes with facesearch.
            aligned: Photos are face crops already, and no face is looked for.
            workers: How many photos are looked at at once; None for one a core.

        Raises:
            NotFound: The file is not there.
            CannotRead: It is no YuNet.
        """
        checks.at_least("workers", workers, 1)
        self.workers = workers or os.cpu_count() or 1
        self._model = None if model is None else Path(model)
        self._begin(None if aligned else load_detector(self._model))

    @classmethod
    def of(cls, detector: Detector, workers: int | None = None) -> FaceDetector:
        """A detector of your own.

        Args:
            detector: Anything with name, detect and another, see Detector.
            workers: How many photos are looked at at once; None for one a core.
        """
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
        """The faces in a picture.

        Args:
            pixels: (h, w, 3) uint8 RGB, upright.

        Returns:
            The faces, largest first.

        Raises:
            ValueError: Photos are taken as crops.
        """
        with self.place() as detector:
            if detector is None:
                raise ValueError("nothing is detected in photos that are taken as aligned crops")
            return find_faces(detector, pixels)

    def detect_in(self, pixels: U8, box: F32, least_overlap: float) -> Face | None:
        """The face in a box that a person has drawn.

        Args:
            pixels: (h, w, 3) uint8 RGB, upright.
            box: (x, y, width, height) in pixels.
            least_overlap: How much of the box a face must share with it, from 0 to 1.

        Returns:
            The face; None where none is found, or where this detector cannot look closer.
        """
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
    """What a caller gives for a detector, as a FaceDetector.

    Args:
        given: A FaceDetector, "aligned", a YuNet file, or None for the one that comes with facesearch.
        workers: How many photos are looked at at once; None for one a core.
    """
    if isinstance(given, FaceDetector):
        return given
    if given == ALIGNED:
        return FaceDetector(aligned=True, workers=workers)
    return FaceDetector(None if given is None else Path(given), workers=workers)
