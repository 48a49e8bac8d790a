"""What is said of photos that were just enrolled: poor ones, and those that speak against their name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesearch.answers import EnrolmentWarning
from facesearch.encoder.stream import Cropped
from facesearch.faces.align import TEMPLATE
from facesearch.faces.found_by import SHIPPED
from facesearch.gallery import doubts as job
from facesearch.gallery.enroll import Enrolled, enroll
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.records import F32, U8
from tests.helpers.saying import quiet

AHEAD = tuple((float(x), float(y)) for x, y in TEMPLATE)
D = 32


class Given:
    """An encoder whose vectors are told by the crops' first pixel: a person's direction, and so much of
    another one's. Its table of strangers' scores is that of no real one."""

    encoder_id, dimension, words = "d" * 64, D, "given"

    def __init__(self, notes: dict[str, object]) -> None:
        self.notes = notes

    def embed(self, crops: U8) -> F32:
        vectors = np.zeros((len(crops), D), np.float32)
        for row, (person, other, part) in zip(vectors, crops[:, 0, 0].tolist(), strict=True):
            row[person] += 1
            row[other] += part / 100
            row[D - 1] += 0.3 * (person % 3)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


TABLE = {"impostors": [[0.1, 0.1], [0.01, 0.2], [0.003, 0.3], [1e-3, 0.35], [1e-4, 0.45]]}


def face(name: str, person: int, other: int = 0, part: int = 0, **known: object) -> Cropped:
    """A face like that person's, and so much (in hundredths) like the other's; sharp."""
    crop = np.random.default_rng(len(name)).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    crop[0, 0] = person, other, part
    facts = {"landmarks": AHEAD, "score": 0.93, "box": (0.0, 0.0, 90.0, 110.0)} | known
    sha256 = f"{abs(hash((name, person, other, part))):064x}"[:64]
    return Cropped(Path(name), sha256, crop, 1, 1, found_by=SHIPPED, **facts)  # type: ignore[arg-type]


def enrolled(folder: Path, photos: list[tuple[str, Cropped]], notes: dict[str, object] = TABLE) -> Enrolled:
    return enroll(photos, folder, Given(notes), None, largest=False, fpir=None, progress=quiet)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Ana, Ben and Eva with four photos each, and a threshold."""
    photos = [
        (name, face(f"{name}{i}.jpg", number, 20 + i, 15 + 5 * i))
        for number, name in enumerate(("Ana", "Ben", "Eva"), 1)
        for i in range(4)
    ]
    assert enrolled(tmp_path / "g", photos).warnings == ()
    with Store.open(tmp_path / "g") as gallery:
        gallery.notes.set_threshold(Threshold(0.6, 0.01, "by hand", 100, 12))
    return tmp_path / "g"


def told(result: Enrolled) -> list[tuple[str, str, str]]:
    return [(warning.person, warning.photo, warning.kind) for warning in result.warnings]


def test_ordinary_photos_are_not_warned_about(people: Path):
    more = [
        ("Ana", face("more.jpg", 1, 25, 30)),
        ("Ida", face("ida.jpg", 7)),
        ("Ida", face("ida2.jpg", 7, 9, 20)),
    ]
    assert enrolled(people, more).warnings == ()


def test_each_kind_is_told_and_the_photo_is_enrolled_all_the_same(people: Path):
    photos = [
        ("Ben", face("small.jpg", 2, 25, 20, box=(0.0, 0.0, 12.0, 15.0))),
        ("Ben", face("of-eva.jpg", 3, 26, 40)),
        ("Ben", face("nobody.jpg", 9)),
        ("Ida", face("ana0-again.jpg", 1, 20, 15)),
        ("Uli", face("like-ana.jpg", 1, 27, 60)),
    ]
    result = enrolled(people, photos)
    assert result.added == {"Ben": 3, "Ida": 1, "Uli": 1}
    assert told(result) == [
        ("Ben", "small.jpg", "poor"),
        ("Ben", "of-eva.jpg", "nearer"),
        ("Ben", "nobody.jpg", "unlike"),
        ("Ida", "ana0-again.jpg", "twice"),
        ("Uli", "like-ana.jpg", "nearer"),
    ]
    reasons = [warning.reason for warning in result.warnings]
    assert reasons[0] == "a poor photo: small" and "Eva" in reasons[1] and "Ben's other photos" in reasons[1]
    assert "6 other photos" in reasons[2] and "Ana0.jpg is the same picture" in reasons[3]
    assert "of Ana" in reasons[4] and "other photos" not in reasons[4]


def test_photos_of_one_go_are_compared_with_each_other_too(tmp_path: Path):
    """A whole folder is enrolled at once: nobody was there before."""
    photos = [("Ana", face(f"a{i}.jpg", 1, 20 + i, 60)) for i in range(4)]
    photos += [("Ben", face(f"b{i}.jpg", 2, 20 + i, 60)) for i in range(4)] + [
        ("Ben", face("odd.jpg", 1, 9, 60))
    ]
    photos += [("Eva", face("a0-again.jpg", 1, 20, 60))]
    found = told(enrolled(tmp_path / "g", photos))
    assert ("Ben", "odd.jpg", "nearer") in found and ("Eva", "a0-again.jpg", "twice") in found
    assert ("Ana", "a0.jpg", "twice") in found and len(found) == 3


def test_two_faces_of_one_photo_are_not_the_same_picture(tmp_path: Path):
    one, two = face("party.jpg", 1), face("party.jpg", 2)
    object.__setattr__(two, "sha256", one.sha256)
    assert enrolled(tmp_path / "g", [("Ana", one), ("Ben", two)]).warnings == ()


def test_without_a_table_and_a_threshold_nothing_is_said_of_resemblance(tmp_path: Path):
    photos = [("Ana", face("a.jpg", 1)), ("Ana", face("b.jpg", 1, 9, 20)), ("Ana", face("c.jpg", 5))]
    assert enrolled(tmp_path / "g", photos, {}).warnings == ()


def test_a_persons_only_photo_is_not_unlike_anything(people: Path):
    assert told(enrolled(people, [("Ida", face("i.jpg", 9)), ("Uli", face("u.jpg", 10))])) == []
    assert told(enrolled(people, [("Ida", face("i2.jpg", 11))])) == []  # two, and nobody can say which is odd


def test_each_photo_is_searched_once(people: Path, monkeypatch: pytest.MonkeyPatch):
    searched: list[int] = []

    class Counting:
        def __init__(self, gallery: Store) -> None:
            self._index = open_index(gallery)

        def __len__(self) -> int:
            return len(self._index)

        def search(self, queries: F32, k: int) -> object:
            searched.append(len(queries))
            return self._index.search(queries, k)

    monkeypatch.setattr(job, "open_index", Counting)
    enrolled(people, [("Ida", face(f"{i}.jpg", 9, 20 + i % 8, 10 + i)) for i in range(40)])
    assert sum(searched) == 40 and len(searched) == 1


def test_a_warning_tells_its_photo_as_it_was_given(people: Path):
    (warning,) = enrolled(people, [("Ben", face("in/a/folder.jpg", 2, 25, 20, score=0.71))]).warnings
    assert warning == EnrolmentWarning(
        "Ben", "in/a/folder.jpg", "poor", "a poor photo: the detector is unsure"
    )
