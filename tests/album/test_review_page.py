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
from facesearch.album.scan import album_folder, face_pictures, recognise, scan
from facesearch.album.standing import Standing
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.report.album import write_review
from tests.helpers.accessibility import bring_axe, violations
from tests.helpers.album import CUT, RED, Halves, name_groups, state, table_of
from tests.helpers.drawn import ColourEncoder, save_colour
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


def known_as_ruby(folder: Path, gallery: Path) -> None:
    """A gallery takes the blue face for Ruby."""
    with Album.open(folder) as album:
        faces, vectors = album.faces_and_vectors()
        blue = next(i for i, face in enumerate(faces) if not face.group)
        with Store.create(gallery, album.encoder_id, 12, "colours") as store:
            store.faces.add([NewFace("Ruby", "0" * 64, "b.png", vectors[blue])])
            store.notes.set_threshold(Threshold(0.9, 0.01, "made up", 0, 3, by="best-photo"))
            recognise(album, store)
        write_review(album, None, "facesearch scan holiday --apply review.csv")


def test_a_match_is_rejected_and_a_rejection_is_taken_back(page: Any, reviewed: Path, tmp_path: Path):
    known_as_ruby(reviewed, tmp_path / "g")
    page.reload()
    face = page.locator("section[data-kind=none] li", has_text="blue.png")
    button = face.get_by_role("button", name="not Ruby")
    button.click()
    assert face.locator(".refused").inner_text() == "not: Ruby"
    button.click()
    assert face.locator(".refused").is_hidden()
    button.click()
    bring_axe(page)
    assert violations(page) == []
    with Album.open(reviewed) as album:
        apply(album, tmp_path / "g", saved(page, tmp_path), None)
        assert {face.refused for face in album.faces() if not face.group} == {("Ruby",)}
        with Store.open(tmp_path / "g") as store:
            assert recognise(album, store) == 0


def test_new_faces_of_a_named_group_stand_apart_and_one_press_names_them(
    page: Any, reviewed: Path, photos: Path, tmp_path: Path
):
    with Album.open(reviewed) as album:
        apply(album, tmp_path / "g", name_groups(reviewed, tmp_path / "r.csv", red1="Ruby"), None)
    save_colour(photos / "c" / "red9.png", RED, shade=99)
    scan(photos, reviewed, ColourEncoder(), Halves(), quiet)
    with Album.open(reviewed) as album:
        arrange(album, "average", CUT)
        write_review(album, face_pictures(album, 96, quiet), "facesearch scan holiday --apply review.csv")
    page.reload()
    new = page.locator("section[data-new]")
    assert "new here: is this Ruby?" in new.inner_text() and new.locator("li").count() == 1
    if os.environ.get("ALBUM_SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["ALBUM_SCREENSHOTS"]) / "review-new.png", full_page=True)
    with Album.open(reviewed) as album:
        assert apply(album, tmp_path / "g", saved(page, tmp_path), None).enrolled == {}
    new.get_by_role("button", name="use this name").click()
    with Album.open(reviewed) as album:
        assert apply(album, tmp_path / "g", saved(page, tmp_path), None).enrolled == {"Ruby": 1}


def test_what_was_typed_survives_a_reload_until_it_is_applied(page: Any, reviewed: Path, tmp_path: Path):
    red = state(reviewed)["a/red0.png#1"][0]
    page.locator(f"section[data-group=g{red}] input.name").fill("Ruby")
    choose(page, "both.png", 2)
    move(page, "new")
    page.locator("section[data-group=new1] input.name").fill("Gil")
    page.locator("section[data-kind=none] li", has_text="blue.png").get_by_label("Name").fill("Bo")
    page.on("dialog", lambda dialog: dialog.accept())
    for _ in range(2):
        page.reload()
        assert page.locator(f"section[data-group=g{red}] input.name").input_value() == "Ruby"
        assert page.locator("section[data-group=new1] input.name").input_value() == "Gil"
        assert page.locator("section[data-group=new1] li").count() == 1
    with Album.open(reviewed) as album:
        result = apply(album, tmp_path / "g", saved(page, tmp_path), None)
        assert result.enrolled == {"Ruby": 4, "Gil": 1, "Bo": 1}
        write_review(album, None, "facesearch scan holiday --apply review.csv")
    page.reload()
    assert page.locator("#status").inner_text() == "" and page.locator("#forget").is_hidden()
    page.locator(f"section[data-group=g{red}] input.name").fill("Rubia")
    page.reload()
    page.get_by_role("button", name="Forget it").click()
    page.wait_for_load_state()
    assert page.locator(f"section[data-group=g{red}] input.name").input_value() == "Ruby"


def test_a_large_album_has_several_pages_each_saved_by_itself(
    page: Any, reviewed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from facesearch.report import album as pages

    monkeypatch.setattr(pages, "GROUPS_A_PAGE", 1)
    monkeypatch.setattr(pages, "FEW_GROUPS", 0)
    monkeypatch.setattr(pages, "FOLDED", 9)
    with Album.open(reviewed) as album:
        pictures = face_pictures(album, 48, quiet)
        write_review(album, pictures, "facesearch scan holiday --apply review.csv")
        assert pages.pictures_on_pages(album) == pictures and len(pictures) == 9
    assert sorted(path.name for path in reviewed.glob("*.html")) == [
        "review-2.html",
        "review-3.html",
        "review.html",
    ]
    page.reload()
    assert page.locator("section[data-kind=group] li").count() == 4
    assert page.locator("section[data-kind=group] li").first.is_hidden()
    page.get_by_role("link", name="2").click()
    page.wait_for_url("**/review-2.html")
    assert "--apply review-page2.csv" in page.locator("header").inner_text()
    page.locator("section[data-kind=group] input.name").fill("Gil")
    page.get_by_text("show these 4 faces").click()
    bring_axe(page)
    assert violations(page) == []
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save review-page2.csv").click()
    waiting.value.save_as(tmp_path / "2.csv")
    assert waiting.value.suggested_filename == "review-page2.csv"
    with Album.open(reviewed) as album:
        assert apply(album, tmp_path / "g", tmp_path / "2.csv", None).enrolled == {"Gil": 4}
        monkeypatch.setattr(pages, "GROUPS_A_PAGE", 500)
        write_review(album, None, "")
    assert [path.name for path in reviewed.glob("*.html")] == ["review.html"]


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


def test_a_question_answered_with_yes_puts_two_groups_together(reviewed: Path, tmp_path: Path, page: Any):
    with Album.open(reviewed) as album:
        one, other = sorted({face.group for face in album.faces() if face.group})[:2]
        Standing({one: (True, 0.99), other: (False, 0.6)}, ((one, other, 0.7),), {}).keep(album)
        write_review(album, None, "facesearch scan")
    page.reload()
    page.click(f"section[data-group=g{one}] button.same")
    assert page.locator(f"section[data-group=g{one}] li[data-face]").count() == 0
    assert page.locator("button.same:visible").count() == 0
    assert {row["group"] for row in table_of(saved(page, tmp_path)) if row["group"]} >= {f"g{other}"}
    assert f"g{one}" not in {row["group"] for row in table_of(saved(page, tmp_path))}
