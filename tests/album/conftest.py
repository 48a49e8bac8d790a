"""An album of drawn photos, and its scan."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facesearch.album import arrange as arranging
from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.scan import album_folder, scan
from facesearch.report.album import write_review
from tests.helpers.album import BLUE, CUT, GREEN, RED, Halves, save_pair
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three of red, three of green, one of both, one blue, one of nobody, one broken, and a copy of a red
    one.
    """
    root = tmp_path / "holiday"
    for i in range(3):
        save_colour(root / "a" / f"red{i}.png", RED, shade=10 + i)
        save_colour(root / "b" / f"green{i}.png", GREEN, shade=10 + i)
    save_pair(root / "both.png", RED, GREEN)
    save_colour(root / "blue.png", BLUE)
    save_colour(root / "wall.png", (90, 90, 90), size=(50, 100))
    (root / "broken.jpg").write_text("no picture")
    shutil.copy(root / "a" / "red0.png", root / "copy of red0.png")
    return root


@pytest.fixture
def found(photos: Path) -> Path:
    """The scan of those photos, grouped, its review written."""
    folder = album_folder(photos)
    scan(photos, folder, ColourEncoder(), Halves(), quiet)
    with Album.open(folder) as album:
        arrange(album, "average", CUT)
        write_review(album, None, "facesearch scan")
    return folder


@pytest.fixture(autouse=True)
def flat_photos_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn photos are of one colour, and would all be taken for blurred."""
    monkeypatch.setattr(arranging, "LEAST_SHARPNESS", 0.0)
