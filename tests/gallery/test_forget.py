"""Forgetting really erases, also when it is killed, and leaves a receipt that tells nothing of whom."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.errors import StillThere, UnknownPerson, UnknownPhoto
from facesearch.files import sha256_of
from facesearch.gallery import forget as erase
from facesearch.gallery.forget import finish_erasure, forget
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index import files as index_files
from facesearch.gallery.index.faiss_index import open_index, refresh
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store import remains
from facesearch.gallery.store.eraser import Eraser
from facesearch.gallery.store.notes import Notes
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.rows import D, face, unit

NAME = "Zanzibar Quetzalcoatl"
SOURCE = "holiday-of-zanzibar.jpg"


def tell(line: str) -> None:
    pass


def secret(seed: int = 99, source: str = SOURCE) -> NewFace:
    return face(NAME, seed, source)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fifty photos of Ana, two of the one to be forgotten, an index that shows them all."""
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:
        gallery.faces.add([face("ana", i) for i in range(50)])
        gallery.faces.add([secret(), secret(98, "second-zanzibar.jpg")])
        refresh(gallery, "test")
    return tmp_path / "g"


def traces(folder: Path) -> list[str]:
    """The slow, obvious twin of remains: files that hold any 16 bytes of the vectors, the name, a source or a
    content hash.
    """
    needles = [
        NAME.encode(),
        SOURCE.encode(),
        b"second-zanzibar.jpg",
        f"{99:064x}".encode(),
        f"{98:064x}".encode(),
    ]
    for seed in (98, 99):
        blob = unit(seed)[0].astype("<f2").tobytes()
        needles += [blob[i : i + 16] for i in range(0, len(blob) - 15, 8)]
    return [
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_file() and any(n in p.read_bytes() for n in needles)
    ]


def test_nothing_is_left_and_the_receipt_says_how_that_was_made_sure(folder: Path):
    assert {FILE} < set(traces(folder)) and any(name.endswith(".faiss") for name in traces(folder))
    receipt, path = forget(NAME, folder, (), tell)
    assert traces(folder) == []
    stored = json.loads(path.read_text())
    assert (
        stored["photos"] == 2
        and stored["whole_person"] is True
        and stored["generation_after"] == stored["generation_before"] + 1
    )
    assert FILE in dict(receipt.files) and any(name.endswith(".faiss") for name, _ in receipt.files)
    assert "zanzibar" not in path.read_text().lower() and f"{99:064x}" not in path.read_text()
    assert path.parent.name == "receipts" and path.stat().st_mode & 0o077 == 0
    with Store.open(folder) as gallery:
        assert gallery.notes.unfinished() is None and [p.name for p in gallery.faces.people()] == ["ana"]
        assert nearest_people(gallery, open_index(gallery), unit(7)[0], 1)[0].score > 0.999


def test_one_photo_goes_by_its_file_or_by_its_name_and_the_person_stays(tmp_path: Path):
    photo = tmp_path / "a.png"
    photo.write_bytes(b"some bytes of a photo")
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:
        gallery.faces.add(
            [
                NewFace("Ana Bolena", sha256_of(photo), "first.png", unit(1)[0]),
                face("Ana Bolena", 2, "second.png"),
            ]
        )
        gallery.faces.add([face("Ana Bolena", 3, "third.png")])
    with pytest.raises(UnknownPhoto, match="Ana Bolena"):
        forget("Ana Bolena", tmp_path / "g", ("no-such.png",), tell)
    assert forget("Ana Bolena", tmp_path / "g", (str(photo),), tell)[0].whole_person is False
    assert forget("Ana Bolena", tmp_path / "g", ("second.png",), tell)[0].photos == 1
    with Store.open(tmp_path / "g") as gallery:
        assert [f.source for f in gallery.faces.by_id(range(9)).values()] == ["third.png"]
    forget("Ana Bolena", tmp_path / "g", ("third.png",), tell)
    with Store.open(tmp_path / "g") as gallery:
        assert gallery.faces.people() == [] and len(gallery) == 0


def test_what_others_share_is_alive_and_no_trace(folder: Path):
    """The same photo is enrolled under another name, and that name holds the forgotten one."""
    with Store.open(folder) as gallery:
        gallery.faces.add([NewFace(NAME + " junior", secret().sha256, SOURCE, secret().vector)])
    forget(NAME, folder, (), tell)
    with Store.open(folder) as gallery:
        assert [p.name for p in gallery.faces.people()] == [NAME + " junior", "ana"]


@pytest.mark.slow
def test_a_copy_that_somebody_keeps_in_the_folder_is_found_and_named(folder: Path):
    shutil.copy(folder / FILE, folder / "my-backup.sqlite")
    with pytest.raises(StillThere, match=r"my-backup\.sqlite"):
        forget(NAME, folder, (), tell)
    (folder / "my-backup.sqlite").unlink()
    receipt, _ = forget(
        NAME, folder, (), tell
    )  # the rows are gone already; the same command ends what it began
    assert receipt.photos == 2 and "resumed" in receipt.verified and traces(folder) == []
    with pytest.raises(UnknownPerson):
        forget(NAME, folder, (), tell)


STEPS: dict[str, tuple[object, str]] = {
    "after the rows": (erase, "erase_from_index"),
    "before the index's rows are overwritten": (index_files, "overwrite"),
    "after they are overwritten": (faiss_index, "write_manifest"),
    "before the index is named again": (index_files, "replace_json"),
    "before the log is cut": (Eraser, "cut_log"),
    "before the search": (erase, "look_for"),
    "before the receipt": (erase, "write_receipt"),
    "before the note is taken away": (Notes, "erasure_done"),
}


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_same_command_goes_on(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
):
    owner, name = STEPS[step]
    child = os.fork()
    if child == 0:  # the process that dies: no handler, no finally, no flush
        setattr(owner, name, lambda *args, **kwargs: os._exit(9))
        try:
            forget(NAME, folder, (), tell)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with Store.open(folder) as gallery:
        assert gallery.notes.unfinished() is not None and [p.name for p in gallery.faces.people()] == ["ana"]
    lines: list[str] = []
    receipt, _ = forget(NAME, folder, (), lines.append)
    assert receipt.photos == 2 and "resumed" in receipt.verified and len(lines) == 1
    assert traces(folder) == []


def test_killed_within_the_transaction_nothing_has_happened(folder: Path):
    child = os.fork()
    if child == 0:
        with Store.open(folder) as gallery:
            gallery.eraser.delete(NAME, lambda sha256, source: os._exit(9))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with Store.open(folder) as gallery:
        assert gallery.notes.unfinished() is None and [p.faces for p in gallery.faces.people()] == [2, 50]
    assert forget(NAME, folder, (), tell)[0].photos == 2 and traces(folder) == []


def test_an_interrupted_erasure_is_ended_before_the_next_one(folder: Path):
    with Store.open(folder) as gallery:
        gallery.eraser.delete(NAME)
        assert finish_erasure(gallery) is not None and finish_erasure(gallery) is None
    assert traces(folder) == []


def test_the_end_of_one_erasure_does_not_hide_that_another_has_begun(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    real = erase.write_receipt

    def meanwhile(*args: object) -> Path:
        path = real(*args)  # type: ignore[arg-type]
        with Store.open(folder) as other:
            other.eraser.delete("ana")  # by a process that dies right after it
        return path

    monkeypatch.setattr(erase, "write_receipt", meanwhile)
    forget(NAME, folder, (), tell)
    with Store.open(folder) as gallery:
        unfinished = gallery.notes.unfinished()
        assert (
            unfinished is not None
            and gallery.eraser.is_of(unfinished, "ana")
            and not gallery.eraser.is_of(unfinished, NAME)
        )


def test_another_process_reads_meanwhile(folder: Path):
    """A reader that holds the gallery and its index open, between its transactions, is no hindrance."""
    with Store.open(folder) as reader:
        index = open_index(reader)
        forget(NAME, folder, (), tell)
        assert traces(folder) == []
        assert [m.person for m in nearest_people(reader, index, secret().vector, 3)] == ["ana"]


def test_random_bytes_are_searched_as_the_twin_does():
    """Vectors hidden at odd places, torn to half, or not there at all: the same answer as trying all."""
    random = np.random.default_rng(3)
    blob = unit(5)[0].astype("<f2").tobytes()
    for place in (None, 0, 1, 7, 4093):
        for piece in (blob, blob[8:24], blob[: len(blob) // 2]):
            data = bytearray(random.bytes(9000))
            if place is not None:
                data[place : place + len(piece)] = piece
            assert found_in(bytes(data), (blob,), ()) is (place is not None)
    assert found_in(b"x" * 50 + NAME.encode(), (), (NAME,)) and not found_in(b"x" * 50, (), (NAME,))
    assert not found_in(random.bytes(2_000_000), (), ("Al",))  # too short a name to be told from chance


def test_a_piece_across_two_chunks_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remains, "CHUNK", 64)
    blob = unit(5)[0].astype("<f2").tobytes()
    for place in range(40, 80):
        assert found_in(bytes(place) + blob[:16] + bytes(100), (blob,), ())


def test_a_vector_of_many_zeros_can_be_forgotten(folder: Path):
    """Zeros are in every file of SQLite; the numbers between them are what is looked for."""
    sparse = np.zeros(D, np.float32)
    sparse[5:8] = unit(9)[0, 5:8] / np.linalg.norm(unit(9)[0, 5:8])
    blob = sparse.astype("<f2").tobytes()
    with Store.open(folder) as gallery:
        gallery.faces.add([NewFace("Sparse Quetzalcoatl", "5" * 64, "sparse.jpg", sparse)])
    assert found_in(b"x" + blob, (blob,), ()) and not found_in(bytes(500), (blob,), ())
    forget("Sparse Quetzalcoatl", folder, (), tell)
    assert not any(blob[8:16] in path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_ten_thousand_names_are_searched_at_once_as_trying_all_does():
    """Names with the same beginning, of every length, at the end of a file, one within another."""
    random = np.random.default_rng(4)
    names = (
        [f"Person {i}" for i in range(3000)]
        + ["Ånders", "Ånders And", *(f"{i:064x}" for i in range(99))]
        + ["x" * n for n in range(6, 40)]
    )
    data = (
        random.bytes(5000)
        + b"Person 12, Person 2999"
        + random.bytes(33)
        + "Ånders Andersen".encode()
        + b"Person 1"
    )
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "file").write_bytes(data)
        (file,) = remains.search(Path(scratch), (), names)
    assert set(file.texts) == {name for name in names if name.encode() in data} and len(file.texts) > 6


def found_in(data: bytes, vectors: tuple[bytes, ...], texts: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "file").write_bytes(data)
        (file,) = remains.search(Path(scratch), vectors, texts)
        return bool(file.pieces or file.texts)


@pytest.mark.slow
def test_secure_delete_is_what_does_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The proof can fail: with SQLite's overwriting switched off, and the file not rewritten, the bytes
    stay, and it is noticed.
    """
    real = sqlite3.connect

    def connect(*args: object, **kwargs: object) -> sqlite3.Connection:
        db = real(*args, **kwargs)  # type: ignore[arg-type]
        return Careless(db)  # type: ignore[return-value]

    class Careless:
        def __init__(self, db: sqlite3.Connection) -> None:
            self.db = db

        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            return self.db.execute(sql.replace("secure_delete = ON", "secure_delete = OFF"), *values)

        def __getattr__(self, name: str) -> object:
            return getattr(self.db, name)

    monkeypatch.setattr("facesearch.gallery.store.database.sqlite3.connect", connect)
    monkeypatch.setattr(Eraser, "rewrite_file", lambda gallery: None)
    with pytest.raises(StillThere, match=FILE):
        forget(NAME, folder, (), tell)


@pytest.mark.parametrize("seed", [0, 2, 8, 10])
def test_what_sqlite_leaves_in_the_gaps_of_its_pages_goes_too(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    """Content hashes in no order, as they are: SQLite moves entries from page to page, and overwrites only
    where they lie in the end. In these galleries (by SQLite 3.40) the first search finds some; the file is
    then rewritten, and the second finds none."""
    random = np.random.default_rng(seed)
    faces = []
    for i in range(90):
        sha256, source, vector = (
            random.bytes(32).hex(),
            f"holiday-{random.bytes(5).hex()}.jpg",
            random.normal(size=D).astype(np.float32),
        )
        faces.append(NewFace(f"Person {i % 4} of four", sha256, source, vector / np.linalg.norm(vector)))
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:
        for each in faces[:4]:  # whoever is enrolled first has the lowest number
            gallery.faces.add([each])
        gallery.faces.add(faces[4:])
    looked: list[tuple[str, ...]] = []
    real = erase.look_for

    def look_for(*args: Any) -> remains.Looked:
        found = real(*args)
        looked.append(found.remains)
        return found

    monkeypatch.setattr(erase, "look_for", look_for)
    forget("Person 0 of four", tmp_path / "g", (), tell)
    assert looked in ([()], [(FILE,), ()])
    gone = {text.encode() for each in faces[::4] for text in (each.sha256, each.source)}
    assert not any(
        needle in path.read_bytes()
        for needle in gone
        for path in (tmp_path / "g").rglob("*")
        if path.is_file()
    )
