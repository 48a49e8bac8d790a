"""A damaged index gives no wrong answer, and neither does one that others ask while it changes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest

from facesearch.errors import CorruptGallery
from facesearch.gallery.forget import forget
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index import files as index_files
from facesearch.gallery.index.faiss_index import is_current, open_index
from facesearch.gallery.index.indexed import Indexed
from facesearch.gallery.index.rows import flat_index, header
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers.index import D, answers_right, asked, by_trying_all, indexed, people

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gallery(three_hundred_people: Store) -> Store:
    return three_hundred_people


# ---- damage


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flat", "bits1"])
def test_a_byte_flipped_anywhere_in_the_index_gives_no_wrong_answer(gallery: Store, kind: str):
    """Every 997th byte of every file, of long ones every 9973rd: the answers are right, whatever is found
    damaged on the way.
    """
    indexed(gallery, kind)
    queries = asked()
    expected, best = by_trying_all(gallery, queries, 10)
    noticed = 0
    whole = {path: path.read_bytes() for path in gallery.folder.glob("vectors*") if path.stat().st_size}
    for path, data in whole.items():
        for place in range(0, len(data), 997 if len(data) < 40_000 else 9973):
            for other, content in whole.items():
                other.write_bytes(content)
            broken = bytearray(data)
            broken[place] ^= 1 << place % 8
            path.write_bytes(broken)
            index = open_index(gallery)
            ids, scores = index.search(queries, 10)
            assert np.array_equal(ids, expected) and np.allclose(scores, best, atol=1e-6), (path.name, place)
            noticed += bool(index.built)
            for rest in set(gallery.folder.glob("vectors*")) - whole.keys():
                rest.unlink()
    assert noticed > 5


def test_a_vector_damaged_in_its_file_is_read_from_the_store_and_verify_mends_the_file(gallery: Store):
    indexed(gallery, "bits1")
    path = next(gallery.folder.glob("*.faiss"))
    data = bytearray(path.read_bytes())
    start = len(header(1500, D))
    data[start:] = bytes(len(data) - start)  # all of them
    path.write_bytes(data)
    assert open_index(gallery).built == ""
    answers_right(gallery)
    assert is_current(gallery)[0] and "damaged" in verify(gallery.folder, repair=False).index
    assert verify(gallery.folder, repair=True).mended == ("rebuilt the index",)
    assert verify(gallery.folder, repair=True).index == ""


def test_a_code_that_is_not_its_rows_is_found_by_verify(gallery: Store):
    indexed(gallery, "bits1")
    path = next(gallery.folder.glob("*.codes"))
    path.write_bytes(path.read_bytes()[::-1])
    manifest = gallery.folder / "vectors.json"
    text = manifest.read_text()
    checks = index_files.read_manifest(Indexed(gallery))["segments"][0]["checks"]
    manifest.write_text(
        text.replace(str(checks[".codes"]), str(index_files._check(path)))
    )  # whoever did it knew the check number
    assert "damaged" in verify(gallery.folder, repair=False).index


def test_an_index_of_the_version_before_is_made_anew_and_not_misread(gallery: Store):
    """As it was written until 2026-11: ids within the FAISS file, a hash of all of it in the manifest."""
    import hashlib
    import json

    ids, vectors, _ = gallery.faces.vectors()
    old = faiss.IndexIDMap2(flat_index(D))
    old.add_with_ids(vectors[::-1].copy(), ids)  # wrong on purpose: whoever takes it answers wrongly
    data = faiss.serialize_index(old).tobytes()
    (gallery.folder / "vectors-1-abcd.faiss").write_bytes(data)
    entry = {
        "file": "vectors-1-abcd.faiss",
        "sha256": hashlib.sha256(data).hexdigest(),
        "faces": 1500,
        "last_face_id": 1500,
        "encoder_id": gallery.encoder_id,
        "erasures": 0,
    }
    (gallery.folder / "vectors.json").write_text(json.dumps(entry))
    assert "another version" in open_index(gallery).built
    answers_right(gallery)
    assert not (gallery.folder / "vectors-1-abcd.faiss").exists()


def test_a_lost_row_is_still_damage_with_a_compressed_index(gallery: Store):
    import sqlite3

    indexed(gallery, "bits1")
    index = open_index(gallery)
    with sqlite3.connect(gallery.folder / FILE) as db:
        db.execute("DELETE FROM faces WHERE face_id = 3")
    with pytest.raises(CorruptGallery, match="row of face 3 is gone"):
        nearest_people(gallery, index, people(1)[2].vector, 1)
    shutil.rmtree(gallery.folder, ignore_errors=True)


# ---- other processes


def _ask_for_ever(folder: Path, number: int, until: object) -> None:
    rounds = 0
    while not until.is_set() or rounds < 3:  # type: ignore[attr-defined]
        with Store.open(folder) as gallery:
            index = open_index(gallery)
            for person in range(250, 300):
                photo = people(1, 1, first=person)[0]
                best = nearest_people(gallery, index, photo.vector, 1)[0]
                if best.person != photo.person or best.score < 0.999:
                    os._exit(3)
        rounds += 1
    os._exit(0)


@pytest.mark.slow
def test_one_process_enrolls_and_forgets_while_others_ask(gallery: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (40,))
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 40)
    indexed(gallery, "bits1")
    context = multiprocessing.get_context("fork")
    done = context.Event()
    readers = [context.Process(target=_ask_for_ever, args=(gallery.folder, n, done)) for n in range(2)]
    for reader in readers:
        reader.start()
    for number in range(5):
        gallery.faces.add(people(10, seed=7, first=1000 + 10 * number))
        forget(f"person {number:05}", gallery.folder, (), lambda line: None)
    done.set()
    for reader in readers:
        reader.join()
        assert reader.exitcode == 0
    answers_right(gallery)
    assert verify(gallery.folder, repair=True).problems == ()
