"""What an index is made of: the rows of a gallery's photos, or of its people's templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from facesearch.gallery.store.notes import INDEX_MARKS
from facesearch.gallery.store.store import Store
from facesearch.records import F32, I64

Of = Literal["photos", "templates"]
STEMS: dict[Of, str] = {"photos": "vectors", "templates": "templates"}
"""How the files of an index begin."""


def manifest_of(stem: str) -> str:
    """The name of the file that names the others."""
    return f"{stem}.json"


class Rows(Protocol):
    """Vectors under ids that only grow; rows are added and deleted, never changed."""

    def __len__(self) -> int: ...

    def ids(self) -> I64: ...

    def last_id(self) -> int: ...

    def count_after(self, row_id: int, /) -> int: ...

    def vectors(self, after: int = 0, most: int = -1) -> tuple[I64, F32, list[str]]: ...

    def vectors_at(self, row_ids: Iterable[int], /) -> dict[int, F32]: ...


@dataclass(frozen=True, slots=True)
class Indexed:
    """The rows of one kind of an open gallery, and where their index lies."""

    gallery: Store
    of: Of = "photos"

    @property
    def rows(self) -> Rows:
        return self.gallery.faces if self.of == "photos" else self.gallery.templates

    @property
    def folder(self) -> Path:
        return self.gallery.folder

    @property
    def stem(self) -> str:
        return STEMS[self.of]

    @property
    def manifest(self) -> Path:
        """The file that names the others."""
        return self.folder / manifest_of(self.stem)

    @property
    def marks(self) -> str:
        """Under which key the gallery notes the marks of this index."""
        return INDEX_MARKS if self.of == "photos" else f"{INDEX_MARKS}:{self.of}"


def every_index(gallery: Store) -> list[Indexed]:
    """All that a gallery can have an index of."""
    return [Indexed(gallery), *([Indexed(gallery, "templates")] if gallery.templates.are_kept() else [])]
