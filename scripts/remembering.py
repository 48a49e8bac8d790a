"""A runtime that embeds a crop once: what it gave is kept in a folder, by encoder and by the crop's bytes.

    runtime = Remembering(load_runtime(weights), Path("runs/ship/vectors"))

A crop that changed has other bytes and is embedded again. A file an encoder, one row a crop: the crop's hash
(SHA-256, 32 bytes), the vector's length and the vector (float32). It grows by appending, so that a run that
was interrupted goes on where it was; a row that was cut short is dropped.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.encoder.runtime import Runtime, measured
from facesearch.files import make_folder
from facesearch.records import F32, U8

HASH_BYTES = 32


class Remembering:
    """See above. It is a Runtime, and tells lengths as the one that it was given does."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        make_folder(folder)
        self.encoder_id, self.dimension = runtime.encoder_id, runtime.dimension
        self.words: str = runtime.words
        self.notes: dict[str, Any] = runtime.notes
        self._runtime = runtime
        self._path = folder / f"{runtime.encoder_id[:16]}.rows"
        self._row = np.dtype([("hash", f"V{HASH_BYTES}"), ("length", "f4"), ("vector", "f4", self.dimension)])
        self._known: dict[bytes, np.void] = {}
        if self._path.is_file():
            whole = self._path.stat().st_size // self._row.itemsize
            with self._path.open("r+b") as file:
                file.truncate(whole * self._row.itemsize)
            self._known = {bytes(row["hash"]): row for row in np.fromfile(self._path, self._row)}

    def __len__(self) -> int:
        """How many crops are known."""
        return len(self._known)

    def embed(self, crops: U8) -> F32:
        """See Runtime."""
        return self.measure(crops)[0]

    def measure(self, crops: U8) -> tuple[F32, F32]:
        """See Measuring."""
        hashes = [hashlib.sha256(np.ascontiguousarray(crop).tobytes()).digest() for crop in crops]
        new = [n for n, own in enumerate(hashes) if own not in self._known]
        if new:
            vectors, lengths = measured(self._runtime, crops[new])
            self.keep([hashes[n] for n in new], vectors, lengths)
        rows = np.array([self._known[own] for own in hashes], self._row)
        return rows["vector"].copy(), rows["length"].copy()

    def keep(self, hashes: list[bytes], vectors: F32, lengths: F32) -> None:
        """Remember the vectors (n, d) and lengths (n,) of crops with these hashes."""
        rows = np.empty(len(hashes), self._row)
        rows["hash"], rows["vector"], rows["length"] = np.array(hashes, f"V{HASH_BYTES}"), vectors, lengths
        with self._path.open("ab", buffering=0) as file:  # in one step, beside others who append
            file.write(rows.tobytes())
        self._known |= dict(zip(hashes, rows, strict=True))
