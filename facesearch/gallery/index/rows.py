"""The vectors of an index, one after the other in float16, in a file that FAISS itself can map: an
IndexScalarQuantizer (fp16).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from facesearch.gallery.store.rows import VECTOR
from facesearch.records import F32, I64, U8

SUFFIX = ".faiss"
AT_ONCE = 8192
"""Rows handled at a time: 16 MB of float32 at 512 numbers."""


def write_rows(file: BinaryIO, batches: Iterable[F32], dimension: int) -> int:
    """Write vectors (n, d), a batch at a time, into an empty file. Returns how many they were."""
    file.write(header(0, dimension))
    count = 0
    for vectors in batches:
        file.write(np.ascontiguousarray(vectors.astype(VECTOR)).data)
        count += len(vectors)
    file.seek(0)
    file.write(header(count, dimension))
    return count


def rows_in(whole: U8, dimension: int) -> U8:
    """Rows (n, 2 d) uint8 of what write_rows wrote."""
    rows: U8 = whole[len(header(0, dimension)) :].reshape(-1, dimension * VECTOR.itemsize)
    return rows


def header(count: int, dimension: int) -> bytes:
    """What FAISS writes before the rows of an IndexScalarQuantizer: all that it writes of an empty one, with
    the number of rows.
    """
    empty = flat_index(dimension)
    empty.ntotal = count
    start: bytes = faiss.serialize_index(empty).tobytes()
    return start[:-8] + struct.pack("<Q", count * dimension * VECTOR.itemsize)


def map_rows(path: Path, count: int, dimension: int) -> U8:
    """Rows (n, 2 d) uint8 of a file, mapped. Raises ValueError for a file of another shape, OSError."""
    expected = header(count, dimension)
    if path.stat().st_size != len(expected) + count * dimension * VECTOR.itemsize:
        raise ValueError("a file of rows has another size")
    with path.open("rb") as file:
        if file.read(len(expected)) != expected:
            raise ValueError("a file of rows begins otherwise")
    return rows_in(np.memmap(path, np.uint8, "r"), dimension)


def flat_index(dimension: int) -> faiss.Index:
    """An exact scan over float16 rows, the precision of the store: inner products of unit vectors are
    cosines.
    """
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def vectors_of(rows: U8) -> F32:
    """Vectors (n, d) float32 of rows (n, 2 d) uint8."""
    halves: NDArray[np.float16] = np.ascontiguousarray(rows).view(VECTOR)
    return halves.astype(np.float32)


def parts(count: int, size: int = AT_ONCE) -> list[slice]:
    """The numbers up to count, a part at a time."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def overwrite(path: Path, start: int, width: int, places: I64) -> None:
    """Write zeros over these entries of a file of entries `width` bytes long, the first of which lies at
    `start`.
    """
    with path.open("r+b") as file:
        for place in places.tolist():
            file.seek(start + place * width)
            file.write(bytes(width))
        file.flush()
        os.fsync(file.fileno())
