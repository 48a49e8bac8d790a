"""The gallery that comes with a checkout of facesearch, and how to have a copy of one's own."""

from __future__ import annotations

import os
from pathlib import Path

from facesearch.api.backups import BackedUp
from facesearch.api.how import quiet
from facesearch.errors import NotFound
from facesearch.gallery.store.schema import FILE
from facesearch.records import Progress

CHECKOUT = Path(__file__).resolve().parents[2]
"""Where this package lies; a checkout has the gallery there."""
INDEX = "index"


def demo_gallery(out: str | os.PathLike[str], progress: Progress = quiet) -> BackedUp:
    """Copy the gallery that comes with the checkout: all photos of CelebA-500, as vectors.

    The copy is checked row by row, and may be changed as you like. For non-commercial research only: see
    facesearch/weights/LICENSE.

    Args:
        out: The copy's folder, which must be empty or not there.
        progress: Is told how many faces are checked, and of how many.

    Returns:
        How many people, faces and bytes the copy has.

    Raises:
        NotFound: facesearch was installed from a wheel, which has no gallery.
        OutputExists, BackupInside, CorruptGallery, CannotWrite: see facesearch.api.backups.backup.
    """
    from facesearch.api.backups import backup
    from facesearch.api.opening import open_gallery

    source = CHECKOUT / INDEX
    if not (source / FILE).is_file():
        hint = "It comes with the repository, not in the package: install a checkout, with pip install -e"
        raise NotFound(source / FILE, "gallery to copy", hint)
    return backup(open_gallery(source), out, progress)


def came_with_checkout(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is `index` of a checkout of facesearch, where git tracks the gallery's file."""
    place = Path(folder).resolve()
    beside = (".git", "facesearch/version.py")
    return place.name == INDEX and all((place.parent / name).exists() for name in beside)
