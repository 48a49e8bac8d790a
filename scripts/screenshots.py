"""Make the README's pictures of the page, with people who do not exist.

    .venv/bin/python scripts/screenshots.py [FOLDER]        # default: scripts/results/screenshots

Needs chromium, playwright and Pillow; draws its own world (scripts/drawn_world.py) and touches no other
gallery.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from drawn_world import REPORT, ROOT, make_world, served
from PIL import Image
from playwright.sync_api import sync_playwright

OUT = ROOT / "scripts" / "results" / "screenshots"
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
DESK, PHONE = {"width": 1120, "height": 800}, {"width": 390, "height": 800}
MOST_BYTES = 300_000


def keep(page: Any, path: Path) -> None:
    """Write what the window shows as a small PNG: 256 colours are plenty for drawings."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise RuntimeError(f"{path.name} has {size:,} bytes, more than {MOST_BYTES:,}")
    print(f"{path.name}: {size:,} bytes")


def give(page: Any, *photos: Path) -> None:
    """Choose photos and wait for the answers."""
    page.set_input_files("#files", [str(photo) for photo in photos])
    page.locator("#said", has_text="looked at").wait_for(state="attached")


def go(page: Any, view: str) -> None:
    page.click(f"nav a[data-view={view}]")
    page.locator(f"#view-{view}").wait_for()


def search(page: Any, asked: Path, out: Path, name: str) -> None:
    """The group photo, with the face of somebody known chosen."""
    give(page, asked / "party.png")
    page.locator(".chips button", has_text="Hugo").click()
    page.locator("h3", has_text="Match: Hugo").wait_for()
    keep(page, out / f"{name}.png")


def enroll_warned(page: Any, asked: Path, out: Path) -> None:
    """A face under a wrong name: the warning."""
    give(page, asked / "ada-new.png")
    card = page.locator("article.photo", has_text="ada-new.png").first
    card.get_by_role("button", name="Enroll this face").click()
    page.fill("#name", "Ben")
    page.locator("#dialog").get_by_role("button", name="Enroll", exact=True).click()
    page.locator("#dialog", has_text="closer to somebody else").wait_for()
    keep(page, out / "enroll-warning.png")
    page.locator("#dialog").get_by_role("button", name="Cancel").click()


def main(out: Path) -> None:
    """All pictures."""
    out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as temp:
        world = Path(temp)
        gallery = make_world(world)
        options = ("--photos", world / "people", "--report", REPORT)
        with served(gallery, *options, log=world / "log") as (url, _), sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=FLAGS)

            def visit(size: dict[str, int], scheme: str) -> Any:
                page = browser.new_context(
                    viewport=size, color_scheme=scheme, reduced_motion="reduce"
                ).new_page()
                page.goto(url)
                return page

            page = visit(DESK, "light")
            search(page, world / "asked", out, "search")
            enroll_warned(page, world / "asked", out)
            go(page, "people")
            keep(page, out / "people.png")
            go(page, "check")
            page.locator("article.finding").first.wait_for()
            keep(page, out / "check.png")
            go(page, "accuracy")
            page.locator("#slide").wait_for()
            keep(page, out / "accuracy.png")
            phone = visit(PHONE, "dark")
            search(phone, world / "asked", out, "phone-search")
            go(phone, "check")
            phone.locator("article.finding").first.wait_for()
            keep(phone, out / "phone-check.png")
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
