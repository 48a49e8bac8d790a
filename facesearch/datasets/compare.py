"""Look at crops themselves: how bright, sharp and full of contrast they are, and whether two of them are one
picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from facesearch.datasets.table import Crops
from facesearch.faces.cutting import sharpness_of
from facesearch.records import F32, F64, U8, Progress

SMALL_PX = 32
"""Side of the picture by which pairs are compared first."""
LOOK_PX = 56
"""Side of the picture by which the likely ones are compared closely."""
SHIFT_PX = 4
SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)
STEP = 512


def crop_facts(crops: Crops, progress: Progress) -> tuple[F64, U8]:
    """Measure crops (n, h, w, 3) uint8: (n, 3) float64 brightness, contrast, sharpness of each, and (n, 32,
    32) uint8 small greys.

    Brightness and contrast are mean and standard deviation of the grey crop, sharpness the variance of its
    Laplacian.
    """
    n = len(crops)
    facts, small = np.empty((n, 3)), np.empty((n, SMALL_PX, SMALL_PX), np.uint8)
    progress(0, n)
    for i in range(n):
        grey = cv2.cvtColor(np.ascontiguousarray(crops[i]), cv2.COLOR_RGB2GRAY)
        facts[i] = grey.mean(), grey.std(), sharpness_of(crops[i])
        small[i] = cv2.resize(grey, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
        if (i + 1) % STEP == 0 or i + 1 == n:
            progress(i + 1, n)
    return facts, small


def correlations(a: U8, b: U8) -> F32:
    """Pearson correlation of pictures (p, h, w) uint8, pair by pair: (p,) float32; 0 where one of them is of
    a single grey.
    """
    one, two = _centred(a), _centred(b)
    return np.asarray(np.einsum("ij,ij->i", one, two), np.float32)


def aligned_correlation(a: U8, b: U8) -> float:
    """The best correlation of two crops (h, w, 3) when one is shifted by up to 8 of 112 pixels and scaled by
    up to 6 %.

    So a copy that was found and aligned a little differently is still a copy. Brightness and contrast play no
    part.
    """
    core = slice(SHIFT_PX, LOOK_PX - SHIFT_PX)
    one = _centred(_look(a)[None, core, core])[0]
    two = _look(b)
    best = 0.0
    for scale in SCALES:
        middle = (LOOK_PX / 2 - 0.5, LOOK_PX / 2 - 0.5)
        matrix = cv2.getRotationMatrix2D(middle, 0, scale)
        moved = (
            two
            if scale == 1
            else np.asarray(
                cv2.warpAffine(two, matrix, (LOOK_PX, LOOK_PX), borderMode=cv2.BORDER_REPLICATE), np.uint8
            )
        )
        side = LOOK_PX - 2 * SHIFT_PX
        windows = np.lib.stride_tricks.sliding_window_view(moved, (side, side)).reshape(-1, side, side)
        best = max(best, float((_centred(windows) @ one).max()))
    return min(best, 1.0)


def _look(crop: U8) -> U8:
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (LOOK_PX, LOOK_PX), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _centred(pictures: U8) -> F32:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: F32 = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3)
    return unit
