"""What counts as a photo: a path, a file's bytes, a Pillow image or an array of pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from facesearch.errors import NothingToDo, UnusablePhoto
from facesearch.faces import people_folders as folders
from facesearch.faces.photos import MAX_PIXELS, photo_of, read_photo
from facesearch.faces.photos import walk as walk
from facesearch.faces.watch import arriving as arriving
from facesearch.records import U8, Photo, Skipped

if TYPE_CHECKING:
    from PIL.Image import Image

    from facesearch.encoder.stream import Cropped
    from facesearch.faces.decoding import Decoded

PhotoLike: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Image | U8 | NamedPhoto"
"""A path; the bytes of a picture file; a Pillow image; or pixels (h, w, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class NamedPhoto:
    """A photo in memory, with a name.

    Attributes:
        name: The name under which it is enrolled and answered: a file's, without folders.
        photo: The bytes of a picture file, a Pillow image, or an array (h, w, 3) uint8 RGB.
    """

    name: str
    photo: bytes | Image | U8 = field(repr=False)


def read(photo: PhotoLike | Skipped | Cropped, max_pixels: int = MAX_PIXELS) -> Photo | Skipped:
    """The decoded photo, upright RGB, or why it cannot be used.

    Args:
        photo: The photo. The SHA-256 of one in memory is that of its size and pixels.
        max_pixels: A larger one is not read.

    Raises:
        TypeError: It is no photo at all.
    """
    if isinstance(photo, Skipped):
        return photo
    if isinstance(photo, NamedPhoto):
        return _in_memory(photo.photo, photo.name, max_pixels)
    if isinstance(photo, str | os.PathLike):
        return read_photo(Path(photo), max_pixels=max_pixels)
    return _in_memory(photo, "", max_pixels)


def people_folders(root: Path) -> tuple[list[tuple[str, Path]], list[Skipped]]:
    """One folder a person below root.

    Returns:
        (name, photo) of each photo, and the photos in a folder whose name can be nobody's.

    Raises:
        NotFound: There is no such folder.
        NothingToDo: No photo is below it.
    """
    photos, skipped = folders.people_folders(root)
    if not photos:
        raise NothingToDo(str(skipped[0].path), skipped[0].reason, left_out=tuple(skipped))
    return photos, skipped


def as_photos(given: Any) -> list[PhotoLike]:
    """One photo, or any number of them, as a list."""
    one = isinstance(
        given, str | os.PathLike | bytes | bytearray | memoryview | NamedPhoto | np.ndarray
    ) or hasattr(given, "getexif")
    return [given] if one or not isinstance(given, Iterable) else list(given)


def usable(photo: Photo | Skipped) -> Photo:
    """The photo itself.

    Raises:
        UnusablePhoto: It was skipped.
    """
    if isinstance(photo, Skipped):
        raise UnusablePhoto(photo.path, photo.reason)
    return photo


def _in_memory(photo: Any, name: str, max_pixels: int) -> Photo | Skipped:
    if isinstance(photo, bytes | bytearray | memoryview):
        data = bytes(photo)
        return photo_of(
            data, Path(name or f"photo-{hashlib.sha256(data).hexdigest()[:8]}"), max_pixels=max_pixels
        )
    if isinstance(photo, np.ndarray):
        pixels, size = photo, (0, 0) if photo.ndim < 2 else (photo.shape[1], photo.shape[0])
    else:
        decoded = _pixels_of(photo, max_pixels)
        if isinstance(decoded, str):
            return Skipped(Path(name or "photo"), decoded)
        pixels, size = decoded.pixels, decoded.size
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise TypeError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no photo; (h, w, 3) uint8 RGB is"
        )
    if pixels.shape[0] * pixels.shape[1] > max_pixels:
        return Skipped(
            Path(name or "photo"), f"the picture has more than {max_pixels // 1_000_000} megapixels"
        )
    pixels = np.ascontiguousarray(pixels)
    sha256 = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return Photo(Path(name or f"photo-{sha256[:8]}"), sha256, pixels, size)


def _pixels_of(photo: Any, max_pixels: int) -> Decoded | str:
    """A Pillow image's pixels, or why they cannot be had."""
    from PIL import Image

    from facesearch.faces.decoding import pixels_of

    if not isinstance(photo, Image.Image):
        raise TypeError(
            f"a {type(photo).__name__} is no photo; give a path, bytes, a Pillow image or an array (h, w, 3)"
            " uint8 RGB"
        )
    return pixels_of(photo, max_pixels=max_pixels)
