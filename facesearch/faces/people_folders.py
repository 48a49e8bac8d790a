"""Photos in one folder a person."""

from __future__ import annotations

from pathlib import Path

from facesearch.errors import NotFound, NothingToDo
from facesearch.faces.photos import NOT_TEXT, is_text, walk
from facesearch.records import Skipped


def people_folders(root: Path) -> tuple[list[tuple[str, Path]], list[Skipped]]:
    """One folder a person below root, as (name, photo). Raises NotFound, NothingToDo."""
    if not root.is_dir():
        raise NotFound(root, "folder")
    photos: list[tuple[str, Path]] = []
    skipped: list[Skipped] = []
    for found in walk(root):
        if isinstance(found, Skipped):
            skipped.append(found)
        elif not is_text(str(found)):
            skipped.append(Skipped(found, NOT_TEXT))
        elif found.parent == root:
            skipped.append(Skipped(found, "not in a person's folder"))
        else:
            photos.append((found.relative_to(root).parts[0], found))
    if not photos:
        raise NothingToDo(
            str(root), "no photo in any person's folder (expected: one folder a person, photos in each)"
        )
    return photos, skipped
