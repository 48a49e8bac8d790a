"""Draw a small world to serve: named people who do not exist, photos to ask with, strangers, and two planted
mistakes.

    .venv/bin/python scripts/drawn_world.py FOLDER

FOLDER/people/NAME/*.png are enrolled into FOLDER/gallery with the shipped encoder, and its threshold is set
on FOLDER/strangers. FOLDER/asked holds a group photo, single photos, one without a face and one that is no
photo. The tests in the browser, the screenshots and the load run all serve this world.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facesearch.datasets.toy import draw_photo, invent_person

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "scripts" / "results" / "shipped"
"""What was measured of the shipped encoder, which serves this world."""
NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gwen", "Hugo", "Iris", "Jan", "Kim", "Leo")
SEEDS = dict(zip(NAMES, (101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112), strict=True))
ENROLLED, STRANGERS, PHOTOS_EACH = 5, 12, 9
MOVED = "Ben"
"""One of Ben's photos lies in Dan's folder."""
COPIED = "Eva"
"""One of Eva's photos lies in Finn's folder too."""


def draw(name: str, shot: int) -> Image.Image:
    """Photo number `shot` of somebody in NAMES."""
    return Image.fromarray(draw_photo(invent_person(SEEDS[name]), SEEDS[name] * 100 + shot))


def stranger(number: int, shot: int) -> Image.Image:
    """Photo number `shot` of somebody who is not enrolled."""
    return Image.fromarray(draw_photo(invent_person(500 + number), (500 + number) * 100 + shot))


def group(pictures: list[Image.Image]) -> Image.Image:
    """Several photos side by side on one wall."""
    wide = [picture.resize((267, 327), Image.Resampling.LANCZOS) for picture in pictures]
    wall = Image.new("RGB", (60 + 300 * len(wide), 420), (196, 190, 178))
    for i, picture in enumerate(wide):
        wall.paste(picture, (45 + 300 * i, 30 + 22 * (i % 2)))
    return wall


def house() -> Image.Image:
    """A drawing without a face."""
    image = Image.new("RGB", (360, 300), (150, 190, 230))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 230, 360, 300), fill=(90, 140, 70))
    pen.rectangle((100, 130, 260, 250), fill=(190, 120, 90))
    pen.polygon([(85, 130), (275, 130), (180, 60)], fill=(110, 50, 40))
    return image


def draw_world(folder: Path) -> None:
    """Write people/, strangers/ and asked/ below folder."""
    for name in NAMES:
        (folder / "people" / name).mkdir(parents=True)
        for shot in range(ENROLLED):
            draw(name, shot).save(folder / "people" / name / f"{name.lower()}-{shot + 1}.png")
    draw(MOVED, 7).save(folder / "people" / "Dan" / "dan-6.png")
    shutil.copy(folder / "people" / COPIED / "eva-2.png", folder / "people" / "Finn" / "finn-6.png")
    for number in range(STRANGERS):
        (folder / "strangers" / f"s{number:02d}").mkdir(parents=True)
        for shot in range(PHOTOS_EACH):
            stranger(number, shot).save(folder / "strangers" / f"s{number:02d}" / f"{shot}.png")
    asked = folder / "asked"
    asked.mkdir()
    group([draw("Cleo", 20), stranger(41, 1), draw("Hugo", 20)]).save(asked / "party.png")
    draw("Ada", 20).resize((356, 436), Image.Resampling.LANCZOS).save(asked / "ada-new.png")
    stranger(62, 2).resize((356, 436), Image.Resampling.LANCZOS).save(asked / "stranger.png")
    house().save(asked / "house.png")
    (asked / "broken.jpg").write_bytes(b"this is no photo")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(asked / "noise.png")


def facesearch(*words: object) -> list[str]:
    """The command line to run."""
    return [sys.executable, "-m", "facesearch", *map(str, words)]


def environment() -> dict[str, str]:
    """This checkout is what runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def make_world(folder: Path, *, calibrated: bool = True) -> Path:
    """Draw, enroll, calibrate; returns the gallery."""
    draw_world(folder)
    gallery = folder / "gallery"
    commands = (
        facesearch("enroll", "--from", folder / "people", "--gallery", gallery, "--largest"),
        facesearch(
            "calibrate",
            "--strangers",
            folder / "strangers",
            "--fpir",
            0.03,
            "--gallery",
            gallery,
            "--largest",
        ),
    )
    for command in commands if calibrated else commands[:1]:
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
    return gallery


@contextlib.contextmanager
def started(command: list[str], gallery: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server process: the address that it says, and the process. It is stopped in the end, gracefully if it
    can be.
    """
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=gallery.parent, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(log.read_text())
            yield url, process
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextlib.contextmanager
def served(gallery: Path, *options: object, log: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server process of this gallery on a free port."""
    command = facesearch("serve", "--port", 0, "--gallery", gallery, *options)
    with started(command, gallery, log) as running:
        yield running


if __name__ == "__main__":
    made = make_world(Path(sys.argv[1]))
    print(f"{made}: serve it with facesearch serve --gallery {made} --photos {made.parent / 'people'}")
