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
