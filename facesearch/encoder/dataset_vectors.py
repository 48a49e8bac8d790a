"""Vectors of a prepared dataset, embedded once an encoder and kept beside its crops: `vectors-<encoder>.npy`,
and how long they were: `lengths-<encoder>.npy`.

The files are (n, d) and (n,) float32, owner-only, NaN where nothing has been embedded yet, so an interrupted
run goes on.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from facesearch.datasets.table import Dataset
from facesearch.encoder.runtime import Runtime, measured
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
    kept, _ = both = _kept(dataset, runtime)
    missing = rows[np.isnan(kept[rows]).any(axis=1)]
    have = np.array([dataset.rows[i].sha256 in known for i in missing], bool)
    for i in missing[have]:
        kept[i] = known[dataset.rows[i].sha256]
    todo = missing[~have]
    done = len(rows) - len(todo)
    progress(done, len(rows))
    _fill(dataset, todo, runtime, both, lambda more: progress(done + more, len(rows)))
    return np.array(kept[rows])


def dataset_lengths(dataset: Dataset, rows: I64, runtime: Runtime, progress: Progress) -> F32:
    """How long the vectors (m,) of these rows were before they were brought to length 1, see `measured`.
    Vectors that were taken from a gallery, or kept by a version that did not keep lengths, are made again.
    """
    _, lengths = both = _kept(dataset, runtime)
    todo = rows[np.isnan(lengths[rows])]
    _fill(dataset, todo, runtime, both, lambda more: progress(len(rows) - len(todo) + more, len(rows)))
    return np.array(lengths[rows])


def _kept(dataset: Dataset, runtime: Runtime) -> tuple[F32, F32]:
    name = f"{runtime.encoder_id[:16]}.npy"
    vectors = _open(dataset.beside(f"vectors-{name}"), (len(dataset), runtime.dimension))
    if not isinstance(vectors, np.memmap):  # said once is enough
        return vectors, np.full(len(dataset), np.nan, np.float32)
    return vectors, _open(dataset.beside(f"lengths-{name}"), (len(dataset),))


def _fill(
    dataset: Dataset, todo: I64, runtime: Runtime, kept: tuple[F32, F32], done: Callable[[int], None]
) -> None:
    """Embed these rows and keep what comes of it."""
    for start in range(0, len(todo), BATCH):
        part = todo[start : start + BATCH]
        for array, found in zip(kept, measured(runtime, dataset.crops[part]), strict=True):
            array[part] = found
        done(start + len(part))
    for array in kept:
        if isinstance(array, np.memmap):
            array.flush()


def _open(path: Path, shape: tuple[int, ...]) -> F32:
    """Map the file, making it when it is missing or of another shape. Where that cannot be done nothing is
    kept, with a warning.
    """
    if path.is_file() and os.access(path, os.W_OK):
        try:
            there = map_array(path, "r+")
            if there.shape == shape and there.dtype == np.float32:
                return there
        except CannotRead:  # not a whole .npy: rebuilt below
            pass
    nothing = np.full(shape, np.nan, np.float32)
    try:
        path.unlink(missing_ok=True)  # a link is let go of, never followed
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY), "wb") as file:
            np.save(
                file, nothing
            )  # written, not mapped: on a full disk a map kills the process that fills it
        return map_array(path, "r+")
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        warnings.warn(NotKept(path, reason_of(error)), stacklevel=4)
        return nothing
