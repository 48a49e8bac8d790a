"""Receipts of erasures: what they say, where they lie, and what they say of the engines that the gallery is
projected to. No receipt holds biometric data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from facesearch.files import make_folder, read_json, replace_json
from facesearch.gallery.store.rows import Action
from facesearch.version import __version__

RECEIPTS = "receipts"
"""The folder below a gallery's own."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Whether an erasure has reached a projection, and how, or why not."""

    store: str
    erased: bool
    how: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """That bytes are gone. when: UTC; generation: the gallery's number of changes; files: what was searched,
    in bytes; action: what they had to go for, forget or encrypt; photos: how many were forgotten, or
    encrypted; projections: the engines that held the vectors too."""

    photos: int
    whole_person: bool | None
    when: str
    generation_before: int
    generation_after: int
    verified: str
    files: tuple[tuple[str, int], ...]
    names_too_short_to_search: int
    projections: tuple[Elsewhere, ...] = ()
    facesearch: str = __version__
    schema: int = 1
    action: Action = "forget"


def write_receipt(folder: Path, receipt: Receipt) -> Path:
    """Keep a receipt of the gallery in this folder; returns its file. Raises CannotWrite."""
    name = f"{receipt.action}-{receipt.generation_after}.json"
    path = make_folder(folder / RECEIPTS) / name
    replace_json(path, asdict(receipt))
    return path


def read_receipt(path: Path) -> Receipt:
    """Raises CannotRead. In receipts of version 0.1.0 the action is called deed."""
    kept = read_json(path)
    action = kept.pop("deed", None) or kept["action"]
    engines = tuple(Elsewhere(**entry) for entry in kept.pop("projections"))
    return Receipt(**{**kept, "action": action, "projections": engines})


def mark(path: Path, elsewhere: Elsewhere) -> None:
    """Write into a receipt what has become of its erasure in one projection. A receipt that somebody took
    away stays away.

    Raises CannotRead, CannotWrite.
    """
    if path.is_file():
        receipt = read_json(path)
        others = [entry for entry in receipt.get("projections", []) if entry["store"] != elsewhere.store]
        engines = sorted([*others, asdict(elsewhere)], key=lambda entry: str(entry["store"]))
        replace_json(path, {**receipt, "projections": engines})
