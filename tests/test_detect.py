from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import CannotRead, NotFound
from facesearch.faces.detect import Haar, YuNet, load_detector
from facesearch.faces.toy import draw_photo, invent_person
from tests.conftest import YUNET, refused


def test_without_a_network_the_fall_back_is_said_aloud():
    said: list[str] = []
    detector = load_detector(None, said.append)
    assert detector.name == "haar"
    assert len(said) == 1 and "Haar" in said[0] and "--detector-model" in said[0]


def test_haar_finds_drawn_faces_and_their_eyes():
    found = 0
    for number in range(8):
        faces = Haar().detect(draw_photo(invent_person(number), 0))
        if faces:
            found += 1
            eyes = faces[0].landmarks
            assert eyes.shape == (2, 2) and eyes[0, 0] < eyes[1, 0]
            assert np.abs(eyes - [[69, 111], [108, 111]]).max() < 25
    assert found >= 6


def test_haar_sees_nobody_in_noise_and_in_one_colour():
    rng = np.random.default_rng(0)
    assert Haar().detect(np.full((200, 200, 3), 128, np.uint8)) == []
    assert Haar().detect(rng.integers(0, 255, (60, 60, 3), np.uint8)) == []


def test_a_named_model_that_is_not_there_is_an_error(tmp_path: Path):
    with refused(NotFound, "detector-model"):
        load_detector(tmp_path / "none.onnx", print)


def test_a_named_model_that_is_no_model_is_an_error(tmp_path: Path):
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(CannotRead, match="not a YuNet model"):
        load_detector(tmp_path / "bad.onnx", print)


@pytest.mark.data
def test_yunet_gives_five_landmarks_in_the_photos_own_pixels():
    photo = draw_photo(invent_person(1), 0)
    small = YuNet(YUNET).detect(photo)
    large = YuNet(YUNET).detect(np.repeat(np.repeat(photo, 5, 0), 5, 1))  # 1090 px high: shrunk inside
    assert len(small) == len(large) == 1
    assert small[0].landmarks.shape == (5, 2)
    assert np.abs(large[0].landmarks / 5 - small[0].landmarks).max() < 4
