"""Where receipts of erasures lie, and what they say of the places a gallery is projected to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from facesearch.files import read_json, replace_json

RECEIPTS = "receipts"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Whether an erasure has reached a projection, and how, or why not."""

    store: str
    erased: bool
    how: str


def mark(path: Path, elsewhere: Elsewhere) -> None:
    """Write into a receipt what has become of its erasure in one projection. A receipt that somebody took away stays away.

    Raises CannotRead, CannotWrite.
    """
    if path.is_file():
        receipt = read_json(path)
        others = [entry for entry in receipt.get("projections", []) if entry["store"] != elsewhere.store]
        replace_json(path, {**receipt, "projections": sorted([*others, asdict(elsewhere)], key=lambda entry: str(entry["store"]))})
