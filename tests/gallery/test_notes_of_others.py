"""What a gallery notes about itself may come from anybody: it is parsed strictly before anything is added."""

from __future__ import annotations

import gc
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from facesearch.errors import CorruptGallery
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from facesearch.gallery.verify import verify
from tests.helpers.rows import D, face

THRESHOLD = Threshold(0.5, 0.01, "by hand", 300, 60, True, 20, 0.0, 0.02, ((0.4, 0.1), (0.5, 0.01)))


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """A finaliser that runs while 100,000 brackets are read would meet the recursion limit too."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store.create(tmp_path / "theirs", "e" * 64, D, "encoder") as opened:
        opened.faces.add([face("ana", 1)])
        opened.notes.set_threshold(THRESHOLD)
    return opened.folder


def noting(key: str, value: str, path: Path) -> Path:
    with sqlite3.connect(path) as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
    return path


def threshold(**changed: object) -> tuple[str, str]:
    said = {slot: getattr(THRESHOLD, slot) for slot in Threshold.__slots__}
    return "threshold", json.dumps({**said, **changed})


WRONG = [
    threshold(fpir="abc"),
    threshold(fpir=-0.1),
    threshold(score=float("nan")),
    threshold(score=float("inf")),
    threshold(score=True),
    threshold(searches=1.5),
    threshold(faces=-1),
    threshold(people=10**30),
    threshold(low="0"),
    threshold(curve=[[0.4, 0.0]]),
    threshold(curve=[[0.5, 0.1], [0.4, 0.1]]),
    threshold(curve=[[0.5]]),
    threshold(curve=5),
    threshold(curve="ab"),
    threshold(method="\x1b]0;title\x07"),
    threshold(method="right\nmatch: ana 1.000"),
    threshold(by="anything"),
    threshold(on_strangers="yes"),
    threshold(more=1),
    ("threshold", "[]"),
    ("threshold", "[" * 100_000),
    ("threshold", "null"),
    ("erasures", "many"),
    ("erasures", "-1"),
    ("erasures", "\u0661"),
    ("encoder", "an encoder\x1b[2J"),
    ("encoder", "e" * 100_000),
    ("encoder_file", "x" * 100_000),
    ("index", "flat\n"),
    ("erasing", json.dumps({"salt": 1, "digest": "", "faces": 1, "generation": 1})),
    ("erasing", json.dumps({"salt": "a", "digest": "", "faces": "1", "generation": 1})),
    ("detector:\x1b[2J", ""),
    ("dimension", "16.0"),
    ("dimension", "0"),
    ("dimension", "999999999"),
    ("generation", "-5"),
    ("encoder_id", "e\n"),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
@pytest.mark.parametrize("form", ["export", "folder"])
def test_nothing_is_imported_from_a_gallery_with_a_note_that_cannot_be(
    folder: Path, tmp_path: Path, form: str, key: str, value: str
):
    source = tmp_path / "all.facesearch"
    export(folder, source)
    noting(key, value, source if form == "export" else folder / FILE)
    with pytest.raises(CorruptGallery):
        import_into(source if form == "export" else folder, tmp_path / "mine", lambda done, total: None)
    assert not (tmp_path / "mine").exists()


def test_verify_tells_of_such_a_note(folder: Path):
    noting(*threshold(fpir="abc"), folder / FILE)
    assert verify(folder, repair=False).problems == ("its threshold cannot be read",)


def test_right_notes_are_taken(folder: Path, tmp_path: Path):
    assert verify(folder, repair=False).problems == ()
    import_into(folder, tmp_path / "mine", lambda done, total: None)
    with Store.open(tmp_path / "mine") as mine:
        assert mine.notes.threshold() == THRESHOLD and list(mine.notes.wrong()) == []
