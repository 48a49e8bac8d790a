"""Make a gallery's index anew, by another choice where one is given, and say what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesearch.errors import EmptyGallery
from facesearch.gallery.faiss_index import refresh
from facesearch.gallery.index_choice import choose_index, chosen_index, index_parts
from facesearch.gallery.keys import Key
from facesearch.gallery.store import Gallery


@dataclass(frozen=True, slots=True)
class IndexMade:
    """choice: auto, flat, bits1, bits2 or FAISS's word; parts: see index_choice.index_parts, none where nothing may be written."""

    choice: str
    faces: int
    seconds: float
    parts: tuple[dict[str, Any], ...]

    @property
    def is_another(self) -> bool:
        """Whether it is not the index that was asked for: FAISS needs more faces to train it."""
        return self.choice != "auto" and any(part["kind"] != self.choice for part in self.parts)


def make_index(folder: Path, choice: str | None, *, key: Key | None = None) -> IndexMade:
    """Raises NoGallery, EmptyGallery, BadIndex, CannotWrite, CorruptGallery."""
    started = time.perf_counter()
    with Gallery.open(folder, key) as gallery:
        if choice is not None:
            choose_index(gallery, choice)
        if gallery.is_empty():
            raise EmptyGallery(folder)
        index = refresh(gallery, "it was asked for")
        return IndexMade(chosen_index(gallery), len(index), time.perf_counter() - started, tuple(index_parts(gallery)))
