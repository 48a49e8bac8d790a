"""Vectors of a prepared dataset, embedded once an encoder and kept beside its crops: `vectors-<encoder>.npy`.

The file is (n, d) float32, owner-only, NaN where nothing has been embedded yet, so an interrupted run goes
on.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from facesearch.datasets.table import Dataset
from facesearch.encoder.runtime import Runtime
from facesearch.errors import CannotRead, NotKept, reason_of
from facesearch.files import OWNER_ONLY, map_array
from facesearch.records import F32, I64, Progress

BATCH = 256


def dataset_vectors(
    dataset: Dataset, rows: I64, runtime: Runtime, known: dict[str, F32], progress: Progress
) -> F32:
    """Vectors (m, d) float32 of these rows. known: vectors that a gallery of the same encoder holds, by
    content hash.
    """
    path = dataset.beside(f"vectors-{runtime.encoder_id[:16]}.npy")
    kept = _open(path, len(dataset), runtime.dimension)
    missing = rows[np.isnan(kept[rows]).any(axis=1)]
    have = np.array([dataset.rows[i].sha256 in known for i in missing], bool)
    for i in missing[have]:
        kept[i] = known[dataset.rows[i].sha256]
    todo = missing[~have]
    done = len(rows) - len(todo)
    progress(done, len(rows))
    for start in range(0, len(todo), BATCH):
        part = todo[start : start + BATCH]
        kept[part] = runtime.embed(dataset.crops[part])
        progress(done + start + len(part), len(rows))
    if isinstance(kept, np.memmap):
        kept.flush()
    return np.array(kept[rows])


def _open(path: Path, n: int, d: int) -> F32:
    """Map the file, making it when it is missing or of another shape. Where that cannot be done nothing is
    kept, with a warning.
    """
    if path.is_file() and os.access(path, os.W_OK):
        try:
            there = map_array(path, "r+")
            if there.shape == (n, d) and there.dtype == np.float32:
                return there
        except CannotRead:  # not a whole .npy: rebuilt below
            pass
    nothing = np.full((n, d), np.nan, np.float32)
    try:
        path.unlink(missing_ok=True)  # a link is let go of, never followed
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY), "wb") as file:
            np.save(file, nothing)  # written, not mapped: on a full disk a map kills whoever fills it
        return map_array(path, "r+")
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        warnings.warn(NotKept(path, reason_of(error)), stacklevel=3)
        return nothing
