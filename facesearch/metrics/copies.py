"""Photos that show the same picture, and crops unlike all others. Pure numpy; the pictures were compared
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.records import F32, F64, I64, Bools

CHUNK = 1024
PER_FACE = 10
"""So many nearest later photos of a photo are looked at as its copies: memory stays n * PER_FACE however
alike all are.
"""
FAR_OUT = 4.5
"""Robust standard deviations from the median: of normal values one in 150,000 lies as far out on one of the
two sides.
"""
AS_NEAR = 4.0
"""Without pixels a copy is told by its vector: at so small a part of the angle that photos have to the next
of their person.
"""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """a < b, cosine (p,): pairs at or above the floor, best first for each a. nearest (n,): each photo's best
    score with any other.
    """

    a: I64
    b: I64
    cosine: F32
    nearest: F32


def neighbours(vectors: F32, floor: float, *, per_face: int = PER_FACE, chunk: int = CHUNK) -> Neighbours:
    """Find the pairs of photos at or above floor: vectors (n, d) unit rows. At most `per_face` pairs for each
    a.

    Two chunks are multiplied at a time, so memory is chunk x chunk and n x per_face, never n x n.
    """
    n = len(vectors)
    nearest = np.full(n, -1, np.float32)
    parts: list[tuple[I64, I64, F32]] = []
    for top in range(0, n, chunk):
        left = vectors[top : top + chunk]
        found: tuple[I64, I64, F32] = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        for start in range(top, n, chunk):
            cosines = left @ vectors[start : start + chunk].T
            if start == top:
                np.fill_diagonal(cosines, -1)
            rows, columns = slice(top, top + len(left)), slice(start, start + cosines.shape[1])
            nearest[rows] = np.maximum(nearest[rows], cosines.max(axis=1))
            nearest[columns] = np.maximum(nearest[columns], cosines.max(axis=0))
            i, j = np.nonzero(cosines >= floor)
            later = j + start > i + top
            i, j = i[later], j[later]
            a, b = np.concatenate([found[0], i + top]), np.concatenate([found[1], j + start])
            found = _first_of_each(a, b, np.concatenate([found[2], cosines[i, j]]), per_face)
        parts.append(found)
    if not parts:
        return Neighbours(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), nearest)
    a, b = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    return Neighbours(a, b, np.concatenate([part[2] for part in parts]), np.clip(nearest, -1, 1))


def _first_of_each(a: I64, b: I64, cosine: F32, k: int) -> tuple[I64, I64, F32]:
    order = np.lexsort((b, -cosine, a))
    a, b, cosine = a[order], b[order], cosine[order]
    place = np.arange(len(a)) - np.searchsorted(a, a, side="left")
    return a[place < k], b[place < k], cosine[place < k]


def same_content(contents: NDArray[np.generic]) -> tuple[I64, I64]:
    """Pairs (p,), (p,) of rows with one content: each further row with the first of its kind. contents (n,)
    any labels.
    """
    _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
    rows = np.arange(len(contents))
    later = first[inverse] != rows
    return first[inverse][later].astype(np.int64), rows[later].astype(np.int64)


def groups_of(a: I64, b: I64, n: int) -> I64:
    """Join n things by pairs a, b (p,): the group of each (n,), named by its lowest member."""
    root = np.arange(n)
    for i, j in zip(a.tolist(), b.tolist(), strict=True):
        while root[i] != i:
            root[i] = i = root[root[i]]
        while root[j] != j:
            root[j] = j = root[root[j]]
        root[max(i, j)] = min(i, j)
    while not np.array_equal(root, root[root]):
        root = root[root]
    return root.astype(np.int64)


def copy_floor(nearest_own: F32) -> float:
    """The cosine from which a vector alone tells a copy. nearest_own (n,): each photo's best score with
    another of its person.

    A quarter of the median angle between a photo and the next of the same person: photos of one moment lie
    closer than most, copies closer by far. 1 when there is nothing to learn from.
    """
    known = nearest_own[np.isfinite(nearest_own)]
    if not len(known):
        return 1.0
    return float(np.cos(np.arccos(np.clip(np.median(known.astype(np.float64)), -1, 1)) / AS_NEAR))


def robust_z(values: F64) -> F64:
    """Distance of each value (n,) from the median, in standard deviations as the middle of the data suggests
    them (1.4826 MAD).

    All 0 where more than half of the values are one number.
    """
    if not len(values):
        return values
    centre = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - centre))
    return (values - centre) / spread if spread > 0 else np.zeros_like(values)


@dataclass(frozen=True, slots=True)
class CropFacts:
    """What is measured on each grey crop (n,) float64: brightness its mean, contrast its standard deviation
    (both of 0..255), sharpness the variance of its Laplacian."""

    brightness: F64
    contrast: F64
    sharpness: F64


@dataclass(frozen=True, slots=True)
class BadCrop:
    """A crop far out. reasons: (word, value, robust z; nan where it is not judged so), worst first. worst:
    the largest |z|.
    """

    row: int
    reasons: tuple[tuple[str, float, float], ...]
    worst: float

    @property
    def spoilt(self) -> bool:
        """Whether its pixels say so, not only its vector."""
        return self.worst > 0


def bad_crops(facts: CropFacts, nearest: F32, isolated_below: float) -> list[BadCrop]:
    """Crops that look unusable, worst first: too flat, dark, bright, blurred or noisy against all crops of
    these data, or like no photo.

    nearest (n,): each photo's best score with any other; below isolated_below there is nothing here that it
    resembles. Brightness is judged by its log odds, contrast and sharpness by their logarithms: they are
    spread evenly there.
    """
    odds = np.log((facts.brightness + 0.5) / (255.5 - facts.brightness))
    bright, contrast, sharp = (
        robust_z(odds),
        robust_z(np.log(facts.contrast + 0.5)),
        robust_z(np.log(facts.sharpness + 1)),
    )
    judged: list[tuple[str, F64, F64, Bools]] = [
        ("flat", facts.contrast, contrast, contrast < -FAR_OUT),
        ("dark", facts.brightness, bright, bright < -FAR_OUT),
        ("bright", facts.brightness, bright, bright > FAR_OUT),
        ("blurred", facts.sharpness, sharp, sharp < -FAR_OUT),
        ("noisy", facts.sharpness, sharp, sharp > FAR_OUT),
    ]
    lonely = nearest < isolated_below
    rows = np.flatnonzero(lonely | np.any([bad for _, _, _, bad in judged], axis=0))
    found = []
    for row in rows.tolist():
        reasons = [(word, float(value[row]), float(z[row])) for word, value, z, bad in judged if bad[row]]
        reasons.sort(key=lambda reason: -abs(reason[2]))
        worst = max((abs(z) for _, _, z in reasons), default=0.0)
        if lonely[row]:
            reasons.append(("like no other photo", float(nearest[row]), float("nan")))
        found.append(BadCrop(row, tuple(reasons), worst))
    return sorted(found, key=lambda crop: (-crop.worst, float(nearest[crop.row]), crop.row))
