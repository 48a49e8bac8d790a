"""Export, import, merge: nothing is lost, nothing wrong gets in; and the commands of a gallery's care."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facesearch.errors import CorruptGallery, EncoderMismatch, FacesearchError, NotFound, OutputExists
from facesearch.gallery.index.faiss_index import is_current
from facesearch.gallery.store.rows import NewFace, vector_bytes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from tests.helpers.rows import D, contents, face, unit
from tests.helpers.saying import quiet, refused


@pytest.fixture
def folder(sixty_faces: Path) -> Path:
    return sixty_faces


# ---- export, import, merge


def test_what_was_exported_comes_in_again_to_the_byte(folder: Path, tmp_path: Path):
    done = export(folder, tmp_path / "out.facesearch")
    assert (done.people, done.faces) == (9, 60) and done.bytes == (tmp_path / "out.facesearch").stat().st_size
    assert (tmp_path / "out.facesearch").stat().st_mode & 0o077 == 0
    result = import_into(tmp_path / "out.facesearch", tmp_path / "new", quiet)
    assert (result.added, result.known, result.new_people) == (60, 0, 9) and contents(
        tmp_path / "new"
    ) == contents(folder)
    with Store.open(folder) as one, Store.open(tmp_path / "new") as two:
        assert (
            one.notes.threshold() == two.notes.threshold()
            and two.notes.encoder == "encoder in words"
            and is_current(two)[0]
        )
    again = import_into(tmp_path / "out.facesearch", tmp_path / "new", quiet)
    assert (again.added, again.known, again.new_people) == (0, 60, 0)
    with pytest.raises(OutputExists):
        export(folder, tmp_path / "out.facesearch")


def test_nothing_forgotten_is_exported(folder: Path, tmp_path: Path):
    blob = vector_bytes(unit(3)[0], D)
    with Store.open(folder) as gallery:
        gallery.eraser.delete("person 3")  # and killed before the rest of the erasure
    export(folder, tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    assert blob not in data and b"person 3" not in data and vector_bytes(unit(4)[0], D) in data


def test_merging_another_gallery_adds_its_people_and_photos(folder: Path, tmp_path: Path):
    with Store.create(tmp_path / "other", "e" * 64, D, "x") as other:
        other.faces.add([face("person 1", 1, "1.jpg"), face("person 1", 500), face("Eva", 501)])
    before = contents(tmp_path / "other")
    result = import_into(tmp_path / "other", folder, quiet)
    assert (result.added, result.known, result.new_people, result.people) == (2, 1, 1, 10)
    assert contents(tmp_path / "other") == before and before < contents(folder)
    with Store.open(folder) as gallery:
        assert gallery.notes.threshold() is not None and gallery.notes.threshold().method == "by hand"


def test_vectors_of_another_encoder_do_not_come_in(folder: Path, tmp_path: Path):
    with Store.create(tmp_path / "other", "f" * 64, D, "x") as other:
        other.faces.add([face("Eva", 501)])
    with pytest.raises(EncoderMismatch):
        import_into(tmp_path / "other", folder, quiet)
    assert len(contents(folder)) == 60


def test_one_wrong_row_and_nothing_is_imported(folder: Path, tmp_path: Path):
    export(folder, tmp_path / "out")
    with sqlite3.connect(tmp_path / "out") as db:
        db.execute("UPDATE faces SET source = '../../etc/passwd' || char(10) WHERE face_id = 59")
    with pytest.raises(CorruptGallery, match="face 59"):
        import_into(tmp_path / "out", tmp_path / "new", quiet)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON faces BEGIN DELETE FROM people; END",
        "CREATE VIEW v AS SELECT load_extension('x')",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON faces (source)",
        "ALTER TABLE people ADD COLUMN photo BLOB",
        "PRAGMA application_id = 5",
    ],
)
def test_a_file_with_more_than_a_gallery_in_it_is_refused(folder: Path, tmp_path: Path, sql: str):
    export(folder, tmp_path / "out")
    with sqlite3.connect(tmp_path / "out") as db:
        db.execute(sql)
    with pytest.raises(CorruptGallery, match="no gallery that facesearch exported"):
        import_into(tmp_path / "out", tmp_path / "new", quiet)


def test_what_is_no_export_at_all(tmp_path: Path):
    with refused(NotFound, "facesearch export"):
        import_into(tmp_path / "none", tmp_path / "new", quiet)
    (tmp_path / "text").write_text("not a database" * 1000)
    (tmp_path / "empty").touch()
    for name in ("text", "empty"):
        with pytest.raises(CorruptGallery):
            import_into(tmp_path / name, tmp_path / "new", quiet)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(edits=[(3436, b"\x00\x80")], cut=0)  # SQLite's own message could not be decoded
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6
    ),
    cut=st.integers(0, 3),
)
def test_damaged_exports_never_bring_in_anything_wrong(
    folder: Path, tmp_path: Path, edits: list[tuple[int, bytes]], cut: int
):
    """Bytes overwritten and the end cut off at random: an error of ours, or exactly what was exported."""
    out, new = tmp_path / "out", tmp_path / "new"
    if not out.exists():
        export(folder, out)
        (tmp_path / "whole").write_bytes(out.read_bytes())
    data = bytearray((tmp_path / "whole").read_bytes())
    for place, piece in edits:
        place %= len(data)
        data[place : place + len(piece)] = piece
    out.write_bytes(data[: len(data) - cut * 997])
    for path in new.glob("*") if new.exists() else ():
        path.unlink()
    try:
        import_into(out, new, quiet)
    except FacesearchError:
        return
    brought, expected = contents(new), contents(folder)
    assert {row[3] for row in brought} <= {row[3] for row in expected} and brought <= expected


def test_the_store_takes_bytes_back_unchanged():
    """Half precision in, the same half precision out: importing never moves a vector."""
    for seed in range(50):
        blob = vector_bytes(unit(seed)[0], D)
        assert vector_bytes(np.frombuffer(blob, "<f2").astype(np.float32), D) == blob
    assert isinstance(face("a", 1), NewFace)


# ---- the commands


def test_the_commands(run, folder: Path, tmp_path: Path):
    g = ("--gallery", folder)
    assert run("list", "person 1", *g).stdout.splitlines()[:2] == ["1.jpg", "10.jpg"]
    assert len(json.loads(run("list", "person 1", "--json", *g).stdout)[0]["sha256"]) == 64
    assert run("rename", "person 1", "Eva", *g).stdout == "Eva: 7 photos, enrolled as person 1 until now\n"
    assert "every page, row and checksum is right" in run("verify", *g).stdout
    exported = run("export", "out.fs", *g)
    assert exported.stdout.startswith("out.fs: 60 faces of 9 people") and "biometric" in exported.stderr
    assert (
        run("import", "out.fs", "--gallery", "new").stdout
        == "new: 60 faces added, 0 known already; 9 new people, 9 in all\n"
    )
    assert (
        run("import", folder, "--gallery", "new").stdout
        == "new: 0 faces added, 60 known already; 0 new people, 9 in all\n"
    )
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE faces SET checksum = 0 WHERE face_id = 7")
    damaged = run("verify", *g, code=1)
    assert "face 7: it does not fit its checksum" in damaged.stdout and "in 1 place (" in damaged.stderr
    assert json.loads(run("verify", "--json", *g, code=1).stdout)["problems"]
