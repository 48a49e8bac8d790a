"""A picture file's bytes to upright RGB, in bounded memory and time, whoever made the file.

Only formats that photographs are in are read, only by decoders that are compiled, and in no more pieces and
passes than photographs have. What all decoding in this process takes together is bounded by `DECODING`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from facesearch.faces.budget import DECODING
from facesearch.records import U8

for _plugin in (
    "Jpeg",
    "Png",
    "WebP",
    "Gif",
    "Bmp",
    "Tiff",
    "Ppm",
    "Avif",
):  # Image.init() would load forty, at every start
    with contextlib.suppress(ImportError):  # this Pillow was built without it
        importlib.import_module(f"PIL.{_plugin}ImagePlugin")
FORMATS = tuple(
    name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF") if name in Image.OPEN
)
MAX_PIXELS = 120_000_000
"""Above this a picture is refused from its header alone: 120 megapixels are 360 MB of RGB."""
NO_PICTURE = "not a picture that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF, binary PPM, AVIF)"
PLAIN_PPM = "a plain PPM, in which numbers are written as text; only binary ones are read"
SLOW = "its kind of {} is one that photographs are not in"
PIECES = "it is in more pieces than photographs are"
SCANS = "it is built up in more passes than photographs are"

HEADER_READS = 5_000
"""Pieces in which Pillow may read a file's head; those of photographs are some hundreds."""
BYTES_A_READ = 64
"""After the head, as many bytes a piece at least, on average."""
MOST_SCANS, MOST_SCANNED = 100, 1_200_000_000
"""Passes of a progressive JPEG; and pixels in all of them together, which is what takes time."""
STRIP_PIXELS = 2**18
LONGEST_DAMAGE = 200
SIDEWAYS = (5, 6, 7, 8)
"""Values of EXIF's orientation that change width and height."""

_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes in which Pillow holds a pixel; 4 in every other mode."""
_BESIDE = {"WEBP": 8, "AVIF": 16, "TIFF": 8}
"""Bytes a pixel that a format's decoder holds beside it, at most."""
_COEFFICIENTS = 6
"""The same of a JPEG of several passes, which are kept until the last one."""
_RGB = 3


@dataclass(frozen=True, slots=True)
class Decoded:
    """pixels (h, w, 3) uint8 RGB, upright. size: width and height of the upright original, from which they
    are reduced by one factor where it is too large to be kept whole.
    """

    pixels: U8
    size: tuple[int, int]


class TooManyPieces(Exception):
    """A file makes its reader read more often than photographs do."""


class _Counted(io.BytesIO):
    """A file in memory that may be read so many times."""

    left = HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise TooManyPieces(PIECES)
        return super().read(size)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, longest_px: int | None = None) -> Decoded | str:
    """Decode a picture file's bytes to (h, w, 3) uint8 RGB, or say in words why it cannot be done.

    longest_px: the longer side wanted, of a picture that is larger; a JPEG is not even decoded whole for it.
    """
    if not data:
        return "the file is empty"
    if re.match(rb"P[123][\s#]", data):
        return PLAIN_PPM
    if re.match(rb"P[^456]", data):
        return NO_PICTURE
    try:
        file = _Counted(data)
        with _pillow_is_quiet(), Image.open(file, formats=FORMATS) as image:
            image.seek(0)
            scans = _scans(data) if image.format in ("JPEG", "MPO") else 1
            if refused := _refused(image, scans, max_pixels):
                return refused
            whole, size = _pixels(image), image.size
            if longest_px is not None:
                image.draft("RGB", (longest_px, longest_px))
            weight = len(data) + _weight(image) + (whole * _COEFFICIENTS if scans > 1 else 0)
            file.left = HEADER_READS + len(data) // BYTES_A_READ
            with DECODING.taken(weight):
                image.load()
                turned = image.getexif().get(0x0112, 1) in SIDEWAYS
                pixels = _upright(image, close=True)
                return Decoded(_small(pixels, longest_px), size[::-1] if turned else size)
    except Image.DecompressionBombError:  # Pillow's own limit, from the header too
        return _too_large(max_pixels)
    except UnidentifiedImageError:
        return NO_PICTURE
    except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is this one picture's fault
        return damage(error)


def pixels_of(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> Decoded | str:
    """A Pillow image as (h, w, 3) uint8 RGB, upright, or why it cannot be had: it may be of a file that is
    cut off, and is read only now.
    """
    try:
        if refused := _refused(image, 1, max_pixels):
            return refused
        with DECODING.taken(_weight(image)):
            image.load()
            pixels = _upright(image, close=False)
            return Decoded(pixels, (pixels.shape[1], pixels.shape[0]))
    except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is this one picture's fault
        return damage(error)


def damage(error: Exception) -> str:
    """What a decoder's own error says of a picture, in one printable line. Decoders raise what they like: a
    damaged AVIF a RuntimeError, a header that promises too much a MemoryError.
    """
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 -- even its words may be broken
        said = ""
    said = "".join(filter(str.isprintable, said))[:LONGEST_DAMAGE]
    return f"the picture is damaged: {said or type(error).__name__}"


def as_rgb(image: Image.Image) -> U8:
    """A decoded picture of any mode as (h, w, 3) uint8; transparency is laid on white. It is converted strip
    by strip: beside the picture itself there is only the result.
    """
    w, h = image.size
    out = np.empty((h, w, 3), np.uint8)
    # 16-bit greys span 0..65535, whatever mode Pillow holds them in; floats are scaled by their own range.
    top = 65535.0 if image.mode != "F" else max(1.0, float(image.getextrema()[1]))  # type: ignore[arg-type]
    rows = max(1, STRIP_PIXELS // max(1, w))
    for y in range(0, h, rows):
        strip = image.crop((0, y, w, min(h, y + rows)))
        out[y : y + rows] = _strip_as_rgb(strip, top)
    return out


def _strip_as_rgb(image: Image.Image, top: float) -> U8:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
        byte: U8 = (np.clip(grey / np.float32(top), 0, 1) * 255 + 0.5).astype(np.uint8)
        return byte[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image, *, close: bool) -> U8:
    """A loaded picture's pixels, turned as its EXIF says. close: let go of the picture before that."""
    pixels, turn = as_rgb(image), image.getexif().get(0x0112, 1)
    if close:
        image.close()
    across = pixels.transpose(1, 0, 2)
    turned = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: across,
        6: across[:, ::-1],
        7: across[::-1, ::-1],
        8: across[::-1],
    }.get(turn, pixels)
    return np.ascontiguousarray(turned)


def _small(pixels: U8, longest_px: int | None) -> U8:
    h, w = pixels.shape[:2]
    if longest_px is None or max(h, w) <= longest_px:
        return pixels
    shrink = longest_px / max(h, w)
    size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _refused(image: Image.Image, scans: int, max_pixels: int) -> str:
    """Why a picture is not decoded, by its header alone; empty when it may be."""
    w, h = image.size
    if min(w, h) < 1:
        return "the picture has no pixels"
    if _pixels(image) > max_pixels:
        return _too_large(max_pixels)
    if any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", ())):
        return SLOW.format(image.format)  # those that are written in Python take minutes
    if scans > MOST_SCANS or scans * w * h > max(MOST_SCANNED, w * h):
        return SCANS
    return ""


def _pixels(image: Image.Image) -> int:
    """How many the decoder makes room for: a TIFF's tile may be larger than the picture."""
    (w, h), tags = image.size, getattr(image, "tag_v2", {})
    tile_w, tile_h = tags.get(322, 1), tags.get(323, 1)
    if isinstance(tile_w, int) and isinstance(tile_h, int):
        return max(w * h, tile_w * tile_h)
    return w * h


def _weight(image: Image.Image) -> int:
    """Bytes that decoding it takes at its peak, at most."""
    a_pixel = _STORED.get(image.mode, 4) + _BESIDE.get(image.format or "", 0) + _RGB
    return _pixels(image) * max(a_pixel, 2 * _RGB)


def _too_large(max_pixels: int) -> str:
    return f"the picture has more than {max_pixels // 1_000_000} megapixels"


_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_START, _END, _SCAN, _ALONE = 0xD8, 0xD9, 0xDA, 0x01


def _scans(data: bytes) -> int:
    """Passes over the picture in a JPEG file; more than MOST_SCANS where they cannot be counted."""
    if data.count(b"\xff\xda") < 2:
        return 1
    scans, at = 0, 0
    for _ in range(HEADER_READS):
        found = _MARKER.search(data, at)
        if found is None or found[1][0] == _END:
            return scans
        at, code = found.end(), found[1][0]
        scans += code == _SCAN
        if code not in (_START, _ALONE):
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return MOST_SCANS + 1


PILLOWS_WARNINGS: Any = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@contextlib.contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Pillow warns of large pictures and odd EXIF, about which we have rules of our own.

    warnings.catch_warnings belongs to the whole process: in several threads at once it would leave the
    filters of another one behind, and keep all else silent meanwhile. Here each thread puts one entry in and
    takes one out, which are all alike.
    """
    warnings.filters.insert(0, PILLOWS_WARNINGS)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # somebody has put other filters there meanwhile
            warnings.filters.remove(PILLOWS_WARNINGS)  # type: ignore[attr-defined]
