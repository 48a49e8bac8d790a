"""A check number for each row of an index file: whatever is read from it is checked first, and only that.

sum of word × odd weight over the words of a row and its face id, modulo 2**64: it notices every change of one
word, and any other damage but once in 2**60 cases. It is no defence against somebody who writes the folder:
neither would any hash that lies in it be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facesearch.records import I64, U8

U64 = NDArray[np.uint64]
SEED = 2
ERASED = np.uint64(0)
"""Instead of a row's sum: the row was erased."""


def row_checksums(rows: U8, ids: I64) -> U64:
    """Check numbers (n,) of rows (n, bytes) with the face ids (n,) that they belong to."""
    words = np.ascontiguousarray(rows)
    parts = words.view(np.uint64) if words.shape[1] % 8 == 0 else words.astype(np.uint64)
    weights = mixed(parts.shape[1] + 1, SEED) | np.uint64(1)
    checksums: U64 = parts @ weights[1:] + ids.astype(np.uint64) * weights[0]
    return checksums


def mixed(count: int, seed: int) -> U64:
    """(count,) numbers that look random and are the same everywhere: SplitMix64 (Steele et al. 2014)."""
    state = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return state ^ state >> np.uint64(31)
