"""The face in a box that a person has drawn, whether the detector finds it or not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facesearch.api.detector import FaceDetector
from facesearch.datasets.toy import draw_photo, invent_person
from facesearch.errors import BadBox
from facesearch.faces.align import TEMPLATE, box_of, crop_face, similarity
from facesearch.faces.by_hand import face_in_box
from facesearch.faces.detect import find_faces, load_detector
from facesearch.faces.fit import fit_of
from facesearch.faces.found_by import BY_HAND
from facesearch.records import U8, Face, Photo


class Blind:
    """A detector that finds nobody."""

    name = "blind"

    def detect(self, pixels: U8) -> list[Face]:
        return []

    def another(self) -> Blind:
        return self


class Shy(Blind):
    """One that finds the shipped one's faces only where it is told to look."""

    def detect_in(self, pixels: U8, box: np.ndarray, least_overlap: float) -> Face | None:
        return load_detector(None).detect_in(pixels, box, least_overlap)


def photo_of(pixels: U8, scale: int = 1) -> Photo:
    h, w = pixels.shape[:2]
    return Photo(Path("a.png"), "0" * 64, pixels, (w * scale, h * scale))


def as_box(box: np.ndarray, grow: float = 1.0, scale: float = 1.0) -> tuple[float, float, float, float]:
    middle, size = box[:2] + box[2:4] / 2, box[2:4] * grow
    x, y, w, h = (float(v) * scale for v in (*(middle - size / 2), *size))
    return x, y, w, h


def test_a_face_that_the_detector_finds_is_its_own():
    pixels = np.hstack([draw_photo(invent_person(1), 0), draw_photo(invent_person(2), 0)])
    detector = load_detector(None)
    faces = find_faces(detector, pixels)
    assert len(faces) == 2
    for face in faces:
        for grow in (0.8, 1.0, 1.4):
            found = face_in_box(photo_of(pixels), as_box(face.box, grow), detector).face
            assert found is not None and np.array_equal(found.landmarks, face.landmarks)


@pytest.mark.parametrize("grow", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("roll", [0, 90, 180, 30])
def test_a_missed_face_is_looked_for_in_the_box_at_its_own_size_in_any_turn(roll: int, grow: float):
    detector = load_detector(None)
    photo = draw_photo(invent_person(2), 0)
    h, w = photo.shape[:2]
    side = 3 * max(h, w)
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -roll, 1)
    matrix[:, 2] += [(side - w) / 2, (side - h) / 2]
    pixels = np.asarray(
        cv2.warpAffine(photo, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    (face,) = find_faces(detector, pixels)
    found = face_in_box(photo_of(pixels), as_box(face.box, grow), Shy()).face
    assert found is not None and found.found_by == detector.name
    assert abs((fit_of(found.landmarks).roll_deg - roll + 180) % 360 - 180) < 25
    assert np.abs(found.landmarks - face.landmarks).max() < 0.25 * float(face.box[2:].max())


@pytest.mark.slow
def test_a_face_too_poor_for_the_detector_is_found_where_a_person_says_it_is():
    """Shrunk until the detector misses it: the network finds it in a window of the box."""
    detector = load_detector(None)
    seen = 0
    for number in range(8):
        photo = draw_photo(invent_person(number), 0)
        (face,) = find_faces(detector, photo)
        shrink = 9 / float(face.box[2:].max())
        small = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(cv2.resize(small, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        if not find_faces(detector, pixels):
            found = face_in_box(photo_of(pixels), as_box(face.box), FaceDetector.of(detector)).face
            assert found is not None
            seen += found.found_by == detector.name
    assert seen >= 2


@pytest.mark.parametrize("scale", [1, 3])
def test_where_no_landmarks_are_found_the_box_is_an_upright_face(scale: int):
    pixels = np.full((200, 300, 3), 90, np.uint8)
    pixels[60:120, 100:150] = (250, 20, 20)
    box = tuple(float(scale * v) for v in (100, 60, 50, 60))
    for detector in (load_detector(None), Blind()):
        cut = face_in_box(photo_of(pixels, scale), box, detector)
        assert cut.face is not None and (cut.face.found_by, cut.face.score) == (BY_HAND, 0)
        assert tuple(cut.face.box) == box
        assert abs(fit_of(cut.face.landmarks).roll_deg) < 0.1
        off = similarity(cut.face.landmarks, TEMPLATE)
        assert off[0, 0] == pytest.approx(108.5 / (60 * scale), rel=0.1)
        back = box_of(cut.face.landmarks)  # the way from landmarks to a box is the way back
        assert np.allclose(back[:2] + back[2:] / 2, np.add(box[:2], np.divide(box[2:], 2)), atol=0.5 * scale)
        assert cut.crop.shape == (112, 112, 3) and cut.crop[56, 56].tolist() == [250, 20, 20]
        assert np.array_equal(cut.crop, crop_face(pixels, cut.face.landmarks / scale))


@pytest.mark.parametrize(
    "box",
    [
        (400, 10, 50, 50),
        (-60, 10, 50, 50),
        (280, 10, 100, 50),
        (10, 10, 0, 50),
        (10, 10, -50, 50),
        (10, 10, 4, 50),
        (float("nan"), 1, 50, 50),
        (10, 10, float("inf"), 50),
    ],
)
def test_a_box_that_is_no_box_or_outside_is_refused(box: tuple[float, float, float, float]):
    with pytest.raises(BadBox) as caught:
        face_in_box(photo_of(np.zeros((200, 300, 3), np.uint8)), box, Blind())
    assert "300 wide and 200 high" in caught.value.message()
