"""Albums of format 1, as version 0.1.0 wrote them, are brought up to date without loss."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facesearch.album.album import FILE, Album
from tests.helpers.album import as_format_1


def test_an_album_of_format_1_becomes_one_of_format_2_and_nothing_is_lost(found: Path):
    with Album.open(found) as album:
        faces, files = album.faces(), album.files()
    as_format_1(found)
    with Album.open(found) as album:
        assert album.faces() == faces and album.files() == files
        assert album.value("format") == "2" and album.pictures() == {}


def test_where_nothing_may_be_written_an_album_of_format_1_is_read_as_it_is(
    found: Path, monkeypatch: pytest.MonkeyPatch
):
    from facesearch.gallery.store import database

    with Album.open(found) as album:
        faces, files = album.faces(), album.files()
    as_format_1(found)
    with closing(sqlite3.connect(found / FILE)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    before = (found / FILE).read_bytes()
    monkeypatch.setattr(database.os, "access", lambda path, mode: False)
    with Album.open(found) as album:
        assert album.faces() == faces and album.files() == files
        assert not album.said.of(faces).refused and album.pictures() == {}
    assert (found / FILE).read_bytes() == before
