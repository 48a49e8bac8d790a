"""An index of any kind against trying all, over drawn people."""

from __future__ import annotations

import numpy as np

from facesearch.gallery.index.choice import choose_index, index_parts
from facesearch.gallery.index.faiss_index import open_index, refresh
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store

D = 64
KINDS = ["flat", "bits1", "bits2"]


def people(count: int, photos: int = 5, seed: int = 0, first: int = 0) -> list[NewFace]:
    """Drawn people, their photos around them."""
    faces = []
    for person in range(first, first + count):
        random = np.random.default_rng([seed, person])
        centre = random.normal(size=D)
        for photo in range(photos):
            vector = (centre + 0.7 * random.normal(size=D)).astype(np.float32)
            sha256 = random.bytes(32).hex()
            faces.append(
                NewFace(
                    f"person {person:05}",
                    sha256,
                    f"picture-{person:05}-{photo}.jpg",
                    vector / np.linalg.norm(vector),
                )
            )
    return faces


def asked(count: int = 12) -> np.ndarray:
    vectors = (
        np.stack([face.vector for face in people(count, 2, seed=0)])[1::2]
        + np.random.default_rng(9).normal(size=(count, D)) * 0.05
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_trying_all(
    gallery: Store, queries: np.ndarray, k: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The slow, obvious twin."""
    ids, vectors, _ = gallery.faces.vectors()
    if among is not None:
        ids, vectors = ids[np.isin(ids, among)], vectors[np.isin(ids, among)]
    scores = queries @ vectors.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return ids[order], np.take_along_axis(scores, order, axis=1)


def answers_right(gallery: Store, k: int = 10, among: np.ndarray | None = None) -> None:
    queries = asked()
    ids, scores = open_index(gallery).search(queries, k, among)
    expected, best = by_trying_all(gallery, queries, k, among)
    there = expected.shape[1]
    assert np.array_equal(ids[:, :10], expected[:, :10]) and (ids[:, there:] == -1).all()
    assert np.array_equal(
        np.sort(ids[:, :there]), np.sort(expected)
    )  # far down, equals may change places by rounding
    assert np.allclose(scores[:, :there], best, atol=1e-6) and np.isneginf(scores[:, there:]).all()


def indexed(gallery: Store, kind: str) -> Store:
    choose_index(gallery, kind)
    refresh(gallery, "test")
    assert [part["kind"] for part in index_parts(gallery)] == [kind]
    return gallery
