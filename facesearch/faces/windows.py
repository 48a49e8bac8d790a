"""Looks at a photo: what of it is shown to the network, how large and turned by how much, and the way back to
the photo's own pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facesearch.faces.align import square_around, warp
from facesearch.faces.face_network import SIDE_PX
from facesearch.records import F32, F64, U8

FINE_SCALE = 0.285
"""A large photo is looked at in tiles too, at this scale at least: of 60 pixels 17 are left."""
OVERLAP_PX = 96
"""Tiles share so much, and faces in them are at most as large: the coarse look finds the larger ones."""
STEP_PX = SIDE_PX - OVERLAP_PX
MOST_TILES = 64
"""Of one photo, however long and thin it is."""
ACROSS = 3
CELL_PX = SIDE_PX // ACROSS
FACE_PX = 85
"""Windows in a row of a mosaic, the side of one, and the longer side of the face in its middle."""


@dataclass(frozen=True, slots=True)
class Look:
    """A square (640, 640, 3) uint8 for the network; back (2, 3) carries its coordinates to the photo's.
    inner: which of its edges (left, top, right, bottom) lie inside of the photo, and size: what is filled."""

    square: U8
    back: F64
    size: tuple[int, int] = (SIDE_PX, SIDE_PX)
    inner: tuple[bool, bool, bool, bool] = (False, False, False, False)


@dataclass(frozen=True, slots=True)
class Window:
    """A square part of the photo around a face: its middle, the face's longer side in pixels of the photo,
    and by how many degrees the face is rolled there, clockwise.
    """

    x: float
    y: float
    face_px: float
    roll_deg: float

    def matrix(self) -> F64:
        """(2, 3): the photo's coordinates to those of the window, in which the face is upright."""
        return square_around((self.x, self.y), FACE_PX / self.face_px, self.roll_deg, CELL_PX)


def small(pixels: U8) -> U8:
    """A whole photo, so small that a square shows it."""
    return scaled_by(pixels, min(1.0, SIDE_PX / max(pixels.shape[:2])))


def coarse(pixels: U8, small: U8, turns: int = 0) -> Look:
    """The whole photo, turned by so many quarters anticlockwise. small: the same as `small` made it."""
    (h, w), (sh, sw) = pixels.shape[:2], small.shape[:2]
    fx, fy = w / sw, h / sh
    back = (
        [[fx, 0, 0], [0, fy, 0]],
        [[0, -fx, fx * sw], [fy, 0, 0]],
        [[-fx, 0, fx * sw], [0, -fy, fy * sh]],
        [[0, fx, 0], [-fy, 0, fy * sh]],
    )[turns % 4]
    return Look(_padded(np.rot90(small, turns)), np.array(back, np.float64))


def fine(pixels: U8, scale: float = 1.0) -> U8 | None:
    """A large photo at FINE_SCALE and, as far as its tiles have room, a little more; None where the coarse
    look shows it so large already. scale: pixels of the original to one of these.
    """
    h, w = pixels.shape[:2]
    shrink = min(1.0, FINE_SCALE * scale)
    if max(h, w) * shrink <= SIDE_PX:
        return None
    while math.prod(_tiles(w * shrink, h * shrink)) > MOST_TILES:
        shrink *= 0.9
    across, down = _tiles(w * shrink, h * shrink)
    fill = min((across * STEP_PX + OVERLAP_PX) / w, (down * STEP_PX + OVERLAP_PX) / h)
    return scaled_by(pixels, min(1.0, fill, 1.25 * shrink))


def _tiles(w: float, h: float) -> tuple[int, int]:
    """How many tiles such a picture needs, across and down."""
    across, down = (max(1, math.ceil((side - OVERLAP_PX) / STEP_PX)) for side in (w, h))
    return across, down


def tiles(pixels: U8, small: U8) -> Iterator[Look]:
    """The photo as `fine` made it, in squares that overlap."""
    (h, w), (sh, sw) = pixels.shape[:2], small.shape[:2]
    fx, fy = w / sw, h / sh
    across, down = _tiles(sw - 0.5, sh - 0.5)  # its sides were rounded
    for y in _starts(sh, down):
        for x in _starts(sw, across):
            part = small[y : y + SIDE_PX, x : x + SIDE_PX]
            ph, pw = part.shape[:2]
            inner = (x > 0, y > 0, x + pw < sw, y + ph < sh)
            back = np.array([[fx, 0, fx * x], [0, fy, fy * y]])
            yield Look(_padded(part), back, (pw, ph), inner)


def mosaics(pixels: U8, windows: Sequence[Window]) -> Iterator[tuple[U8, Sequence[Window]]]:
    """Nine windows at a time, side by side in one square."""
    for start in range(0, len(windows), ACROSS**2):
        some = windows[start : start + ACROSS**2]
        square = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
        for number, window in enumerate(some):
            y, x = (CELL_PX * place for place in divmod(number, ACROSS))
            square[y : y + CELL_PX, x : x + CELL_PX] = warp(pixels, window.matrix(), CELL_PX)
        yield square, some


def cell_of(number: int) -> F32:
    """The corner (x, y) of a mosaic's window."""
    down, across = divmod(number, ACROSS)
    return np.array([across, down], np.float32) * CELL_PX


def carried(rows: F32, matrix: F64) -> F32:
    """Rows (n, 15), see FaceNetwork.find, in other coordinates: boxes have the same middle, and are as wide
    and high as what they are turned to needs.
    """
    if not len(rows):
        return rows
    linear = matrix[:, :2]
    middle = (rows[:, :2] + rows[:, 2:4] / 2) @ linear.T + matrix[:, 2]
    size = rows[:, 2:4] @ np.abs(linear).T
    points = rows[:, 4:14].reshape(-1, 5, 2) @ linear.T + matrix[:, 2]
    return np.concatenate(
        [middle - size / 2, size, points.reshape(-1, 10), rows[:, 14:]], axis=1, dtype=np.float32
    )


def scaled_by(pixels: U8, shrink: float) -> U8:
    """Averaged down to this share of its width and height; itself when that is 1."""
    if shrink >= 1:
        return pixels
    h, w = pixels.shape[:2]
    size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _padded(pixels: U8) -> U8:
    if pixels.shape[:2] == (SIDE_PX, SIDE_PX):
        return np.ascontiguousarray(pixels)
    square = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    square[: pixels.shape[0], : pixels.shape[1]] = pixels
    return square


def _starts(length: int, count: int) -> list[int]:
    """Where tiles begin, evenly."""
    return sorted({round(i * max(0, length - SIDE_PX) / max(1, count - 1)) for i in range(count)})
