"""A gallery that commands made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn import own


@pytest.fixture
def gallery(run, album: Path, weights: Path, tmp_path: Path) -> Path:
    """Three drawn people enrolled in index/, aligned."""
    for person in range(3):
        photos = [own(album, person, shot) for shot in range(4)]
        run("enroll", f"Person {person}", *photos, "--aligned", "--weights", weights)
    return tmp_path / "index"
