"""Large WebP files by OpenCV: Pillow holds 16 bytes a pixel while it reads one, OpenCV three or four."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from facesearch.faces.rgb import rows_of
from facesearch.records import U8

IN_PLACE = hasattr(os, "memfd_create")
"""Whether OpenCV can decode into the array that is given back: it does so with the name of a file alone."""
LARGEST_NAMED = 64 * 2**20
"""Bytes of a file that OpenCV reads by its name."""
_PIXELS_OF_LOSSLESS = 4


def bytes_a_pixel(data: bytes, channels: int) -> tuple[int, int]:
    """What is held at the peak of decoding, and after it."""
    copies = 1 if _in_place(data) else 2
    own = channels + _PIXELS_OF_LOSSLESS if _is_lossless(data) else 0
    return max(own, copies * channels), channels


def bands(data: bytes, size: tuple[int, int], channels: int) -> Iterator[Image.Image]:
    """The rows of a picture that does not move, from the top. channels: 4 with transparency, else 3."""
    pixels = _decoded(data, size, channels)
    rows = rows_of(size[0])
    order = cv2.COLOR_BGRA2RGBA if channels == 4 else cv2.COLOR_BGR2RGB
    for y in range(0, size[1], rows):
        yield Image.fromarray(cv2.cvtColor(pixels[y : y + rows], order))


def _decoded(data: bytes, size: tuple[int, int], channels: int) -> U8:
    how = (cv2.IMREAD_UNCHANGED if channels == 4 else cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    logging = cv2.utils.logging  # it would say the reason to the screen, in words of its own
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    found: Any
    try:
        if _in_place(data):
            file = os.memfd_create("photo")
            try:
                with os.fdopen(file, "wb", closefd=False) as out:
                    out.write(data)
                found = cv2.imread(f"/proc/self/fd/{file}", None, how)
            finally:
                os.close(file)
        else:
            found = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    finally:
        logging.setLogLevel(level)
    if found is None or found.shape != (size[1], size[0], channels):
        raise OSError("its pixels cannot be decoded")
    pixels: U8 = found
    return pixels


def _in_place(data: bytes) -> bool:
    return IN_PLACE and len(data) <= LARGEST_NAMED


def _is_lossless(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        if data[at : at + 4] in (b"VP8 ", b"VP8L"):
            return data[at : at + 4] == b"VP8L"
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little") + (data[at + 4] & 1)
    return False
