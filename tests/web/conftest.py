"""A gallery of three people of one colour each; and a drawn world, served to a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facesearch.gallery.enroll import enroll
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet
from tests.helpers.service import BLUE, GREEN, RED


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three people of one colour each, two photos a person."""
    for name, colour in (("Ada", RED), ("Ben", GREEN), ("Cleo", BLUE)):
        for shade in (20, 60):
            save_colour(tmp_path / "photos" / name / f"{name}{shade}.png", colour, shade=shade)
    return tmp_path / "photos"


@pytest.fixture
def gallery(photos: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "gallery"
    named = [(path.parent.name, path) for path in sorted(photos.rglob("*.png"))]
    enroll(named, folder, ColourEncoder(), None, largest=False, fpir=0.01, progress=quiet)
    with Store.open(folder) as opened:
        opened.notes.set_threshold(
            Threshold(0.9, 0.01, "made up", 300, 6, True, 30, 0.0, 0.03, ((0.5, 0.3), (0.9, 0.01)))
        )
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What scripts/drawn_world.py draws."""
    from tests.helpers.browser import drawn

    folder = tmp_path_factory.mktemp("world")
    drawn.make_world(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For one module: playwright keeps an event loop running, beside which no test can run one of its own."""
    from tests.helpers.browser import CHROMIUM, FLAGS, playwright

    with playwright.sync_playwright() as play:
        launched = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def place(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the world's gallery, and of the report that came with facesearch."""
    from tests.helpers.browser import drawn

    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(world / "gallery", folder / "gallery")
    shutil.copytree(drawn.REPORT, folder / "report")
    return folder


@pytest.fixture(scope="module")
def served(world: Path, place: Path) -> Iterator[str]:
    """A server over that gallery: what tests change they change back, or it concerns no other test."""
    from tests.helpers.browser import drawn

    options = ("--photos", world / "people", "--report", place / "report")
    with drawn.served(place / "gallery", *options, log=place / "log.jsonl") as (url, process):
        yield url
    assert process.returncode == 0, (place / "log.jsonl").read_text()


@pytest.fixture(params=["desk", "phone"])
def visit(request: pytest.FixtureRequest, browser: Any, served: str, world: Path) -> Iterator[Any]:
    """A fresh page of that server, on a desk and on a phone."""
    from tests.helpers.browser import SIZES, visiting

    scheme = "dark" if request.param == "phone" else "light"
    yield from visiting(browser, served, world, SIZES[request.param], scheme)
