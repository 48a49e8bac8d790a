"""Find faces and their landmarks: YuNet, of the OpenCV Zoo, which comes with facesearch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from facesearch.errors import CannotRead, NotFound, reason_of
from facesearch.faces.face_network import FaceNetwork
from facesearch.faces.face_search import FaceSearch, SeenFace
from facesearch.faces.fit import can_be_face
from facesearch.faces.found_by import SHIPPED
from facesearch.records import F32, U8, Face

YUNET = Path(__file__).parent / "yunet" / "face_detection_yunet_2026may.onnx"
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
UNCLEAR = "a face was found, but not which way up it is; turn the photo upright, or choose another one"
UNFIT = "what was found does not fit a face: eyes, nose and mouth are not where a face has them"
LEAST_INSIDE = 0.5
"""The share of a face's box that lies in the photo, at least."""


class Detector(Protocol):
    """Finds the faces in a photo, largest first. pixels (h, w, 3) uint8 RGB. It holds state: one belongs to
    one thread.
    """

    name: str
    """Crops by detectors of one name can be compared; it is what galleries, datasets and albums note."""

    def detect(self, pixels: U8) -> list[Face]: ...

    def another(self) -> Detector:
        """The same detector once more, for another thread."""
        ...


@runtime_checkable
class LooksInBox(Protocol):
    """A detector that can look closer where a person says that a face is."""

    def detect_in(self, pixels: U8, box: F32, least_overlap: float) -> Face | None: ...


def find_faces(detector: Detector, pixels: U8) -> list[Face]:
    """What a detector finds in pixels (h, w, 3) uint8 RGB, largest first, without what can be no face of this
    photo, whatever detector it was: boxes without area or mostly outside the photo, landmarks on one point or
    around one that is outside, and landmarks that do not fit a face.
    """
    return found_in(detector, pixels)[0]


def found_in(detector: Detector, pixels: U8, scale: float = 1.0) -> tuple[list[Face], str]:
    """The same, and why faces were refused although they lie in the photo; empty where none was. scale:
    pixels of the original photo to one of these, which a detector with `detect_reduced` is told.
    """
    h, w = pixels.shape[:2]
    reduced = getattr(detector, "detect_reduced", None)
    found = detector.detect(pixels) if scale == 1 or reduced is None else reduced(pixels, scale)
    inside = [face for face in found if _is_in(face, w, h)]
    good = [face for face in inside if face.upright and can_be_face(face.landmarks)]
    if len(good) == len(inside):
        return good, ""
    return good, UNCLEAR if any(not face.upright for face in inside) else UNFIT


def _is_in(face: Face, w: int, h: int) -> bool:
    box, points = np.asarray(face.box, np.float64), np.asarray(face.landmarks, np.float64)
    if not (np.isfinite(box).all() and np.isfinite(points).all()):
        return False
    low, high = box[:2], box[:2] + box[2:]
    inside = np.clip(np.minimum(high, (w, h)) - np.maximum(low, 0), 0, None)
    area, middle = float(box[2] * box[3]), points.mean(axis=0)
    return bool(
        (box[2:] > 0).all()
        and inside.prod() >= LEAST_INSIDE * area
        and np.ptp(points, axis=0).max() > 0
        and (middle >= 0).all()
        and (middle <= (w, h)).all()
    )


class YuNet:
    """YuNet (Wu et al. 2023, Machine Intelligence Research 20): box and 5 landmarks.

    A photo is looked at 640 pixels long; a large one in tiles too, at FINE_SCALE of its size. A face that is
    small there, rolled, or not certain is looked at again in a window of its own: at its own size and, where
    its score lets it be on its side, in eight turns, of which the best one counts. A photo in which no face
    is certain is looked at in all four turns.
    """

    def __init__(self, model: bytes) -> None:
        """model: all that is in its .onnx file. Raises ValueError."""
        self._network = FaceNetwork(model)
        sha256 = hashlib.sha256(model).hexdigest()
        self.name = SHIPPED if sha256 == YUNET_SHA256 else f"yunet {sha256[:12]}"

    def another(self) -> YuNet:
        other = object.__new__(YuNet)
        other._network, other.name = self._network.another(), self.name
        return other

    def detect(self, pixels: U8) -> list[Face]:
        return self.detect_reduced(pixels, 1.0)

    def detect_reduced(self, pixels: U8, scale: float) -> list[Face]:
        """The same of a photo that was reduced: scale: pixels of the original to one of these."""
        return [self._face(one) for one in FaceSearch(self._network.find, pixels, scale).faces()]

    def detect_in(self, pixels: U8, box: F32, least_overlap: float) -> Face | None:
        """The face of which a person has said that it is in this box (x, y, w, h): the best that the network
        finds when it looks nowhere else, however unsure it is of it.
        """
        found = FaceSearch(self._network.find, pixels).face_in(box, least_overlap)
        return None if found is None else replace(self._face(found), upright=True)

    def _face(self, one: SeenFace) -> Face:
        row = one.row
        score = float(min(row[14], 1))
        return Face(row[:4], row[4:14].reshape(5, 2), score, self.name, not one.unclear)


def load_detector(model: Path | None) -> Detector:
    """The YuNet that comes with facesearch, or the one in this file. Raises NotFound or CannotRead for a file
    that does not serve.
    """
    file = model or YUNET
    if not file.is_file():
        raise NotFound(
            file,
            "YuNet model",
            "Pass another --detector-model FILE, or none (nor FACESEARCH_YUNET) for the shipped one.",
        )
    try:
        return YuNet(file.read_bytes())
    except OSError as error:
        raise CannotRead(file, reason_of(error)) from error
    except ValueError as error:
        raise CannotRead(file, f"not a YuNet model ({error})") from error
