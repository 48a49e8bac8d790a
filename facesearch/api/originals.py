"""The enrolled photos themselves, below a folder where they lie: read when asked for, shown small, never
stored.

Nobody names a file. An enrolled photo is named by its content, and what is shown is a file below the folder
with the photo's own name and exactly that content.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from facesearch.answers import EnrolledPhoto
from facesearch.errors import NotFound, written
from facesearch.faces.cutting import portrait
from facesearch.faces.decoding import Decoded
from facesearch.faces.found_by import ALIGNED
from facesearch.faces.kinds import Judge
from facesearch.faces.names import clean_source
from facesearch.faces.photos import decode, read_bytes, walk
from facesearch.records import U8, Points, Skipped

RESCAN_S = 60.0
THUMBNAIL_PX = 320
SMALL_PX = 1280
"""So long a photo is decoded for the picture of a face in it, unless that is small."""
MOST_KEPT, KEPT_S = 256, 60.0
"""Thumbnails that are kept, some 20 KB each, and for how long: a page asks for them again and again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A thumbnail (None: there is none) of a file as it was."""

    path: Path
    state: tuple[int, int]
    made: float
    picture: bytes | None


class Originals:
    """Finds files by name and content below one folder, which is walked at the first need and again when a
    name is missing.
    """

    def __init__(self, root: Path) -> None:
        """Look for photos below this folder.

        Raises:
            NotFound: There is no such folder.
        """
        if not root.is_dir():
            raise NotFound(root, "folder of photos")
        self._root = root.resolve()
        self._walking, self._judge = threading.Lock(), Judge()
        self._walked = -RESCAN_S
        self._by_name: dict[str, list[Path]] = {}
        self._making = threading.Lock()
        self._kept: OrderedDict[EnrolledPhoto, _Kept] = OrderedDict()

    def read(self, source: str, sha256: str) -> bytes | None:
        """The bytes of the file called so with that content; None when there is none below the folder."""
        found = self._find(source, sha256)
        return None if found is None else found[1]

    def thumbnail(self, photo: EnrolledPhoto, max_pixels: int) -> bytes | None:
        """The same as a small JPEG, kept for a minute: the face with some room around it where it is known,
        else the photo; None when there is none or it cannot be decoded. One is made at a time.
        """
        with self._making:
            self._let_go_of_old()
            kept = self._kept.get(photo)
            if kept is not None and _state(kept.path) == kept.state:
                self._kept.move_to_end(photo)
                return kept.picture
            found = self._find(photo.photo, photo.sha256)
            if found is None:
                return None
            path, data = found
            picture = thumbnail(data, max_pixels, photo)
            if (state := _state(path)) is not None:
                self._kept[photo] = _Kept(path, state, time.monotonic(), picture)
            return picture

    def let_go(self) -> None:
        """Keep no thumbnail any longer, as after somebody was forgotten."""
        with self._making:
            self._kept.clear()

    def _let_go_of_old(self) -> None:
        now = time.monotonic()
        for key in [key for key, kept in self._kept.items() if now - kept.made > KEPT_S]:
            del self._kept[key]
        while len(self._kept) >= MOST_KEPT:
            self._kept.popitem(last=False)

    def _find(self, source: str, sha256: str) -> tuple[Path, bytes] | None:
        for path in self._called(source):
            try:
                # A link may lead anywhere, so it is followed first, and none to a file out of the folder is
                # read; linked folders are. What has the content of an enrolled photo is that photo.
                real = path.resolve(strict=True)
            except OSError:
                continue
            if path.is_symlink() and not real.is_relative_to(self._root):
                continue
            data = read_bytes(real)
            if not isinstance(data, Skipped) and hashlib.sha256(data).hexdigest() == sha256:
                return path, data
        return None

    def _called(self, source: str) -> list[Path]:
        with self._walking:
            if source not in self._by_name and time.monotonic() - self._walked >= RESCAN_S:
                found: dict[str, list[Path]] = {}
                for path in walk(self._root, self._judge.look):
                    if isinstance(path, Path):
                        for name in {path.name, clean_source(written(path.name))}:  # before, and now
                            found.setdefault(name, []).append(path)
                self._by_name, self._walked = found, time.monotonic()
            return list(self._by_name.get(source, ()))


def thumbnail(data: bytes, max_pixels: int, photo: EnrolledPhoto | None = None) -> bytes | None:
    """A picture file as a small JPEG without the original's metadata.

    Args:
        data: The file's bytes.
        max_pixels: A larger picture is not decoded.
        photo: Which face is to be shown; None for the whole photo.

    Returns:
        The JPEG's bytes; None when it cannot be decoded.
    """
    if photo is None or photo.box is None or photo.detector == ALIGNED:
        pixels = _whole(data, max_pixels)
    else:
        pixels = _face(data, max_pixels, photo.box, photo.landmarks)
    if pixels is None:
        return None
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()


def _whole(data: bytes, max_pixels: int) -> U8 | None:
    decoded = decode(data, max_pixels=max_pixels, longest_px=THUMBNAIL_PX)
    return None if isinstance(decoded, str) else decoded.pixels


def _face(data: bytes, max_pixels: int, box: Sequence[float], landmarks: Points) -> U8 | None:
    """Decoded small at first, which is enough for a large face."""
    decoded = decode(data, max_pixels=max_pixels, longest_px=SMALL_PX)
    if isinstance(decoded, Decoded) and max(box[2:]) / decoded.scale < THUMBNAIL_PX / 2:
        decoded = decode(data, max_pixels=max_pixels)
    if isinstance(decoded, str):
        return None
    shrunk = 1 / decoded.scale
    small = [value * shrunk for value in box]
    points = [[x * shrunk, y * shrunk] for x, y in landmarks]
    return portrait(decoded.pixels, small, points, THUMBNAIL_PX)


def _state(path: Path) -> tuple[int, int] | None:
    """What changes with a file's content; None when it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
