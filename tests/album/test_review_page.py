"""The review page in a real browser: groups named, split, joined, put aside; saved; and read back by the
command line's own reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.review import apply
from facesearch.album.scan import album_folder, face_pictures, scan
from facesearch.gallery.store.store import Store
from facesearch.report.album import write_review
from tests.helpers.accessibility import bring_axe, violations
from tests.helpers.album import CUT, Halves, state
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet

CHROMIUM = "/usr/bin/chromium"
pytestmark = pytest.mark.slow


@pytest.fixture
def reviewed(photos: Path) -> Path:
    folder = album_folder(photos)
    scan(photos, folder, ColourEncoder(), Halves(), quiet)
    with Album.open(folder) as album:
        arrange(album, "average", CUT)
        write_review(album, face_pictures(album, 96, quiet), "facesearch scan holiday --apply review.csv")
    return folder


@pytest.fixture
def page(reviewed: Path) -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(accept_downloads=True, viewport={"width": 1000, "height": 900})
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.goto((reviewed / "review.html").as_uri())
        yield page
        assert problems == [] and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
        context.close()
        browser.close()


def saved(page: Any, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save review.csv").click()
    target = folder / "saved.csv"
    waiting.value.save_as(target)
    return target


def choose(page: Any, photo: str, number: int = 1) -> None:
    page.get_by_label(f"face {number} of {photo}", exact=False).check()


def move(page: Any, to: str) -> None:
    page.get_by_label("Move to").select_option(to)
    page.get_by_role("button", name="Move", exact=True).click()


def test_a_whole_review_by_mouse(page: Any, reviewed: Path, tmp_path: Path):
    was = state(reviewed)
    red = was["a/red0.png#1"][0]
    page.locator(f"section[data-group=g{red}] input.name").fill('=Ruby, "R"')
    choose(page, "both.png", 2)
    move(page, "new")  # split
    page.locator("section[data-group=new1] input.name").fill("Gil")
    choose(page, "b/green1.png")
    move(page, f"g{red}")
    choose(page, "b/green2.png")
    move(page, "aside")
    page.locator("section[data-kind=none] li", has_text="blue.png").get_by_label("Name").fill("Gil")  # joins
    if os.environ.get("ALBUM_SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["ALBUM_SCREENSHOTS"]) / "review.png", full_page=True)
    with Album.open(reviewed) as album:
        result = apply(album, tmp_path / "g", saved(page, tmp_path), None)
    now = state(reviewed)
    assert result.enrolled == {'=Ruby, "R"': 5, "Gil": 2}
    assert {now[f"a/red{i}.png#1"][1] for i in range(3)} | {
        now["both.png#1"][1],
        now["b/green1.png#1"][1],
    } == {'=Ruby, "R"'}
    assert now["both.png#2"][:2] == now["blue.png#1"][:2] and now["b/green2.png#1"] == (0, "", True)
    assert now["b/green0.png#1"] == was["b/green0.png#1"]
    with Store.open(tmp_path / "g") as gallery:
        assert [person.name for person in gallery.faces.people()] == ['=Ruby, "R"', "Gil"]


def test_the_keyboard_alone_suffices(page: Any, reviewed: Path, tmp_path: Path):
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('input.name')"):
            break
    page.keyboard.type("Ada")
    page.keyboard.press("Tab")
    for _ in range(60):
        if page.evaluate("document.activeElement.matches('li input[type=checkbox]')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert (
        page.locator("#picked").inner_text() == "1 face chosen"
        and page.get_by_role("button", name="Move", exact=True).is_enabled()
    )
    text = saved(page, tmp_path).read_text("utf-8-sig")
    assert text.count(",Ada,") == 4


def test_untouched_it_saves_what_there_was_and_fits_a_phone(page: Any, reviewed: Path, tmp_path: Path):
    was = state(reviewed)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if os.environ.get("ALBUM_SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["ALBUM_SCREENSHOTS"]) / "review-phone.png")
    assert page.locator("main img").count() == 9
    with Album.open(reviewed) as album:
        assert apply(album, tmp_path / "g", saved(page, tmp_path), None).enrolled == {}
    assert state(reviewed) == was


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_labels_in_light_and_dark(page: Any, scheme: str):
    page.emulate_media(color_scheme=scheme)
    bring_axe(page)
    assert violations(page) == []
    choose(page, "both.png", 2)
    move(page, "new")
    choose(page, "b/green2.png")
    move(page, "aside")
    assert violations(page) == []
