"""Faces are found upright and at their own size: on their side, upside down, rolled, small in large photos;
and none in what is long, thin and empty.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facesearch.datasets.toy import draw_photo, invent_person
from facesearch.encoder.stream import one_face
from facesearch.errors import NoFace
from facesearch.faces.align import TEMPLATE, crop_face
from facesearch.faces.cutting import cut_faces
from facesearch.faces.detect import UNCLEAR, UNFIT, find_faces, found_in, load_detector
from facesearch.faces.fit import fit_of
from facesearch.records import U8, Face, Photo, Skipped
from tests.helpers.stub import Stub

DRAWN = (0, 2, 4, 5)


def rolled(photo: U8, degrees: float) -> U8:
    """The photo turned clockwise, in the middle of a larger one."""
    h, w = photo.shape[:2]
    side = int(np.hypot(h, w)) + 40
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -degrees, 1)
    matrix[:, 2] += [(side - w) / 2, (side - h) / 2]
    return np.asarray(cv2.warpAffine(photo, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def likeness(a: U8, b: U8) -> float:
    """The correlation of two crops."""
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("number", DRAWN)
def test_a_face_in_a_turned_photo_gives_the_crop_of_the_upright_one(number: int, quarters: int):
    detector, photo = load_detector(None), draw_photo(invent_person(number), 0)
    (upright,) = find_faces(detector, photo)
    turned = np.ascontiguousarray(np.rot90(photo, -quarters))
    (face,) = find_faces(detector, turned)
    assert abs((fit_of(face.landmarks).roll_deg - 90 * quarters + 180) % 360 - 180) < 15
    assert likeness(crop_face(turned, face.landmarks), crop_face(photo, upright.landmarks)) > 0.6


@pytest.mark.parametrize("degrees", [-60, -45, -30, 30, 45, 60, 135])
def test_a_rolled_face_is_put_upright(degrees: int):
    detector, photo = load_detector(None), draw_photo(invent_person(2), 0)
    (face,) = find_faces(detector, rolled(photo, degrees))
    assert abs((fit_of(face.landmarks).roll_deg - degrees + 180) % 360 - 180) < 20


@pytest.mark.slow
def test_an_upright_photo_stays_as_it_is():
    for number in range(8):
        (face,) = find_faces(load_detector(None), draw_photo(invent_person(number), 0))
        assert abs(fit_of(face.landmarks).roll_deg) < 15


@pytest.mark.parametrize("side", [60, 100])
def test_small_faces_of_a_large_photo_are_found_once_and_as_well_as_alone(side: int):
    detector = load_detector(None)
    large = np.full((4000, 6000, 3), 120, np.uint8)
    places, crops = [], []
    for number, (x, y) in enumerate([(150, 120), (2000, 1111), (5555, 3333), (3017, 2790), (1190, 1180)]):
        photo = draw_photo(invent_person(DRAWN[number % 4]), 0)
        scale = side / 100  # a drawn face is some 100 pixels wide
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = small.shape[:2]
        large[y : y + h, x : x + w] = small
        places.append((x + w / 2, y + h / 2))
        crops.append(small)
    faces = find_faces(detector, large)
    assert len(faces) == len(places)
    for (x, y), small in zip(places, crops, strict=True):
        near = [f for f in faces if np.abs(f.box[:2] + f.box[2:] / 2 - (x, y)).max() < side]
        assert len(near) == 1
        alone = find_faces(detector, np.pad(small, ((60, 60), (60, 60), (0, 0)), constant_values=120))
        assert (
            np.abs(near[0].landmarks - near[0].box[:2] - (alone[0].landmarks - alone[0].box[:2])).max()
            < 0.08 * side
        )


@pytest.mark.parametrize(
    "size", [(20000, 500), (300, 20), (1080, 22000), (4000, 32), (31, 31), (1, 900), (640, 1)]
)
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_nobody_is_in_a_long_thin_empty_picture(size: tuple[int, int], grey: int):
    w, h = size
    assert load_detector(None).detect(np.full((h, w, 3), grey, np.uint8)) == []


def test_a_face_in_a_long_thin_picture_is_found():
    photo = draw_photo(invent_person(2), 0)
    strip = np.full((photo.shape[0], 9000, 3), 120, np.uint8)
    strip[:, 7000 : 7000 + photo.shape[1]] = photo
    (face,) = find_faces(load_detector(None), strip)
    assert 7000 < face.box[0] < 7100


GOOD = Face(np.array([0, 0, 112, 112], np.float32), TEMPLATE, 0.9, "stub")
MIXED = TEMPLATE[[3, 4, 2, 0, 1]]
"""The mouth above the eyes."""
FLAT = TEMPLATE * np.array([1, 0.15], np.float32) + np.array([0, 40], np.float32)


def test_landmarks_that_do_not_fit_a_face_are_refused_with_the_reason():
    pixels = np.zeros((112, 112, 3), np.uint8)
    nose_out = TEMPLATE.copy()
    nose_out[2] = (56, 130)
    for points in (nose_out, FLAT, TEMPLATE[[1, 0, 2, 3, 4]]):
        wrong = Face(GOOD.box, points, 0.9, "stub")
        assert found_in(Stub(wrong), pixels) == ([], UNFIT)
        assert found_in(Stub(GOOD, wrong), pixels)[0] == [GOOD]


def test_a_face_that_nobody_can_put_upright_is_not_enrolled(tmp_path: Path):
    pixels = np.zeros((112, 112, 3), np.uint8)
    unclear = Stub(Face(GOOD.box, TEMPLATE, 0.9, "stub", upright=False))
    photo = Photo(tmp_path / "a.png", "0" * 64, pixels, (112, 112))
    assert cut_faces(photo, unclear) == ([], UNCLEAR)
    refused = one_face(lambda: photo, unclear, largest=True)
    assert isinstance(refused, Skipped) and refused.reason == UNCLEAR
    assert isinstance(refused.cause, NoFace) and "upright" in str(refused.cause)


def test_boxes_are_told_in_pixels_of_the_original(tmp_path: Path):
    photo = Photo(tmp_path / "a.png", "0" * 64, np.zeros((112, 112, 3), np.uint8), (448, 448))
    ((cut,), _) = cut_faces(photo, Stub(GOOD))
    assert cut.face is not None and np.array_equal(cut.face.box, GOOD.box * 4)
    assert np.array_equal(cut.face.landmarks, TEMPLATE * 4)


def test_fit_tells_roll_and_yaw():
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    fit = fit_of((TEMPLATE @ turn * 3 + 100).astype(np.float32))
    assert fit.off_px < 0.01 and abs(fit.roll_deg - 30) < 0.1 and abs(fit.yaw) < 0.05 and fit.is_face
    turned = TEMPLATE.copy()
    turned[2, 0] += 15
    assert fit_of(turned).yaw > 0.5
