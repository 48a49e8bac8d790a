"""Copies of a photo and spoilt crops are found, each list against its slow, obvious twin."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facesearch.datasets.compare import aligned_correlation, correlations, crop_facts
from facesearch.evaluation.audit import COPY
from facesearch.metrics.copies import (
    CropFacts,
    bad_crops,
    copy_floor,
    groups_of,
    neighbours,
    robust_z,
    same_content,
)
from tests.helpers.audit import crowd, face, through_jpeg
from tests.helpers.saying import quiet

# ---- copies


@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_neighbours_are_those_of_the_whole_matrix(chunk: int):
    vectors, _ = crowd(people=8, photos=9)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    found = neighbours(vectors, 0.6, per_face=3, chunk=chunk)
    assert np.allclose(found.nearest, cosines.max(axis=1), atol=1e-6)
    expected = []
    for a in range(len(vectors)):
        later = [b for b in np.argsort(-cosines[a], kind="stable") if b > a and cosines[a, b] >= 0.6]
        expected += [(a, int(b)) for b in later[:3]]
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == expected and len(expected) > 50
    assert np.allclose(found.cosine, cosines[found.a, found.b], atol=1e-6)


def test_groups_join_what_pairs_join():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 60, 40), rng.integers(0, 60, 40)
    reach = np.eye(60, dtype=bool)
    reach[a, b] = reach[b, a] = True
    for _ in range(6):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert groups_of(a, b, 60).tolist() == [int(np.flatnonzero(row)[0]) for row in reach]
    first, later = same_content(np.array(["x", "y", "x", "z", "y", "x"]))
    assert list(zip(first.tolist(), later.tolist(), strict=True)) == [(0, 2), (1, 4), (0, 5)]


def test_the_floor_of_copies_by_vector_is_a_quarter_of_the_usual_angle():
    assert copy_floor(np.cos(np.radians([10, 20, 40], dtype=np.float32))) == pytest.approx(
        np.cos(np.radians(5)), abs=1e-6
    )
    assert copy_floor(np.array([np.nan], np.float32)) == 1.0


@pytest.mark.parametrize(
    "change",
    [
        lambda c: through_jpeg(c, 50),
        lambda c: np.clip(c * 0.7 + 20, 0, 255).astype(np.uint8),
        lambda c: np.asarray(
            Image.fromarray(c)
            .resize((70, 70), Image.Resampling.BILINEAR)
            .resize((112, 112), Image.Resampling.BILINEAR)
        ),
        lambda c: np.roll(c, (4, -4), axis=(0, 1)),
        lambda c: np.asarray(
            Image.fromarray(c).resize((118, 118), Image.Resampling.BICUBIC).crop((3, 3, 115, 115))
        ),
    ],
    ids=["recompressed", "relit", "resized", "shifted", "scaled"],
)
def test_a_changed_copy_is_the_same_picture_and_another_picture_is_not(change):
    for seed in range(3):
        assert aligned_correlation(face(seed), change(face(seed))) >= COPY
        assert aligned_correlation(face(seed), change(face(seed + 10))) < 0.8


def test_correlations_are_pearsons():
    a, b = (np.stack([face(s)[::4, ::4, 0] for s in range(k, k + 4)]) for k in (0, 20))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert np.allclose(correlations(a, b), expected, atol=1e-5)
    assert correlations(np.full((1, 4, 4), 7, np.uint8), a[:1, :4, :4]).tolist() == [0]


# ---- crops


def test_crops_are_measured_as_the_textbook_says():
    crops = np.stack([face(1), face(2)])
    facts, small = crop_facts(crops, quiet)
    grey = np.round(crops @ [0.299, 0.587, 0.114])
    around = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    laplacian = (
        around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:] - 4 * grey
    )
    assert np.allclose(facts[:, 0], grey.mean(axis=(1, 2)), atol=0.1) and np.allclose(
        facts[:, 1], grey.std(axis=(1, 2)), atol=0.1
    )
    assert np.allclose(facts[:, 2], laplacian.var(axis=(1, 2)), rtol=0.1) and small.shape == (2, 32, 32)


def test_robust_deviations_by_hand():
    # median 3, distances from it 2 1 0 1 97: their median is 1
    assert robust_z(np.array([1.0, 2, 3, 4, 100])) == pytest.approx(np.array([-2, -1, 0, 1, 97]) / 1.4826)
    assert robust_z(np.array([5.0, 5, 5, 9])).tolist() == [0, 0, 0, 0]


def test_spoilt_crops_are_listed_with_their_reason_worst_first():
    rng = np.random.default_rng(0)
    bright, contrast, sharp = rng.normal(120, 10, 60), rng.normal(50, 4, 60), np.exp(rng.normal(5, 0.3, 60))
    bright[3], contrast[3] = 2, 1
    bright[7], sharp[11], sharp[13] = 250, 1, 1e5
    nearest = np.full(60, 0.8, np.float32)
    nearest[20] = 0.1
    found = bad_crops(CropFacts(bright, contrast, sharp), nearest, 0.3)
    reasons = {bad.row: [word for word, _, _ in bad.reasons] for bad in found}
    assert {row: set(words) for row, words in reasons.items()} == {
        3: {"dark", "flat"}, 7: {"bright"}, 11: {"blurred"}, 13: {"noisy"}, 20: {"like no other photo"},
    }  # fmt: skip
    assert [bad.worst for bad in found] == sorted((bad.worst for bad in found), reverse=True) and found[
        -1
    ].row == 20
    assert [bad.spoilt for bad in found] == [True] * 4 + [False]
