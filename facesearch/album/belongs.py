"""Which album and which gallery a review is of, so that no other one takes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from facesearch.album.album import Album
from facesearch.errors import CannotWrite, written

ID = "album_id"
"""Under this word an album remembers what it is called. It keeps that wherever its folder is moved; made anew
in the same place, of the same photos, it is called the same."""


def album_id(album: Album) -> str:
    """What an album is called, in 12 hexadecimal digits."""
    if known := album.value(ID):
        return known
    of = "\0".join((written(album.root), written(album.folder.absolute()), album.encoder_id))
    new = hashlib.sha256(of.encode()).hexdigest()[:12]
    with contextlib.suppress(CannotWrite):  # where nothing may be written it is found anew each time
        album.remember(ID, new)
    return new


def gallery_id(gallery: Path, encoder_id: str) -> str:
    """A gallery as a review names it: where it lies, and the encoder it is of."""
    return f"{written(os.path.realpath(gallery))} {encoder_id[:12]}"
