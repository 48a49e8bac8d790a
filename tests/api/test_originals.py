"""Enrolled photos are found by their names and contents below one folder, and shown small."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facesearch.answers import EnrolledPhoto
from facesearch.api.encoder import Encoder
from facesearch.api.gallery import Gallery
from facesearch.api.opening import open_gallery
from facesearch.api.originals import Originals, thumbnail
from facesearch.datasets.toy import draw_photo, invent_person
from facesearch.errors import NotFound
from facesearch.faces.align import TEMPLATE, box_of
from facesearch.faces.cutting import portrait
from tests.helpers.drawn import ColourEncoder, save_colour


def test_a_photo_is_read_by_its_name_and_its_very_content(colours: Gallery, tmp_path: Path):
    originals, photos = Originals(tmp_path / "photos"), colours.photos_of("Ada")
    path = tmp_path / "photos" / "Ada" / photos[0].photo
    assert originals.read(photos[0].photo, photos[0].sha256) == path.read_bytes()
    assert originals.read(photos[0].photo, photos[1].sha256) is None
    assert originals.read("../Ada/" + photos[0].photo, photos[0].sha256) is None
    path.write_bytes(b"another content")
    assert originals.read(photos[0].photo, photos[0].sha256) is None
    with pytest.raises(NotFound):
        Originals(tmp_path / "missing")


def test_a_thumbnail_is_a_small_jpeg_or_nothing(tmp_path: Path):
    data = save_colour(tmp_path / "large.png", "red", (900, 450)).read_bytes()
    small = thumbnail(data, 1_000_000)
    assert small is not None
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("JPEG", (320, 160))
    assert thumbnail(data, 1000) is None and thumbnail(b"no picture", 1_000_000) is None


def test_thumbnails_are_made_once_and_let_go_of(
    colours: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    originals, made = Originals(tmp_path / "photos"), []
    monkeypatch.setattr(
        "facesearch.api.originals.thumbnail", lambda data, most, photo: made.append(1) or data[:4]
    )
    first, second = colours.photos_of("Ada")[:2]

    def ask() -> bytes | None:
        return originals.thumbnail(first, 1_000_000)

    assert ask() == ask() == b"\x89PNG" and len(made) == 1
    assert originals.thumbnail(replace(first, photo=second.photo), 1_000_000) is None, (
        "under its own name only"
    )
    originals.let_go()
    assert ask() is not None and len(made) == 2
    monkeypatch.setattr("facesearch.api.originals.KEPT_S", -1.0)
    assert ask() is not None and len(made) == 3
    (tmp_path / "photos" / "Ada" / first.photo).write_bytes(b"another content")
    monkeypatch.setattr("facesearch.api.originals.KEPT_S", 60.0)
    assert ask() is None


def test_the_picture_of_a_known_face_is_that_face_with_room_around_it(tmp_path: Path):
    picture = np.zeros((900, 1600, 3), np.uint8)
    picture[100:160, 1300:1360] = (250, 20, 20)  # the "face", far from the middle
    Image.fromarray(picture).save(tmp_path / "a.png")
    known = EnrolledPhoto("a.png", "0" * 64, "stub", (1300.0, 100.0, 60.0, 60.0), (), 0.9)
    small = thumbnail((tmp_path / "a.png").read_bytes(), 10_000_000, known)
    assert small is not None
    seen = np.asarray(Image.open(io.BytesIO(small)).convert("RGB"))
    assert seen.shape == (320, 320, 3)
    red = seen[..., 0] > 128
    assert red[120:200, 120:200].all() and not red[:50].any() and not red[-50:].any()
    assert 0.25 < red.mean() < 0.45


def test_a_face_on_its_side_is_shown_upright(tmp_path: Path):
    points = TEMPLATE * 2
    turned = np.stack([400 - points[:, 1], points[:, 0]], axis=1)  # clockwise by a quarter
    picture = np.zeros((400, 400, 3), np.uint8)
    for x, y in turned[:2]:
        cv2.circle(picture, (round(x), round(y)), 12, (0, 255, 0), -1)
    x, y, w, h = box_of(turned.astype(np.float32)).tolist()
    shown = portrait(picture, (x, y, w, h), turned.tolist(), 200)
    rows, columns = np.nonzero(shown[..., 1] > 128)
    assert np.ptp(columns) > 2 * np.ptp(rows), "both eyes lie on one line"
    assert rows.mean() < 100


def test_a_gallery_tells_where_its_faces_lie(tmp_path: Path):
    photos = []
    for shot in range(2):
        Image.fromarray(draw_photo(invent_person(2), shot)).save(tmp_path / f"{shot}.png")
        photos.append(tmp_path / f"{shot}.png")
    gallery = open_gallery(tmp_path / "g", encoder=Encoder.of(ColourEncoder()))
    gallery.enroll("Ada", photos)
    for photo in gallery.photos_of("Ada"):
        assert photo.detector == "yunet 2026may" and photo.score is not None and photo.score > 0.7
        assert photo.box is not None and 20 < photo.box[0] < 70 and len(photo.landmarks) == 5
    gallery.rename("Ada", "Eva")
    assert all(photo.box for photo in gallery.photos_of("Eva"))
