"""Enrolled photos are found by their names and contents below one folder, and shown small."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from facesearch.api.gallery import Gallery
from facesearch.api.originals import Originals, thumbnail
from facesearch.errors import NotFound
from tests.helpers.drawn import save_colour


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
    monkeypatch.setattr("facesearch.api.originals.thumbnail", lambda data, most: made.append(1) or data[:4])
    first, second = colours.photos_of("Ada")[:2]

    def ask() -> bytes | None:
        return originals.thumbnail(first.photo, first.sha256, 1_000_000)

    assert ask() == ask() == b"\x89PNG" and len(made) == 1
    assert originals.thumbnail(second.photo, first.sha256, 1_000_000) is None, "under its own name only"
    originals.let_go()
    assert ask() is not None and len(made) == 2
    monkeypatch.setattr("facesearch.api.originals.KEPT_S", -1.0)
    assert ask() is not None and len(made) == 3
    (tmp_path / "photos" / "Ada" / first.photo).write_bytes(b"another content")
    monkeypatch.setattr("facesearch.api.originals.KEPT_S", 60.0)
    assert ask() is None
