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
from pathlib import Path

from PIL import Image

from facesearch.errors import NotFound
from facesearch.faces.photos import MAX_FILE_BYTES, decode, walk

RESCAN_S = 60.0
THUMBNAIL_PX = 320


class Originals:
    """Finds files by name and content below one folder, which is walked at the first need and again when a
    name is missing.
    """

    def __init__(self, root: Path) -> None:
        """Raises NotFound."""
        if not root.is_dir():
            raise NotFound(root, "folder of photos")
        self._root = root.resolve()
        self._walking = threading.Lock()
        self._walked = -RESCAN_S
        self._by_name: dict[str, list[Path]] = {}

    def read(self, source: str, sha256: str) -> bytes | None:
        """The bytes of the file called so with that content; None when there is none below the folder."""
        for path in self._called(source):
            try:
                # A link may lead anywhere, so it is followed first; what has the content of an enrolled photo
                # is that photo.
                real = path.resolve(strict=True)
                if not real.is_relative_to(self._root) or real.stat().st_size > MAX_FILE_BYTES:
                    continue
                data = real.read_bytes()
            except OSError:
                continue
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
        return None

    def _called(self, source: str) -> list[Path]:
        with self._walking:
            if source not in self._by_name and time.monotonic() - self._walked >= RESCAN_S:
                found: dict[str, list[Path]] = {}
                for path in walk(self._root):
                    if isinstance(path, Path):
                        found.setdefault(path.name, []).append(path)
                self._by_name, self._walked = found, time.monotonic()
            return list(self._by_name.get(source, ()))


def thumbnail(data: bytes, max_pixels: int) -> bytes | None:
    """A picture file as a small JPEG without the original's metadata; None when it cannot be decoded."""
    pixels = decode(data, max_pixels=max_pixels)
    if isinstance(pixels, str):
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
