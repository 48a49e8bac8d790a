"""Give a person another name."""

from __future__ import annotations

from pathlib import Path

from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.store import Store


def rename(old: str, new: str, folder: Path, *, join: bool, key: Key | None = None) -> int:
    """Give a person another name. Returns how many photos moved. Raises UnknownPerson, BadName, NameTaken."""
    with Store.open(folder, key) as gallery:
        moved = gallery.faces.rename(old, new, join=join)
        gallery.eraser.cut_log()  # so that the old name goes out of the log as soon as nobody reads it
    return moved
