"""Find photo files and decode them safely. One that cannot be used comes out as `Skipped`, never as an
exception.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from facesearch.errors import NotFound, reason_of
from facesearch.records import U8, Photo, Skipped

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
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".mpo"}
)
MAX_PIXELS = 120_000_000
"""Above this a picture is refused from its header alone: 120 megapixels are 360 MB of RGB."""
MAX_FILE_BYTES = 256 * 2**20
NOT_TEXT = "its name is not UTF-8"


def walk(root: Path) -> Iterator[Path | Skipped]:
    """Yield every file under root that is named like a picture, in path order; hidden files and folders are
    passed over.

    A folder that cannot be listed comes out as Skipped. Raises NotFound when root is not there.
    """
    if not root.exists():
        raise NotFound(root, "file or folder")
    if root.is_file():
        yield root
        return
    refused: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(folder, name)
        while refused:
            error = refused.pop()
            yield Skipped(Path(error.filename), f"folder cannot be listed: {reason_of(error)}")
    for error in refused:
        yield Skipped(Path(error.filename), f"folder cannot be listed: {reason_of(error)}")


def read_photo(path: Path, *, max_pixels: int = MAX_PIXELS) -> Photo | Skipped:
    """Read and decode one file into upright RGB.

    EXIF rotation is applied, CMYK, palette and 16-bit pictures are converted, transparency is laid on white,
    and of an animation the first picture is taken. Its size is judged by the header, before any pixel is
    decoded.
    """
    data = read_bytes(path)
    if isinstance(data, Skipped):
        return data
    return photo_of(data, path, max_pixels=max_pixels)


def photo_of(data: bytes, path: Path, *, max_pixels: int = MAX_PIXELS) -> Photo | Skipped:
    """The same of a file's bytes that are in memory already; path is what the photo is called."""
    decoded = decode(data, max_pixels=max_pixels)
    if isinstance(decoded, str):
        return Skipped(path, decoded)
    return Photo(path, hashlib.sha256(data).hexdigest(), decoded)


def is_text(name: str) -> bool:
    """Whether a name can be written down: on Linux a file's may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_bytes(path: Path) -> bytes | Skipped:
    """A photo file's bytes, undecoded, or why they cannot be had."""
    if not is_text(str(path)):
        return Skipped(path, NOT_TEXT)
    if "\0" in str(path):
        return Skipped(path, "no file can have this name")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return Skipped(path, f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        return Skipped(path, f"cannot be read: {reason_of(error)}")


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> U8 | str:
    """Decode a picture file's bytes to (h, w, 3) uint8 RGB, or say in words why it cannot be done."""
    if not data:
        return "the file is empty"
    try:
        with _pillow_is_quiet(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            w, h = image.size
            if w * h > max_pixels:
                return f"the picture has more than {max_pixels // 1_000_000} megapixels"
            if min(w, h) < 1:
                return "the picture has no pixels"
            image.seek(0)
            image.load()
            return as_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:  # Pillow's own limit, from the header too
        return f"the picture has more than {max_pixels // 1_000_000} megapixels"
    except UnidentifiedImageError:
        return "not a picture that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF)"
    except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is this one picture's fault
        return damage(error)


LONGEST_DAMAGE = 200


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


def as_rgb(image: Image.Image) -> U8:
    """A decoded picture of any mode as (h, w, 3) uint8; transparency is laid on white."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, dtype=np.float64)
        # 16-bit greys span 0..65535, whatever mode Pillow holds them in; floats are scaled by their own
        # range.
        top = 65535.0 if image.mode != "F" else max(1.0, float(grey.max(initial=0.0)))
        return np.repeat((np.clip(grey / top, 0, 1) * 255 + 0.5).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))
