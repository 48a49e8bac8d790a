"""A gallery that commands made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from facesearch.cli.main import main
from tests.helpers.drawn import own


@pytest.fixture(scope="session")
def enrolled(album: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn people, aligned."""
    folder = tmp_path_factory.mktemp("enrolled") / "index"
    for person in range(3):
        photos = [str(own(album, person, shot)) for shot in range(4)]
        words = ["enroll", f"Person {person}", *photos, "--aligned", "--weights", str(weights)]
        CliRunner().invoke(main, [*words, "--gallery", str(folder)], catch_exceptions=False)
    return folder


@pytest.fixture
def gallery(enrolled: Path, run, tmp_path: Path) -> Path:
    """A copy of that gallery where commands look for one, index/."""
    return Path(shutil.copytree(enrolled, tmp_path / "index"))
