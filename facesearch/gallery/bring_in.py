"""Bring vectors in that were made elsewhere: an array and a table of names, a row of the one for a row of the
other.

Everything is looked through before anything is written, so a wrong row adds nothing. Then rows go in by
batches, each committed: interrupted, the same call adds what is missing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facesearch.answers import EnrolledVectors
from facesearch.errors import BadName, BadTable, BadVectors, CannotRead, NothingToDo, counted, reason_of
from facesearch.faces.names import clean_name
from facesearch.files import map_array, open_regular
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.records import F32, Progress

COMMIT = 4096
"""Rows between two commits: 8 MB of 512 numbers, and what a kill can cost."""
COLUMNS = ("name", "photo", "sha256")
"""Of the table: the first is needed, the others may be absent, in any order."""
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
ARRAY, TABLE = Path("vectors"), Path("names")
"""What errors call values that come from no file."""


class Line(NamedTuple):
    """A row of the table. photo, sha256: empty where nothing is said of them."""

    name: str
    photo: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The encoder that made the vectors. dimension: 0 where it is not at hand to be asked; words, notes: see
    Runtime; file: what a gallery is to remember of its file, as JSON.
    """

    encoder_id: str
    dimension: int = 0
    words: str = "not at hand when its vectors were brought in"
    notes: dict[str, Any] = field(default_factory=dict)
    file: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """Vectors (n, d), mapped or in memory, and the table that names them; lines reads it again each time."""

    vectors: NDArray[Any]
    lines: Callable[[], Iterable[tuple[int, Line]]]
    array: Path = ARRAY
    table: Path = TABLE


def given(vectors: Path | NDArray[Any], names: Path | Sequence[str]) -> Given:
    """A .npy file or an array, and a CSV file or the names themselves. Raises CannotRead, BadVectors."""
    array, table = (vectors, names) if isinstance(vectors, Path) else (ARRAY, names)
    rows = map_array(vectors, "r") if isinstance(vectors, Path) else np.asarray(vectors)
    if not isinstance(rows, np.ndarray):
        raise CannotRead(array, "it is no array, but an archive of several")
    if rows.ndim != 2 or rows.shape[1] < 1 or rows.dtype.kind != "f":
        raise BadVectors(array, None, f"it is an array {rows.shape} of {rows.dtype}, not (n, d) of floats")
    if isinstance(table, Path):
        return Given(rows, lambda: read_lines(table), array, table)
    listed = list(table)
    return Given(rows, lambda: enumerate(map(Line, listed), 1), array)


def read_lines(table: Path) -> Iterator[tuple[int, Line]]:
    """The rows of a CSV file in UTF-8 with a header, each with its line's number, as a stream. Raises
    CannotRead, BadTable.
    """
    try:
        with io.TextIOWrapper(open_regular(table), encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [column.strip().lower() for column in next(rows, [])]
            if "name" not in header or len(set(header)) < len(header) or set(header) - set(COLUMNS):
                found = ", ".join(header) or "nothing"
                raise BadTable(
                    table, 1, f"its header says {found}; expected name, and photo or sha256 if known"
                )
            places = [header.index(column) if column in header else None for column in COLUMNS]
            for row in rows:
                if len(row) != len(header):
                    raise BadTable(
                        table, rows.line_num, f"it has {counted(len(row), 'column')}, not {len(header)}"
                    )
                yield rows.line_num, Line(*("" if place is None else row[place] for place in places))
    except OSError as error:
        raise CannotRead(table, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise CannotRead(table, "it is no text in UTF-8") from error
    except csv.Error as error:
        raise BadTable(table, rows.line_num, f"it is no CSV: {error}") from error


def bring_in(
    what: Given,
    made_by: MadeBy,
    folder: Path,
    *,
    fpir: float | None,
    progress: Progress,
    key: Key | None = None,
    writing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> EnrolledVectors:
    """Enroll the vectors, made unit vectors, under their names; make the gallery when there is none.

    A photo's content hash is taken from the table; where it says none, the hash of the vector's own bytes in
    float32 stands in its place, and a photo without a name is called by that. What a person has already is
    left as it is. writing: within it is written, while others of this process wait. Raises BadVectors,
    BadTable, CannotRead before anything is written; NothingToDo for no rows, EncoderMismatch, CannotWrite,
    GalleryBusy.
    """
    total = len(what.vectors)
    with ExitStack() as stack:
        gallery: Store | None = None
        if (folder / FILE).is_file():
            gallery = stack.enter_context(Store.open(folder, key))
            gallery.require_encoder(made_by.encoder_id)
        dimension = made_by.dimension if gallery is None else gallery.dimension
        if dimension and what.vectors.shape[1] != dimension:
            reason = (
                f"its rows have {counted(what.vectors.shape[1], 'number')}, those of this encoder {dimension}"
            )
            raise BadVectors(what.array, None, reason)
        if not total:
            raise NothingToDo(str(what.array), "no vector was given")
        for done, _ in _batches(what):
            progress(done, total)
        if gallery is None:
            made = (folder, made_by.encoder_id, what.vectors.shape[1], made_by.words, key)
            gallery = stack.enter_context(Store.create(*made, encoder_file=made_by.file))
            gallery.require_encoder(made_by.encoder_id)
        people, added = gallery.faces.person_count(), 0
        progress(0, total)
        for done, faces in _batches(what):
            with writing():
                added += gallery.faces.add(_new(gallery, faces))
            progress(done, total)
        if added:
            with writing():
                tidy(gallery, made_by.notes, fpir, rewrite=True)
        now = gallery.faces.person_count()
        return EnrolledVectors(added, total - added, now - people, now, made_by.encoder_id)


# ---- inside


def _batches(what: Given) -> Iterator[tuple[int, list[NewFace]]]:
    """The faces that the rows make, some at a time, each row checked, with how many rows are behind them."""
    lines = iter(what.lines())
    total = len(what.vectors)
    names: dict[str, str] = {}
    for start in range(0, total, COMMIT):
        part = np.asarray(what.vectors[start : start + COMMIT])
        units = _unit_rows(what.array, part, start)
        with np.errstate(over="ignore"):
            plain = np.ascontiguousarray(part, "<f4")
        faces = []
        for row, unit in enumerate(units):
            number, line = next(lines, (0, None))
            if line is None:
                raise BadVectors(
                    what.array,
                    None,
                    f"it has {counted(total, 'row', commas=True)}, {what.table.name} only {start + row:,}",
                )
            faces.append(_face(what.table, number, line, plain[row], unit, names))
        yield start + len(faces), faces
    if (more := next(lines, None)) is not None:
        raise BadTable(
            what.table,
            more[0],
            f"there are more names than the {counted(total, 'row', commas=True)} of {what.array.name}",
        )


def _unit_rows(array: Path, part: NDArray[Any], start: int) -> F32:
    """Rows (n, d) of length 1. Raises BadVectors for one that is not finite, or all zeros."""
    exact = part.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    wrong = ~np.isfinite(lengths) | (lengths == 0)
    if wrong.any():
        row = int(wrong.argmax())
        zero = lengths[row] == 0
        raise BadVectors(array, start + row, "all its numbers are 0" if zero else "a number is not finite")
    units: F32 = (exact / lengths[:, None]).astype(np.float32)
    return units


def _face(table: Path, number: int, line: Line, plain: F32, unit: F32, names: dict[str, str]) -> NewFace:
    """What a line of the table and its vector say. names: those that were found to be right, as given."""
    name = names.get(line.name)
    if name is None:
        try:
            name = names[line.name] = clean_name(line.name)
        except BadName as error:
            raise BadTable(table, number, error.what) from error
    content = line.sha256.strip().lower()
    if content and not re.fullmatch("[0-9a-f]{64}", content):
        raise BadTable(table, number, f"{content[:80]!r} is no SHA-256")
    content = content or sha256(plain.tobytes()).hexdigest()
    return NewFace(name, content, _source(line.photo) or f"vector-{content[:12]}", unit)


def _source(photo: str) -> str:
    """A photo's name; of a whole path only its end: the folders of a machine are nobody else's business."""
    return re.split(r"[/\\]", photo)[-1] if ABSOLUTE.match(photo) else photo


def _new(gallery: Store, faces: Sequence[NewFace]) -> list[NewFace]:
    """Those whose person has no photo of this content yet, each once."""
    new: dict[tuple[str, str], NewFace] = {}
    for face in faces:
        if not gallery.faces.has_photo(face.person, face.sha256):
            new.setdefault((face.person, face.sha256), face)
    return list(new.values())
