"""A drawn person reviews an album at random, round after round, and nothing that they said is ever undone."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.review import apply
from facesearch.album.scan import recognise, scan
from facesearch.album.sort import folder_names, sort_album
from facesearch.files import of_cell
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.report.album import write_review
from tests.helpers.album import CUT, Halves, save_table, table_of
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet

ROUNDS = 10
SEEDS = int(os.environ.get("ALBUM_SEEDS", "4"))
NAMES = ["Ada", "Bob", "Cy", "Dora; the 2nd", "=Eve"]
COLOURS = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (240, 60, 40), (60, 240, 60), (200, 200, 20)]


@dataclass
class Words:
    """What the person has said and not taken back since, by face."""

    names: dict[str, str] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    refused: set[tuple[str, str]] = field(default_factory=set)
    apart: set[frozenset[str]] = field(default_factory=set)
    together: list[set[str]] = field(default_factory=list)

    def forget(self, face: str) -> None:
        self.names.pop(face, None)
        self.aside.discard(face)
        self.alone.discard(face)
        for group in self.together:
            group.discard(face)

    def name(self, face: str, name: str) -> None:
        self.forget(face)
        self.names[face] = name
        self.refused.discard((face, name))
        self.apart -= {frozenset((face, other)) for other, theirs in self.names.items() if theirs == name}


class Reviewer:
    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.folder, self.gallery = root / "photos", root / "scan", root / "gallery"
        self.random = random.Random(seed)
        self.words, self.taken = Words(), 0
        self.confirmed: set[tuple[str, str]] = set()

    def new_photos(self, count: int) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            colour = self.random.choice(COLOURS)
            near = tuple(max(0, min(255, part + self.random.randint(-12, 12))) for part in colour)
            image = Image.new("RGB", (112, 112), near)
            shade = self.random.randint(0, 255)
            image.paste((shade,) * 3, (0, 84, 112, 112))
            image.save(self.root / f"{self.taken:03}.png")
            self.taken += 1

    def scan(self) -> None:
        encoder = ColourEncoder()
        scan(self.root, self.folder, encoder, Halves(), quiet)
        with Album.open(self.folder) as album:
            self.change_gallery(album)
            with Store.open(self.gallery) as gallery:
                recognise(album, gallery)
            arrange(album, "average", self.random.choice([CUT, 0.9, 0.5]), again=self.random.random() < 0.5)
            write_review(album, None, "")

    def change_gallery(self, album: Album) -> None:
        """Somebody enrolls another photo, of whomever, elsewhere."""
        faces, vectors = album.faces_and_vectors()
        if not self.gallery.exists():
            Store.create(self.gallery, album.encoder_id, album.dimension, "colours").close()
        with Store.open(self.gallery) as gallery:
            i = self.random.randrange(len(faces))
            person = self.random.choice(NAMES)
            gallery.faces.add([NewFace(person, f"{self.random.getrandbits(256):064x}", "x.png", vectors[i])])
            gallery.notes.set_threshold(Threshold(0.8, 0.01, "made up", 0, 3, by="best-photo"))

    def review(self) -> None:
        """Some of what one can do, each on a group or faces at random."""
        rows = table_of(self.folder / "review.csv")
        for _ in range(self.random.randint(2, 4)):
            self.random.choice(
                [
                    self.name,
                    self.name,
                    self.refuse,
                    self.put_aside,
                    self.move_out,
                    self.split,
                    self.join,
                    self.name_one,
                ]
            )(rows)
        said = [{key: cell for key, cell in row.items() if key != "done"} for row in rows]
        with Album.open(self.folder) as album:
            apply(album, self.gallery, save_table(self.folder / "said.csv", said), None)

    @staticmethod
    def untouched(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [
            row
            for row in rows
            if row["was"] == f"{row['group'] or '.'} {row['name']}".strip() and not row.get("done")
        ]

    def some_group(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        free = self.untouched(rows)
        labels = sorted({row["group"] for row in free if row["group"]})
        label = self.random.choice(labels) if labels else None
        own = [row for row in rows if row["group"] == label]
        return own if label and all(row in free for row in own) else []

    def name(self, rows: list[dict[str, str]]) -> None:
        """A whole group is named in one of its rows, where it has no name; else in every row."""
        own = self.some_group(rows)
        name = self.random.choice(NAMES)
        if not own or any(name in of_cell(row["not"]).split(" | ") for row in own):
            return
        if any(row["name"] for row in own):
            for row in own:
                row["name"] = name
        else:
            own[-1]["name"] = name
        for row in own:
            self.words.name(row["face"], name)
        for row in own:
            self.words.name(row["face"], name)

    def name_one(self, rows: list[dict[str, str]]) -> None:
        free = [row for row in self.untouched(rows) if not row["group"]]
        if free:
            row, name = self.random.choice(free), self.random.choice(NAMES)
            row["name"] = name
            self.words.name(row["face"], name)

    def refuse(self, rows: list[dict[str, str]]) -> None:
        free = [row for row in self.untouched(rows) if row["suggested"] and not row["name"]]
        for row in self.random.sample(free, min(2, len(free))):
            row["not"] = " | ".join(filter(None, [row["not"], row["suggested"]]))
            self.words.refused.add((row["face"], of_cell(row["suggested"])))
            row["done"] = "1"

    def put_aside(self, rows: list[dict[str, str]]) -> None:
        free = self.untouched(rows)
        if free:
            row = self.random.choice(free)
            row["name"] = "-"
            self.words.forget(row["face"])
            self.words.aside.add(row["face"])

    def taken_out(self, own: list[dict[str, str]], out: list[dict[str, str]]) -> None:
        stay = [row for row in own if row not in out]
        for row in out:
            self.words.forget(row["face"])
            self.words.apart |= {frozenset((row["face"], other["face"])) for other in stay}
            self.words.refused |= {
                (row["face"], of_cell(other["name"])) for other in stay if other["name"] not in "-"
            }

    def move_out(self, rows: list[dict[str, str]]) -> None:
        own = self.some_group(rows)
        if len(own) > 1:
            out = self.random.sample(own, self.random.randint(1, len(own) - 1))
            self.taken_out(own, out)
            for row in out:
                row["group"] = row["name"] = ""
                self.words.alone.add(row["face"])

    def split(self, rows: list[dict[str, str]]) -> None:
        own = self.some_group(rows)
        if len(own) > 2:
            out = self.random.sample(own, 2)
            self.taken_out(own, out)
            label = f"those {self.random.random()}"
            for row in out:
                row["group"], row["name"] = label, ""
            self.words.together.append({row["face"] for row in out})

    def join(self, rows: list[dict[str, str]]) -> None:
        """A face is moved into another group, which has no name."""
        own, others = self.some_group(rows), self.some_group(rows)
        if not own or not others or own[0]["group"] == others[0]["group"] or len(own) < 2:
            return
        if any(row["name"] for row in others):
            return
        row = own[0]
        self.taken_out(own, [row])
        row["group"], row["name"] = others[0]["group"], ""
        faces = {row["face"], *(other["face"] for other in others)}
        self.words.apart -= {frozenset((row["face"], other)) for other in faces}
        self.words.together.append(faces)
        for other in others:
            other["done"] = "1"

    def check(self, out: Path) -> None:
        with Album.open(self.folder) as album:
            faces = {face.key: face for face in album.faces()}
            sort_album(album, out, quiet)
            paths = {file.sha256: file.path for file in album.files().values()}
        words = self.words
        folders = folder_names(NAMES)
        for key, name in words.names.items():
            assert faces[key].name == name and not faces[key].nobody
            assert {face.group for face in faces.values() if face.name == name} == {faces[key].group}
        for key in words.aside:
            assert faces[key].nobody and (faces[key].group, faces[key].person) == (0, "")
        for key in words.alone:
            assert (faces[key].group, faces[key].name) == (0, "")
        people: dict[int, str] = {face.group: face.name for face in faces.values() if face.name}
        for key, name in words.refused:
            face = faces[key]
            assert face.person != name and not (face.known and face.nearest == name)
            assert not face.group or people.get(face.group) != name
            assert not (out / folders[name] / paths[face.sha256]).exists()
        for pair in words.apart:
            one, other = (faces[key] for key in pair)
            assert not one.group or one.group != other.group, (one, other)
        for group in words.together:
            assert len({(faces[key].group, faces[key].name) for key in group}) <= 1
            assert all(faces[key].group for key in group)
        for face in faces.values():
            assert not face.name or words.names.get(face.key) == face.name, "a name that nobody gave"

    def enrolls_nobody(self) -> None:
        with Album.open(self.folder) as album:
            assert apply(album, self.gallery, self.folder / "review.csv", None).enrolled == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_said_is_undone_in_ten_rounds(tmp_path: Path, seed: int):
    person = Reviewer(tmp_path / "album", seed)
    person.new_photos(24)
    person.scan()
    for number in range(ROUNDS):
        person.review()
        person.check(tmp_path / f"out{number}a")
        person.new_photos(person.random.randint(0, 6))
        if person.random.random() < 0.5:  # renamed, and a comment written by another program
            files = sorted(person.root.glob("*.png"))
            path = person.random.choice(files)
            path.rename(path.with_name(f"r{number}-{path.name}"))
        person.scan()
        person.check(tmp_path / f"out{number}b")
        person.enrolls_nobody()
        person.check(tmp_path / f"out{number}c")
    assert np.mean([len(person.words.names), len(person.words.refused), len(person.words.apart)]) > 3
