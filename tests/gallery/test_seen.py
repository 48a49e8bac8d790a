"""A row knows its face: that goes where the row goes, lies encrypted where rows do, is erased with it."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from facesearch.errors import CorruptGallery
from facesearch.gallery.encrypt import decrypt, encrypt
from facesearch.gallery.forget import forget
from facesearch.gallery.move import move
from facesearch.gallery.rename import rename
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import ADD_SEEN, APPLICATION_ID, FILE, SCHEMA_BEFORE, SCHEMA_WITHOUT_SEEN
from facesearch.gallery.store.seen import BYTES, read_seen, seen_bytes
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from facesearch.gallery.verify import verify
from facesearch.records import Seen
from tests.helpers.rows import D, face
from tests.helpers.saying import quiet

KEY = Key(bytes(range(32)), "a test")
POINTS = ((40.0, 50.0), (70.0, 51.0), (55.0, 66.0), (43.0, 84.0), (68.0, 85.0))


def seen(seed: int) -> Seen:
    return Seen((10.5 + seed, 20.0, 80.0, 100.25), POINTS, 0.875, 123.5, 7.25)


def known(person: str, seed: int) -> NewFace:
    return replace(face(person, seed, f"{seed}.jpg"), detector="yunet 2026may", seen=seen(seed))


def of(folder: Path, person: str, key: Key | None = None) -> dict[str, Seen]:
    """What is known of somebody's photos, by their names."""
    with Store.open(folder, key) as gallery:
        ids = gallery.faces.ids([person]).tolist()
        names, facts = gallery.faces.by_id(ids), gallery.faces.seen(ids)
        return {names[face_id].source: value for face_id, value in facts.items()}


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> Key | None:
    found: Key | None = request.param
    return found


@pytest.fixture
def folder(tmp_path: Path, key: Key | None) -> Path:
    with Store.create(tmp_path / "g", "e" * 64, D, "x", key) as gallery:
        gallery.faces.add([known("ana", 1), known("ana", 2), known("ben", 3), face("ben", 4, "4.jpg")])
    return tmp_path / "g"


def test_bytes_and_back_and_nothing_else():
    assert read_seen(seen_bytes(seen(1))) == seen(1) and len(seen_bytes(seen(1))) == BYTES
    aligned = Seen((0.0, 0.0, 178.0, 218.0))
    assert read_seen(seen_bytes(aligned)) == aligned
    data = seen_bytes(seen(1))
    for bad in (b"", data[:-1], data + b"x", None, "text", 5, bytes(BYTES), data[:20] + b"\xff" + data[21:]):
        with pytest.raises(ValueError, match="what is known of the face"):
            read_seen(bad)
    for wrong in (
        replace(seen(1), box=(0.0, 0.0, 0.0, 5.0)),
        replace(seen(1), box=(float("nan"), 0.0, 5.0, 5.0)),
        replace(seen(1), score=1.5),
        replace(seen(1), length=-1.0),
        replace(seen(1), landmarks=POINTS[:2]),
    ):
        with pytest.raises((ValueError, struct.error)):
            seen_bytes(wrong)


def test_it_goes_wherever_the_row_goes(folder: Path, tmp_path: Path, key: Key | None):
    assert of(folder, "ana", key) == {"1.jpg": seen(1), "2.jpg": seen(2)}
    assert of(folder, "ben", key) == {"3.jpg": seen(3)}
    rename("ana", "eva", folder, join=False, key=key)
    assert of(folder, "eva", key) == {"1.jpg": seen(1), "2.jpg": seen(2)}
    rename("eva", "ben", folder, join=True, key=key)
    assert of(folder, "ben", key) == {"1.jpg": seen(1), "2.jpg": seen(2), "3.jpg": seen(3)}
    move("ben", {f"{2:064x}"}, "cleo", folder, lambda line: None, key=key)
    assert of(folder, "cleo", key) == {"2.jpg": seen(2)}
    export(folder, tmp_path / "out", key=key)
    import_into(tmp_path / "out", tmp_path / "other", quiet, key)
    assert of(tmp_path / "other", "ben", key) == {"1.jpg": seen(1), "3.jpg": seen(3)}
    assert verify(folder, repair=False, key=key).problems == ()


def test_another_key_and_none(folder: Path, key: Key | None):
    if key is None:
        encrypt(folder, KEY)
        assert of(folder, "ana", KEY) == {"1.jpg": seen(1), "2.jpg": seen(2)}
        raw = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
        assert seen_bytes(seen(1))[4:40] not in raw
    else:
        decrypt(folder, key)
        assert of(folder, "ana") == {"1.jpg": seen(1), "2.jpg": seen(2)}


def test_it_is_erased_with_the_row(folder: Path, key: Key | None):
    with sqlite3.connect(folder / FILE) as db:
        (gone,) = db.execute("SELECT seen FROM faces WHERE face_id = 1").fetchone()
        (kept,) = db.execute("SELECT seen FROM faces WHERE face_id = 3").fetchone()
    forget("ana", folder, (), lambda line: None, key=key)
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert gone[4:40] not in raw and kept[4:40] in raw


@pytest.mark.parametrize("schema", [SCHEMA_BEFORE, SCHEMA_WITHOUT_SEEN])
def test_a_gallery_of_before_gets_a_place_for_it(tmp_path: Path, schema: str):
    meta = {"format": 1, "encoder_id": "e" * 64, "dimension": D, "encoder": "x", "generation": 0}
    Database.create(tmp_path / "g" / FILE, APPLICATION_ID, schema, meta)
    with Store.open(tmp_path / "g") as gallery:
        gallery.faces.add([face("ana", 1, "1.jpg")])
        assert gallery.faces.seen([1]) == {}
        gallery.faces.add([known("ana", 2)])
        assert gallery.faces.seen([1, 2]) == {2: seen(2)}
        assert gallery.faces.fill_seen({("ana", f"{1:064x}", "1.jpg"): seen(1)}) == 1
        assert gallery.faces.fill_seen({("ana", f"{2:064x}", "2.jpg"): seen(9)}) == 0
        assert gallery.faces.seen([1, 2]) == {1: seen(1), 2: seen(2)}
    assert verify(tmp_path / "g", repair=False).problems == ()


def test_what_is_changed_by_one_bit_or_moved_is_found(folder: Path, key: Key | None):
    with sqlite3.connect(folder / FILE) as db:
        (data,) = db.execute("SELECT seen FROM faces WHERE face_id = 1").fetchone()
        db.execute(
            "UPDATE faces SET seen = ? WHERE face_id = 1", (data[:9] + bytes([data[9] ^ 1]) + data[10:],)
        )
    (problem,) = verify(folder, repair=False, key=key).problems
    assert "face 1" in problem
    with pytest.raises(CorruptGallery):
        of(folder, "ana", key)
    if key is not None:
        with sqlite3.connect(folder / FILE) as db:
            db.execute("UPDATE faces SET seen = (SELECT seen FROM faces WHERE face_id = 3) WHERE face_id = 1")
        (problem,) = verify(folder, repair=False, key=key).problems
        assert "face 1" in problem


@pytest.mark.parametrize("change", [f"{ADD_SEEN} DEFAULT x'00'", ADD_SEEN.replace("BLOB", "TEXT")])
def test_no_other_form_is_taken(tmp_path: Path, change: str):
    meta = {"format": 1, "encoder_id": "e" * 64, "dimension": D, "encoder": "x", "generation": 0}
    Database.create(tmp_path / "g" / FILE, APPLICATION_ID, SCHEMA_WITHOUT_SEEN, meta)
    with sqlite3.connect(tmp_path / "g" / FILE) as db:
        db.execute(change)
    with pytest.raises(CorruptGallery):
        Store.open(tmp_path / "g")
