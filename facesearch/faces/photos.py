"""Find photo files and read them safely. One that cannot be used comes out as `Skipped`, never as an
exception.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from facesearch.errors import NotFound, reason_of
from facesearch.faces.decoding import FORMATS as FORMATS
from facesearch.faces.decoding import MAX_PIXELS as MAX_PIXELS
from facesearch.faces.decoding import decode as decode
from facesearch.files import open_regular
from facesearch.records import Photo, Skipped

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".mpo"}
)
MAX_FILE_BYTES = 256 * 2**20


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


def read_bytes(path: Path) -> bytes | Skipped:
    """A photo file's bytes, undecoded, or why they cannot be had."""
    if "\0" in str(path):
        return Skipped(path, "no file can have this name")
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > MAX_FILE_BYTES else file.read(size + 1) or b""
            if max(size, len(data)) > MAX_FILE_BYTES:
                return Skipped(path, f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
            return data
    except OSError as error:
        return Skipped(path, f"cannot be read: {reason_of(error)}")
