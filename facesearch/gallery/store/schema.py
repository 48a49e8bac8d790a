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
PHOTOS_SCHEMA = """
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
  seen BLOB,
  UNIQUE (person_id, sha256, source)
);
"""
SCHEMA_WITHOUT_SEEN = PHOTOS_SCHEMA.replace("  seen BLOB,\n", "")
"""Of galleries made before rows knew their face; ADD_SEEN brings them up to date."""
SCHEMA_BEFORE = SCHEMA_WITHOUT_SEEN.replace("  detector TEXT,\n", "")
"""Of galleries made before rows noted what found the face; ADD_DETECTOR brings them up to date."""
ADD_TEMPLATES = """CREATE TABLE templates (
  template_id INTEGER PRIMARY KEY AUTOINCREMENT,
  person_id INTEGER NOT NULL UNIQUE REFERENCES people,
  photos INTEGER NOT NULL,
  vector BLOB NOT NULL,
  checksum INTEGER NOT NULL
)"""
"""What galleries made before they kept templates lack."""
SCHEMA = f"{PHOTOS_SCHEMA}{ADD_TEMPLATES};\n"
COUNTERS = "CREATE TABLE sqlite_sequence(name,seq)"
"""SQLite's own, of AUTOINCREMENT."""
ADD_DETECTOR = "ALTER TABLE main.faces ADD COLUMN detector TEXT"
ADD_SEEN = "ALTER TABLE main.faces ADD COLUMN seen BLOB"
"""After the detector, always."""


def is_ours(db: sqlite3.Connection) -> bool:
    """Whether this file holds a gallery's tables, to the letter, in one of the forms they can have, and
    nothing else: no view that never ends, no trigger that keeps what is deleted.
    """
    return _sql_in(db) in _forms()


@cache
def _forms() -> tuple[set[str], ...]:
    """The schema, those of before, and those of before brought up to date; each with templates or without."""
    forms = [set(statements(PHOTOS_SCHEMA))]
    for before, steps in ((SCHEMA_BEFORE, (ADD_DETECTOR, ADD_SEEN)), (SCHEMA_WITHOUT_SEEN, (ADD_SEEN,))):
        with closing(sqlite3.connect(":memory:")) as altered:
            for statement in statements(before):
                altered.execute(statement)
            forms.append(_sql_in(altered))
            for step in steps:
                altered.execute(step)
                forms.append(_sql_in(altered))
    return (*forms, *(form | {ADD_TEMPLATES} for form in forms))


def _sql_in(db: sqlite3.Connection) -> set[str]:
    found = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {row[0] for row in found} - {COUNTERS}
