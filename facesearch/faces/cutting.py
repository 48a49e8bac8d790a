"""A photo's faces, each with its aligned crop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from facesearch.faces.align import crop_face, scaled
from facesearch.faces.detect import Detector, found_in
from facesearch.records import U8, Face, Photo

NO_FACE = "no face found"


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
    faces, refused = found_in(detector, photo.pixels)
    cut = [CutFace(_in_original(face, photo), crop_face(photo.pixels, face.landmarks)) for face in faces]
    return cut, "" if cut else refused


def sharpness_of(crop: U8) -> float:
    """Of a crop (112, 112, 3) uint8 RGB: the variance of its Laplacian."""
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _in_original(face: Face, photo: Photo) -> Face:
    if photo.scale == 1:
        return face
    return replace(face, box=face.box * photo.scale, landmarks=face.landmarks * photo.scale)
