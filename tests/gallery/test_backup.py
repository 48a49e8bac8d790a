"""A backup is whole, taken while others write, and put back whatever lies beside the gallery."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from facesearch.errors import (
    BackupInside,
    CorruptGallery,
    GalleryBusy,
    KeyMissing,
    NoGallery,
    NotEncrypted,
    OutputExists,
)
from facesearch.gallery import backup as job
from facesearch.gallery.backup import backup, restore
from facesearch.gallery.encrypt import encrypt
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import is_current, open_index, refresh
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store import database
from facesearch.gallery.store.rows import NewFace, vector_bytes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers import killing
from tests.helpers.encrypted import KEY
from tests.helpers.rows import D, contents, face, unit
from tests.helpers.saying import quiet, tell


@pytest.fixture
def folder(sixty_faces: Path) -> Path:
    return sixty_faces


def dead(folder: Path) -> None:
    """A process that has enrolled two people and dies: its log stays."""
    child = os.fork()
    if child == 0:
        gallery = Store.open(folder)
        gallery.faces.add([face("of the log", 500), face("person 1", 501, "later.jpg")])
        os._exit(9)
    os.waitpid(child, 0)
    assert (folder / f"{FILE}-wal").stat().st_size > 0


def test_a_backup_has_all_and_nothing_else(folder: Path, tmp_path: Path):
    forget("person 3", folder, (), tell)
    before, seen = contents(folder), []
    done = backup(folder, tmp_path / "b", lambda *counts: seen.append(counts))
    names = sorted(str(path.relative_to(tmp_path / "b")) for path in (tmp_path / "b").rglob("*"))
    assert names[0] == FILE and names[1] == "receipts" and len(names) == 3 and done.receipts == 1
    assert (done.people, done.faces, done.bytes) == (8, len(before), (tmp_path / "b" / FILE).stat().st_size)
    assert contents(tmp_path / "b") == before == contents(folder) and seen[-1] == (len(before),) * 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "b", *(tmp_path / "b").rglob("*")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "g"]  # nothing half-written
    found = verify(tmp_path / "b", repair=True)
    assert found.problems == () and found.faces == len(before)


def test_what_the_log_holds_is_in_it_and_what_was_deleted_is_not(folder: Path, tmp_path: Path):
    dead(folder)
    with Store.open(folder) as gallery:
        gallery.eraser.delete("person 3")  # and killed before the rest of the erasure
    backup(folder, tmp_path / "b", quiet)
    assert ("of the log", f"{500:064x}") in {row[:2] for row in contents(tmp_path / "b")}
    assert vector_bytes(unit(3)[0], D) not in (tmp_path / "b" / FILE).read_bytes()


def test_taken_while_another_thread_writes(folder: Path, tmp_path: Path):
    """Each transaction enrolls three photos of one person: whole or not at all, and what was committed before
    is there.
    """
    stop, written = threading.Event(), []

    def write() -> None:
        with Store.open(folder) as gallery:
            for i in range(10_000):
                if stop.is_set():
                    return
                gallery.faces.add([face(f"new {i:05d}", 1000 + 3 * i + j, f"{j}.jpg") for j in range(3)])
                written.append(i)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            committed = len(written)
            backup(folder, tmp_path / f"b{number}", quiet)
            copy = contents(tmp_path / f"b{number}")
            people = [name for name, *_ in copy if name.startswith("new")]
            assert len(people) == 3 * len(set(people)) >= 3 * committed
            assert verify(tmp_path / f"b{number}", repair=False).problems == ()
    finally:
        stop.set()
        writer.join()
    assert verify(folder, repair=False).problems == ()


def test_an_encrypted_gallery_stays_encrypted(folder: Path, tmp_path: Path):
    with Store.create(tmp_path / "e", "e" * 64, D, "encoder", KEY) as gallery:
        gallery.faces.add([face("Zanzibar Quetzalcoatl", i, f"holiday-{i}.jpg") for i in range(9)])
    backup(tmp_path / "e", tmp_path / "b", quiet, key=KEY)
    assert contents(tmp_path / "b", KEY) == contents(tmp_path / "e", KEY)
    assert b"Zanzibar" not in (tmp_path / "b" / FILE).read_bytes()
    assert vector_bytes(unit(3)[0], D) not in (tmp_path / "b" / FILE).read_bytes()
    with pytest.raises(KeyMissing):
        backup(tmp_path / "e", tmp_path / "c", quiet)
    with pytest.raises(KeyMissing):
        restore(tmp_path / "b", folder, quiet)
    forget("Zanzibar Quetzalcoatl", tmp_path / "e", (), tell, key=KEY)
    assert restore(tmp_path / "b", tmp_path / "e", quiet, key=KEY).undone_erasures == 1
    assert contents(tmp_path / "b", KEY) == contents(tmp_path / "e", KEY)


def test_nothing_encrypted_becomes_plain_by_an_old_backup(folder: Path, tmp_path: Path):
    backup(folder, tmp_path / "b", quiet)
    encrypt(folder, KEY)
    with pytest.raises(KeyMissing):
        restore(tmp_path / "b", folder, quiet)
    with pytest.raises(NotEncrypted):
        restore(tmp_path / "b", folder, quiet, key=KEY)
    assert len(contents(folder, KEY)) == 60


def test_refused_places(folder: Path, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for place in ("full", "file"):
        with pytest.raises(OutputExists, match=place):
            backup(folder, tmp_path / place, quiet)
    for place in (folder, folder / "b", folder / "deep" / "b"):
        with pytest.raises(BackupInside):
            backup(folder, place, quiet)
    with pytest.raises(NoGallery):
        backup(tmp_path / "nothing", tmp_path / "b", quiet)
    with pytest.raises(NoGallery):
        restore(tmp_path / "full", folder, quiet)
    with pytest.raises(OutputExists):
        restore(folder, folder, quiet)
    assert (tmp_path / "full" / "mine").read_text() == "kept" and not (tmp_path / "b").exists()
    (tmp_path / "empty").mkdir()
    assert backup(folder, tmp_path / "empty", quiet).faces == 60


def test_what_is_wrong_or_breaks_leaves_nothing_half_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "problems", broken)
        with pytest.raises(KeyboardInterrupt):
            backup(folder, tmp_path / "b", quiet)
    backup(folder, tmp_path / "right", quiet)
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE faces SET checksum = 0 WHERE face_id = 7")
    with pytest.raises(CorruptGallery, match="face 7"):
        backup(folder, tmp_path / "b", quiet)
    shutil.copytree(folder, tmp_path / "wrong")
    before = contents(tmp_path / "right")
    restore(tmp_path / "right", folder, quiet)
    with pytest.raises(CorruptGallery, match="face 7"):
        restore(tmp_path / "wrong", folder, quiet)
    assert contents(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g", "right", "wrong"]


@pytest.mark.parametrize("beside", ["whole", "by hand", "damaged", "gone", "log alone"])
def test_put_back_over_the_log_of_a_killed_process(folder: Path, tmp_path: Path, beside: str):
    """Exactly those who were backed up are there, whatever lies in the folder: the gallery with its log, a
    backup that somebody copied over it by hand, no database at all, or a log of nobody.
    """
    wanted = contents(folder)
    backup(folder, tmp_path / "b", quiet)
    dead(folder)
    if beside == "by hand":
        shutil.copy(tmp_path / "b" / FILE, folder / FILE)
    if beside == "damaged":
        (folder / FILE).write_bytes(b"no database" * 999)
    if beside == "gone":
        shutil.rmtree(folder)
    if beside == "log alone":
        (folder / FILE).unlink()
    done = restore(tmp_path / "b", folder, quiet)
    assert (done.people, done.faces) == (9, 60) and contents(folder) == wanted
    assert verify(folder, repair=False).problems == () and not (folder / "next").exists()
    with Store.open(folder) as gallery:
        assert is_current(gallery) == (True, "current")
    assert (folder / FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("step", ["_copy", "_count_on", "_overwrite", "_copy_receipts", "rebuild_files"])
def test_killed_while_it_is_put_back_the_gallery_is_one_or_the_other(folder: Path, tmp_path: Path, step: str):
    backup(folder, tmp_path / "b", quiet)
    wanted = contents(folder)
    with Store.open(folder) as gallery:
        gallery.faces.add([face("Later", 700)])
        refresh(gallery, "test")
    newer = contents(folder)
    killing.killed((job, step), lambda: restore(tmp_path / "b", folder, quiet))
    assert contents(folder) == (wanted if step in ("_copy_receipts", "rebuild_files") else newer)
    with Store.open(folder) as gallery:
        gallery.faces.add([face("Other", 800)])
        assert nearest_people(gallery, open_index(gallery), unit(800)[0], 1)[0].person == "Other"
        assert verify(folder, repair=True).problems == ()
    assert restore(tmp_path / "b", folder, quiet).faces == 60
    assert contents(folder) == wanted and not (folder / "next").exists()


def test_an_index_of_what_was_there_before_is_not_asked(folder: Path, tmp_path: Path):
    """After the backup somebody gets the number that somebody else gets after it is put back."""
    backup(folder, tmp_path / "b", quiet)
    with Store.open(folder) as gallery:
        gallery.faces.add([face("Later", 700)])
        refresh(gallery, "test")
    with Store.open(folder) as reader:  # a service that stays open
        index, state = open_index(reader), reader.state
        restore(tmp_path / "b", folder, quiet)
        assert reader.state != state and reader.notes.erasures > index.erasures
        reader.faces.add([face("Other", 800)])
        assert nearest_people(reader, open_index(reader), unit(700)[0], 1)[0].score < 0.99
        assert nearest_people(reader, open_index(reader), unit(800)[0], 1)[0].person == "Other"


def test_erasures_that_are_undone_are_told_and_receipts_stay(tmp_path: Path):
    folder = tmp_path / "g"
    with Store.create(folder, "e" * 64, D, "encoder") as gallery:
        hashes = [sha256(str(i).encode()).hexdigest() for i in range(12)]
        gallery.faces.add(
            [NewFace(f"person {i % 4}", hashes[i], f"holiday-{i}.jpg", unit(i)[0]) for i in range(12)]
        )
    forget("person 0", folder, (), tell)
    backup(folder, tmp_path / "b", quiet)
    forget("person 1", folder, (), tell)
    forget("person 2", folder, (), tell)
    assert restore(tmp_path / "b", folder, quiet).undone_erasures == 2
    assert len(list((folder / "receipts").iterdir())) == 3
    with Store.open(folder) as gallery:
        assert [person.name for person in gallery.faces.people()] == ["person 1", "person 2", "person 3"]
    forget("person 1", folder, (), tell)
    assert len(list((folder / "receipts").iterdir())) == 4  # no receipt took another one's name
    assert restore(tmp_path / "b", tmp_path / "new", quiet).undone_erasures == 0
    assert len(list((tmp_path / "new" / "receipts").iterdir())) == 1


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backup(folder, tmp_path / "b", quiet)
    monkeypatch.setattr(database, "WAIT_S", 0.1)
    with Store.open(folder) as gallery, gallery.notes.transaction() as db:
        db.execute("UPDATE meta SET value = value WHERE key = 'format'")
        with pytest.raises(GalleryBusy):
            restore(tmp_path / "b", folder, quiet)
    assert len(contents(folder)) == 60


def test_the_commands(run, folder: Path):
    made = run("backup", "b", "--gallery", folder)
    assert made.stdout.startswith("b: 60 faces of 9 people") and "still in it" in made.stderr
    run("forget", "person 3", "--gallery", folder)
    back = run("restore", "b", "--gallery", folder)
    assert back.stdout == f"{folder}: 60 faces of 9 people, as in b\n"
    assert "1 receipts of erasures later" in back.stderr
    assert "exists already" in run("backup", "b", "--gallery", folder, code=1).stderr
