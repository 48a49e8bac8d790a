"""A copy of a gallery while it is in use, and how it is put back."""

from __future__ import annotations

import os
from pathlib import Path

from facesearch.api.gallery import Gallery
from facesearch.api.how import quiet
from facesearch.api.per_process import run
from facesearch.gallery.backup import BackedUp as BackedUp
from facesearch.gallery.backup import Restored as Restored
from facesearch.records import Progress


def backup(gallery: Gallery, out: str | os.PathLike[str], progress: Progress = quiet) -> BackedUp:
    """Write a copy of the gallery into the folder `out`, which must be empty or not there; others may go on
    reading and writing. An encrypted gallery stays encrypted; its key is not in the copy.

    Raises NoGallery, OutputExists, BackupInside, CorruptGallery, CannotWrite, NotErasedYet.
    """
    from facesearch.gallery.backup import backup

    return run(lambda: backup(gallery.folder, Path(out), progress, key=gallery.key))


def restore(gallery: Gallery, source: str | os.PathLike[str], progress: Progress = quiet) -> Restored:
    """Make the gallery what a backup says, exactly: who was forgotten since is there again.

    Raises NoGallery when there is no backup, CorruptGallery for a damaged one, GalleryBusy, CannotWrite.
    """
    from facesearch.gallery.backup import restore

    return run(lambda: restore(Path(source), gallery.folder, progress, key=gallery.key))
