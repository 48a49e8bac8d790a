"""The page in a real browser over a real server process with a real gallery of drawn people, on a desk and on
a phone.

Skips whatever imports it where there is no playwright: so conftest.py imports it in its fixtures.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.accessibility import bring_axe, violations

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
drawn: Any = importlib.import_module("drawn_world")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desk": (1200, 850), "phone": (390, 844)}


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
        """The last action, and wait until it is undone."""
        self.page.evaluate("document.getElementById('said').textContent = ''")
        self.page.locator("#done").get_by_role("button", name="Undo", exact=True).first.click()
        self.page.locator("#said", has_text="Undone").wait_for(state="attached")

    def person(self, name: str) -> None:
        self.go("people")
        self.page.locator("#people").get_by_role("link", name=name, exact=True).click()
        self.page.locator("#view-person").wait_for()
        self.page.locator("#person .buttons").first.wait_for()


def visiting(browser: Any, url: str, world: Path, size: tuple[int, int], scheme: str) -> Iterator[Visit]:
    """Any request that would leave this machine is stopped and fails the test; so does any error of our
    scripts.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
    )
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
