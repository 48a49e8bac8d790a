"""The tables of a gallery's file, and whether a file holds them and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from facesearch.gallery.store.database import statements

FILE = "gallery.sqlite"
APPLICATION_ID = 0x66616365
FORMAT = 1
ENCRYPTED_FORMAT = 2
"""The same tables, but rows are encrypted: what reads format 1 only must not take ciphertexts for names."""
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
COUNTERS = "CREATE TABLE sqlite_sequence(name,seq)"
"""SQLite's own, of AUTOINCREMENT."""
ADD_DETECTOR = "ALTER TABLE main.faces ADD COLUMN detector TEXT"


def is_ours(db: sqlite3.Connection) -> bool:
    """Whether this file holds a gallery's tables, to the letter, in one of the three forms they can have, and
    nothing else: no view that never ends, no trigger that keeps what is deleted.
    """
    return _sql_in(db) in _forms()


@cache
def _forms() -> tuple[set[str], ...]:
    """The schema, that of before, and that of before brought up to date."""
    with closing(sqlite3.connect(":memory:")) as altered:
        for statement in (*statements(SCHEMA_BEFORE), ADD_DETECTOR):
            altered.execute(statement)
        return set(statements(SCHEMA)), set(statements(SCHEMA_BEFORE)), _sql_in(altered)


def _sql_in(db: sqlite3.Connection) -> set[str]:
    found = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {row[0] for row in found} - {COUNTERS}
