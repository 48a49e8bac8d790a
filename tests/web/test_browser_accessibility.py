"""The page in a browser without a mouse, in the light and in the dark, when there is nothing, when something
fails, and with the gallery that is shipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.browser import CHROMIUM, SIZES, Visit, drawn, visiting

pytest.importorskip("fastapi", reason="needs the extra [web]")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not here"),
]
ROOT = Path(__file__).parents[2]


def test_the_keyboard_alone_suffices(visit: Visit):
    """From an empty page to a person enrolled, found among the people, and undone."""
    page = visit.page
    focused = "document.activeElement.id || document.activeElement.textContent.trim()"

    def tab_to(words: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == words:
                return
        raise AssertionError(f"{words} cannot be reached; the last was {page.evaluate(focused)}")

    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the content"
    tab_to("files")
    page.set_input_files("#files", str(visit.world / "asked" / "party.png"))
    visit.card("party.png").locator(".chips").wait_for()
    chip = visit.card("party.png").locator(".chips button", has_text="unknown").inner_text()
    tab_to(chip)
    page.keyboard.press("Enter")
    tab_to("Enroll this face")
    page.keyboard.press("Enter")
    page.locator("#dialog[open]").wait_for()
    assert page.evaluate(focused) == "name"
    page.keyboard.type("Keyed In")
    page.keyboard.press("Enter")
    page.locator("#done", has_text="Enrolled under Keyed In").wait_for()
    page.locator("nav a[data-view=search]").focus()
    tab_to("People")
    page.keyboard.press("Enter")
    page.locator("#people th", has_text="Keyed In").wait_for()
    assert page.evaluate("document.activeElement.id") == "title-people"
    tab_to("Keyed In")
    page.keyboard.press("Enter")
    page.locator("#person .grid li").wait_for()
    tab_to("Undo")
    page.keyboard.press("Enter")
    page.locator("#said", has_text="Undone").wait_for(state="attached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_contrast_and_labels_in_light_and_dark(
    browser: Any, served: str, world: Path, scheme: str, width: int
):
    for visit in visiting(browser, served, world, (width, 800), scheme):
        visit.look_at("party.png", "broken.jpg")
        for view in ("search", "people", "check", "accuracy"):
            visit.go(view)
            visit.page.wait_for_load_state("networkidle")
            assert visit.violations() == []
            assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


def test_an_empty_gallery_and_a_service_that_is_gone_are_said_in_plain_words(
    browser: Any, world: Path, tmp_path: Path
):
    with drawn.served(tmp_path / "gallery", "--report", tmp_path / "none", log=tmp_path / "log") as (
        url,
        process,
    ):
        for visit in visiting(browser, url, world, SIZES["phone"], "light"):
            visit.go("people")
            visit.page.get_by_text("Nobody is enrolled yet.").wait_for()
            visit.go("check")
            visit.page.get_by_text("Nothing looks wrong.").wait_for()
            visit.go("accuracy")
            visit.page.get_by_text("The gallery has no threshold yet").wait_for()
            assert visit.violations() == []
            visit.look_at("party.png")
            card = visit.card("party.png")
            assert card.locator("h3").inner_text() == "Nobody is enrolled yet"
            card.get_by_role("button", name="Enroll this face").click()
            visit.page.fill("#name", "First Person")
            visit.do("Enroll")
            card.locator("h3", has_text="Match: First Person").wait_for()
            visit.page.locator("#size", has_text="1 person, 1 face").wait_for()
            assert visit.page.locator(".thumb .blank").first.inner_text() == "no picture"
            process.terminate()
            process.wait(40)
            visit.go("people")
            visit.page.get_by_text("Is facesearch serve still running on this machine?").wait_for()
            assert visit.violations() == []


@pytest.mark.parametrize("device", SIZES)
def test_the_shipped_gallery_of_500_people(browser: Any, tmp_path: Path, device: str):
    """The astronaut's portrait, which needs no download, against the gallery and with the encoder that come
    with facesearch.
    """
    pytest.importorskip("skimage", reason="needs the extra [demo]")
    subprocess.run([sys.executable, ROOT / "scripts" / "demo_photos.py", tmp_path / "photos"], check=True)
    asked = Path(shutil.copytree(tmp_path / "photos" / "changed", tmp_path / "asked"))
    shutil.copy(tmp_path / "photos" / "portrait.jpg", asked)
    gallery = shutil.copytree(ROOT / "index", tmp_path / "gallery")
    with drawn.served(gallery, log=tmp_path / "log") as (url, process):
        for visit in visiting(browser, url, tmp_path, SIZES[device], "light"):
            visit.page.locator("#size", has_text="500 people, 12,011 faces").wait_for()
            visit.look_at("portrait.jpg", "house.jpg")
            assert "No face was found" in visit.card("house.jpg").inner_text()
            card = visit.card("portrait.jpg")
            assert (
                card.locator("h3").inner_text() == "Unknown" and card.locator(".candidates li").count() >= 3
            )
            card.get_by_role("button", name="Enroll this face").click()
            visit.page.fill("#name", "Eileen Collins")
            visit.do("Enroll")
            card.locator("h3", has_text="Match: Eileen Collins").wait_for()
            visit.look_at("mirrored.jpg", "darker.jpg")
            for name in ("mirrored.jpg", "darker.jpg"):
                visit.card(name).locator("h3", has_text="Match: Eileen Collins").wait_for()
            assert visit.violations() == []
            visit.go("people")
            visit.page.locator("#people-count", has_text="501 people").wait_for()
            visit.undo()
            visit.page.locator("#people-count", has_text="500 people").wait_for()
            visit.look_at("smaller.jpg")
            assert visit.card("smaller.jpg").locator("h3").inner_text() == "Unknown"
            assert visit.violations() == []
    assert process.returncode == 0, (tmp_path / "log").read_text()
