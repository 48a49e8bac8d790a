"""Geometry: landmarks in a photo to one crop of 112 x 112 pixels. Pure functions.

There is one geometry for training and for use; faces/crop.py names it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from facesearch.faces.crop import CROP_PX
from facesearch.records import F32, F64, U8

# Where the five landmarks go in the crop (x, y): the template that ArcFace (Deng et al. 2019) and its
# successors use.
TEMPLATE: F32 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
FACE_IN_CROP = (15.0, 11.0, 82.5, 108.5)
"""Where YuNet's box lies in the crop, on average: x, y, width, height."""
# Mean landmarks of CelebA's 178 x 218 aligned pictures, and of the 83 x 100 crops cut from them at (44, 75).
CELEBA_LANDMARKS: F32 = np.array(
    [[69.4, 111.2], [107.7, 111.2], [88.0, 135.5], [72.8, 152.3], [104.6, 152.3]], np.float32
)
CELEBA_SIZE = (178, 218)
CELEBA_IR_LANDMARKS: F32 = CELEBA_LANDMARKS - np.array([44, 75], np.float32)
CELEBA_IR_SIZE = (83, 100)


def similarity(source: F32, target: F32) -> F64:
    """Find the rotation, uniform scale and shift that best carry source to target in the least-squares sense.

    source, target (n, 2), n >= 2 points (x, y). Returns (2, 3) float64 for `cv2.warpAffine`. Umeyama 1991
    (IEEE TPAMI 13(4), eqs. 40-43), with reflections excluded: a mirrored face is not matched by mirroring.
    Raises ValueError when all source points are one.
    """
    a, b = source.astype(np.float64), target.astype(np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a0, b0 = a - mean_a, b - mean_b
    variance = (a0**2).sum()
    if variance == 0:
        raise ValueError("landmarks that all lie on one point give no direction and no scale")
    # In the plane the best rotation-and-scale is one complex number: sum(conj(a) b) / sum(|a|^2).
    cos = (a0 * b0).sum() / variance
    sin = (a0[:, 0] * b0[:, 1] - a0[:, 1] * b0[:, 0]).sum() / variance
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([linear, (mean_b - linear @ mean_a)[:, None]])


def warp(pixels: U8, matrix: F64, size_px: int = CROP_PX) -> U8:
    """Cut a size_px square out of pixels (h, w, 3) uint8; matrix (2, 3) carries photo to crop coordinates.

    Outside the photo its border is repeated. A large face is first averaged down to at most twice the crop's
    resolution, since sampling it directly would alias.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        pixels, matrix = _shrunk(pixels, matrix, scale, size_px)
    return cv2.warpAffine(  # type: ignore[return-value]
        pixels, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def square_around(middle: tuple[float, float], scale: float, roll_deg: float, size_px: int) -> F64:
    """(2, 3) for `warp`: a square around this place of a photo, so much larger than there, in which what is
    rolled clockwise by roll_deg is upright.
    """
    angle = math.radians(roll_deg)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]])
    return np.hstack([linear, (size_px / 2 - linear @ middle)[:, None]])


def crop_face(pixels: U8, landmarks: F32) -> U8:
    """Align one face: pixels (h, w, 3) uint8, landmarks (5, 2) float32 -> (112, 112, 3) uint8.

    Albums scanned by an older version may hold the eyes alone, (2, 2).
    """
    return warp(pixels, similarity(landmarks, TEMPLATE[: len(landmarks)]))


def box_of(landmarks: F32) -> F32:
    """The box (4,) x, y, width, height of a face of which only the landmarks (5, 2) are known: where faces
    lie in the crop, carried to the photo.
    """
    inverse = cv2.invertAffineTransform(similarity(landmarks, TEMPLATE))
    x, y, w, h = FACE_IN_CROP
    corners = np.array([[x, y, 1], [x + w, y, 1], [x, y + h, 1], [x + w, y + h, 1]]) @ inverse.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    return np.concatenate([low, high - low]).astype(np.float32)


def scaled(pixels: U8, size_px: int = CROP_PX) -> U8:
    """Scale a face crop (h, w, 3) that is aligned already to (size_px, size_px, 3)."""
    if pixels.shape[:2] == (size_px, size_px):
        return pixels
    how = cv2.INTER_AREA if min(pixels.shape[:2]) > size_px else cv2.INTER_LINEAR
    return cv2.resize(pixels, (size_px, size_px), interpolation=how)  # type: ignore[return-value]


def _shrunk(pixels: U8, matrix: F64, scale: float, size_px: int) -> tuple[U8, F64]:
    """Cut out the part of the photo that the crop shows and average it down by a whole factor."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0, 1], [size_px, 0, 1], [0, size_px, 1], [size_px, size_px, 1]]) @ inverse.T
    h, w = pixels.shape[:2]
    margin = 2 / scale
    x0, y0 = np.clip(np.floor(corners.min(axis=0) - margin), 0, (w - 1, h - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(axis=0) + margin), (x0 + 1, y0 + 1), (w, h)).astype(int)
    factor = int(0.999 / scale)
    part = pixels[y0:y1, x0:x1]
    small_w, small_h = max(1, round(part.shape[1] / factor)), max(1, round(part.shape[0] / factor))
    small = cv2.resize(part, (small_w, small_h), interpolation=cv2.INTER_AREA)
    # A pixel's centre is at +0.5, so shrinking maps x to (x + 0.5) / f - 0.5 with f of this axis.
    fx, fy = part.shape[1] / small_w, part.shape[0] / small_h
    grow = np.array([[fx, 0, x0 + fx / 2 - 0.5], [0, fy, y0 + fy / 2 - 0.5], [0, 0, 1]])
    return small, matrix @ grow  # type: ignore[return-value]
