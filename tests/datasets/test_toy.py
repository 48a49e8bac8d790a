"""Drawn people: the same seed draws the same photos, by person or as an album without names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facesearch.api.datasets import draw_people
from facesearch.datasets.toy import HEIGHT, WIDTH


def pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        return np.asarray(picture).tobytes()


def test_an_album_holds_the_photos_of_the_people_without_names_and_some_of_two(tmp_path: Path):
    assert draw_people(tmp_path / "people", people=3, photos=2, seed=4) == 6
    assert draw_people(tmp_path / "album", people=3, photos=2, seed=4, album=True) == 7
    named = [pixels(path) for path in sorted((tmp_path / "people").rglob("*.png"))]
    heap = [pixels(path) for path in sorted((tmp_path / "album").iterdir())]
    assert sorted(heap[:6]) == sorted(named) and heap[:6] != named
    with Image.open(tmp_path / "album" / "IMG_0006.png") as both:
        assert both.size == (2 * WIDTH, HEIGHT)


def test_folders_begin_with_the_prefix(tmp_path: Path, run: Any):
    run("toy", "strangers", "--people", 2, "--photos", 1, "--prefix", "stranger-")
    assert sorted(path.name for path in (tmp_path / "strangers").iterdir()) == [
        "stranger-000",
        "stranger-001",
    ]


@pytest.mark.parametrize("prefix", ["", "a/b", ".."])
def test_a_prefix_that_is_no_folders_name_is_refused(tmp_path: Path, run: Any, prefix: str):
    assert "beginning of a folder's name" in run("toy", "t", "--prefix", prefix, code=2).output
    with pytest.raises(ValueError, match="prefix"):
        draw_people(tmp_path / "t", prefix=prefix)
    assert not (tmp_path / "t").exists()
