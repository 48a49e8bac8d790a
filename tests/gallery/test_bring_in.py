"""Vectors that were made elsewhere are found like any others; a wrong row adds nothing."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.api.opening import open_gallery
from facesearch.errors import (
    BadTable,
    BadVectors,
    CannotRead,
    EncoderMismatch,
    FacesearchError,
    GalleryBusy,
    NothingToDo,
)
from facesearch.gallery import bring_in as module
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.store import Store
from tests.helpers.milvus import brute
from tests.helpers.rows import D, unit

ID = "ab" * 32


def table(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("name",)) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def files(folder: Path, n: int, people: int = 7) -> tuple[Path, Path]:
    """Vectors of several lengths, and their names."""
    scales = np.linspace(0.1, 9, n, dtype=np.float32)[:, None]
    np.save(folder / "vectors.npy", unit(1, n) * scales)
    return folder / "vectors.npy", table(folder / "names.csv", [(f"Person {i % people}",) for i in range(n)])


def bring(folder: Path, vectors: Any, names: Any, encoder_id: str = ID, **more: Any):
    return open_gallery(folder, **more).enroll_vectors(vectors, names, encoder_id=encoder_id)


def test_what_was_brought_in_is_found_as_brute_force_finds_it(tmp_path: Path):
    vectors, names = files(tmp_path, 300, people=90)
    done = bring(tmp_path / "g", vectors, names)
    assert (done.added, done.known, done.new_people, done.people) == (300, 0, 90, 90)
    with Store.open(tmp_path / "g") as gallery:
        index = open_index(gallery)
        assert gallery.encoder_id == ID and gallery.dimension == D and len(index) == 300
        rows = np.load(vectors)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for query in unit(77, 20):
            ids, scores = index.search(query[None], 5)
            plain = np.argsort(-(rows @ query))[:5]
            assert (ids[0] - 1).tolist() == plain.tolist()  # in the order of the file, from 1
            assert np.allclose(scores[0], (rows @ query)[plain], atol=2e-3)  # float16
            best = gallery.faces.by_id(ids[0][:1].tolist())[int(ids[0][0])]
            assert best.person == brute(gallery, query, 1)[0][0] == f"Person {plain[0] % 90}"


def test_the_same_call_adds_nothing_and_an_interrupted_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "COMMIT", 16)
    vectors, names = files(tmp_path, 100)
    folder, seen = tmp_path / "g", []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done == 32 and seen.count(32) == 2:  # the first time all is looked through
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_gallery(folder).enroll_vectors(vectors, names, encoder_id=ID, progress=stop)
    assert len(open_gallery(folder)) == 32
    again = bring(folder, vectors, names)
    assert (again.added, again.known) == (68, 32) and seen[:7] == [16, 32, 48, 64, 80, 96, 100]
    again = bring(folder, vectors, names)
    assert (again.added, again.known, again.new_people, again.people) == (0, 100, 0, 7)


def test_photos_and_their_hashes_come_from_the_table(tmp_path: Path):
    known = hashlib.sha256(b"a photo").hexdigest()
    rows = [("Ada", "a/1.jpg", known), ("Ada", "/home/eva/2.jpg", ""), ("Ben", "", "")]
    names = table(tmp_path / "names.csv", rows, ("name", "photo", "sha256"))
    array = unit(3, 3)
    assert bring(tmp_path / "g", array, names).added == 3
    own = [hashlib.sha256(row.tobytes()).hexdigest() for row in array]
    gallery = open_gallery(tmp_path / "g")
    found = [(photo.photo, photo.sha256) for photo in gallery.photos_of("Ada")]
    assert found == [("2.jpg", own[1]), ("a/1.jpg", known)]
    found = [(photo.photo, photo.sha256) for photo in gallery.photos_of("Ben")]
    assert found == [(f"vector-{own[2][:12]}", own[2])]
    assert bring(tmp_path / "g", array, ["Ada", "Ada", "Ben"]).known == 2, "a name alone: by the vector"


def test_names_in_a_list_and_every_kind_of_float(tmp_path: Path):
    for number, kind in enumerate((np.float16, np.float32, np.float64, ">f4")):
        array = np.asfortranarray(unit(number, 3).astype(kind) * 40)
        assert bring(tmp_path / "g", array, ["Ada", "Ben", " Ada "]).added == 3
    assert [(p.person, p.photos) for p in open_gallery(tmp_path / "g").people()] == [("Ada", 8), ("Ben", 4)]


def test_the_same_vector_twice_is_one_face(tmp_path: Path):
    array = np.repeat(unit(4), 3, axis=0)
    done = bring(tmp_path / "g", array, ["Ada", "Ada", "Ben"])
    assert (done.added, done.known) == (2, 1)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda v: v.__setitem__((70, slice(None)), 0), r"row 70 \(the first is 0\): All its numbers are 0"),
        (lambda v: v.__setitem__((71, 3), np.nan), "row 71 .*: A number is not finite"),
        (lambda v: v.__setitem__((0, 0), np.inf), "row 0 .*: A number is not finite"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_added(
    tmp_path: Path, spoil: Any, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "COMMIT", 16)
    vectors, names = files(tmp_path, 100)
    array = np.load(vectors)
    spoil(array)
    np.save(vectors, array)
    with pytest.raises(BadVectors, match=said):
        bring(tmp_path / "g", vectors, names)
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    "lines, error, said",
    [
        ("name\nAda\n", BadVectors, "2 rows, names.csv only 1"),
        ("name\nAda\nBen\nEva\n", BadTable, "line 4: There are more names than the 2 rows"),
        ("name\nAda\n\u0007\n", BadTable, "line 3: .*control character"),
        ("name\nAda\n\nBen\n", BadTable, "line 3: It has 0 columns"),
        ("name,photo\nAda,a.jpg\nBen\n", BadTable, "line 3: It has 1 column, not 2"),
        ("name,sha256\nAda,abc\nBen,\n", BadTable, "line 2: 'abc' is no SHA-256"),
        ("person\nAda\nBen\n", BadTable, "line 1: Its header says person"),
        ("name,name\nAda,x\nBen,y\n", BadTable, "line 1"),
        ('name\nAda\n"Ben\n', BadTable, "it is no CSV|It is no CSV"),
        ("", BadTable, "line 1: Its header says nothing"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, lines: str, error: type[FacesearchError], said: str):
    names = tmp_path / "names.csv"
    names.write_text(lines, "utf-8")
    with pytest.raises(error, match=said):
        bring(tmp_path / "g", unit(1, 2), names)
    assert not (tmp_path / "g").exists()


def test_what_is_no_array_or_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "v.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(CannotRead):
        bring(tmp_path / "g", path, ["Ada"])
    for array in (np.ones(3), np.ones((2, 3), int), np.ones((2, 0)), np.ones((1, 2, 3))):
        np.save(path, array)
        with pytest.raises(BadVectors, match=r"not \(n, d\) of floats"):
            bring(tmp_path / "g", path, ["Ada"] * len(array))
    np.savez(tmp_path / "z.npz", a=unit(1, 2))
    with pytest.raises(CannotRead):
        bring(tmp_path / "g", tmp_path / "z.npz", ["Ada", "Ben"])
    (tmp_path / "latin.csv").write_bytes("name\nJosé\n".encode("latin-1"))
    with pytest.raises(CannotRead, match="UTF-8"):
        bring(tmp_path / "g", unit(1), tmp_path / "latin.csv")
    with pytest.raises(CannotRead):
        bring(tmp_path / "g", tmp_path / "none.npy", ["Ada"])
    with pytest.raises(NothingToDo):
        bring(tmp_path / "g", unit(1, 1)[:0], [])
    assert not (tmp_path / "g").exists()


def test_another_encoder_or_length_is_refused_and_an_id_has_to_be_one(tmp_path: Path):
    folder = tmp_path / "g"
    bring(folder, unit(1, 2), ["Ada", "Ben"])
    with pytest.raises(EncoderMismatch):
        bring(folder, unit(2, 2), ["Ada", "Ben"], "cd" * 32)
    with pytest.raises(BadVectors, match="8 numbers, those of this encoder 16"):
        bring(folder, unit(2, 2)[:, :8], ["Ada", "Ben"])
    for wrong in ("", "a\nb", "x" * 300):
        with pytest.raises(ValueError, match="encoder"):
            bring(folder, unit(2, 2), ["Ada", "Ben"], wrong)
    assert len(open_gallery(folder)) == 2


def test_an_encrypted_gallery_keeps_them_encrypted_and_knows_them_again(tmp_path: Path):
    pytest.importorskip("cryptography")
    key = Key(bytes(range(32)), "a key")
    vectors, names = files(tmp_path, 40)
    assert bring(tmp_path / "g", vectors, names, key=key).added == 40
    assert bring(tmp_path / "g", vectors, names, key=key).known == 40
    assert b"Person" not in (tmp_path / "g" / "gallery.sqlite").read_bytes()
    with Store.open(tmp_path / "g", key) as gallery:
        assert gallery.encrypted and len(gallery) == 40


def test_writers_of_one_process_take_turns_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from facesearch.api import gallery as api

    monkeypatch.setattr(api, "WRITE_WAIT_S", 0.01)
    gallery = open_gallery(tmp_path / "g")
    with gallery._writing(), pytest.raises(GalleryBusy):
        gallery.enroll_vectors(unit(1, 2), ["Ada", "Ben"], encoder_id=ID)


# ---- the command


def test_the_command_says_what_it_did_and_needs_the_encoders_name(run, tmp_path: Path):
    vectors, names = files(tmp_path, 30)
    given = ("enroll", "--vectors", vectors, "--names", names, "--gallery", tmp_path / "g")
    assert "which encoder made the vectors" in run(*given, code=2).stderr
    assert "64 hexadecimal digits" in run(*given, "--encoder-id", "7756d1284d4f", code=2).stderr
    done = run(*given, "--encoder-id", ID.upper())
    assert done.stdout == f"{tmp_path / 'g'}: 30 vectors added, 0 known already; 7 new people, 7 in all\n"
    again = json.loads(run(*given, "--encoder-id", ID, "--json").stdout)
    assert again == {"added": 0, "known": 30, "new_people": 0, "people": 7, "encoder_id": ID}
    assert "another" not in run("info", "--gallery", tmp_path / "g").stderr
    other = run(*given, "--encoder-id", "cd" * 32, code=1)
    assert "built with encoder abababababab, not cdcdcdcdcdcd" in other.stderr


@pytest.mark.parametrize(
    "words",
    [("--vectors", "v.npy"), ("--names", "n.csv"), ("--encoder-id", ID), ("Ada", "a.jpg", "--vectors", "v")],
)
def test_half_of_the_options_is_a_wrong_call(run, words: tuple[str, ...]):
    assert "--vectors" in run("enroll", *words, code=2).stderr


@pytest.mark.parametrize(
    "more", [("--largest",), ("--refuse-lookalikes",), ("--aligned",), ("--from", "people")]
)
def test_options_about_photos_are_refused_with_vectors(run, more: tuple[str, ...]):
    called = run("enroll", "--vectors", "v.npy", "--names", "n.csv", "--encoder-id", ID, *more, code=2)
    assert "excludes" in called.stderr


def test_the_file_of_the_encoder_names_it_and_photos_are_searched_in_what_it_made(
    run, album: Path, weights: Path, tmp_path: Path
):
    photos = sorted((album / "p000").iterdir()) + sorted((album / "p001").iterdir())
    rows = run("embed", *photos, "--aligned", "--weights", weights, "--out", tmp_path / "v.npy")
    told = [json.loads(line) for line in rows.stdout.splitlines()]
    lines = [(Path(row["photo"]).parent.name, row["photo"], row["sha256"]) for row in told]
    names = table(tmp_path / "n.csv", lines, ("name", "photo", "sha256"))
    options = ("--weights", weights, "--gallery", tmp_path / "g")
    done = run("enroll", "--vectors", tmp_path / "v.npy", "--names", names, *options)
    assert "16 vectors added" in done.stdout
    asked = run("query", photos[0], "--aligned", "--threshold", 0.9, "--gallery", tmp_path / "g", "--json")
    best = json.loads(asked.stdout)["photos"][0]["faces"][0]["matches"][0]
    assert best["person"] == "p000" and best["support"][0]["score"] > 0.999
    known = run("enroll", "p000", *photos[:8], "--aligned", *options)
    assert "8 photos were enrolled already" in known.stderr
