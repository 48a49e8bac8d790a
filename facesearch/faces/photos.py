"""Read photo files safely. One that cannot be used comes out as `Skipped`, never as an
exception.
"""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

from facesearch.errors import reason_of
from facesearch.faces.budget import DECODING
from facesearch.faces.decoding import FORMATS as FORMATS
from facesearch.faces.decoding import MAX_PIXELS as MAX_PIXELS
from facesearch.faces.decoding import decode as decode
from facesearch.faces.kinds import SUFFIXES as SUFFIXES
from facesearch.faces.kinds import skipped_as, wrong_kind
from facesearch.faces.walking import walk as walk
from facesearch.files import open_regular
from facesearch.records import Photo, Skipped

MAX_FILE_BYTES = 256 * 2**20


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
    """The same of a file's bytes that are in memory already; path is what the photo is called.

    A large JPEG comes at half its size, which takes half the time and shows most faces as well.
    """
    if kind := wrong_kind(data, path.suffix):
        return skipped_as(path, kind)
    sha256 = hashlib.sha256(data).hexdigest()

    def decoded(half: bool) -> Photo | Skipped:
        found = decode(data, max_pixels=max_pixels, half=half)
        if isinstance(found, str):
            return Skipped(path, found)
        whole = partial(decoded, half=False) if found.halved else None
        return Photo(path, sha256, found.pixels, found.size, whole)

    return decoded(half=True)


def read_bytes(path: Path) -> bytes | Skipped:
    """A photo file's bytes, undecoded, or why they cannot be had."""
    if "\0" in str(path):
        return Skipped(path, "no file can have this name")
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            DECODING.large_file(min(size, MAX_FILE_BYTES))
            data = b"" if size > MAX_FILE_BYTES else file.read(size + 1) or b""
            if max(size, len(data)) > MAX_FILE_BYTES:
                return Skipped(path, f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
            return data
    except OSError as error:
        return Skipped(path, f"cannot be read: {reason_of(error)}")
