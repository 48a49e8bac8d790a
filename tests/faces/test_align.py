from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.faces.align import CELEBA_LANDMARKS, TEMPLATE, crop_face, similarity, warp
from facesearch.faces.crop import CROP_PX


@given(st.floats(-3, 3), st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
def test_a_similarity_is_found_again_exactly(angle: float, scale: float, dx: float, dy: float):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, -sin, dx], [sin, cos, dy]])
    moved = TEMPLATE @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(similarity(TEMPLATE, moved.astype(np.float64)), matrix, atol=1e-4 * max(1, scale))


def test_it_is_the_least_squares_fit_by_brute_force():
    # The same least squares as a plain linear system in (a, b, tx, ty): x' = a x - b y + tx, y' = b x + a y +
    # ty.
    rng = np.random.default_rng(1)
    source, target = rng.normal(0, 30, (5, 2)), rng.normal(0, 30, (5, 2))
    rows = [r for x, y in source for r in ((x, -y, 1, 0), (y, x, 0, 1))]
    (a, b, tx, ty), *_ = np.linalg.lstsq(np.array(rows), target.reshape(-1), rcond=None)
    assert np.allclose(similarity(source, target), [[a, -b, tx], [b, a, ty]])


def test_a_mirrored_face_is_not_mirrored_back():
    matrix = similarity(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_landmarks_on_one_point_are_refused():
    with pytest.raises(ValueError, match="one point"):
        similarity(np.zeros((5, 2), np.float32), TEMPLATE)


def test_landmarks_land_on_the_template():
    picture = np.zeros((218, 178, 3), np.uint8)
    for x, y in CELEBA_LANDMARKS:
        cv2.circle(picture, (round(float(x)), round(float(y))), 3, (255, 255, 255), -1)
    crop = crop_face(picture, CELEBA_LANDMARKS)
    assert crop.shape == (CROP_PX, CROP_PX, 3)
    for x, y in TEMPLATE[:2]:
        window = crop[round(float(y)) - 3 : round(float(y)) + 4, round(float(x)) - 3 : round(float(x)) + 4]
        assert window.mean() > 100


def test_outside_the_picture_the_border_is_repeated():
    picture = np.full((50, 50, 3), 90, np.uint8)
    picture[:, 0] = 200
    crop = warp(picture, np.array([[1.0, 0, 60], [0, 1.0, 0]]))
    assert (crop[:50, :60] == 200).all()


def test_a_large_face_is_averaged_not_sampled():
    # A fine checkerboard: sampling it gives black or white, averaging gives grey.
    board = ((np.indices((1120, 1120)).sum(0) % 2) * 255).astype(np.uint8)
    crop = warp(np.repeat(board[:, :, None], 3, 2), np.array([[0.1, 0, 0], [0, 0.1, 0]]))
    assert abs(crop[5:-5, 5:-5].astype(int) - 127).max() < 6


def test_averaging_down_moves_nothing():
    # A soft blob at a known place in a large picture must be at the same place in the crop.
    y, x = np.mgrid[0:900, 0:900]
    blob = (255 * np.exp(-((x - 400) ** 2 + (y - 520) ** 2) / (2 * 40**2))).astype(np.uint8)
    crop = warp(np.repeat(blob[:, :, None], 3, 2), np.array([[0.12, 0, 3.0], [0, 0.12, -2.0]]))[
        :, :, 0
    ].astype(float)
    yy, xx = np.mgrid[0:112, 0:112]
    assert abs((crop * xx).sum() / crop.sum() - (0.12 * 400 + 3)) < 0.1
    assert abs((crop * yy).sum() / crop.sum() - (0.12 * 520 - 2)) < 0.1
