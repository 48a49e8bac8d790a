"""SQLite as a gallery uses it: how it is opened, and what it reports, said in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from facesearch.errors import CannotWrite, CorruptGallery, GalleryBusy, writing
from facesearch.files import OWNER_ONLY, make_folder

FILE = "gallery.sqlite"
WAIT_S = 30.0
APPLICATION_ID = 0x66616365
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE people (person_id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE faces (
  face_id INTEGER PRIMARY KEY AUTOINCREMENT,
  person_id INTEGER NOT NULL REFERENCES people,
  sha256 TEXT NOT NULL,
  source TEXT NOT NULL,
  vector BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  detector TEXT,
  UNIQUE (person_id, sha256, source)
);
"""
SCHEMA_BEFORE = SCHEMA.replace("  detector TEXT,\n", "")
"""Of galleries made before rows noted what found the face; ADD_DETECTOR brings them up to date."""
ADD_DETECTOR = "ALTER TABLE main.faces ADD COLUMN detector TEXT"


def connect(path: Path) -> sqlite3.Connection:
    """Open for reading and writing; what is deleted will be overwritten."""
    db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def new_file(path: Path, application_id: int, schema: str, meta: dict[str, object]) -> None:
    """Make an empty file of these tables, its owner's alone, with a description; one that is there already stays as it is.

    Raises CannotWrite, and what SQLite reports.
    """
    make_folder(path.parent)
    with writing(path):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, OWNER_ONLY))
    with closing(connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            db.execute(f"PRAGMA application_id = {application_id}")
            for statement in statements(schema):
                db.execute(statement)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(key, str(value)) for key, value in meta.items()])
        db.execute("COMMIT")


def statements(schema: str) -> list[str]:
    """A schema's statements one by one, as SQLite keeps them."""
    return [statement.strip() for statement in schema.split(";\n") if statement.strip()]


def is_ours(db: sqlite3.Connection) -> bool:
    """Whether this file holds a gallery's tables, to the letter, in one of the three forms they can have, and nothing else."""
    there = _sql_in(db)
    if there in (set(statements(SCHEMA)), set(statements(SCHEMA_BEFORE))):
        return True
    with closing(sqlite3.connect(":memory:")) as altered:
        for statement in (*statements(SCHEMA_BEFORE), ADD_DETECTOR):
            altered.execute(statement)
        return there == _sql_in(altered)


def _sql_in(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence'")}


def read_only(path: Path) -> sqlite3.Connection:
    """Open a file that nobody writes, in a place where nothing may be written: not even WAL's own files are made."""
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True, isolation_level=None)


def change_meta(path: Path, key: str, change: Callable[[str], str]) -> None:
    """Rewrite a note, where there is one, in a gallery's file that nobody else has open."""
    with closing(connect(path)) as db:
        for (value,) in db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchall():
            db.execute("UPDATE meta SET value = ? WHERE key = ?", (change(value), key))


def without_meta(path: Path, *patterns: str) -> None:
    """Take the notes whose keys fit these GLOB patterns out of a gallery's file that nobody else has open."""
    with closing(connect(path)) as db:
        db.executemany("DELETE FROM meta WHERE key GLOB ?", [(pattern,) for pattern in patterns])


@contextmanager
def sqlite_errors(folder: Path) -> Iterator[None]:
    """Say in our words what SQLite reports."""
    path = folder / FILE
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise GalleryBusy(folder, WAIT_S) from error
        if "full" in text:
            raise CannotWrite(path, "the disk is full") from error
        if "readonly" in text or "unable to open" in text or "permission" in text:
            raise CannotWrite(path, "the folder or the file is read-only") from error
        if "malformed" in text or "no such table" in text or "no such column" in text:
            raise CorruptGallery(folder, text) from error
        raise CannotWrite(path, text) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes what it could not read
        raise CorruptGallery(folder, "it holds text that is not UTF-8") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.NotSupportedError):
            raise
        raise CorruptGallery(folder, str(error)) from error
