"""Verify, rename, export, import, merge: nothing is lost, nothing wrong gets in."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facesearch.errors import (
    BadName,
    CorruptGallery,
    EncoderMismatch,
    FacesearchError,
    NameTaken,
    NotFound,
    OutputExists,
    UnknownPerson,
)
from facesearch.gallery.faiss_index import is_current, open_index, refresh
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.rows import NewFace, Threshold, checksum_of, vector_bytes
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs.care import export, import_into, rename, verify
from tests.conftest import refused
from tests.test_store import D, face, unit


def quiet(done: int, total: int) -> None:
    pass


def contents(folder: Path) -> set[tuple[str, str, str, bytes]]:
    with Gallery.open(folder) as gallery:
        return {(name, sha256, source, blob) for rows in gallery.batches(7) for _, name, sha256, source, blob, _ in rows}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "g", "e" * 64, D, "encoder in words") as gallery:
        gallery.add([face(f"person {i % 9}", i, f"{i}.jpg") for i in range(60)])
        gallery.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 60, True, 20, 0.0, 0.02, ((0.4, 0.1), (0.5, 0.01))))
        refresh(gallery, "test")
    return tmp_path / "g"


# ---- verify


def test_a_whole_gallery_is_found_whole(folder: Path):
    result = verify(folder, repair=True)
    assert (result.people, result.faces, result.problems, result.index, result.mended) == (9, 60, (), "", ())


def test_an_index_that_is_not_right_is_made_anew_unless_forbidden(folder: Path):
    next(folder.glob("*.faiss")).write_bytes(b"not an index")
    assert "damaged" in verify(folder, repair=False).index and "damaged" in verify(folder, repair=False).index
    assert verify(folder, repair=True).mended == ("the index was made anew",)
    with Gallery.open(folder) as gallery:
        assert is_current(gallery)[0]
        gallery.add([face("new", 1000)])
    assert "1 faces newer" in verify(folder, repair=True).index and verify(folder, repair=True).index == ""


def test_an_interrupted_erasure_is_carried_to_its_end(folder: Path):
    with Gallery.open(folder) as gallery:
        gallery.forget("person 3")
    assert "erasure" in verify(folder, repair=True).mended[0]
    with Gallery.open(folder) as gallery:
        assert gallery.unfinished() is None


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
        db.execute("UPDATE faces SET vector = ?, checksum = ? WHERE face_id = 5", (blob, checksum_of(name, sha256, source, blob)))
    (problem,) = verify(folder, repair=True).problems
    assert problem.startswith("face 5: its vector has the length 3.00")


def test_a_byte_flipped_anywhere_in_the_file_is_noticed_or_of_no_consequence(folder: Path):
    """Every 97th byte in turn: either verify or opening complains, or everything that is enrolled reads as before."""
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


# ---- rename


def test_a_new_name_for_all_photos_and_the_old_one_is_gone(folder: Path):
    assert rename("person 4", "Zoe\u0301 Zanzibar", folder, join=False) == 7
    assert all(b"person 4" not in path.read_bytes() for path in folder.iterdir())
    with Gallery.open(folder) as gallery:
        assert nearest_people(gallery, open_index(gallery), unit(4)[0], 1)[0].person == "Zoé Zanzibar"
        with pytest.raises(UnknownPerson):
            gallery.forget("person 4")
    assert verify(folder, repair=True).problems == ()


def test_two_people_become_one_only_when_that_is_asked_for(folder: Path):
    with Gallery.open(folder) as gallery:
        gallery.add([face("person 1", 2, "2.jpg")])  # a photo that both have
    with refused(NameTaken, "--join"):
        rename("person 2", "person 1", folder, join=False)
    rename("person 2", "person 1", folder, join=True)
    with Gallery.open(folder) as gallery:
        counts = {p.name: p.faces for p in gallery.people()}
    assert "person 2" not in counts and counts["person 1"] == 14 and sum(counts.values()) == 60
    assert verify(folder, repair=True).problems == ()


def test_a_name_that_cannot_be_and_somebody_unknown(folder: Path):
    before = contents(folder)
    with pytest.raises(BadName):
        rename("person 1", "a\nb", folder, join=False)
    with pytest.raises(UnknownPerson, match="Did you mean"):
        rename("persn 1", "x", folder, join=False)
    assert rename("person 1", "person 1", folder, join=False) == 7 and contents(folder) == before


# ---- export, import, merge


def test_what_was_exported_comes_in_again_to_the_byte(folder: Path, tmp_path: Path):
    done = export(folder, tmp_path / "out.facesearch")
    assert (done.people, done.faces) == (9, 60) and done.bytes == (tmp_path / "out.facesearch").stat().st_size
    assert (tmp_path / "out.facesearch").stat().st_mode & 0o077 == 0
    result = import_into(tmp_path / "out.facesearch", tmp_path / "new", quiet)
    assert (result.added, result.known, result.new_people) == (60, 0, 9) and contents(tmp_path / "new") == contents(folder)
    with Gallery.open(folder) as one, Gallery.open(tmp_path / "new") as two:
        assert one.threshold() == two.threshold() and two.encoder == "encoder in words" and is_current(two)[0]
    again = import_into(tmp_path / "out.facesearch", tmp_path / "new", quiet)
    assert (again.added, again.known, again.new_people) == (0, 60, 0)
    with pytest.raises(OutputExists):
        export(folder, tmp_path / "out.facesearch")


def test_nothing_forgotten_is_exported(folder: Path, tmp_path: Path):
    blob = vector_bytes(unit(3)[0], D)
    with Gallery.open(folder) as gallery:
        gallery.forget("person 3")  # and killed before the rest of the erasure
    export(folder, tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    assert blob not in data and b"person 3" not in data and vector_bytes(unit(4)[0], D) in data


def test_merging_another_gallery_adds_its_people_and_photos(folder: Path, tmp_path: Path):
    with Gallery.create(tmp_path / "other", "e" * 64, D, "x") as other:
        other.add([face("person 1", 1, "1.jpg"), face("person 1", 500), face("Eva", 501)])
    before = contents(tmp_path / "other")
    result = import_into(tmp_path / "other", folder, quiet)
    assert (result.added, result.known, result.new_people, result.people) == (2, 1, 1, 10)
    assert contents(tmp_path / "other") == before and before < contents(folder)
    with Gallery.open(folder) as gallery:
        assert gallery.threshold() is not None and gallery.threshold().method == "by hand"


def test_vectors_of_another_encoder_do_not_come_in(folder: Path, tmp_path: Path):
    with Gallery.create(tmp_path / "other", "f" * 64, D, "x") as other:
        other.add([face("Eva", 501)])
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(edits=[(3436, b"\x00\x80")], cut=0)  # SQLite's own message could not be decoded
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6), cut=st.integers(0, 3))
def test_damaged_exports_never_bring_in_anything_wrong(folder: Path, tmp_path: Path, edits: list[tuple[int, bytes]], cut: int):
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


# ---- the commands


def test_the_commands(run, folder: Path, tmp_path: Path):
    g = ("--gallery", folder)
    assert run("list", "person 1", *g).stdout.splitlines()[:2] == ["1.jpg", "10.jpg"]
    assert len(json.loads(run("list", "person 1", "--json", *g).stdout)[0]["sha256"]) == 64
    assert run("rename", "person 1", "Eva", *g).stdout == "Eva: 7 photos, enrolled as person 1 until now\n"
    assert "every page, row and checksum is right" in run("verify", *g).stdout
    exported = run("export", "out.fs", *g)
    assert exported.stdout.startswith("out.fs: 60 faces of 9 people") and "biometric" in exported.stderr
    assert run("import", "out.fs", "--gallery", "new").stdout == "new: 60 faces added, 0 known already; 9 new people, 9 in all\n"
    assert run("merge", folder, "--gallery", "new").stdout == "new: 0 faces added, 60 known already; 0 new people, 9 in all\n"
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE faces SET checksum = 0 WHERE face_id = 7")
    damaged = run("verify", *g, code=1)
    assert "face 7: it does not fit its checksum" in damaged.stdout and "1 places" in damaged.stderr
    assert json.loads(run("verify", "--json", *g, code=1).stdout)["problems"]


def test_the_store_takes_bytes_back_unchanged():
    """Half precision in, the same half precision out: importing never moves a vector."""
    for seed in range(50):
        blob = vector_bytes(unit(seed)[0], D)
        assert vector_bytes(np.frombuffer(blob, "<f2").astype(np.float32), D) == blob
    assert isinstance(face("a", 1), NewFace)
