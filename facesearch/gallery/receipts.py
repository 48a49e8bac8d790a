"""Receipts of erasures: what they say, where they lie, and what they say of the engines that the gallery is
projected to. No receipt holds biometric data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from facesearch.files import make_folder, read_json, replace_json
from facesearch.gallery.store.rows import Action
from facesearch.gallery.store.schema import FILE
from facesearch.version import __version__

RECEIPTS = "receipts"
"""The folder below a gallery's own."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Whether an erasure has reached a projection.

    Attributes:
        store: The engine.
        erased: It has.
        how: How, or why not.
    """

    store: str
    erased: bool
    how: str


MOST_NAMED = 50
"""So many files a receipt names one by one. A gallery's own are fewer, and come first."""
OWN = (FILE, "vectors")


@dataclass(frozen=True, slots=True)
class MoreFiles:
    """Files that were searched too and are not named one by one: earlier receipts, and what else lies in the
    folder.

    Attributes:
        files: How many.
        bytes: Their size.
        names_sha256: Of their names below the folder, in order, each with a line feed after it; so that a
            name can be shown to have been among them.
    """

    files: int
    bytes: int
    names_sha256: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """That bytes are gone.

    Attributes:
        photos: How many photos were forgotten, or encrypted.
        whole_person: A whole person was forgotten, not some photos; None for an encryption, and where an
            interruption took the knowledge of it.
        when: In UTC.
        generation_before: The gallery's number of changes before.
        generation_after: The same afterwards.
        verified: What was done to prove it, in words.
        files: What was searched: (name, bytes) of each file.
        names_too_short_to_search: Names that are too short to be searched for in raw bytes.
        projections: Other engines that held the vectors.
        facesearch: The version that wrote this.
        schema: The version of this form.
        action: What the bytes had to go for, "forget" or "encrypt".
        more_files: What else was searched, as a sum.
    """

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
    schema: int = 2
    action: Action = "forget"
    more_files: MoreFiles | None = None


def named(files: Sequence[tuple[str, int]]) -> tuple[tuple[tuple[str, int], ...], MoreFiles | None]:
    """Of all that was searched (name, bytes): what a receipt names, and the rest as a sum, so that a receipt
    does not grow with the number of those before it.
    """
    near = [file for file in files if "/" not in file[0] and "\\" not in file[0]]
    near = sorted(sorted(near, key=lambda file: not file[0].startswith(OWN))[:MOST_NAMED])
    rest = sorted(set(files) - set(near))
    names = "".join(f"{name}\n" for name, _ in rest).encode(errors="surrogateescape")
    more = MoreFiles(len(rest), sum(size for _, size in rest), sha256(names).hexdigest())
    return tuple(near), more if rest else None


def write_receipt(folder: Path, receipt: Receipt) -> Path:
    """Keep a receipt of the gallery in this folder; returns its file. Raises CannotWrite."""
    name = f"{receipt.action}-{receipt.generation_after}.json"
    path = make_folder(folder / RECEIPTS) / name
    replace_json(path, asdict(receipt))
    return path


def read_receipt(path: Path) -> Receipt:
    """Raises CannotRead. In receipts of version 0.1.0 the action is called `deed`; those of schema 1 name
    every file.
    """
    kept = read_json(path)
    action = kept.pop("deed", None) or kept["action"]
    engines = tuple(Elsewhere(**entry) for entry in kept.pop("projections"))
    more = kept.pop("more_files", None)
    return Receipt(
        **{
            **kept,
            "action": action,
            "projections": engines,
            "more_files": MoreFiles(**more) if more else None,
        }
    )


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
