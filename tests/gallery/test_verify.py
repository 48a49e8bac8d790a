"""Verify: a whole gallery is found whole, and whatever is wrong is named or mended."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from facesearch.errors import FacesearchError
from facesearch.gallery.index.faiss_index import is_current
from facesearch.gallery.store.rows import checksum_of
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers.rows import contents, face, unit


@pytest.fixture
def folder(sixty_faces: Path) -> Path:
    return sixty_faces


def test_a_whole_gallery_is_found_whole(folder: Path):
    result = verify(folder, repair=True)
    assert (result.people, result.faces, result.problems, result.index, result.mended) == (9, 60, (), "", ())


def test_an_index_that_is_not_right_is_made_anew_unless_forbidden(folder: Path):
    next(folder.glob("*.faiss")).write_bytes(b"not an index")
    assert "damaged" in verify(folder, repair=False).index and "damaged" in verify(folder, repair=False).index
    assert verify(folder, repair=True).mended == ("rebuilt the index",)
    with Store.open(folder) as gallery:
        assert is_current(gallery)[0]
        gallery.faces.add([face("new", 1000)])
    assert "1 face newer" in verify(folder, repair=True).index and verify(folder, repair=True).index == ""


def test_an_interrupted_erasure_is_carried_to_its_end(folder: Path):
    with Store.open(folder) as gallery:
        gallery.eraser.delete("person 3")
    assert "erasure" in verify(folder, repair=True).mended[0]
    with Store.open(folder) as gallery:
        assert gallery.notes.unfinished() is None


WRONG = {
    "its vector has 30 bytes": "UPDATE faces SET vector = substr(vector, 1, 30) WHERE face_id = 5",
    "checksum": "UPDATE faces SET checksum = checksum + 1 WHERE face_id = 5",
    "content hash": "UPDATE faces SET sha256 = 'abc' WHERE face_id = 5",
    "not of the right kinds": "UPDATE faces SET vector = 'text' WHERE face_id = 5",
    "has no photo": "INSERT INTO people (name) VALUES ('nobody')",
    "refers to nobody": "UPDATE faces SET person_id = 77 WHERE face_id = 5",
    "control character": "UPDATE people SET name = 'a' || char(7) || 'b' WHERE person_id = 3",
}


@pytest.mark.parametrize("problem", WRONG)
def test_whatever_is_wrong_is_named(folder: Path, problem: str):
    with sqlite3.connect(folder / FILE) as db:
        db.execute(WRONG[problem])
    assert any(problem in line for line in verify(folder, repair=True).problems)


def test_a_vector_of_another_length_is_noticed_even_with_a_right_checksum(folder: Path):
    blob = (unit(1)[0] * 3).astype("<f2").tobytes()
    with sqlite3.connect(folder / FILE) as db:
        name, sha256, source = db.execute(
            "SELECT name, sha256, source FROM faces JOIN people USING (person_id) WHERE face_id = 5"
        ).fetchone()
        db.execute(
            "UPDATE faces SET vector = ?, checksum = ? WHERE face_id = 5",
            (blob, checksum_of(name, sha256, source, blob)),
        )
    (problem,) = verify(folder, repair=True).problems
    assert problem.startswith("face 5: its vector has the length 3.00")


@pytest.mark.slow
def test_a_byte_flipped_anywhere_in_the_file_is_noticed_or_of_no_consequence(folder: Path):
    """Every 97th byte in turn: either verify or opening complains, or everything that is enrolled reads as
    before.
    """
    whole, expected = (folder / FILE).read_bytes(), contents(folder)
    noticed = 0
    for place in range(0, len(whole), 97):
        data = bytearray(whole)
        data[place] ^= 0x55
        (folder / FILE).write_bytes(data)
        try:
            if verify(folder, repair=False).problems:
                noticed += 1
            else:
                assert contents(folder) == expected, place
        except FacesearchError:
            noticed += 1
    assert noticed > 20


def test_in_a_folder_that_cannot_be_written_no_index_is_said_to_be_rebuilt(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    verify(folder, repair=True)
    before = {path.name: path.read_bytes() for path in folder.glob("vectors*")}
    monkeypatch.setattr("facesearch.gallery.index.files.os.access", lambda *asked: False)
    (said, *_) = verify(folder, repair=True, rebuild=True).mended
    assert "cannot be written" in said and "in memory only" in said and "rebuilt" not in said
    assert {path.name: path.read_bytes() for path in folder.glob("vectors*")} == before
