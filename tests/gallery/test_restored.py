"""Whatever was put back, mixed or interrupted: nobody gets another person's name, and nobody enrolled is
missing.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import CannotRead, CorruptGallery, GalleryChanged, IndexDiffers
from facesearch.gallery.index import faiss_index, files
from facesearch.gallery.index.choice import choose_index
from facesearch.gallery.index.faiss_index import count_faces, is_current, open_index, refresh, update
from facesearch.gallery.index.files import MANIFEST
from facesearch.gallery.nearest import nearest_people, nearest_to_each
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.rows import D, face, unit

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as opened:
        yield opened


def backed_up(folder: Path, to: Path) -> Path:
    """The store's file as of now, its log included."""
    to.unlink(missing_ok=True)
    with Store.open(folder) as opened:
        opened.database.copy_to(to)
    return to


def put_back(backup: Path, folder: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (folder / (FILE + suffix)).unlink(missing_ok=True)
    Path(shutil.copy2(backup, backup.with_suffix(".copy"))).replace(folder / FILE)


def best_of_all(opened: Store, vector: np.ndarray) -> tuple[str, float]:
    _, vectors, people = opened.faces.vectors()
    scores = vectors @ vector
    return people[int(scores.argmax())], min(1.0, float(scores.max()))


def answers_as_trying_all_does(folder: Path, seeds: list[int]) -> None:
    with Store.open(folder) as opened:
        assert count_faces(opened) == len(opened)
        if not len(opened):
            return
        index = open_index(opened)
        for seed in seeds:
            vector = unit(seed)[0]
            person, score = best_of_all(opened, vector)
            found = nearest_people(opened, index, vector, 1)[0]
            assert found.person == person and abs(found.score - score) < 1e-4
        every = np.concatenate([unit(seed) for seed in seeds])
        named = [person for person, _ in nearest_to_each(opened, index, every, "best-photo")]
        assert named == [best_of_all(opened, vector)[0] for vector in every]


# ---- the smallest example of each


def test_an_older_gallery_beside_a_newer_index_names_nobody_wrongly(gallery: Store, tmp_path: Path):
    gallery.faces.add([face("ana", 1)])
    open_index(gallery)
    backup = backed_up(gallery.folder, tmp_path / "backup.sqlite")
    gallery.faces.add([face("ben", 2)])
    refresh(gallery, "test")
    gallery.close()
    put_back(backup, gallery.folder)
    with Store.open(gallery.folder) as restored:
        restored.faces.add([face("cleo", 3)])  # gets the number that ben's face had
        assert not is_current(restored)[0] and "another state" in is_current(restored)[1]
        assert nearest_people(restored, open_index(restored), unit(2)[0], 1)[0].score < 0.99
        assert nearest_people(restored, open_index(restored), unit(3)[0], 1)[0].person == "cleo"


def test_an_index_of_another_gallery_is_rebuilt(gallery: Store, tmp_path: Path):
    with Store.create(tmp_path / "other", "e" * 64, D, "encoder") as other:
        other.faces.add([face("ben", 2)])
        gallery.faces.add([face("ana", 1)])
        open_index(other), open_index(gallery)
        for path in other.folder.glob("vectors*"):
            shutil.copy2(path, gallery.folder)
        assert "another state" in is_current(gallery)[1]
    answers_as_trying_all_does(gallery.folder, [1, 2])


@pytest.mark.parametrize("kind", ["flat", "bits1"])
def test_a_score_is_that_of_the_row_whatever_the_index_says(
    gallery: Store, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """Even an index with a right mark, whose check numbers fit what it holds."""
    gallery.faces.add([face(f"person {i}", i) for i in range(30)])
    choose_index(gallery, kind)
    real = files._batches
    monkeypatch.setattr(files, "_batches", lambda *given: (rows[::-1].copy() for rows in real(*given)))
    refresh(gallery, "test")
    monkeypatch.undo()
    index = open_index(gallery)
    assert index.built == ""
    with pytest.raises(IndexDiffers, match="its index shows another vector"):
        nearest_people(gallery, index, unit(3)[0], 1)
    with pytest.raises(IndexDiffers):
        list(nearest_to_each(gallery, index, unit(3), "best-photo"))


def test_a_gallery_whose_numbers_repeat_is_in_another_state(gallery: Store, tmp_path: Path):
    gallery.faces.add([face("ana", 1)])
    backup = backed_up(gallery.folder, tmp_path / "backup.sqlite")
    gallery.faces.add([face("ben", 2)])
    before = gallery.state
    gallery.close()
    put_back(backup, gallery.folder)
    with Store.open(gallery.folder) as restored:
        restored.faces.add([face("cleo", 3)])
        assert restored.notes.generation == before[3] and restored.state[3:] != before[3:]


def test_a_search_does_not_wait_for_a_writer_to_note_the_mark(
    gallery: Store, monkeypatch: pytest.MonkeyPatch
):
    gallery.faces.add([face("ana", 1)])
    monkeypatch.setattr(faiss_index, "SEARCH_WAIT_S", 0.0)
    with Store.open(gallery.folder) as writer, writer.notes.transaction():
        assert nearest_people(gallery, open_index(gallery), unit(1)[0], 1)[0].person == "ana"
        assert not (gallery.folder / MANIFEST).exists()
    assert open_index(gallery).built and (gallery.folder / MANIFEST).exists()
    assert len(list(gallery.folder.glob("*.faiss"))) == 1


# ---- at random


class Killed(Exception):
    pass


def _mixed(folder: Path, seed: int, rounds: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Enroll, forget, update, back up, put back, swap index files, get killed: compare after each round."""
    chance, place = random.Random(seed), folder.parent
    with Store.create(folder, "e" * 64, D, "encoder") as opened:
        opened.faces.add([face("first", 0)])
    number, compared = 1, 0
    backups = [backed_up(folder, place / "backup-0.sqlite")]
    stashed: list[Path] = []

    def enroll() -> None:
        nonlocal number
        with Store.open(folder) as opened:
            many = chance.randint(1, 9)
            opened.faces.add([face(f"p{chance.randrange(12)}", number + i) for i in range(many)])
            number += many

    def forget() -> None:
        with Store.open(folder) as opened:
            people = opened.faces.people()
            if len(people) > 1:
                opened.eraser.delete(chance.choice(people).name)

    def bring_up_to_date() -> None:
        with Store.open(folder) as opened:
            chance.choice([update, lambda one: refresh(one, "test")])(opened)

    def back_up() -> None:
        backups.append(backed_up(folder, place / f"backup-{len(backups)}.sqlite"))

    def restore() -> None:
        put_back(chance.choice(backups), folder)

    def stash() -> None:
        there = place / f"index-{len(stashed)}"
        there.mkdir()
        for path in folder.glob("vectors*"):
            shutil.copy2(path, there)
        stashed.append(there)

    def swap() -> None:
        if stashed:
            for path in chance.choice(stashed).iterdir():
                if chance.random() < 0.9 or path.name == MANIFEST:
                    shutil.copy2(path, folder)

    def killed() -> None:
        """Between the mark and the file that bears it, or between the rows and the mark."""
        where = chance.choice(["replace_json", "drop_others", "_write_beside"])
        with monkeypatch.context() as patch:
            patch.setattr(files, where, lambda *given, **more: (_ for _ in ()).throw(Killed))
            with pytest.raises(Killed), Store.open(folder) as opened:
                refresh(opened, "test")

    acts: list[Callable[[], None]] = [
        enroll, enroll, enroll, forget, bring_up_to_date, back_up, restore, stash, swap, killed,
    ]  # fmt: skip
    for _ in range(rounds):
        chance.choice(acts)()
        if chance.random() < 0.7:
            answers_as_trying_all_does(folder, [chance.randrange(number + 3) for _ in range(3)])
            compared += 1
    return compared


@pytest.mark.parametrize("seed", range(3))
def test_restored_mixed_and_interrupted_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int):
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 4)
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (4,))
    assert _mixed(tmp_path / "g", seed, 60, monkeypatch) > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
def test_restored_mixed_and_interrupted_at_random_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 4)
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (4,))
    assert _mixed(tmp_path / "g", seed, 300, monkeypatch) > 150


# ---- a folder where nothing may be written


def nothing_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: False if mode == os.W_OK else real(path, mode))


def left_by_a_killed_writer(gallery: Store, to: Path) -> Path:
    """A folder with a log that was never written back."""
    gallery.faces.add([face("ana", 1)])
    gallery.database.cut_log()
    gallery.faces.add([face("ben", 2)])
    gallery.eraser.delete("ana")
    to.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy2(gallery.folder / (FILE + suffix), to)
    return to


def test_a_log_in_a_read_only_folder_is_read(gallery: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = left_by_a_killed_writer(gallery, tmp_path / "copy")
    nothing_may_be_written(monkeypatch)
    with Store.open(folder) as opened:
        assert [person.name for person in opened.faces.people()] == ["ben"]


def test_or_the_gallery_is_refused(gallery: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = left_by_a_killed_writer(gallery, tmp_path / "copy")
    nothing_may_be_written(monkeypatch)
    real = sqlite3.connect

    class NoSharedMemory(sqlite3.Connection):
        def execute(self, sql: str, *given: object) -> sqlite3.Cursor:
            if "sqlite_master" in sql:
                raise sqlite3.OperationalError("unable to open database file")
            return super().execute(sql, *given)

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, factory=NoSharedMemory, **k))
    with pytest.raises(CannotRead, match="stand in a log beside it"):
        Store.open(folder)


def test_what_is_written_later_is_not_overlooked(gallery: Store, monkeypatch: pytest.MonkeyPatch):
    gallery.faces.add([face("ana", 1)])
    gallery.close()
    with monkeypatch.context() as patch:
        nothing_may_be_written(patch)
        reader = Store.open(gallery.folder)
    with reader, Store.open(gallery.folder) as writer:
        assert len(reader) == 1
        writer.faces.add([face("ben", 2)])
        with pytest.raises(GalleryChanged):
            len(reader)


# ---- a folder from somebody else


ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER keeps AFTER DELETE ON faces BEGIN INSERT INTO kept VALUES (old.vector); END",
        f"CREATE VIEW endless AS {ENDLESS} SELECT n FROM c",
        "CREATE TABLE kept (vector BLOB)",
        "CREATE INDEX by_content ON faces (sha256)",
        "ALTER TABLE faces ADD COLUMN more TEXT",
    ],
)
def test_a_foreign_schema_is_refused(gallery: Store, statement: str):
    gallery.faces.add([face("ana", 1)])
    gallery.close()
    with sqlite3.connect(gallery.folder / FILE) as db:
        if "TRIGGER" in statement:
            db.execute("CREATE TABLE kept (vector BLOB)")
        db.execute(statement)
    with pytest.raises(CorruptGallery, match="other tables, views or triggers"):
        Store.open(gallery.folder)


def test_a_view_in_the_place_of_a_table_is_refused(gallery: Store):
    gallery.close()
    with sqlite3.connect(gallery.folder / FILE) as db:
        db.execute("DROP TABLE faces")
        db.execute(
            f"CREATE VIEW faces AS {ENDLESS}"
            " SELECT n AS face_id, n AS person_id, '' AS sha256, '' AS source, x'' AS vector, 0 AS checksum,"
            " NULL AS detector FROM c"
        )
    with pytest.raises(CorruptGallery, match="other tables, views or triggers"):
        Store.open(gallery.folder)
