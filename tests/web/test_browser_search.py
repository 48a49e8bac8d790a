"""The page in a browser: photos go in, and every face is boxed and answered."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facesearch.gallery.store.store import Store
from tests.helpers.browser import CHROMIUM, SIZES, Visit, drawn, visiting

pytest.importorskip("fastapi", reason="needs the extra [web]")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not here"),
]


def test_every_face_is_boxed_where_it_is_and_answered(visit: Visit):
    visit.look_at("party.png", "ada-new.png", "house.png", "broken.jpg")
    assert "not a picture" in visit.card("broken.jpg").inner_text()
    assert "No face was found" in visit.card("house.png").inner_text()
    party = visit.card("party.png")
    boxes = party.locator(".box")
    assert boxes.count() == 3
    picture = party.locator(".picture img").bounding_box()
    seen = sorted((box.bounding_box()["x"] - picture["x"]) / picture["width"] for box in boxes.all())
    for at, drawn_at in zip(seen, (45, 345, 645), strict=True):  # each photo is 267 wide on a wall of 960
        assert drawn_at / 960 < at < (drawn_at + 267 / 2) / 960
    chips = party.locator(".chips button")
    words = {chip.inner_text().split(". ")[1]: chip for chip in chips.all()}
    assert set(words) == {"Cleo", "Hugo", "unknown"}
    words["Hugo"].click()
    assert words["Hugo"].get_attribute("aria-pressed") == "true" and party.locator(".box.chosen").count() == 1
    answer = party.locator(".answer")
    assert answer.locator("h3").inner_text() == "Match: Hugo"
    assert (
        "reaches the threshold" in answer.inner_text()
        and "strangers' searches are expected to get a name" in answer.inner_text()
    )
    assert "The lead over the second is" in answer.inner_text()
    thumb = answer.locator(".candidates img").first
    thumb.scroll_into_view_if_needed()
    thumb.evaluate("async (image) => await image.decode()")
    assert thumb.evaluate("(image) => image.naturalWidth") > 0 and "hugo-" in thumb.get_attribute("alt")
    party.locator(".box.unknown").click()
    assert (
        answer.locator("h3").inner_text() == "Unknown"
        and "Nobody reaches the threshold" in answer.inner_text()
    )
    assert visit.violations() == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", SIZES)
def test_an_ambiguous_answer_names_both_and_notes_are_shown(
    browser: Any, world: Path, tmp_path: Path, device: str, scheme: str
):
    """One of Eva's photos is enrolled under Finn too; and the gallery has outgrown its threshold."""
    gallery = shutil.copytree(world / "gallery", tmp_path / "gallery")
    with Store.open(gallery) as opened:
        threshold = opened.notes.threshold()
        assert threshold is not None
        opened.notes.set_threshold(replace(threshold, faces=20))
    twice, hugo = Image.open(world / "people" / "Eva" / "eva-2.png"), drawn.draw("Hugo", 20)
    drawn.group([twice, hugo]).save(tmp_path / "two.png")
    with drawn.served(gallery, log=tmp_path / "log") as (url, _):
        for visit in visiting(browser, url, world, SIZES[device], scheme):
            visit.page.set_input_files("#files", str(tmp_path / "two.png"))
            visit.page.locator("#said", has_text="looked at").wait_for(state="attached")
            card = visit.card("two.png")
            assert {chip.inner_text().split(". ")[1] for chip in card.locator(".chips button").all()} == {
                "ambiguous",
                "Hugo",
            }
            assert card.locator(".box.ambiguous").count() == 1
            for chosen in ("Hugo", "ambiguous"):
                card.locator(".chips button", has_text=chosen).click()
                assert visit.violations() == []
            answer = card.locator(".answer")
            assert answer.locator("h3").inner_text() in ("Ambiguous: Eva or Finn", "Ambiguous: Finn or Eva")
            assert (
                "reaches the threshold" in answer.inner_text() and "look under Check" in answer.inner_text()
            )
            assert "strangers' searches are expected to get a name" in answer.inner_text()
            note = answer.locator(".note").inner_text()
            assert (
                "it was set for 20 faces, and 62 are enrolled now" in note and "again under Accuracy" in note
            )
            assert answer.inner_text().count("stale") == 1
            assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            card.get_by_role("button", name="Enroll this face").click()
            assert visit.page.input_value("#name") == ""  # nobody can say which of the two


def test_photos_can_be_dropped_and_pasted(visit: Visit):
    give = """async ([kind, bytes, name]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
      const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
      document.body.dispatchEvent(event);
    }"""
    data = list((visit.world / "asked" / "ada-new.png").read_bytes())
    for kind in ("drop", "paste"):
        visit.page.evaluate(give, [kind, data, f"{kind}ped.png"])
        visit.card(f"{kind}ped.png").locator("h3", has_text="Match: Ada").wait_for()
    visit.card("pasteped.png").get_by_role("button", name="Remove").click()
    assert visit.page.locator("article.photo").count() == 1


def test_many_photos_show_progress_and_can_be_stopped(visit: Visit):
    names = ["house.png"] * 40
    visit.page.set_input_files("#files", [str(visit.world / "asked" / name) for name in names])
    visit.page.locator("#progress-words", has_text="of 40 photos").wait_for()
    assert visit.violations() == []
    visit.page.click("#stop")
    visit.page.locator("#said", has_text="Stopped after").wait_for(state="attached")
    assert visit.page.locator("#progress").is_hidden()
