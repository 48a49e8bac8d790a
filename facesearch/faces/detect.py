"""Find faces and their landmarks: OpenCV's YuNet, or the Haar cascade inside OpenCV when there is no YuNet."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from facesearch.errors import CannotRead, CannotWrite, NotFound, reason_of
from facesearch.files import make_folder, replace_file
from facesearch.records import F32, U8, Face, Tell

YUNET_FILE = "face_detection_yunet_2026may.onnx"
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
YUNET_URL = f"https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/{YUNET_FILE}"
FETCH_TIMEOUT_S = 10
LONG_SIDE_PX = 640
MIN_SCORE = 0.7
MIN_FACE_PX = 20


class Detector(Protocol):
    """Finds the faces in a photo, largest first. pixels (h, w, 3) uint8 RGB. It holds state: one belongs to one thread."""

    name: str

    def detect(self, pixels: U8) -> list[Face]: ...

    def another(self) -> Detector:
        """The same detector once more, for another thread."""
        ...


class YuNet:
    """YuNet (Wu et al. 2023, Machine Intelligence Research 20): box and 5 landmarks. Photos are looked at 640 px long."""

    name = "yunet"

    def __init__(self, model: Path, *, min_score: float = MIN_SCORE) -> None:
        """Raises CannotRead when OpenCV cannot make a detector of the file."""
        self._model, self._min_score = model, min_score
        try:
            self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), min_score, 0.3, 5000)
        except cv2.error as error:
            raise CannotRead(model, f"not a YuNet model that this OpenCV can run ({error.err or 'unknown format'})") from error

    def another(self) -> YuNet:
        return YuNet(self._model, min_score=self._min_score)

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
            Face(row[:4] * np.tile(back, 2), row[4:14].reshape(5, 2) * back, float(min(row[14], 1)), self.name)
            for row in np.asarray(found, np.float32)
            if np.isfinite(row).all()
        ]
        return _largest_first(faces)


class Haar:
    """Viola and Jones 2001 with the cascades inside OpenCV 4: upright frontal faces only, aligned by their eyes."""

    name = "haar"

    def __init__(self) -> None:
        folder = str(Path(cv2.__file__).parent / "data") + os.sep
        files = ("haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_default.xml")
        self._faces = [cv2.CascadeClassifier(folder + file) for file in files]
        self._eyes = cv2.CascadeClassifier(folder + "haarcascade_eye.xml")

    def another(self) -> Haar:
        return Haar()

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        shrink = min(1.0, LONG_SIDE_PX / max(h, w))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else grey
        equalized: U8 = np.asarray(cv2.equalizeHist(grey), np.uint8)
        boxes: object = ()
        for cascade in self._faces:  # the second only where the first, more exact one sees nobody
            boxes = cascade.detectMultiScale(equalized, 1.1, 4, minSize=(MIN_FACE_PX, MIN_FACE_PX))
            if len(boxes):
                break
        faces = []
        for box in np.asarray(boxes, np.float32).reshape(-1, 4):
            eyes = self._find_eyes(equalized, box)
            faces.append(Face(box / np.float32(shrink), eyes / np.float32(shrink), 0.5, self.name))
        return _largest_first(faces)

    def _find_eyes(self, grey: U8, box: F32) -> F32:
        """One eye in each upper half of the box; where the cascade sees none, where an eye usually is."""
        x, y, w, _ = (int(v) for v in box)
        usual = np.array([[x + 0.31 * w, y + 0.40 * w], [x + 0.69 * w, y + 0.40 * w]], np.float32)
        seen = usual.copy()
        for i, left in enumerate((x, x + w // 2)):
            part = grey[y + w // 5 : y + w * 3 // 5, left : left + w // 2]
            if min(part.shape) < MIN_FACE_PX // 2:
                continue
            found = self._eyes.detectMultiScale(part, 1.05, 3, minSize=(max(4, w // 8), max(4, w // 8)))
            centres = [(left + ex + ew / 2, y + w // 5 + ey + eh / 2) for ex, ey, ew, eh in found]
            if centres:
                seen[i] = min(centres, key=lambda c: float(np.hypot(*(np.array(c) - usual[i]))))
        apart = float(np.hypot(*(seen[1] - seen[0])))
        level = abs(float(seen[1, 1] - seen[0, 1])) < 0.3 * apart
        return seen if level and 0.25 * w < apart < 0.6 * w else usual


def load_detector(model: Path | None, tell: Tell, *, fetch: bool = True) -> Detector:
    """Take YuNet from model, from FACESEARCH_YUNET, from the cache folder or from the OpenCV Zoo; else Haar, and say so.

    Raises NotFound or CannotRead for a file that was named and does not serve.
    """
    named = model or (Path(os.environ["FACESEARCH_YUNET"]) if os.environ.get("FACESEARCH_YUNET") else None)
    if named is not None:
        if not named.is_file():
            raise NotFound(named, "YuNet model", "Pass --detector-model FILE or set FACESEARCH_YUNET.")
        return YuNet(named)
    import platformdirs

    cached = platformdirs.user_cache_path("facesearch") / YUNET_FILE
    if cached.is_file() and hashlib.sha256(cached.read_bytes()).hexdigest() == YUNET_SHA256:
        return YuNet(cached)
    reason = _fetch(cached) if fetch and not os.environ.get("FACESEARCH_OFFLINE") else "FACESEARCH_OFFLINE is set"
    if not reason:
        return YuNet(cached)
    tell(
        f"warning: the YuNet face detector could not be fetched ({reason}); using OpenCV's Haar cascade, which misses turned "
        f"heads and aligns less well.\nFor YuNet put {YUNET_FILE} of the OpenCV Zoo at {cached}, or pass --detector-model FILE."
    )
    return Haar()


def _fetch(target: Path) -> str:
    """Fetch YuNet once and check its hash. Returns what went wrong, or an empty string."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(YUNET_URL, timeout=FETCH_TIMEOUT_S) as answer:
            data = answer.read(10 * 2**20)
    except urllib.error.URLError as error:
        return str(error.reason)
    except OSError as error:
        return reason_of(error)
    if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
        return "what came is not the file whose hash is pinned"
    try:
        make_folder(target.parent)
        replace_file(target, data)
    except CannotWrite as error:
        return f"{error.path} cannot be written: {error.reason}"
    return ""


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -float(face.box[2] * face.box[3]))
