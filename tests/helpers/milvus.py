"""Milvus, and what lies there.

Against Milvus Lite by default; against a server with FACESEARCH_TEST_MILVUS=milvus:http://HOST:19530.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from facesearch.cli.given import access_of
from facesearch.gallery import forget as erase
from facesearch.gallery.milvus.projections import Access
from facesearch.gallery.milvus.sync import Synced
from facesearch.gallery.store.store import Store
from facesearch.records import F32

SERVER = os.environ.get("FACESEARCH_TEST_MILVUS")
ACCESS = access_of() if SERVER else Access()
"""A server that asks for a token is tried with FACESEARCH_MILVUS_TOKEN."""
forget = partial(erase.forget, access=ACCESS)
lite_only = pytest.mark.skipif(bool(SERVER), reason="looks at Milvus Lite's own files")
NAME, SOURCE = "Zanzibar Quetzalcoatl", "holiday-of-zanzibar.jpg"


def told(done: Synced) -> tuple[int, int, int]:
    return done.added, done.removed, done.same


def brute(gallery: Store, query: F32, top: int) -> list[tuple[str, float]]:
    """The obvious twin of a search: every row, every person, in Python."""
    _, vectors, people = gallery.faces.vectors()
    best: dict[str, float] = {}
    for person, vector in zip(people, vectors, strict=True):
        best[person] = max(best.get(person, -2.0), float(vector @ query))
    return sorted(best.items(), key=lambda item: -item[1])[:top]


def held(folder: Path, vector: F32) -> list[str]:
    """Files that hold a vector: raw, any 16 bytes of it in float32 or float16, or in a column of a Parquet or
    Arrow file.
    """
    import pyarrow
    import pyarrow.parquet

    kept = vector.astype(np.float16)
    needles = [
        blob[i : i + 16]
        for blob in (kept.astype("<f4").tobytes(), kept.tobytes())
        for i in range(0, len(blob) - 15, 8)
    ]
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            columns = pyarrow.parquet.read_table(path).columns
            data += b"".join(
                np.asarray(c.to_pylist(), np.float32).tobytes() for c in columns if "list" in str(c.type)
            )
        if any(needle in data for needle in needles):
            found.append(str(path.relative_to(folder)))
    return found
