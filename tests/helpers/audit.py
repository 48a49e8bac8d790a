"""Drawn people with labels to audit: as vectors, and as pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from facesearch.evaluation.audit import Labelled

D = 48
PEOPLE, PHOTOS = 30, 12


def units(v: np.ndarray) -> np.ndarray:
    return (v / np.linalg.norm(v, axis=-1, keepdims=True)).astype(np.float32)


def crowd(seed: int = 0, people: int = PEOPLE, photos: int = PHOTOS) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, d) around a centre each, and whose they are."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(units(rng.normal(size=(people, D))), photos, axis=0)
    return units(centres + 0.09 * rng.normal(size=centres.shape)), np.repeat(np.arange(people), photos)


def labelled(vectors: np.ndarray, codes: np.ndarray, content: list[str] | None = None) -> Labelled:
    n = len(vectors)
    return Labelled(
        "drawn",
        tuple(f"{i}.jpg" for i in range(n)),
        np.array([f"p{c:02d}" for c in codes]),
        np.full(n, "train"),
        np.array(content or [f"{i:064x}" for i in range(n)]),
        vectors,
    )


def swapped(codes: np.ndarray, rows: list[int]) -> np.ndarray:
    wrong = codes.copy()
    wrong[rows] = (codes[rows] + 7) % PEOPLE
    return wrong


def face(seed: int) -> np.ndarray:
    """A smooth drawn picture (112, 112, 3), unlike any of another seed."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((112, 112), Image.Resampling.BICUBIC))


def through_jpeg(crop: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
