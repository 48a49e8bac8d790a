from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from facesearch.datasets.toy import draw_photo, invent_person
from facesearch.errors import CannotRead, NotFound
from facesearch.faces.detect import YUNET, YUNET_SHA256, load_detector
from facesearch.files import sha256_of
from tests.helpers.drawn import another_yunet
from tests.helpers.saying import refused


def test_the_shipped_file_is_the_one_that_is_known():
    assert sha256_of(YUNET) == YUNET_SHA256
    assert load_detector(None).name == load_detector(None).another().name == "yunet 2026may"


def test_it_finds_faces_without_a_network_a_cache_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a network was asked for")

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("FACESEARCH_YUNET", str(tmp_path / "none.onnx"))  # the command line's business
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert load_detector(None).detect(draw_photo(invent_person(1), 0))
    assert not (tmp_path / "home").exists()


def test_a_detector_is_called_by_what_is_in_its_file(tmp_path: Path):
    shutil.copy(YUNET, tmp_path / "copy.onnx")
    assert load_detector(tmp_path / "copy.onnx").name == "yunet 2026may"
    path = another_yunet(tmp_path)
    other = load_detector(path)
    assert other.name == other.another().name == f"yunet {sha256_of(path)[:12]}"
    photo = draw_photo(invent_person(1), 0)
    path.unlink()  # another one for another thread is the same, whatever has become of the file
    faces = other.another().detect(photo)
    assert [face.found_by for face in faces] == [other.name]
    assert np.array_equal(faces[0].landmarks, load_detector(None).detect(photo)[0].landmarks)


def test_it_finds_drawn_faces_and_their_eyes():
    detector = load_detector(None)
    for number in range(8):
        faces = detector.detect(draw_photo(invent_person(number), 0))
        assert len(faces) == 1 and faces[0].landmarks.shape == (5, 2)
        eyes = faces[0].landmarks[:2]
        assert eyes[0, 0] < eyes[1, 0] and np.abs(eyes - [[69, 111], [108, 111]]).max() < 15


def test_it_sees_nobody_in_noise_and_in_one_colour():
    rng = np.random.default_rng(0)
    detector = load_detector(None)
    assert detector.detect(np.full((200, 200, 3), 128, np.uint8)) == []
    assert detector.detect(rng.integers(0, 255, (60, 60, 3), np.uint8)) == []


def test_a_named_model_that_is_not_there_is_an_error(tmp_path: Path):
    with refused(NotFound, "detector-model"):
        load_detector(tmp_path / "none.onnx")


@pytest.mark.parametrize("data", [b"nonsense", b""])
def test_a_named_model_that_is_no_model_is_an_error(tmp_path: Path, data: bytes):
    (tmp_path / "bad.onnx").write_bytes(data)
    with pytest.raises(CannotRead, match="not a YuNet model"):
        load_detector(tmp_path / "bad.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_named_model_that_cannot_be_read_is_an_error(tmp_path: Path):
    path = another_yunet(tmp_path)
    path.chmod(0)
    with pytest.raises(CannotRead, match="ermission"):
        load_detector(path)


def test_landmarks_are_in_the_photos_own_pixels():
    photo = draw_photo(invent_person(1), 0)
    small = load_detector(None).detect(photo)
    large = load_detector(None).detect(np.repeat(np.repeat(photo, 5, 0), 5, 1))  # 1090 px high: shrunk inside
    assert len(small) == len(large) == 1
    assert small[0].landmarks.shape == (5, 2)
    assert np.abs(large[0].landmarks / 5 - small[0].landmarks).max() < 4
