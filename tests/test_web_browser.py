"""The page in a real browser over a real server process with a real gallery of drawn people, on a desk and on a phone."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from accessibility import bring_axe, violations
from PIL import Image

from facesearch.gallery.store import Gallery

pytest.importorskip("fastapi", reason="needs the extra [web]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not here")]
ROOT = Path(__file__).parents[1]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = {"desk": (1200, 850), "phone": (390, 844)}


drawn: Any = importlib.import_module("drawn_world")


@dataclass
class Visit:
    """A page in the browser, with all that it asked for and complained about."""

    page: Any
    url: str
    world: Path
    asked_for: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, view: str) -> None:
        self.page.click(f"nav a[data-view={view}]")
        self.page.locator(f"#view-{view}").wait_for()

    def look_at(self, *names: str) -> None:
        self.go("search")
        self.page.set_input_files("#files", [str(self.world / "asked" / name) for name in names])
        self.page.locator("#said", has_text="looked at").wait_for(state="attached")

    def card(self, name: str) -> Any:
        return self.page.locator("article.photo", has_text=name).first

    def violations(self) -> list[str]:
        return violations(self.page)

    def names(self) -> list[str]:
        return self.page.locator("#people tbody th").all_inner_texts()

    def do(self, words: str, *, inside: str = "#dialog") -> None:
        self.page.locator(inside).get_by_role("button", name=words, exact=True).click()

    def undo(self) -> None:
        """The last deed, and wait until it is undone."""
        self.page.evaluate("document.getElementById('said').textContent = ''")
        self.page.locator("#done").get_by_role("button", name="Undo", exact=True).first.click()
        self.page.locator("#said", has_text="Undone").wait_for(state="attached")

    def person(self, name: str) -> None:
        self.go("people")
        self.page.locator("#people").get_by_role("link", name=name, exact=True).click()
        self.page.locator("#view-person").wait_for()
        self.page.locator("#person .buttons").first.wait_for()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    drawn.make_world(folder)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        launched = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def served(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a copy of the world's gallery: what tests change they change back, or it concerns no other test."""
    folder = tmp_path_factory.mktemp("served")
    gallery = shutil.copytree(world / "gallery", folder / "gallery")
    options = ("--photos", world / "people", "--report", drawn.REPORT)
    with drawn.served(gallery, *options, log=folder / "log.jsonl") as (url, process):
        yield url
    assert process.returncode == 0, (folder / "log.jsonl").read_text()


def visiting(browser: Any, url: str, world: Path, size: tuple[int, int], scheme: str) -> Iterator[Visit]:
    """Any request that would leave this machine is stopped and fails the test; so does any error of our scripts."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce")
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), url, world)
    context.on("request", lambda request: visit.asked_for.append(request.url))
    context.route(lambda to: not to.startswith((url, "blob:", "data:")), lambda route: route.abort())
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.goto(url)
    bring_axe(visit.page)
    yield visit
    context.close()
    assert visit.asked_for and all(asked.startswith((url, "blob:")) for asked in visit.asked_for)
    assert visit.complaints == []


@pytest.fixture(params=SIZES)
def visit(request: pytest.FixtureRequest, browser: Any, served: str, world: Path) -> Iterator[Visit]:
    scheme = "dark" if request.param == "phone" else "light"
    yield from visiting(browser, served, world, SIZES[request.param], scheme)


# ---- photos in, faces out


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
    assert "reaches the threshold" in answer.inner_text() and "strangers' searches are expected to get a name" in answer.inner_text()
    assert "The lead over the second is" in answer.inner_text()
    thumb = answer.locator(".candidates img").first
    thumb.scroll_into_view_if_needed()
    thumb.evaluate("async (image) => await image.decode()")
    assert thumb.evaluate("(image) => image.naturalWidth") > 0 and "hugo-" in thumb.get_attribute("alt")
    party.locator(".box.unknown").click()
    assert answer.locator("h3").inner_text() == "Unknown" and "Nobody reaches the threshold" in answer.inner_text()
    assert visit.violations() == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", SIZES)
def test_an_ambiguous_answer_names_both_and_notes_are_shown(browser: Any, world: Path, tmp_path: Path, device: str, scheme: str):
    """One of Eva's photos is enrolled under Finn too; and the gallery has outgrown its threshold."""
    gallery = shutil.copytree(world / "gallery", tmp_path / "gallery")
    with Gallery.open(gallery) as opened:
        threshold = opened.threshold()
        assert threshold is not None
        opened.set_threshold(replace(threshold, faces=20))
    twice, hugo = Image.open(world / "people" / "Eva" / "eva-2.png"), drawn.draw("Hugo", 20)
    drawn.group([twice, hugo]).save(tmp_path / "two.png")
    with drawn.served(gallery, log=tmp_path / "log") as (url, _):
        for visit in visiting(browser, url, world, SIZES[device], scheme):
            visit.page.set_input_files("#files", str(tmp_path / "two.png"))
            visit.page.locator("#said", has_text="looked at").wait_for(state="attached")
            card = visit.card("two.png")
            assert {chip.inner_text().split(". ")[1] for chip in card.locator(".chips button").all()} == {"ambiguous", "Hugo"}
            assert card.locator(".box.ambiguous").count() == 1
            for chosen in ("Hugo", "ambiguous"):
                card.locator(".chips button", has_text=chosen).click()
                assert visit.violations() == []
            answer = card.locator(".answer")
            assert answer.locator("h3").inner_text() in ("Ambiguous: Eva or Finn", "Ambiguous: Finn or Eva")
            assert "reaches the threshold" in answer.inner_text() and "look under Check" in answer.inner_text()
            assert "strangers' searches are expected to get a name" in answer.inner_text()
            note = answer.locator(".note").inner_text()
            assert "it was set for 20 faces, and 62 are enrolled now" in note and "again under Accuracy" in note
            assert answer.inner_text().count("stale") == 1
            assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            card.get_by_role("button", name="Enroll this face").click()
            assert visit.page.input_value("#name") == ""  # nobody can say which of the two


def test_photos_can_be_dropped_and_pasted(visit: Visit):
    give = """async ([kind, bytes, name]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
      const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
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


def test_the_slider_moves_along_the_curves_and_decides_on_this_page(visit: Visit):
    with Gallery.open(visit.world / "gallery") as gallery:
        threshold, faces = gallery.threshold(), len(gallery)
    assert threshold is not None
    visit.go("accuracy")
    slide = visit.page.locator("#slide")
    slide.wait_for()
    assert visit.violations() == []
    assert visit.page.locator("#out-at").inner_text() == f"{threshold.score:.3f}"
    missed = []
    for value in (threshold.curve[0][0] + 0.01, (threshold.curve[0][0] + threshold.score) / 2, threshold.score - 0.01):
        slide.evaluate("(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", f"{value:.3f}")
        share = threshold.share_above(round(value, 3), faces)
        assert share is not None and visit.page.locator("#out-fpir").inner_text() == f"{share:.1%}"
        missed.append(float(visit.page.locator("#out-fnir").inner_text().rstrip("%")))
    assert missed == sorted(missed) and missed[0] < missed[-1]  # the higher the threshold, the more are missed
    slide.focus()
    before = visit.page.locator("#out-at").inner_text()
    visit.page.keyboard.press("ArrowLeft")
    assert float(visit.page.locator("#out-at").inner_text()) == pytest.approx(float(before) - 0.001)
    assert "FNIR" in slide.get_attribute("aria-valuetext")
    slide.evaluate("(range) => { range.value = 0; range.dispatchEvent(new Event('input')); }")  # as low as it goes
    visit.do("Decide by this on this page", inside="#threshold")
    visit.do("Close")
    visit.look_at("stranger.png")
    assert visit.page.locator("#threshold-note").is_visible()
    visit.card("stranger.png").locator("h3", has_text="Match:").wait_for()
    visit.go("accuracy")
    visit.do("Back to the gallery's own", inside="#threshold")
    visit.do("Close")
    visit.look_at("ada-new.png")
    assert visit.page.locator("#threshold-note").is_hidden()
    assert "rank-1" in visit.page.locator("#figures").inner_text().lower() or visit.page.locator("#figures th").count() > 10
    with visit.page.context.expect_page() as opened:
        visit.go("accuracy")
        visit.page.get_by_role("link", name="Open the whole report").click()
    opened.value.locator("h1", has_text="How good is this face encoder?").wait_for()


# ---- without a mouse, in the light and in the dark, when there is nothing, when something fails


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
def test_contrast_and_labels_in_light_and_dark(browser: Any, served: str, world: Path, scheme: str, width: int):
    for visit in visiting(browser, served, world, (width, 800), scheme):
        visit.look_at("party.png", "broken.jpg")
        for view in ("search", "people", "check", "accuracy"):
            visit.go(view)
            visit.page.wait_for_load_state("networkidle")
            assert visit.violations() == []
            assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


def test_an_empty_gallery_and_a_service_that_is_gone_are_said_in_plain_words(browser: Any, world: Path, tmp_path: Path):
    with drawn.served(tmp_path / "gallery", "--report", tmp_path / "none", log=tmp_path / "log") as (url, process):
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
    """The astronaut's portrait, which needs no download, against the gallery and with the encoder that come with facesearch."""
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
            assert card.locator("h3").inner_text() == "Unknown" and card.locator(".candidates li").count() >= 3
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


# ---- the process itself


def test_a_stop_ends_what_is_under_way_and_the_log_says_no_name(world: Path, tmp_path: Path):
    import http.client
    import threading

    gallery = shutil.copytree(world / "gallery", tmp_path / "gallery")
    body = (world / "asked" / "party.png").read_bytes()
    form = (
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + body + b"\r\n"
    ) * 6 + b"--b--\r\n"  # fmt: skip
    with drawn.served(gallery, log=tmp_path / "log") as (url, process):
        host = url.removeprefix("http://")
        statuses: list[int] = []
        sent = threading.Barrier(5)

        def ask() -> None:
            with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
                connection.request("POST", "/v1/search", form, {"content-type": "multipart/form-data; boundary=b"})
                sent.wait(30)
                statuses.append(connection.getresponse().status)

        def figures() -> bytes:
            with urllib.request.urlopen(f"{url}/metrics") as answer:
                return bytes(answer.read())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        sent.wait(30)
        while b"facesearch_requests_in_flight 5.0" not in (told := figures()):
            assert b'route="/v1/search",status="200"} 4.0' not in told, "all had ended before the stop"
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 4
        assert process.wait(40) == 0
    log = (tmp_path / "log").read_text()
    assert '"event": "stopped"' in log
    assert not any(name in log for name in ("Cleo", "Hugo", "party", "a.png"))


def test_a_port_that_is_taken_and_a_missing_folder_are_errors_in_words(world: Path, tmp_path: Path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = drawn.facesearch("serve", "--port", port, "--gallery", world / "gallery")
        done = subprocess.run(command, capture_output=True, text=True, env=drawn.environment(), cwd=tmp_path, timeout=120)
    assert done.returncode == 1 and f"127.0.0.1:{port}: The service cannot listen" in done.stderr and "--port" in done.stderr
    command = drawn.facesearch("serve", "--port", 0, "--gallery", world / "gallery", "--photos", tmp_path / "none")
    done = subprocess.run(command, capture_output=True, text=True, env=drawn.environment(), cwd=tmp_path, timeout=120)
    assert done.returncode == 1 and "no folder of photos there" in done.stderr
