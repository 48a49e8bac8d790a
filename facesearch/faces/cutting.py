"""A photo's faces, each with its aligned crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facesearch.faces.align import TEMPLATE, crop_face, scaled, square_around, warp
from facesearch.faces.detect import Detector, found_in
from facesearch.faces.fit import fit_of
from facesearch.records import U8, Face, Photo

NO_FACE = "no face found"
FINER_PX = 120
"""A face that is shorter in a photo that came reduced is cut out of the whole one."""
ROOM = 1.7
"""Side of a portrait to the longer side of the face's box."""


@dataclass(frozen=True, slots=True)
class CutFace:
    """face: in pixels of the original photo; crop (112, 112, 3) uint8. Without a face the photo was an
    aligned crop, and all of it.
    """

    face: Face | None
    crop: U8


def cut_faces(photo: Photo, detector: Detector | None) -> tuple[list[CutFace], str]:
    """All faces of a photo, largest first; without a detector the photo is taken as one aligned face crop.
    And where there is none, why what looked like one was refused (empty: nothing did).
    """
    if detector is None:
        return [CutFace(None, scaled(photo.pixels))], ""
    faces, refused = found_in(detector, photo.pixels, photo.scale)
    if photo.whole is not None and any(max(face.box[2:]) < FINER_PX for face in faces):
        whole = photo.whole()
        if isinstance(whole, Photo):
            photo = whole
            faces, refused = found_in(detector, photo.pixels, photo.scale)
    cut = [CutFace(_in_original(face, photo), crop_face(photo.pixels, face.landmarks)) for face in faces]
    return cut, "" if cut else refused


def portrait(pixels: U8, box: Sequence[float], landmarks: Sequence[Sequence[float]], side_px: int) -> U8:
    """A face with some room around it, upright, as people want to see it: (side_px, side_px, 3) uint8.

    box (4,) and landmarks (5, 2) in pixels (h, w, 3) uint8; without five landmarks the face is shown as it
    lies there.
    """
    x, y, w, h = box
    known = len(landmarks) == len(TEMPLATE)
    roll = fit_of(np.array(landmarks, np.float32)).roll_deg if known else 0.0
    scale = side_px / (ROOM * max(w, h))
    return warp(pixels, square_around((x + w / 2, y + h / 2), scale, roll, side_px), side_px)


def sharpness_of(crop: U8) -> float:
    """Of a crop (112, 112, 3) uint8 RGB: the variance of its Laplacian."""
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _in_original(face: Face, photo: Photo) -> Face:
    if photo.scale == 1:
        return face
    return replace(face, box=face.box * photo.scale, landmarks=face.landmarks * photo.scale)
