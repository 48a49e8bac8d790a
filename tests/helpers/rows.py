"""Rows of a gallery: unit vectors drawn from a seed, and all that a gallery holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store

D = 16


def unit(seed: int, n: int = 1) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def face(person: str, seed: int, source: str = "a.jpg") -> NewFace:
    return NewFace(person, f"{seed:064x}", source, unit(seed)[0])


def contents(folder: Path, key: Key | None = None) -> set[tuple[str, str, str, bytes]]:
    with Store.open(folder, key) as gallery:
        return {
            (name, sha256, source, blob)
            for rows in gallery.faces.batches(7)
            for _, name, sha256, source, blob, _ in rows
        }
