"""A drawn album: its photos, its detector, its review."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.album.album import FILE, Album
from facesearch.records import U8, Face

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


CUT = 0.7


class Halves:
    """A detector that finds a face in each half of a photo twice as wide as high, one in a square, none in a
    high one.
    """

    name = "halves"

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        if h > w:
            return []
        boxes = [(x, 0, h, h) for x in ((0, h) if w == 2 * h else (0,))]
        eyes = np.array([[0.34, 0.46], [0.66, 0.46]], np.float32)
        return [
            Face(np.array(b, np.float32), eyes * b[2] + np.array(b[:2], np.float32), 0.9, self.name)
            for b in boxes
        ]

    def another(self) -> Halves:
        return Halves()


def save_pair(path: Path, left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    from PIL import Image

    image = Image.new("RGB", (224, 112), left)
    image.paste(right, (112, 0, 224, 112))
    image.save(path)


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def save_table(path: Path, rows: list[dict[str, str]], **kind: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), **kind)
        table.writeheader()
        table.writerows(rows)
    return path


def group_of(rows: list[dict[str, str]], photo: str) -> str:
    return next(row["group"] for row in rows if row["photo"].endswith(photo))


def name_groups(folder: Path, out: Path, **names: str) -> Path:
    """A review in which the group of photo `red1.png` is named by red1="Ada", and so on: in one row of it, as
    a person would.
    """
    rows = table_of(folder / "review.csv")
    for photo, name in names.items():
        next(row for row in rows if row["photo"].endswith(photo + ".png"))["name"] = name
    return save_table(out, rows)


def state(folder: Path) -> dict[str, tuple[int, str, bool]]:
    with Album.open(folder) as album:
        paths = {file.sha256: file.path for file in reversed(album.files().values())}
        return {
            f"{paths[face.sha256]}#{face.number}": (face.group, face.name, face.nobody)
            for face in album.faces()
        }


def empty_album(folder: Path) -> Album:
    return Album.create(
        folder, folder, encoder_id="e" * 64, dimension=12, encoder="e", detector="d", notes={}
    )


FORMAT_1 = """
ALTER TABLE photos DROP COLUMN picture;
ALTER TABLE files DROP COLUMN content;
DROP TABLE refused;
DROP TABLE apart;
DROP TABLE crowds;
UPDATE meta SET value = '1' WHERE key = 'format';
"""


def as_format_1(folder: Path) -> None:
    """Make an album what version 0.1.0 wrote."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.executescript(FORMAT_1)
