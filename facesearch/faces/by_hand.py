"""The face in a box that a person has drawn: as the detector finds it, as the network finds it when it looks
nowhere else, or, where neither does, as the box alone tells.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from facesearch.errors import BadBox
from facesearch.faces.align import FACE_IN_CROP, TEMPLATE, crop_face
from facesearch.faces.boxes import iou
from facesearch.faces.cutting import CutFace
from facesearch.faces.detect import LEAST_INSIDE, Detector, LooksInBox, found_in
from facesearch.faces.found_by import BY_HAND
from facesearch.records import F32, Face, Photo

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels of the upright photo."""
LEAST_PX = 8
"""Of a box's shorter side."""
IT_IS = 0.3
"""Intersection over union of the box and a face that is taken for the one in it: people draw whole heads."""


def face_in_box(photo: Photo, box: Box, detector: Detector) -> CutFace:
    """The face in that box, with its crop. `found_by` is "by hand", and the score 0, where no landmarks were
    found: the crop then shows the box as an upright face. Raises BadBox.
    """
    _require_inside(photo, box)
    whole = photo.whole() if photo.whole is not None else photo
    photo = whole if isinstance(whole, Photo) else photo
    small = np.asarray(box, np.float32) / photo.scale
    face = _found(photo, small, detector) or _from_box(small)
    crop = crop_face(photo.pixels, face.landmarks)
    if photo.scale != 1:
        face = replace(face, box=face.box * photo.scale, landmarks=face.landmarks * photo.scale)
    return CutFace(face, crop)


def _require_inside(photo: Photo, box: Box) -> None:
    (x, y, w, h), (width, height) = box, photo.size
    if not all(map(math.isfinite, box)) or min(w, h) < LEAST_PX:
        raise BadBox(photo.path, box, photo.size, f"it is smaller than {LEAST_PX} pixels")
    across, down = min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
    if max(across, 0) * max(down, 0) < LEAST_INSIDE * w * h:
        raise BadBox(photo.path, box, photo.size, "it lies outside of the photo")


def _found(photo: Photo, box: F32, detector: Detector) -> Face | None:
    """The face that the detector finds there; if it finds none, the one that its network finds in a window of
    the box's own size, in any turn.
    """
    faces = [
        face
        for face in found_in(detector, photo.pixels, photo.scale)[0]
        if iou(face.box.tolist(), box.tolist()) >= IT_IS
    ]
    if faces:
        return max(faces, key=lambda face: iou(face.box.tolist(), box.tolist()))
    if isinstance(detector, LooksInBox):
        return detector.detect_in(photo.pixels, box, IT_IS)
    return None


def _from_box(box: F32) -> Face:
    """The face of which only the box is known, taken to be upright: its landmarks are those of the template,
    brought to where faces lie in the crop.
    """
    x, y, w, h = FACE_IN_CROP
    scale = math.sqrt(float(box[2] * box[3]) / (w * h))
    middle = box[:2] + box[2:] / 2
    points = (TEMPLATE - np.array([x + w / 2, y + h / 2], np.float32)) * scale + middle
    return Face(box, points.astype(np.float32), 0.0, BY_HAND)
