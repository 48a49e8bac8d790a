"""One or two bits for each number of a vector: codes to be scanned quickly, in a codebook that was learned
from nobody.

A vector is turned by a fixed rotation (sign flips and Hadamard transforms: the same numbers on every
machine), after which the numbers of any unit vector are spread much as a normal distribution with variance
1/m. So the best levels for one and two bits are known from the start (Max 1960, table I), nothing is trained,
and when somebody is forgotten their own code is all that there was of them. FAISS scans the codes sixteen at
a time (IndexPQFastScan, André et al. 2017); the vectors themselves decide.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import faiss
import numpy as np

from facesearch.gallery.index.checksums import mixed
from facesearch.records import F32, U8

LEVELS = {1: (-0.7979, 0.7979), 2: (-1.5104, -0.4528, 0.4528, 1.5104)}
"""What minimises the squared error of a normal number with variance 1."""
LIMITS = {1: (0.0,), 2: (-0.9816, 0.0, 0.9816)}
BLOCK = 32
SEED = 1
fast_scan: Any = faiss.IndexPQFastScan
"""Its type stubs know only one of its constructors."""


def code_bytes(dimension: int, bits: int) -> int:
    """Bytes of one vector's code."""
    return _width(dimension) * bits // 8


def encode(vectors: F32, bits: int) -> U8:
    """Codes (n, code_bytes) of unit vectors (n, d). The lowest bits of a byte are of the first numbers
    in it."""
    turned = rotated(vectors) * np.float32(np.sqrt(_width(vectors.shape[1])))
    if bits == 1:
        return np.packbits(turned > 0, axis=1, bitorder="little")
    level = np.zeros(turned.shape, np.uint8)
    for limit in LIMITS[bits]:
        level += turned > limit
    four = level.reshape(len(level), -1, 4)
    codes: U8 = (four << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
    return codes


def scanner(codes: U8, dimension: int, bits: int) -> faiss.Index:
    """What finds the rows of codes (n, code_bytes) whose inner product with a rotated query is greatest, by
    the codes alone.
    """
    width = _width(dimension)
    plain = faiss.IndexPQ(width, width * bits // 4, 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(_codebook(width, bits).ravel(), plain.pq.centroids)
    plain.is_trained = True
    faiss.copy_array_to_vector(np.ascontiguousarray(codes).ravel(), plain.codes)
    plain.ntotal = len(codes)
    quick: faiss.Index = fast_scan(plain, BLOCK)
    return quick


def rotated(vectors: F32) -> F32:
    """Vectors (n, d) turned into (n, m), m the power of two from 8 on that holds d; inner products stay as
    they are.
    """
    turned: F32 = vectors @ _rotation(vectors.shape[1])
    return turned


def _width(dimension: int) -> int:
    return max(8, 1 << (dimension - 1).bit_length())


@lru_cache(maxsize=4)
def _rotation(dimension: int) -> F32:
    """(d, m) float32 with orthonormal rows: H D H D / m, where H is Hadamard's matrix and D flips signs.
    Whole numbers but for / m.
    """
    width = _width(dimension)
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < width:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    signs = np.where(mixed(2 * width, SEED) >> np.uint64(63), np.float32(1), np.float32(-1))
    whole = (signs[:width, None] * hadamard * signs[width:]) @ hadamard / width
    part: F32 = np.ascontiguousarray(whole[:dimension], np.float32)
    return part


def _codebook(width: int, bits: int) -> F32:
    """(subspaces, 16, numbers a subspace): 4 bits hold 4 / bits numbers, and every combination of their
    levels is a centre.
    """
    numbers = 4 // bits
    level = np.array(LEVELS[bits], np.float32) / np.float32(np.sqrt(width))
    centre = np.arange(16)
    one = np.stack([level[centre >> (bits * i) & ((1 << bits) - 1)] for i in range(numbers)], axis=1)
    book: F32 = np.ascontiguousarray(np.broadcast_to(one, (width // numbers, 16, numbers)), np.float32)
    return book
