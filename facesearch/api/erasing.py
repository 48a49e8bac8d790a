"""An erasure's receipt as it may be told to others: without the folders of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePath

from facesearch.api.gallery import Gallery
from facesearch.api.results import Receipt


@dataclass(frozen=True, slots=True)
class SearchedFile:
    """A file of the gallery that was searched for what might be left.

    Attributes:
        file: Its name.
        bytes: Its size.
    """

    file: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten(Receipt):
    """That something was erased, without biometric data.

    Attributes:
        files: What was searched.
        file: The receipt's own name; it lies beside the gallery under receipts/.
    """

    files: tuple[SearchedFile, ...]  # type: ignore[assignment]
    file: str


def forget(gallery: Gallery, person: str, contents: Sequence[str] | None = None) -> Forgotten:
    """Erase a person, or some of their photos.

    Args:
        gallery: The gallery.
        person: The name.
        contents: SHA-256 hashes of the photos that go; None for all of them.

    Raises:
        FacesearchError: What Gallery.forget raises.
    """
    return forgotten(*gallery.forget(person, contents=contents))


def forgotten(receipt: Receipt, path: Path) -> Forgotten:
    """A receipt that lies there, as it may be told."""
    told = {field.name: getattr(receipt, field.name) for field in fields(receipt)}
    told["files"] = tuple(SearchedFile(file, size) for file, size in receipt.files)
    told["projections"] = tuple(
        replace(there, store=_named_only(there.store)) for there in receipt.projections
    )
    return Forgotten(**told, file=path.name)


def _named_only(store: str) -> str:
    """An engine's address without the folders of this machine."""
    kind, _, place = store.partition(":")
    return store if "://" in place else f"{kind}:{PurePath(place).name}"
