"""Decoded rows of any mode to upright RGB, a band at a time: beside the rows there is only the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from facesearch.records import U8

SIDEWAYS = (5, 6, 7, 8)
"""Values of EXIF's orientation that change width and height."""
STRIP_PIXELS = 2**18
GREY_16 = 65535.0


def upright(
    bands: Iterable[Image.Image], size: tuple[int, int], turn: int = 1, factor: int = 1, top: float = GREY_16
) -> U8:
    """Bands of rows, from the top to the bottom of a picture of this size, as one array (h, w, 3) uint8 RGB
    turned upright; transparency is laid on white.

    turn: EXIF's orientation. factor: a square of so many pixels a side becomes their mean. top: what is white
    in bands of more than 8 bits.
    """
    w, h = -(-size[0] // factor), -(-size[1] // factor)
    out = np.empty((w, h, 3) if turn in SIDEWAYS else (h, w, 3), np.uint8)
    stored, y = _as_stored(out, turn), 0
    for rows in _reduced((_as_rgb(band, top) for band in bands), factor):
        stored[y : y + len(rows)] = rows
        y += len(rows)
    if y < h:
        raise OSError("image file is truncated")
    return out


def bands_of(image: Image.Image) -> Iterator[Image.Image]:
    """A picture in memory as bands of rows."""
    w, h = image.size
    rows = rows_of(w)
    for y in range(0, h, rows):
        yield image.crop((0, y, w, min(h, y + rows)))


def rows_of(width: int) -> int:
    """How many rows of a picture make a band."""
    return max(1, STRIP_PIXELS // max(1, width))


def top_of(image: Image.Image) -> float:
    """What is white: 65535 in 16-bit greys, whatever mode Pillow holds them in; in floats the largest one."""
    return GREY_16 if image.mode != "F" else max(1.0, float(image.getextrema()[1]))  # type: ignore[arg-type]


def _reduced(bands: Iterable[U8], factor: int) -> Iterator[U8]:
    if factor == 1:
        yield from bands
        return
    rest: U8 | None = None
    for band in bands:
        rows = band if rest is None else np.concatenate([rest, band])
        whole = len(rows) // factor * factor
        if whole:
            yield np.asarray(Image.fromarray(rows[:whole]).reduce(factor))
        rest = rows[whole:]
    if rest is not None and len(rest):
        yield np.asarray(Image.fromarray(rest).reduce(factor))


def _as_rgb(image: Image.Image, top: float) -> U8:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
        byte: U8 = (np.clip(grey / np.float32(top), 0, 1) * 255 + 0.5).astype(np.uint8)
        return np.repeat(byte[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _as_stored(out: U8, turn: int) -> U8:
    """An upright array as a view whose rows are those of the file."""
    if turn == 2:
        return out[:, ::-1]
    if turn == 3:
        return out[::-1, ::-1]
    if turn == 4:
        return out[::-1]
    if turn not in SIDEWAYS:
        return out
    mirrored = {5: out, 6: out[:, ::-1], 7: out[::-1, ::-1], 8: out[::-1]}[turn]
    return mirrored.transpose(1, 0, 2)
