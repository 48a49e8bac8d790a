"""Galleries that are open: of nobody, and of three people of one colour each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from facesearch.api.encoder import Encoder
from facesearch.api.gallery import Gallery
from facesearch.api.opening import open_gallery
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.opened import opened

COLOURS = {"Ada": (220, 10, 10), "Ben": (10, 220, 10), "Cleo": (10, 10, 220)}


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Gallery]:
    """A gallery that is not there yet."""
    with open_gallery(tmp_path / "none", encoder=Encoder.of(ColourEncoder()), detector="aligned") as gallery:
        yield gallery


@pytest.fixture
def colours(tmp_path: Path) -> Iterator[Gallery]:
    """Three people, two photos each, which lie in the folder `photos`."""
    with open_gallery(
        tmp_path / "colours", encoder=Encoder.of(ColourEncoder()), detector="aligned"
    ) as gallery:
        for name, colour in COLOURS.items():
            shades = {shade: tmp_path / "photos" / name / f"{name}{shade}.png" for shade in (20, 60)}
            gallery.enroll(name, [save_colour(path, colour, shade=s) for s, path in shades.items()])
        yield gallery


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Red, green and blue, two photos each, which lie beside it."""
    found = opened(tmp_path / "people")
    for name in ("red", "green", "blue"):
        found.enroll(
            name, [save_colour(tmp_path / f"{name}{shade}.png", name, shade=shade) for shade in (20, 60)]
        )
    return found
