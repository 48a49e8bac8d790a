"""Photos in one folder a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facesearch.errors import BadName, NotFound, NothingToDo
from facesearch.faces.names import clean_name
from facesearch.faces.photos import walk
from facesearch.records import Skipped


def people_folders(root: Path) -> tuple[list[tuple[str, Path]], list[Skipped]]:
    """One folder a person below root, as (name, photo), and what is skipped: photos in no folder, or in one
    whose name can be nobody's. Raises NotFound, NothingToDo.
    """
    if not root.is_dir():
        raise NotFound(root, "folder")
    photos: list[tuple[str, Path]] = []
    skipped: list[Skipped] = []
    for found in _named(root):
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            photos.append(found)
    if not photos and not any(NO_NAME in item.reason for item in skipped):
        reason = "no photo in any person's folder (expected: one folder a person, photos in each)"
        raise NothingToDo(str(root), reason, left_out=tuple(skipped))
    return photos, skipped


NO_NAME = "its folder cannot be a person's name"


def _named(root: Path) -> Iterator[tuple[str, Path] | Skipped]:
    reasons: dict[str, str] = {}
    for found in walk(root, name_links=True):
        if isinstance(found, Skipped):
            yield found
        elif found.parent == root:
            yield Skipped(found, "not in a person's folder")
        else:
            folder = found.relative_to(root).parts[0]
            if folder not in reasons:
                reasons[folder] = _wrong_with(folder)
            yield Skipped(found, reasons[folder]) if reasons[folder] else (folder, found)


def _wrong_with(folder: str) -> str:
    """Why a folder's name can be nobody's; empty when it can."""
    try:
        clean_name(folder)
    except BadName as error:
        return f"{NO_NAME}: {error.reason}"
    return ""
