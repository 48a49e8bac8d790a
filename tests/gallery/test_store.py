from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import BadName, CorruptGallery, EmptyGallery, EncoderMismatch, NoGallery, UnknownPerson
from facesearch.faces.names import clean_name
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index.faiss_index import is_current, open_index, refresh
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.rows import D, face, unit
from tests.helpers.saying import refused


@pytest.fixture
def gallery(tmp_path: Path):
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder in words") as opened:
        yield opened


# ---- rows


def test_what_was_added_comes_back_and_again_after_opening_anew(gallery: Store):
    faces = [face("ana", 1), face("ana", 2), face("ben", 3)]
    assert gallery.faces.add(faces) == 3
    with Store.open(gallery.folder) as again:
        ids, vectors, people = again.faces.vectors()
        assert len(again) == 3 and people == ["ana", "ana", "ben"] and ids.tolist() == [1, 2, 3]
        assert np.allclose(vectors, np.stack([f.vector for f in faces]), rtol=1e-3, atol=1e-5)  # float16
        assert [(p.name, p.faces) for p in again.faces.people()] == [("ana", 2), ("ben", 1)]
        assert again.faces.by_id([2, 99])[2].sha256 == faces[1].sha256 and 99 not in again.faces.by_id(
            [2, 99]
        )


def test_the_same_photo_of_the_same_person_is_added_once(gallery: Store):
    assert gallery.faces.add([face("ana", 1)]) == 1
    generation = gallery.notes.generation
    assert gallery.faces.add([face("ana", 1), face("ana", 2)]) == 1
    assert gallery.faces.add([face("ben", 1)]) == 1  # another person may be on the same photo
    assert gallery.notes.generation == generation + 2
    assert gallery.faces.has_photo("ana", f"{1:064x}") and not gallery.faces.has_photo("ana", f"{3:064x}")


def test_ids_are_never_used_again(gallery: Store):
    gallery.faces.add([face("ana", 1), face("ben", 2)])
    gallery.eraser.delete("ben")
    gallery.faces.add([face("eva", 3)])
    assert gallery.faces.vectors()[0].tolist() == [1, 3]


def test_a_failed_addition_adds_nothing(gallery: Store):
    with pytest.raises(BadName):
        gallery.faces.add([face("ana", 1), face("", 2)])
    with pytest.raises(ValueError, match="unit vector"):
        gallery.faces.add([face("ana", 1), NewFace("ben", "0" * 64, "b", 3 * unit(1)[0])])
    assert len(gallery) == 0 and gallery.faces.people() == []


def test_files_belong_to_their_owner_alone(gallery: Store):
    gallery.faces.add([face("ana", 1)])
    open_index(gallery)
    assert gallery.folder.stat().st_mode & 0o077 == 0
    for path in gallery.folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_vectors_of_another_encoder_are_refused(gallery: Store):
    gallery.require_encoder("e" * 64)
    with pytest.raises(EncoderMismatch, match="scores cannot be compared"):
        gallery.require_encoder("f" * 64)


def test_the_threshold_travels_with_the_gallery(gallery: Store):
    assert gallery.notes.threshold() is None
    stored = Threshold(0.5, 0.01, "by hand", 300, 7)
    gallery.notes.set_threshold(stored)
    with Store.open(gallery.folder) as again:
        assert again.notes.threshold() == stored


# ---- names


@pytest.mark.parametrize(
    "name",
    [
        "Ana",
        "Žofie Nováková",
        "李小龍",
        "../../etc/passwd",
        "-rf",
        "a/b\\c",
        "Robert'); DROP TABLE faces;--",
        "👩‍🚀",
    ],
)
def test_names_are_data_and_any_script_will_do(gallery: Store, name: str):
    gallery.faces.add([face(name, 1)])
    assert [p.name for p in gallery.faces.people()] == [name]
    assert gallery.eraser.delete(name).note.faces == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("  \t ", "empty"),
        ("x" * 10_000, "10,000 characters"),
        ("a\nb", r"U\+000A"),
        ("a\0b", r"U\+0000"),
        ("\u2028", "empty"),
        ("a\u2028b", r"U\+2028"),
    ],
)
def test_what_no_name_can_be_is_refused_with_the_reason(name: str, reason: str):
    with pytest.raises(BadName, match=reason):
        clean_name(name)


def test_two_spellings_in_unicode_are_one_name():
    assert clean_name("Zoe\u0301") == clean_name("Zoé") == "Zoé"


def test_somebody_unknown_is_named_with_the_nearest_name(gallery: Store):
    gallery.faces.add([face("Ada Lovelace", 1)])
    with pytest.raises(UnknownPerson, match="Did you mean 'Ada Lovelace'"):
        gallery.eraser.delete("Ada Lovelac")


# ---- the index


def test_the_index_answers_as_trying_all_does(gallery: Store):
    gallery.faces.add([face(f"p{i % 9}", i) for i in range(60)])
    index = open_index(gallery)
    ids, vectors, _ = gallery.faces.vectors()
    queries = unit(1234, 7)
    cosines = queries @ vectors.T
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :5]
    found, scores = index.search(queries, 5)
    assert np.array_equal(found, ids[expected])
    assert np.allclose(scores, np.take_along_axis(cosines, expected, 1), atol=1e-3)


def test_short_answers_end_in_no_id_and_no_score(gallery: Store):
    gallery.faces.add([face("ana", 1), face("ben", 2)])
    ids, scores = open_index(gallery).search(unit(5), 4)
    assert ids.shape == (1, 4) and (ids[0, 2:] == -1).all() and np.isneginf(scores[0, 2:]).all()


def test_a_query_that_is_not_a_number_is_refused(gallery: Store):
    gallery.faces.add([face("ana", 1)])
    with pytest.raises(ValueError, match="finite"):
        open_index(gallery).search(np.full((1, D), np.nan, np.float32), 1)


def test_faces_enrolled_since_are_found_without_writing_the_file_anew(gallery: Store):
    gallery.faces.add([face("ana", i) for i in range(20)])
    open_index(gallery)
    files = sorted(p.name for p in gallery.folder.glob("*.faiss"))
    gallery.faces.add([face("eva", 77)])
    index = open_index(gallery)
    assert index.built == "" and sorted(p.name for p in gallery.folder.glob("*.faiss")) == files
    assert nearest_people(gallery, index, unit(77)[0], 1)[0].person == "eva"
    assert not is_current(gallery)[0]


def test_a_missing_or_damaged_index_is_made_anew_from_the_store(gallery: Store):
    gallery.faces.add([face("ana", i) for i in range(5)])
    assert "no index file yet" in open_index(gallery).built
    assert open_index(gallery).built == ""
    path = next(gallery.folder.glob("*.faiss"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "damaged" in open_index(gallery).built
    (gallery.folder / "vectors.json").write_text("{")
    assert "could not be read" in open_index(gallery).built
    next(gallery.folder.glob("*.faiss")).unlink()
    assert "no index file" in open_index(gallery).built
    assert nearest_people(gallery, open_index(gallery), unit(3)[0], 1)[0].score > 0.999


def test_an_index_written_from_what_was_read_before_a_forgetting_does_not_stay(
    gallery: Store, monkeypatch: pytest.MonkeyPatch
):
    """Somebody is forgotten between the reading and the writing of an index, and the writer may be killed
    just then.
    """
    gallery.faces.add([face("ana", i) for i in range(5)] + [face("ben", 9)])
    blob = face("ben", 9).vector.astype("<f2").tobytes()
    real = faiss_index.write_manifest

    def interrupted(*args: object) -> None:
        monkeypatch.setattr(faiss_index, "write_manifest", real)
        with Store.open(gallery.folder) as other:
            other.eraser.delete("ben")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(faiss_index, "write_manifest", interrupted)
    refresh(gallery, "test")
    assert not any(blob in path.read_bytes() for path in gallery.folder.glob("*.faiss"))
    manifest = gallery.folder / "vectors.json"
    manifest.write_text(
        manifest.read_text().replace('"erasures": 1', '"erasures": 0')
    )  # as a killed writer leaves it
    assert "forgotten since" in open_index(gallery).built and open_index(gallery).built == ""


def test_a_killed_writers_half_file_goes_with_the_next_one(gallery: Store):
    gallery.faces.add([face("ana", 1)])
    dead, alive = (
        gallery.folder / ".vectors-1-x.faiss.999999999.new",
        gallery.folder / f".vectors-1-y.faiss.{os.getpid()}.new",
    )
    dead.write_bytes(b"half a file")
    alive.write_bytes(b"being written")
    refresh(gallery, "test")
    assert not dead.exists() and alive.exists()


def test_people_come_by_their_best_photo_with_support(gallery: Store):
    near = unit(1)[0]
    far = unit(2)[0] - near * float(unit(2)[0] @ near)
    far /= np.linalg.norm(far)
    mixed = (0.8 * near + 0.6 * far).astype(np.float32)
    gallery.faces.add(
        [
            NewFace("ana", "1" * 64, "a1", near),
            NewFace("ana", "2" * 64, "a2", far),
            NewFace("ben", "3" * 64, "b1", mixed),
        ]
    )
    first, second = nearest_people(gallery, open_index(gallery), near, 5)
    assert (first.person, first.photos, [s.source for s in first.support]) == ("ana", 2, ["a1", "a2"])
    assert (second.person, second.score) == ("ben", pytest.approx(0.8, abs=1e-3))


def test_the_search_goes_on_until_enough_people_are_found(gallery: Store):
    base = unit(1)[0]
    gallery.faces.add([NewFace("crowd", f"{i:064x}", "c", base) for i in range(300)] + [face("ana", 5)])
    assert [m.person for m in nearest_people(gallery, open_index(gallery), base, 2)] == ["crowd", "ana"]


def test_an_empty_gallery_says_so(gallery: Store):
    with refused(EmptyGallery, "facesearch enroll"):
        open_index(gallery)


# ---- erasing


def test_forgetting_leaves_no_byte_of_the_vector_or_the_name(gallery: Store):
    name = "Zanzibar Quetzalcoatl"
    secret = face(name, 99, "holiday-of-zanzibar.jpg")
    blob = secret.vector.astype("<f2").tobytes()
    gallery.faces.add([face("ana", i) for i in range(50)])
    gallery.faces.add([secret])
    refresh(gallery, "test")
    everything = b"".join(path.read_bytes() for path in gallery.folder.iterdir())
    assert blob in everything and name.encode() in everything
    assert gallery.eraser.delete(name).note.faces == 1
    refresh(gallery, "test")
    gallery.eraser.cut_log()
    for path in gallery.folder.iterdir():
        data = path.read_bytes()
        assert blob not in data and name.encode() not in data and b"zanzibar" not in data, path


def test_somebody_forgotten_is_not_answered_even_by_an_old_index(gallery: Store):
    gallery.faces.add([face("ana", 1), face("ben", 2)])
    index = open_index(gallery)
    gallery.eraser.delete("ben")
    assert [m.person for m in nearest_people(gallery, index, unit(2)[0], 5)] == ["ana"]


# ---- damage, other processes, kills


def test_no_gallery_and_no_gallery_file(tmp_path: Path):
    with refused(NoGallery, "build-index"):
        Store.open(tmp_path)
    (tmp_path / FILE).write_bytes(b"this is not a database, whatever it is called" * 50)
    with pytest.raises(CorruptGallery):
        Store.open(tmp_path)
    (tmp_path / FILE).unlink()
    sqlite3.connect(tmp_path / FILE).execute("CREATE TABLE t (x)").connection.close()
    for verb in (Store.open, lambda folder: Store.create(folder, "e" * 64, D, "")):
        with pytest.raises(CorruptGallery, match="not a gallery"):
            verb(tmp_path)


def test_a_flipped_byte_in_a_vector_is_noticed(gallery: Store):
    gallery.faces.add([face("ana", i) for i in range(30)])
    blob = face("ana", 17).vector.astype("<f2").tobytes()
    gallery.eraser.cut_log()
    gallery.close()
    path = gallery.folder / FILE
    data = bytearray(path.read_bytes())
    at = data.find(blob)
    assert at > 0
    data[at + 5] ^= 0x10
    path.write_bytes(data)
    with (
        Store.open(gallery.folder) as damaged,
        pytest.raises(CorruptGallery, match="face 18 does not fit its checksum"),
    ):
        open_index(damaged)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM meta WHERE key = 'generation'",
        "UPDATE meta SET value = 'x' WHERE key = 'generation'",
        "INSERT INTO meta VALUES ('erasures', x'00')",
    ],
)
def test_counts_that_cannot_be_read_are_damage(gallery: Store, sql: str):
    """What atheris found: a table out of order has a key when it is read from end to end, and has it not when
    it is asked for it.
    """
    gallery.faces.add([face("ana", 1)])
    with sqlite3.connect(gallery.folder / FILE) as db:
        db.execute(sql)
    with pytest.raises(CorruptGallery, match="cannot be read"):
        open_index(gallery)


def test_a_row_that_has_gone_by_itself_is_damage_and_no_answer(gallery: Store):
    gallery.faces.add([face("ana", i) for i in range(5)])
    index = open_index(gallery)
    with sqlite3.connect(gallery.folder / FILE) as db:
        db.execute("DELETE FROM faces WHERE face_id = 3")
    with pytest.raises(CorruptGallery, match="row of face 3 is gone"):
        nearest_people(gallery, index, unit(2)[0], 1)


def test_a_read_only_gallery_can_be_asked(gallery: Store, monkeypatch: pytest.MonkeyPatch):
    gallery.faces.add([face("ana", 1)])
    gallery.close()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: False if mode == os.W_OK else real(path, mode))
    before = sorted(gallery.folder.iterdir())
    with Store.open(gallery.folder) as opened:
        assert nearest_people(opened, open_index(opened), unit(1)[0], 1)[0].person == "ana"
    assert [p for p in sorted(gallery.folder.iterdir()) if not p.name.startswith("vectors")] == before


def _enroll_many(folder: Path, who: str, start: int) -> None:
    with Store.open(folder) as opened:
        for i in range(40):
            opened.faces.add([face(who, start + i)])


def test_two_processes_enroll_at_once_and_nothing_is_lost(gallery: Store):
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_enroll_many, args=(gallery.folder, name, 1000 * n))
        for n, name in enumerate("abc", 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [(p.name, p.faces) for p in gallery.faces.people()] == [("a", 40), ("b", 40), ("c", 40)]
    gallery.faces.vectors()  # every checksum fits


ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from facesearch.gallery.store.store import Store
from tests.helpers.rows import face
from facesearch.gallery.index.faiss_index import refresh
with Store.open(Path({folder!r})) as gallery:
    i = {start}
    while True:
        gallery.faces.add([face("p", i), face("q", i + 500_000)])
        print(i, flush=True)
        if i % 7 == 0:
            refresh(gallery, "test")
        i += 1
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_it_had_confirmed(gallery: Store):
    """kill -9 at eight moments: every confirmed pair of rows is there, whole, and the index answers."""
    root = str(Path(__file__).parents[2])
    confirmed = -1
    for round_no in range(8):
        code = ENDLESS.format(root=root, folder=str(gallery.folder), start=confirmed + 1)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(3 + 2 * round_no):
                confirmed = int(writer.stdout.readline())
            time.sleep(0.001 * round_no)
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            confirmed = int(rest[-1]) if rest else confirmed
        with Store.open(gallery.folder) as opened:
            ids, _, people = opened.faces.vectors()
            assert (
                people.count("p") == people.count("q") >= confirmed + 1
            )  # pairs are added together or not at all
            assert len(open_index(opened)) == len(ids)
            assert nearest_people(opened, open_index(opened), unit(confirmed)[0], 1)[0].score > 0.999
        confirmed = people.count("p") - 1
