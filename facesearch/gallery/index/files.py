"""An index on disk: files for each segment, and `vectors.json`, which names them and is replaced last. That
of templates is called `templates` instead.

    vectors-G-R.faiss    the vectors in float16, memory-mapped
    vectors-G-R.ids      face ids, and a check number a row
    vectors-G-R.codes    bits1, bits2: the codes

What is read whole (ids, codes) is checked whole when it is opened; a vector is checked whenever it is
compared, so a file of a gigabyte is opened without reading it. One process at a time writes.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from facesearch.errors import writing
from facesearch.files import growing_file, locked_file, replace_file, replace_json, unfinished_files
from facesearch.gallery.index.bit_codes import code_bytes, scanner
from facesearch.gallery.index.checksums import ERASED, row_checksums
from facesearch.gallery.index.indexed import STEMS, Indexed, Rows, every_index, manifest_of
from facesearch.gallery.index.kinds import BITS, FLAT, Finder, Recall, finder_for
from facesearch.gallery.index.rows import (
    AT_ONCE,
    SUFFIX,
    flat_index,
    header,
    map_rows,
    overwrite,
    parts,
    rows_in,
    vectors_of,
    write_rows,
)
from facesearch.gallery.index.segments import Segment
from facesearch.gallery.store.remains import CHUNK, PIECE, Wanted
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.records import F32, I64, U8

MANIFEST = manifest_of(STEMS["photos"])
LOCK = "vectors.lock"
FORMAT = 3
MAPPED = faiss.IO_FLAG_MMAP_IFC


@dataclass(frozen=True, slots=True)
class Held:
    """What vectors.json names, when it is as it should be; else why not. erasures: how often somebody had
    been forgotten by then.
    """

    segments: tuple[Segment, ...]
    erasures: int
    wrong: str = ""

    @property
    def last_id(self) -> int:
        return self.segments[-1].last_id if self.segments else 0


def keeps_files(gallery: Store) -> bool:
    """Whether an index may be written: the one place that decides it. Of an encrypted gallery nothing plain
    ever lies on disk.
    """
    if gallery.encrypted:
        return False
    return os.access(gallery.folder, os.W_OK) and os.access(gallery.folder / FILE, os.W_OK)


@contextmanager
def locked(gallery: Store) -> Iterator[None]:
    """One process at a time."""
    with locked_file(gallery.folder / LOCK) if keeps_files(gallery) else nullcontext():
        yield


# ---- making


def build(indexed: Indexed, after: int, until: int, choice: str) -> Segment | None:
    """Make a segment of the rows with ids above `after` and up to `until`, and write it where files are
    kept; None of no rows.

    The store is read a batch at a time. Raises CorruptGallery, CannotWrite.
    """
    gallery = indexed.gallery
    keep, d = keeps_files(gallery), gallery.dimension
    name = f"{indexed.stem}-{gallery.notes.generation}-{secrets.token_hex(4)}" if keep else ""
    path = gallery.folder / (name + SUFFIX)
    ids: list[int] = []
    people: list[int] = []
    memory = io.BytesIO()
    file: BinaryIO
    with growing_file(path) if keep else nullcontext(memory) as file:
        count = write_rows(file, _batches(indexed.rows, after, until, ids, people), d)
    if not count:
        path.unlink(missing_ok=True)
        return None
    rows = map_rows(path, count, d) if keep else rows_in(np.frombuffer(memory.getbuffer(), np.uint8), d)
    numbers = np.array(ids, np.int64)
    checksums = np.concatenate([row_checksums(rows[part], numbers[part]) for part in parts(count)])
    finder = finder_for(choice, rows, np.array(people, np.int64), d)
    if keep:
        _write_beside(gallery.folder / name, numbers, checksums, finder)
    return Segment(
        name,
        d,
        numbers,
        checksums,
        rows,
        finder,
        _flat(gallery.folder / name if keep else None, rows, finder, d),
    )


def _batches(rows: Rows, after: int, until: int, ids: list[int], people: list[int]) -> Iterator[F32]:
    """Vectors (n, d) of the rows in a range of ids, a batch at a time; fills in their ids, and a number for
    each person.
    """
    numbers: dict[str, int] = {}
    while after < until:
        found, vectors, names = rows.vectors(after, AT_ONCE)
        count = int(np.searchsorted(found, until, side="right"))
        if not count:
            return
        ids += found[:count].tolist()
        people += [numbers.setdefault(name, len(numbers)) for name in names[:count]]
        yield vectors[:count]
        after = int(found[count - 1])


def _flat(stem: Path | None, rows: U8, finder: Finder, dimension: int) -> faiss.Index | None:
    if finder.kind != FLAT:
        return None
    if stem is not None:
        return faiss.read_index(str(stem) + SUFFIX, MAPPED)
    index = flat_index(dimension)
    for part in parts(len(rows)):
        index.add(vectors_of(rows[part]))
    return index


def _write_beside(
    stem: Path, ids: I64, checksums: np.ndarray[Any, np.dtype[np.uint64]], finder: Finder
) -> None:
    replace_file(stem.with_suffix(".ids"), ids.astype("<i8").tobytes() + checksums.astype("<u8").tobytes())
    if finder.codes is not None:
        replace_file(stem.with_suffix(".codes"), finder.codes.tobytes())


# ---- keeping


def write_manifest(indexed: Indexed, segments: tuple[Segment, ...], erasures: int) -> None:
    """Name these segments as the index, and delete every file of vectors that is not of them. Raises
    CannotWrite, GalleryBusy.

    The gallery notes the mark before the file bears it. So an index of another gallery, or of a state that
    this one never had (an older copy of it was put back), is known by its mark. Rows that the index shows are
    never changed, so an index whose mark is known stays right.
    """
    gallery = indexed.gallery
    drop_unfinished(gallery.folder)
    entries = [_entry(gallery.folder, segment) for segment in segments]
    mark = gallery.notes.new_index_mark(_former_mark(indexed), indexed.marks)
    replace_json(
        indexed.manifest,
        {
            "format": FORMAT,
            "mark": mark,
            "encoder_id": gallery.encoder_id,
            "erasures": erasures,
            "faces": sum(map(len, segments)),
            "last_face_id": segments[-1].last_id if segments else 0,
            "segments": entries,
        },
    )
    drop_others(gallery.folder, indexed.stem, {segment.name for segment in segments})


def drop_others(folder: Path, stem: str, names: set[str]) -> None:
    """Delete all files of an index but those of the segments with these names. Raises CannotWrite."""
    with writing(folder):
        for old in folder.glob(f"{stem}-*"):
            if old.stem not in names:
                old.unlink(missing_ok=True)


def drop_files(folder: Path, stems: Collection[str] = tuple(STEMS.values())) -> None:
    """Remove the files of indexes, half-written ones too. Raises CannotWrite."""
    drop_unfinished(folder)
    if os.access(folder, os.W_OK):
        with writing(folder):
            for stem in stems:
                (folder / manifest_of(stem)).unlink(missing_ok=True)
                drop_others(folder, stem, set())


def drop_unfinished(folder: Path) -> None:
    """Remove what killed writers left half-written: it may hold somebody who has been forgotten since."""
    if os.access(folder, os.W_OK):
        for torn in unfinished_files(folder):
            torn.unlink(missing_ok=True)


def _entry(folder: Path, segment: Segment) -> dict[str, Any]:
    finder = segment.finder
    checks = {path.suffix: _check(path) for path in _beside(folder / segment.name, finder)}
    return {
        "name": segment.name,
        "kind": finder.kind,
        "rows": len(segment.ids),
        "faces": len(segment),
        "rerank": finder.rerank,
        "recall": asdict(finder.recall) if finder.recall else None,
        "checks": checks,
    }


def _beside(stem: Path, finder: Finder) -> list[Path]:
    """The files that are read whole."""
    more = [] if finder.kind == FLAT else [".codes"]
    return [stem.with_suffix(suffix) for suffix in (".ids", *more)]


def _check(path: Path) -> int:
    with path.open("rb") as file:
        value = 0
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


# ---- reading


def read_manifest(indexed: Indexed) -> dict[str, Any]:
    """What vectors.json says. Raises OSError, ValueError for what is none of this format."""
    manifest = json.loads(indexed.manifest.read_bytes())
    if not isinstance(manifest, dict):
        raise ValueError("no manifest")
    return manifest


def is_of(manifest: dict[str, Any], indexed: Indexed) -> bool:
    """Whether the index is of this gallery as it is now or was before."""
    return indexed.gallery.notes.is_index_mark(manifest.get("mark"), indexed.marks)


def _former_mark(indexed: Indexed) -> object:
    try:
        return read_manifest(indexed).get("mark")
    except (OSError, ValueError):
        return None


def load(indexed: Indexed) -> Held:
    """Open the files that vectors.json names, each as far as it is read whole checked whole; says what is
    wrong where something is.
    """
    gallery = indexed.gallery
    if gallery.encrypted:
        return Held((), 0, "the gallery is encrypted")
    try:
        manifest = read_manifest(indexed)
        if manifest.get("format") != FORMAT:
            return Held((), 0, "the index file is of another version of facesearch")
        if manifest["encoder_id"] != gallery.encoder_id:
            return Held((), 0, "the index file is of another encoder")
        if not is_of(manifest, indexed):
            return Held((), 0, "the index file is of another state of the gallery, as after a restore")
        if not {entry["kind"] for entry in manifest["segments"]} <= {FLAT, *BITS}:
            return Held((), 0, "the index is of a kind that is not made any more")
        segments = tuple(_load_segment(gallery, entry) for entry in manifest["segments"])
        erasures = int(manifest["erasures"])
    except FileNotFoundError:
        return Held((), 0, "there was no index file yet")
    except _Damaged:
        return Held((), 0, "the index file was damaged")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        return Held((), 0, f"the index file could not be read ({type(error).__name__})")
    if any(one.last_id >= int(other.ids[0]) for one, other in pairwise(segments)):
        return Held((), 0, "the index file was damaged")
    return Held(segments, erasures)


class _Damaged(Exception):
    """A file does not fit its check number."""


def _load_segment(gallery: Store, entry: dict[str, Any]) -> Segment:
    name, kind, count, d = Path(entry["name"]).name, str(entry["kind"]), int(entry["rows"]), gallery.dimension
    stem, recall = gallery.folder / name, entry["recall"]
    finder = Finder(kind, None, None, int(entry["rerank"]), Recall(**recall) if recall else None)
    for path in _beside(stem, finder):
        if _check(path) != entry["checks"][path.suffix]:
            raise _Damaged
    numbers = np.fromfile(stem.with_suffix(".ids"), "<u8")
    ids, checksums = numbers[:count].astype(np.int64), numbers[count:].astype(np.uint64)
    try:
        rows = map_rows(stem.with_suffix(SUFFIX), count, d)
    except ValueError as error:
        raise _Damaged from error
    if len(ids) != len(checksums) or len(ids) != count or not count:
        raise _Damaged
    if kind in BITS:
        codes = np.memmap(stem.with_suffix(".codes"), np.uint8, "r").reshape(count, code_bytes(d, BITS[kind]))
        finder = replace(finder, index=scanner(codes, d, BITS[kind]), codes=codes)
    else:
        _require_right(rows, ids, checksums)  # all of them are compared in every search
    return Segment(name, d, ids, checksums, rows, finder, _flat(stem, rows, finder, d))


def _require_right(rows: U8, ids: I64, checksums: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
    for part in parts(len(rows)):
        right = (row_checksums(rows[part], ids[part]) == checksums[part]) | (checksums[part] == ERASED)
        if not right.all():
            raise _Damaged


# ---- erasing


def erase(gallery: Store, segment: Segment, places: I64) -> tuple[Segment, tuple[bytes, ...]]:
    """Write zeros over the rows at these places (m,), over their check numbers and their codes, on disk too.

    Returns what is left, and the codes that were erased. Only for a segment whose finder learned nothing from
    its rows: flat, bits1, bits2. Raises CannotWrite.
    """
    checksums, d = segment.checksums.copy(), segment.dimension
    checksums[places] = ERASED
    codes = segment.finder.codes
    gone = tuple(bytes(codes[place]) for place in places.tolist()) if codes is not None else ()
    if not segment.name or not keeps_files(gallery):
        return _erased_in_memory(segment, checksums, places), gone
    stem, count = gallery.folder / segment.name, len(segment.ids)
    with writing(stem):
        overwrite(stem.with_suffix(SUFFIX), len(header(count, d)), segment.rows.shape[1], places)
        overwrite(stem.with_suffix(".ids"), 8 * count, 8, places)
        if codes is not None:
            overwrite(stem.with_suffix(".codes"), 0, codes.shape[1], places)
    return replace(segment, checksums=checksums), gone


def codes_with(gallery: Store, pieces: Collection[bytes | str]) -> set[bytes]:
    """Which of these pieces lie in codes of people who are in the index: two photos may be so alike that they
    share one.
    """
    wanted = {piece for piece in pieces if isinstance(piece, bytes)}
    if not wanted:
        return set()
    search = Wanted(wanted, ())
    found: set[bytes] = set()
    codes = [segment.finder.codes for one in every_index(gallery) for segment in load(one).segments]
    for data in (each.reshape(-1) for each in codes if each is not None):
        for start in range(0, len(data), CHUNK):
            found |= search.within([data[start : start + CHUNK + PIECE].tobytes()])[0]
    return found


def _erased_in_memory(
    segment: Segment, checksums: np.ndarray[Any, np.dtype[np.uint64]], places: I64
) -> Segment:
    rows = np.array(segment.rows)
    rows[places] = 0
    finder = segment.finder
    if finder.codes is not None:
        codes = np.array(finder.codes)
        codes[places] = 0
        finder = replace(finder, codes=codes, index=scanner(codes, segment.dimension, BITS[finder.kind]))
    return replace(
        segment,
        name="",
        checksums=checksums,
        rows=rows,
        finder=finder,
        flat=_flat(None, rows, finder, segment.dimension),
    )
