"""Rows of an encrypted gallery that somebody changed are named, and never answered."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from facesearch.errors import CorruptGallery, FacesearchError
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.rows import checksum_of
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import import_into
from facesearch.gallery.verify import verify
from tests.helpers.encrypted import KEY, NAMES
from tests.helpers.rows import contents, unit
from tests.helpers.saying import quiet, tell


@pytest.fixture
def folder(sealed: Path) -> Path:
    return sealed


def tampered(folder: Path, sql: str) -> None:
    """Change rows, and give every row the checksum that fits it, as somebody would who does it on purpose."""
    with sqlite3.connect(folder / FILE) as db:
        db.create_function("fits", 4, checksum_of)
        db.execute(sql)
        db.execute(
            "UPDATE faces SET checksum = fits((SELECT name FROM people WHERE person_id = faces.person_id),"
            " sha256, source, vector)"
        )


TAMPERED = {
    "a vector of another row": (
        "UPDATE faces SET vector = (SELECT vector FROM faces WHERE face_id = 9) WHERE face_id = 5"
    ),
    "a photo given to somebody else": "UPDATE faces SET person_id = person_id % 4 + 1 WHERE face_id = 5",
    "a hash of another row": (
        "UPDATE faces SET sha256 = (SELECT sha256 FROM faces WHERE face_id = 9) WHERE face_id = 5"
    ),
    "a source of another row": (
        "UPDATE faces SET source = (SELECT source FROM faces WHERE face_id = 9) WHERE face_id = 5"
    ),
    "a vector in plain": "UPDATE faces SET vector = zeroblob(32) WHERE face_id = 5",
    "a shorter vector": "UPDATE faces SET vector = substr(vector, 1, 40) WHERE face_id = 5",
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_row_that_somebody_changed_is_named_and_never_answered(folder: Path, what: str):
    tampered(folder, TAMPERED[what])
    with Store.open(folder, KEY) as gallery:
        for read in (
            lambda: gallery.faces.by_id([5]),
            gallery.faces.enrolled,
            lambda: open_index(gallery),
            lambda: list(gallery.faces.batches()),
        ):
            with pytest.raises(
                CorruptGallery, match=r"the row of face 5.*does not decrypt with this gallery's key"
            ):
                read()
    (problem,) = verify(folder, repair=True, key=KEY).problems
    assert problem.startswith("face 5: it does not decrypt")
    with pytest.raises(CorruptGallery, match="face 5"):
        import_into(folder, folder.parent / "new", quiet, key=KEY)
    assert not (folder.parent / "new").exists()


def test_two_people_whose_names_were_exchanged(folder: Path):
    with sqlite3.connect(folder / FILE) as db:
        (one,), (two,) = db.execute(
            "SELECT name FROM people WHERE person_id IN (1, 2) ORDER BY person_id"
        ).fetchall()
        db.executemany("UPDATE people SET name = ? WHERE person_id = ?", [(b"", 1), (one, 2), (two, 1)])
    tampered(folder, "SELECT 1")
    problems = verify(folder, repair=True, key=KEY).problems
    assert len(problems) == 20 and all("it does not decrypt" in problem for problem in problems)
    with Store.open(folder, KEY) as gallery, pytest.raises(CorruptGallery):
        nearest_people(gallery, open_index(gallery), unit(0)[0], 1)


def test_a_name_in_plain_in_an_encrypted_gallery(folder: Path):
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE people SET name = 'Mallory' WHERE person_id = 1")
    with Store.open(folder, KEY) as gallery, pytest.raises(CorruptGallery):
        gallery.faces.people()
    assert len(verify(folder, repair=True, key=KEY).problems) == 10


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_noticed_or_of_no_consequence(folder: Path):
    whole, expected = (folder / FILE).read_bytes(), contents(folder, KEY)
    noticed = 0
    for place in range(0, len(whole), 211):
        data = bytearray(whole)
        data[place] ^= 0x55
        (folder / FILE).write_bytes(data)
        try:
            if verify(folder, repair=False, key=KEY).problems:
                noticed += 1
            else:
                assert contents(folder, KEY) == expected, place
        except FacesearchError:
            noticed += 1
    assert noticed > 20


def test_what_cannot_be_read_any_more_can_still_be_forgotten(folder: Path):
    tampered(folder, "UPDATE faces SET vector = randomblob(48) WHERE face_id = 1")
    assert forget(NAMES[0], folder, (), tell, key=KEY)[0].photos == 10
    assert verify(folder, repair=True, key=KEY).problems == ()
