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
    """Write a copy of the gallery, of one moment; others may go on reading and writing.

    Args:
        gallery: The gallery. An encrypted one stays encrypted; its key is not in the copy.
        out: A folder that is empty or not there.
        progress: Called with (done, total) while it works.

    Raises:
        NoGallery: There is no gallery.
        OutputExists: The folder holds something.
        BackupInside: The folder is within the gallery's.
        CorruptGallery: The gallery is damaged.
        CannotWrite: The copy cannot be written.
        NotErasedYet: An erasure is under way.
    """
    from facesearch.gallery.backup import backup

    return run(lambda: backup(gallery.folder, Path(out), progress, key=gallery.key))


def restore(gallery: Gallery, source: str | os.PathLike[str], progress: Progress = quiet) -> Restored:
    """Make the gallery exactly what a backup holds. People who were forgotten since are there again.

    Args:
        gallery: The gallery that is replaced.
        source: The backup's folder.
        progress: Called with (done, total) while it works.

    Raises:
        NoGallery: There is no backup.
        CorruptGallery: The backup is damaged.
        GalleryBusy: Somebody uses the gallery.
        CannotWrite: It cannot be written.
    """
    from facesearch.gallery.backup import restore

    return run(lambda: restore(Path(source), gallery.folder, progress, key=gallery.key))
