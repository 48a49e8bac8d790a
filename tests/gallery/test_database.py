"""One SQLite file of ours: transactions are whole or nothing, what SQLite reports is said in our words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from facesearch.errors import CannotWrite, CorruptAlbum, CorruptGallery, GalleryBusy
from facesearch.gallery.store import database as module
from facesearch.gallery.store.database import Database, statements

OURS, SCHEMA = 0x1234, "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Database.create(tmp_path / "d" / "x.sqlite", OURS, SCHEMA, {"a": 1, "b": "two"})
    return tmp_path / "d" / "x.sqlite"


def opened(path: Path, **more: object) -> Database:
    return Database.open(path, OURS, said="it is none of ours", **more)  # type: ignore[arg-type]


def test_it_is_made_once_and_is_its_owners_alone(path: Path):
    Database.create(path, OURS, SCHEMA, {"a": 2})
    database = opened(path)
    assert database.all("SELECT key, value FROM meta ORDER BY key") == [("a", "1"), ("b", "two")]
    assert path.stat().st_mode & 0o077 == 0 and database.one("PRAGMA secure_delete") == 1
    assert statements(SCHEMA) == [SCHEMA.strip().rstrip(";")]


def test_a_transaction_that_fails_changes_nothing(path: Path):
    database = opened(path)
    with pytest.raises(ZeroDivisionError), database.transaction() as db:
        db.execute("DELETE FROM meta")
        raise ZeroDivisionError
    assert database.one("SELECT count(*) FROM meta") == 2
    with database.transaction() as db:
        db.execute("DELETE FROM meta WHERE key = 'a'")
    assert database.one("SELECT count(*) FROM meta") == 1


def test_reading_is_of_one_moment(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAIT_S", 0.2)  # so long the one that cuts waits for the one that reads
    database, other = opened(path), opened(path)
    with database.reading():
        assert database.one("SELECT count(*) FROM meta") == 2
        other.run("DELETE FROM meta")
        assert database.one("SELECT count(*) FROM meta") == 2
        assert not other.cut_log()  # somebody reads what was there before
    assert database.one("SELECT count(*) FROM meta") == 0 and other.cut_log()


def test_many_ids_are_asked_for_in_parts(path: Path):
    database = opened(path)
    database.run("CREATE TABLE numbers (face_id INTEGER PRIMARY KEY)")
    with database.transaction() as db:
        db.executemany("INSERT INTO numbers VALUES (?)", [(i,) for i in range(2000)])
    found = [row[0] for row in database.of_ids("SELECT face_id FROM numbers", [*range(1500), 9999])]
    assert found == list(range(1500)) and list(database.of_ids("SELECT face_id FROM numbers", [])) == []


def test_another_file_is_let_go_whatever_happens(path: Path, tmp_path: Path):
    Database.create(tmp_path / "y.sqlite", OURS, SCHEMA, {"c": 3})
    database = opened(path)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), database.attached(tmp_path / "y.sqlite", "next"):
            assert database.one("SELECT value FROM next.meta") == "3"
            raise ZeroDivisionError


@pytest.mark.parametrize("corrupt", [CorruptGallery, CorruptAlbum])
def test_damage_is_said_of_what_the_file_is(path: Path, corrupt: type[Exception]):
    database = opened(path, corrupt=corrupt)
    with pytest.raises(corrupt, match="no such table"):
        database.all("SELECT * FROM faces")
    with pytest.raises(corrupt, match="none of ours"):
        Database.open(path, 7, corrupt, said="it is none of ours")  # type: ignore[arg-type]
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO meta VALUES ('text', CAST(x'ff' AS TEXT))")
    with pytest.raises(corrupt, match="not UTF-8"):
        database.all("SELECT * FROM meta")
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(corrupt, match="not a database"):
        opened(path, corrupt=corrupt)


def test_a_writer_beside_another_is_busy_and_a_full_disk_is_said(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    one, two = opened(path), opened(path)
    with one.transaction(), pytest.raises(GalleryBusy), two.transaction():
        pass
    one.run("PRAGMA max_page_count = 1")
    with pytest.raises(CannotWrite, match="the disk is full"):
        one.run("INSERT INTO meta VALUES ('long', ?)", "x" * 100_000)
    with pytest.raises(sqlite3.ProgrammingError):  # a fault of ours keeps its traceback
        one.all("SELECT ?", 1, 2)
