"""Find faces and their landmarks: OpenCV's YuNet, which comes with facesearch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from facesearch.errors import CannotRead, NotFound, reason_of
from facesearch.faces.found_by import SHIPPED
from facesearch.records import U8, Face

YUNET = Path(__file__).parent / "yunet" / "face_detection_yunet_2026may.onnx"
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
LONG_SIDE_PX = 640
MIN_SCORE = 0.7
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


def find_faces(detector: Detector, pixels: U8) -> list[Face]:
    """What a detector finds in pixels (h, w, 3) uint8 RGB, largest first, without what can be no face of this
    photo, whatever detector it was: boxes without area or mostly outside the photo, landmarks on one point or
    around one that is outside.
    """
    h, w = pixels.shape[:2]
    return [face for face in detector.detect(pixels) if _is_in(face, w, h)]


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
    """YuNet (Wu et al. 2023, Machine Intelligence Research 20): box and 5 landmarks. Photos are looked at 640
    px long.
    """

    def __init__(self, model: bytes) -> None:
        """model: all that is in its .onnx file. Raises cv2.error."""
        self._model = model
        self._net = cv2.FaceDetectorYN.create(
            "onnx", np.frombuffer(model, np.uint8), np.empty(0, np.uint8), (320, 320), MIN_SCORE, 0.3, 5000
        )
        sha256 = hashlib.sha256(model).hexdigest()
        self.name = SHIPPED if sha256 == YUNET_SHA256 else f"yunet {sha256[:12]}"

    def another(self) -> YuNet:
        return YuNet(self._model)

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        shrink = min(1.0, LONG_SIDE_PX / max(h, w))
        size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels
        self._net.setInputSize(size)
        _, found = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if found is None:
            return []
        back = np.array([w / size[0], h / size[1]], np.float32)
        faces = [
            Face(
                row[:4] * np.tile(back, 2), row[4:14].reshape(5, 2) * back, float(min(row[14], 1)), self.name
            )
            for row in np.asarray(found, np.float32)
            if np.isfinite(row).all()
        ]
        return sorted(faces, key=lambda face: -float(face.box[2] * face.box[3]))


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
        yunet = YuNet(file.read_bytes())
        yunet.detect(
            np.zeros((64, 64, 3), np.uint8)
        )  # another model is made all the same, and fails only here
        return yunet
    except OSError as error:
        raise CannotRead(file, reason_of(error)) from error
    except cv2.error as error:
        raise CannotRead(
            file, f"not a YuNet model that this OpenCV can run ({error.err or 'unknown format'})"
        ) from error
