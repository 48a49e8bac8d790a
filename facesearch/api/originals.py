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
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from facesearch.errors import NotFound, written
from facesearch.faces.kinds import Judge
from facesearch.faces.names import clean_source
from facesearch.faces.photos import decode, read_bytes, walk
from facesearch.records import Skipped

RESCAN_S = 60.0
THUMBNAIL_PX = 320
MOST_KEPT, KEPT_S = 256, 60.0
"""Thumbnails that are kept, some 20 KB each, and for how long: a page asks for them again and again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A thumbnail (None: there is none to be had) of a file as it was."""

    source: str
    path: Path
    state: tuple[int, int]
    made: float
    picture: bytes | None


class Originals:
    """Finds files by name and content below one folder, which is walked at the first need and again when a
    name is missing.
    """

    def __init__(self, root: Path) -> None:
        """Raises NotFound."""
        if not root.is_dir():
            raise NotFound(root, "folder of photos")
        self._root = root.resolve()
        self._walking, self._judge = threading.Lock(), Judge()
        self._walked = -RESCAN_S
        self._by_name: dict[str, list[Path]] = {}
        self._making = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def read(self, source: str, sha256: str) -> bytes | None:
        """The bytes of the file called so with that content; None when there is none below the folder."""
        found = self._find(source, sha256)
        return None if found is None else found[1]

    def thumbnail(self, source: str, sha256: str, max_pixels: int) -> bytes | None:
        """The same as a small JPEG, kept for a minute; None when there is none or it cannot be decoded. One
        is made at a time.
        """
        with self._making:
            self._let_go_of_old()
            kept = self._kept.get(sha256)
            if kept is not None and kept.source == source and _state(kept.path) == kept.state:
                self._kept.move_to_end(sha256)
                return kept.picture
            found = self._find(source, sha256)
            if found is None:
                return None
            path, data = found
            picture = thumbnail(data, max_pixels)
            if (state := _state(path)) is not None:
                self._kept[sha256] = _Kept(source, path, state, time.monotonic(), picture)
            return picture

    def let_go(self) -> None:
        """Keep no thumbnail any longer, as after somebody was forgotten."""
        with self._making:
            self._kept.clear()

    def _let_go_of_old(self) -> None:
        now = time.monotonic()
        for sha256 in [sha for sha, kept in self._kept.items() if now - kept.made > KEPT_S]:
            del self._kept[sha256]
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


def thumbnail(data: bytes, max_pixels: int) -> bytes | None:
    """A picture file as a small JPEG without the original's metadata; None when it cannot be decoded."""
    decoded = decode(data, max_pixels=max_pixels, longest_px=THUMBNAIL_PX)
    if isinstance(decoded, str):
        return None
    out = io.BytesIO()
    Image.fromarray(decoded.pixels).save(out, "JPEG", quality=85)
    return out.getvalue()


def _state(path: Path) -> tuple[int, int] | None:
    """What changes with a file's content; None when it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
