"""The page in a browser: people enrolled, renamed, forgotten, listed and checked, and what can be undone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from facesearch.gallery.store.store import Store
from tests.helpers.accessibility import bring_axe
from tests.helpers.browser import CHROMIUM, Visit, drawn
from tests.helpers.measured import measured

pytest.importorskip("fastapi", reason="needs the extra [web]")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not here"),
]


# ---- enroll, rename, forget, undo


def test_a_stranger_is_enrolled_found_and_undone(visit: Visit):
    visit.look_at("stranger.png")
    card = visit.card("stranger.png")
    card.get_by_role("button", name="Enroll this face").click()
    assert visit.violations() == []
    visit.page.fill("#name", "Zoe Newcomer")
    visit.do("Enroll")
    card.locator("h3", has_text="Match: Zoe Newcomer").wait_for()
    assert "Enrolled under Zoe Newcomer, who has 1 photo now." in visit.page.locator("#done").inner_text()
    assert visit.violations() == []
    visit.undo()
    visit.go("people")
    visit.page.locator("#people-count", has_text="12 people").wait_for()
    assert "Zoe Newcomer" not in visit.names()


def test_a_face_closer_to_somebody_else_is_warned_about_first(visit: Visit):
    visit.look_at("ada-new.png")
    card = visit.card("ada-new.png")
    card.get_by_role("button", name="Enroll this face").click()
    assert visit.page.input_value("#name") == "Ada"
    visit.page.fill("#name", "Ben")
    visit.do("Enroll")
    dialog = visit.page.locator("#dialog")
    dialog.locator("h2", has_text="closer to somebody else").wait_for()
    assert "Closer to Ada" in dialog.inner_text() and visit.violations() == []
    visit.do("Enroll as Ada instead")
    visit.page.locator("#done", has_text="Enrolled under Ada, who has 6 photos now").wait_for()
    visit.undo()
    card.get_by_role("button", name="Enroll this face").click()
    visit.page.fill("#name", "Ben")
    visit.do("Enroll")
    dialog.locator("h2", has_text="closer to somebody else").wait_for()
    visit.do("Enroll as Ben all the same")
    visit.page.locator("#done", has_text="Enrolled under Ben, who has 6 photos now").wait_for()
    visit.page.keyboard.press("Control+z")
    visit.page.locator("#said", has_text="Undone").wait_for(state="attached")


def test_renaming_and_joining_can_be_undone(visit: Visit):
    visit.person("Jan")
    visit.do("Rename", inside="#person")
    visit.page.fill("#name", "Jan van Dijk")
    visit.do("Rename")
    visit.page.locator("#people th", has_text="Jan van Dijk").wait_for()
    visit.person("Kim")
    visit.do("Rename", inside="#person")
    visit.page.fill("#name", "Leo")
    visit.do("Rename")
    visit.page.locator("#dialog", has_text="Are Kim and Leo one person?").wait_for()
    visit.do("Join them")
    visit.page.locator("#done", has_text="Kim is called Leo now (5 photos)").wait_for()
    visit.page.locator("#people-count", has_text="11 people").wait_for()
    visit.do("Show all 2", inside="#done")
    assert visit.violations() == []
    visit.undo()
    visit.page.locator("#people-count", has_text="12 people").wait_for()
    visit.undo()
    visit.page.locator("#people").get_by_role("link", name="Jan", exact=True).wait_for()
    assert {"Kim", "Leo", "Jan"} <= set(visit.names())


def test_forgetting_counts_down_can_be_kept_and_ends_with_a_receipt(visit: Visit):
    visit.look_at("stranger.png")
    visit.card("stranger.png").get_by_role("button", name="Enroll this face").click()
    visit.page.fill("#name", "Brief Visitor")
    visit.do("Enroll")
    visit.card("stranger.png").locator("h3", has_text="Match: Brief Visitor").wait_for()
    visit.person("Brief Visitor")
    visit.do("Forget this person", inside="#person")
    assert "cannot be undone" in visit.page.locator("#dialog").inner_text() and visit.violations() == []
    visit.do("Forget")
    visit.page.locator("#done", has_text="will be erased in").wait_for()
    assert visit.violations() == []
    visit.do("Keep", inside="#done")
    visit.page.locator("#said", has_text="is kept").wait_for(state="attached")
    visit.do("Forget this person", inside="#person")
    visit.do("Forget")
    visit.page.goto(visit.url)  # leaving the page keeps them
    bring_axe(visit.page)
    visit.person("Brief Visitor")
    visit.do("Forget this person", inside="#person")
    visit.do("Forget")
    visit.do("Erase now", inside="#done")
    dialog = visit.page.locator("#dialog", has_text="no byte is left")
    dialog.wait_for(timeout=60_000)
    assert "1 photo, the whole person" in dialog.inner_text() and "receipts/forget-" in dialog.inner_text()
    assert visit.violations() == []
    visit.do("Close")
    visit.page.locator("#people-count", has_text="12 people").wait_for()
    assert "Brief Visitor" not in visit.names()


def test_the_count_carries_out_what_was_announced(visit: Visit):
    visit.look_at("stranger.png")
    visit.card("stranger.png").get_by_role("button", name="Enroll this face").click()
    visit.page.fill("#name", "Short Guest")
    visit.do("Enroll")
    visit.card("stranger.png").locator("h3", has_text="Match: Short Guest").wait_for()
    visit.person("Short Guest")
    visit.page.get_by_role("button", name="Forget stranger.png").click()
    visit.do("Forget")
    visit.page.locator("#dialog", has_text="no byte is left").wait_for(timeout=60_000)


# ---- people, check, accuracy


def test_people_are_listed_worst_first_searched_and_shown(visit: Visit):
    visit.go("people")
    visit.page.locator("#people-count", has_text="12 people").wait_for()
    assert visit.violations() == []
    first = visit.names()
    assert set(first) == set(drawn.NAMES) and first[0] in ("Finn", "Gwen", "Eva", "Dan")
    visit.page.select_option("#sort", "name")
    visit.page.locator("#people tbody tr:first-child", has_text="Ada").wait_for()
    assert visit.names() == sorted(drawn.NAMES)
    visit.page.fill("#part", "gw")
    visit.page.locator("#people-count", has_text="1 person").wait_for()
    assert visit.names() == ["Gwen"]
    visit.page.fill("#part", "nobody at all")
    visit.page.get_by_text("Nobody's name contains “nobody at all”.").wait_for()
    visit.page.fill("#part", "")
    visit.person("Cleo")
    assert "Cleo" not in visit.page.url
    assert visit.page.locator("#person .grid li").count() == 5
    visit.page.locator("#person img").first.evaluate("async (image) => await image.decode()")
    assert visit.violations() == []
    visit.page.go_back()
    visit.page.locator("#view-people").wait_for()


def test_the_list_says_what_is_being_computed_and_shows_it_as_soon_as_it_is_there(visit: Visit):
    computed = {"yet": False}

    def answer(route: Any) -> None:
        told = route.fetch()
        page = told.json()
        if not computed["yet"]:
            page["separations"] = {"state": "running", "generation": None, "computed_at": None}
            for person in page["people"]:
                person.update(separation=None, nearest=None, pending=True)
        route.fulfill(response=told, json=page)

    visit.page.route("**/v1/people?*", answer)
    visit.go("people")
    state = visit.page.locator("#people-state", has_text="Separations are being computed.")
    state.wait_for()
    assert "listed by name" in state.inner_text()
    assert "being computed" in visit.page.locator("#people tbody tr").first.inner_text()
    assert visit.violations() == []
    visit.page.locator("#people").get_by_role("link", name="Cleo", exact=True).focus()
    computed["yet"] = True
    state.wait_for(state="detached")
    assert "being computed" not in visit.page.locator("#people").inner_text()
    assert visit.page.locator("#people a:focus").inner_text() == "Cleo"
    visit.page.unroute("**/v1/people?*")


def test_findings_are_confirmed_or_mended_one_by_one_and_undone(visit: Visit):
    visit.go("check")
    wrong = visit.page.get_by_label("Is this Dan, or Ben?")
    wrong.wait_for()
    assert "dan-6.png" in wrong.inner_text() and "Closer to Ben" in wrong.inner_text()
    assert visit.page.locator("article.finding").first.get_attribute("aria-label") == "Is this Dan, or Ben?"
    assert visit.violations() == []
    wrong.get_by_role("button", name="It is Dan").click()
    wrong.get_by_text("Called right.").wait_for()
    visit.go("people")
    visit.go("check")
    visit.page.locator("summary", has_text="1 finding called right").wait_for()
    visit.undo()
    visit.go("people")
    visit.go("check")
    wrong.get_by_role("button", name="It is Ben").click()
    wrong.get_by_text("Moved.").wait_for(timeout=60_000)
    visit.person("Ben")
    assert "dan-6.png" in visit.page.locator("#person").inner_text()
    visit.undo()
    visit.person("Dan")
    assert "dan-6.png" in visit.page.locator("#person").inner_text()
    visit.go("check")
    copy = visit.page.get_by_label("One picture under Eva and Finn")
    copy.wait_for(timeout=60_000)
    copy.get_by_role("button", name="Forget it under Finn").click()
    visit.page.locator("#dialog", has_text="Forget the photo finn-6.png of Finn?").wait_for()
    visit.do("Cancel")


def test_the_slider_moves_along_the_curves_and_decides_on_this_page(visit: Visit, place: Path):
    with Store.open(place / "gallery") as gallery:
        threshold, faces = gallery.notes.threshold(), len(gallery)
        report = json.loads((place / "report" / "evaluation.json").read_text())
        report["gallery"] = measured(gallery)
        report["curves"]["det_gallery"] = report["curves"]["det"]
        (place / "report" / "evaluation.json").write_text(json.dumps(report))
    assert threshold is not None
    visit.go("accuracy")
    slide = visit.page.locator("#slide")
    slide.wait_for()
    assert visit.violations() == []
    assert visit.page.locator("#out-at").inner_text() == f"{threshold.score:.3f}"
    missed = []
    for value in (
        threshold.curve[0][0] + 0.01,
        (threshold.curve[0][0] + threshold.score) / 2,
        threshold.score - 0.01,
    ):
        slide.evaluate(
            "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }",
            f"{value:.3f}",
        )
        share = threshold.share_above(round(value, 3), faces)
        assert share is not None and visit.page.locator("#out-fpir").inner_text() == f"{share:.1%}"
        missed.append(float(visit.page.locator("#out-fnir").inner_text().rstrip("%")))
    assert (
        missed == sorted(missed) and missed[0] < missed[-1]
    )  # the higher the threshold, the more are missed
    slide.focus()
    before = visit.page.locator("#out-at").inner_text()
    visit.page.keyboard.press("ArrowLeft")
    assert float(visit.page.locator("#out-at").inner_text()) == pytest.approx(float(before) - 0.001)
    assert "FNIR" in slide.get_attribute("aria-valuetext")
    slide.evaluate(
        "(range) => { range.value = 0; range.dispatchEvent(new Event('input')); }"
    )  # as low as it goes
    visit.do("Decide by this on this page", inside="#threshold")
    visit.do("Close")
    visit.look_at("stranger.png")
    assert visit.page.locator("#threshold-note").is_visible()
    visit.card("stranger.png").locator("h3", has_text=re.compile("Match:|Ambiguous:")).wait_for()
    visit.go("accuracy")
    visit.do("Back to the gallery's own", inside="#threshold")
    visit.do("Close")
    visit.look_at("ada-new.png")
    assert visit.page.locator("#threshold-note").is_hidden()
    assert (
        "rank-1" in visit.page.locator("#figures").inner_text().lower()
        or visit.page.locator("#figures th").count() > 10
    )
    with visit.page.context.expect_page() as opened:
        visit.go("accuracy")
        visit.page.get_by_role("link", name="Open the whole report").click()
    opened.value.locator("h1", has_text="How good is this face encoder?").wait_for()
