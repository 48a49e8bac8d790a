"""A gallery projected into Milvus: the same answers, nothing lost, nobody kept who was forgotten.

Against Milvus Lite by default; against a server with FACESEARCH_TEST_MILVUS=milvus:http://HOST:19530.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.commands.given import access_of
from facesearch.errors import (
    BadStore,
    CannotProject,
    CannotRead,
    CannotWrite,
    CorruptGallery,
    EmptyGallery,
    NotSynced,
    OtherCollection,
    PackageMissing,
    ProjectedInPlain,
    ProjectionDiffers,
    StillProjected,
    StoreRefused,
    StoreUnreachable,
    SyncRunning,
    UnknownPerson,
)
from facesearch.gallery import milvus_index, projections
from facesearch.gallery.faiss_index import open_index
from facesearch.gallery.keys import Key
from facesearch.gallery.milvus_engine import UNFINISHED, Engine, Row, connected
from facesearch.gallery.milvus_index import MilvusIndex, open_projection
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.projections import Access, Place, Projection, collection_of, place_of, projection_at, row_id, sole_sync
from facesearch.gallery.rows import NewFace
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs import erase
from facesearch.jobs import sync as job
from facesearch.jobs.care import export, import_into
from facesearch.jobs.encrypt import encrypt
from facesearch.jobs.move import move
from facesearch.jobs.sync import Checked, Synced, check, drop, sync
from facesearch.records import F32
from tests.conftest import refused
from tests.test_store import D, face, unit

SERVER = os.environ.get("FACESEARCH_TEST_MILVUS")
ACCESS = access_of() if SERVER else Access()
"""A server that asks for a token is tried with FACESEARCH_MILVUS_TOKEN."""
forget = partial(erase.forget, access=ACCESS)
lite_only = pytest.mark.skipif(bool(SERVER), reason="looks at Milvus Lite's own files")
NAME, SOURCE = "Zanzibar Quetzalcoatl", "holiday-of-zanzibar.jpg"


def quiet(done: int, total: int) -> None:
    pass


def tell(line: str) -> None:
    pass


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Forty people with five photos each that lie near each other, and one whose name is easily found again."""
    with Gallery.create(tmp_path / "g", "e" * 64, D, "encoder") as opened:
        faces = []
        for person in range(40):
            near = unit(person)[0] + 0.2 * unit(1000 + person, 5)
            near /= np.linalg.norm(near, axis=1, keepdims=True)
            faces += [NewFace(f"person {person:02d}", f"{person * 10 + i:064x}", f"{i}.jpg", near[i]) for i in range(5)]
        opened.add(faces)
        opened.add([face(NAME, 99_001, SOURCE), face(NAME, 99_002, "second-zanzibar.jpg")])
        yield opened


@pytest.fixture
def place(tmp_path: Path, gallery: Gallery) -> Iterator[Place]:
    found = place_of(SERVER or f"milvus:{tmp_path / 'faces.db'}", ACCESS)
    yield found
    if SERVER and (known := projection_at(gallery, found)):
        with connected(found) as engine:
            for name in (known.collection, *known.former):
                engine.drop(name)


def told(done: Synced) -> tuple[int, int, int]:
    return done.added, done.removed, done.same


def brute(gallery: Gallery, query: F32, top: int) -> list[tuple[str, float]]:
    """The obvious twin of a search: every row, every person, in Python."""
    _, vectors, people = gallery.vectors()
    best: dict[str, float] = {}
    for person, vector in zip(people, vectors, strict=True):
        best[person] = max(best.get(person, -2.0), float(vector @ query))
    return sorted(best.items(), key=lambda item: -item[1])[:top]


# ---- the same answers


def test_a_projection_names_the_same_people_with_the_same_scores_as_faiss_and_as_a_plain_loop(gallery: Gallery, place: Place):
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)
    own = open_index(gallery)
    with open_projection(gallery, place) as index:
        assert len(index) == 202 and index.notes == () and index.erasures == own.erasures
        for query in np.vstack([unit(5000, 20), unit(3), unit(99_001)]):
            there, here = nearest_people(gallery, index, query, 5), nearest_people(gallery, own, query, 5)
            plain = brute(gallery, query, 5)
            assert [m.person for m in there] == [m.person for m in here] == [person for person, _ in plain]
            assert np.allclose([m.score for m in there], [score for _, score in plain], rtol=0, atol=1e-6)
            assert [[s.source for s in m.support] for m in there] == [[s.source for s in m.support] for m in here]
            ids, scores = index.search(query[None, :], 7)
            own_ids, own_scores = own.search(query[None, :], 7)
            assert ids.tolist() == own_ids.tolist() and np.allclose(scores, own_scores, rtol=0, atol=1e-6)
        ids, scores = index.search(unit(1, 2), 300)
        assert ids.shape == (2, 300) and (ids[:, 202:] == -1).all() and np.isneginf(scores[:, 202:]).all() and (ids[:, :202] > 0).all()
        with pytest.raises(ValueError, match="finite"):
            index.search(np.full((1, D), np.nan, np.float32), 3)


def test_who_was_enrolled_since_is_found_before_the_next_sync_which_sends_only_them(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    gallery.add([face("eva", 700), face("eva", 701)])
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(700)[0], 1)[0].person == "eva"
        assert index.notes == (
            f"2 faces enrolled since the last sync: searched in the gallery itself. Run: facesearch sync --store {place.text}",
        )
    assert told(sync(gallery, place, progress=quiet)) == (2, 0, 202)
    with open_projection(gallery, place) as index:
        assert index.notes == () and nearest_people(gallery, index, unit(701)[0], 1)[0].person == "eva"


def test_a_repeated_sync_changes_nothing_and_a_rename_sends_nothing(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    noted, generation = projection_at(gallery, place), gallery.generation
    assert told(sync(gallery, place, progress=quiet)) == (0, 0, 202)
    assert projection_at(gallery, place) == noted and gallery.generation == generation
    gallery.rename("person 07", "Ana", join=False)
    assert told(sync(gallery, place, progress=quiet)) == (0, 0, 202)
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(7)[0], 1)[0].person == "Ana"
    full = sync(gallery, place, full=True, progress=quiet)
    assert told(full) == (0, 0, 202) and full.compared
    gallery.rename("Ana", "person 08", join=True)  # counts as an erasure, since rows may go
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(7)[0], 1)[0].person == "person 08"
    assert told(sync(gallery, place, progress=quiet))[2] in (0, 202)
    assert check(gallery, place, quiet).words() == ""


def test_too_much_enrolled_since_asks_for_a_sync(gallery: Gallery, place: Place, monkeypatch: pytest.MonkeyPatch):
    sync(gallery, place, progress=quiet)
    monkeypatch.setattr(milvus_index, "DELTA_LIMIT", 1)
    gallery.add([face("eva", 700), face("eva", 701)])
    with pytest.raises(NotSynced, match="more than 1 faces were enrolled since"), open_projection(gallery, place):
        pass


# ---- forgetting


def held(folder: Path, vector: F32) -> list[str]:
    """Files that hold a vector: raw, any 16 bytes of it in float32 or float16, or in a column of a Parquet or Arrow file."""
    import pyarrow
    import pyarrow.parquet

    kept = vector.astype(np.float16)
    needles = [blob[i : i + 16] for blob in (kept.astype("<f4").tobytes(), kept.tobytes()) for i in range(0, len(blob) - 15, 8)]
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            columns = pyarrow.parquet.read_table(path).columns
            data += b"".join(np.asarray(c.to_pylist(), np.float32).tobytes() for c in columns if "list" in str(c.type))
        if any(needle in data for needle in needles):
            found.append(str(path.relative_to(folder)))
    return found


@lite_only
def test_forgetting_reaches_the_projection_and_leaves_no_byte_of_the_vector_in_its_files(gallery: Gallery, place: Place, tmp_path: Path):
    other = place_of(f"milvus:{tmp_path / 'other.db'}")
    sync(gallery, other, progress=quiet)
    assert other.local is not None and place.local is not None
    with connected(other) as engine:  # what a plain deletion leaves behind, so that the test can see
        engine.delete(collection_of(gallery), "face == 201")
        engine.settle(collection_of(gallery), compact=True)
    assert any(name.endswith(".parquet") for name in held(other.local, unit(99_001)[0]))
    drop(gallery, other, abandon=False)
    assert held(other.local, unit(99_001)[0]) == []
    sync(gallery, place, progress=quiet)
    assert any(name.endswith(".parquet") for name in held(place.local, unit(99_001)[0]))
    lines: list[str] = []
    receipt, path = forget(NAME, gallery.folder, (), lines.append)
    assert held(place.local, unit(99_001)[0]) == [] and held(place.local, unit(99_002)[0]) == []
    assert held(place.local, unit(3)[0]) == [] and held(place.local, gallery.vectors_of("person 03")[0])
    entry = {"store": place.text, "erased": True, "how": "its files were deleted and written anew from the gallery"}
    assert json.loads(path.read_text())["projections"] == [entry] and receipt.projections[0].erased
    assert lines == [f"{place.text}: its files were deleted and written anew from the gallery"]
    assert projections.owed(gallery) == [] and told(sync(gallery, place, progress=quiet)) == (0, 0, 200)
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 200)


@lite_only
@pytest.mark.parametrize("number", [9, 5000, -1])
def test_rows_that_do_not_belong_there_leave_no_byte_either(gallery: Gallery, place: Place, number: int):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    with connected(place) as engine:
        engine.send(collection_of(gallery), [Row("A" * 20, number, unit(55_555)[0].astype(np.float16).astype(np.float32))])
        engine.settle(collection_of(gallery), compact=False)
    assert held(place.local, unit(55_555)[0])
    done = sync(gallery, place, progress=quiet)
    assert done.compared and done.rebuilt and told(done) == (0, 1, 202) and held(place.local, unit(55_555)[0]) == []


def test_after_forgetting_no_search_of_the_projection_finds_the_rows(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    forget(NAME, gallery.folder, (), tell)
    with connected(place) as engine:
        engine.prepare(collection_of(gallery), "flat" if place.local else "hnsw")
        hits = engine.search(collection_of(gallery), "flat" if place.local else "hnsw", unit(99_001), 200, strong=True)[0]
    assert len(hits) == 200 and not {201, 202} & {number for _, number in hits}


def test_one_photo_is_forgotten_there_too(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    forget(NAME, gallery.folder, ("second-zanzibar.jpg",), tell)
    assert check(gallery, place, quiet).same == 201
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(99_001)[0], 1)[0].photos == 1


def test_who_was_enrolled_and_forgotten_between_two_syncs_was_never_there(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    gallery.add([face("eva", 700), face("mia", 701)])
    gallery.forget("eva")
    done = sync(gallery, place, progress=quiet)
    assert told(done) == (1, 0, 202) and not done.rebuilt and not done.compared
    assert check(gallery, place, quiet).same == 203


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Take the engine away, or give it back."""

    @contextmanager
    def nothing(place: Place) -> Iterator[Engine]:
        raise StoreUnreachable(place.text, "no connection within 1 s")
        yield

    def switch(down: bool) -> None:
        for module in (job, milvus_index):
            monkeypatch.setattr(module, "connected", nothing if down else connected)

    return switch


def test_an_engine_that_is_down_is_owed_the_erasure_and_the_same_command_ends_it(
    gallery: Gallery, place: Place, broken: Callable[[bool], None]
):
    sync(gallery, place, progress=quiet)
    broken(True)
    with pytest.raises(StillProjected, match="still hold the vectors") as raised:
        forget(NAME, gallery.folder, (), tell)
    receipt = raised.value.receipt
    assert [entry["erased"] for entry in json.loads(receipt.read_text())["projections"]] == [False]
    assert NAME not in [person.name for person in gallery.people()]
    with pytest.raises(StillProjected):  # still down
        forget(NAME, gallery.folder, (), tell)
    broken(False)
    with open_projection(gallery, place) as index:  # the rows are there, and name nobody
        assert "somebody was forgotten since" in index.notes[0]
        assert NAME not in [match.person for match in nearest_people(gallery, index, unit(99_001)[0], 40)]
    again, path = forget(NAME, gallery.folder, (), tell)
    assert path == receipt and again.photos == 2 and again.projections[0].erased
    assert [entry["erased"] for entry in json.loads(receipt.read_text())["projections"]] == [True]
    assert check(gallery, place, quiet).words() == ""
    with pytest.raises(UnknownPerson):
        forget(NAME, gallery.folder, (), tell)


def test_a_sync_ends_an_erasure_that_is_owed_and_its_receipt_says_so(gallery: Gallery, place: Place, broken: Callable[[bool], None]):
    sync(gallery, place, progress=quiet)
    broken(True)
    with pytest.raises(StillProjected) as first:
        forget(NAME, gallery.folder, (), tell)
    with pytest.raises(StillProjected):
        forget("person 11", gallery.folder, (), tell)
    broken(False)
    done = sync(gallery, place, progress=quiet)
    assert done.removed == 7 and done.same == 195 and done.erased == 2 and not done.compared
    assert json.loads(first.value.receipt.read_text())["projections"][0]["erased"] is True
    assert projections.owed(gallery) == [] and check(gallery, place, quiet).words() == ""


def test_of_two_projections_the_one_that_is_down_is_owed_the_erasure_alone(
    gallery: Gallery, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = place_of(f"milvus:{tmp_path / 'other.db'}", ACCESS)
    sync(gallery, place, progress=quiet)
    sync(gallery, other, progress=quiet)

    @contextmanager
    def only_one(wanted: Place) -> Iterator[Engine]:
        if wanted == other:
            raise StoreUnreachable(wanted.text, "no connection within 1 s")
        with connected(wanted) as engine:
            yield engine

    with monkeypatch.context() as patch:
        patch.setattr(job, "connected", only_one)
        with pytest.raises(StillProjected) as raised:
            forget(NAME, gallery.folder, (), tell)
        assert [store for store, _ in raised.value.stores] == [other.text]

    def reached() -> dict[str, bool]:
        return {entry["store"]: entry["erased"] for entry in json.loads(raised.value.receipt.read_text())["projections"]}

    assert reached() == {place.text: True, other.text: False}
    assert check(gallery, place, quiet).words() == "" and check(gallery, other, quiet).extra == 2
    assert [elsewhere.store for elsewhere in forget(NAME, gallery.folder, (), tell)[0].projections] == [other.text]
    assert reached() == {place.text: True, other.text: True} and projections.owed(gallery) == []


def test_who_is_forgotten_or_moved_is_erased_there_with_the_access_that_is_given(
    gallery: Gallery, place: Place, monkeypatch: pytest.MonkeyPatch
):
    sync(gallery, place, progress=quiet)
    seen: list[Access] = []

    @contextmanager
    def noted(wanted: Place) -> Iterator[Engine]:
        seen.append(wanted.access)
        with connected(place) as engine:
            yield engine

    monkeypatch.setattr(job, "connected", noted)
    mine = Access("root:hush-hush", 7.5)
    photos = {sha256 for _, sha256 in gallery.photos_of("person 03")[:2]}
    move("person 03", photos, "Ana", gallery.folder, tell, access=mine)
    erase.forget(NAME, gallery.folder, (), tell, access=mine)
    assert seen and set(seen) == {mine} and "hush" not in repr(seen)
    monkeypatch.undo()
    assert check(gallery, place, quiet).words() == "" and projections.owed(gallery) == []


def test_somebody_forgotten_while_a_sync_is_under_way_is_not_there_when_it_ends(
    gallery: Gallery, place: Place, monkeypatch: pytest.MonkeyPatch
):
    sent: list[int] = []
    plain = Engine.send

    def send(engine: Engine, name: str, rows: list[Row]) -> None:
        plain(engine, name, rows)
        if not sent:
            with refused(StillProjected, "Another process is syncing"):
                forget(NAME, gallery.folder, (), tell)
        sent.append(len(rows))

    monkeypatch.setattr(Engine, "send", send)
    done = sync(gallery, place, progress=quiet)
    assert sent[0] == 202 and done.removed == 2
    monkeypatch.undo()
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 200)
    assert projections.owed(gallery) == []


# ---- what is wrong there


def test_a_check_counts_what_is_missing_too_many_or_another_vector_and_full_repairs_it(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    name = collection_of(gallery)
    with connected(place) as engine:
        engine.prepare(name, "flat" if place.local else "hnsw")
        rows = [row for part in engine.between(name, 0, 202, vectors=True) for row in part]
        assert [row.face for row in rows] == list(range(1, 203)) and all(row.vector is not None for row in rows)
        engine.delete(name, "face in [5, 6, 7]")
        engine.send(name, [Row("A" * 20, 9, unit(1)[0]), Row("B" * 20, 5000, unit(1)[0]), Row("C" * 20, -1, unit(1)[0])])
        engine.send(name, [Row(rows[99].id, 100, unit(2)[0])])
        engine.send(name, [Row(rows[149].id, 151, rows[149].vector)])
        stamp = engine.stamp(name)
    found = check(gallery, place, quiet)
    assert (found.missing, found.extra, found.wrong, found.same) == (4, 4, 1, 197)
    with connected(place) as engine:
        assert engine.stamp(name) == stamp and engine.count(name) == 202  # nothing was changed
    with open_projection(gallery, place) as index, pytest.raises(ProjectionDiffers, match="is another one there"):
        index.search(unit(1), 202)
    sync(gallery, place, full=True, progress=quiet)
    assert check(gallery, place, quiet) == Checked(place.text, name, 0, 0, 0, 202)
    with connected(place) as engine:
        engine.delete(name, "face in [5, 6, 7]")  # a count that does not fit is seen without --full
    assert sync(gallery, place, progress=quiet).added == 3
    assert check(gallery, place, quiet).words() == ""


@lite_only
@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:1000] + bytes(200) + data[1200:]]
)
def test_a_milvus_lite_that_cannot_read_its_files_says_what_to_do_and_is_written_anew(
    gallery: Gallery, place: Place, tmp_path: Path, damage: Callable[[bytes], bytes]
):
    with Gallery.create(tmp_path / "beside", "e" * 64, D, "encoder") as beside:
        beside.add([face("eva", 700)])
        sync(beside, place, progress=quiet)
        sync(gallery, place, progress=quiet)
        assert place.local is not None

        def spoil() -> None:
            assert place.local is not None
            for file in (place.local / "collections" / collection_of(gallery)).rglob("*.parquet"):
                file.write_bytes(damage(file.read_bytes()))

        spoil()
        for ask in (lambda: check(gallery, place, quiet), lambda: open_projection(gallery, place).__enter__()):
            with pytest.raises(StoreRefused) as raised:
                ask()
            assert f"facesearch sync --store {place.text}" in raised.value.advice
        done = sync(gallery, place, progress=quiet)
        assert told(done) == (202, 0, 0) and done.rebuilt and check(gallery, place, quiet).words() == ""
        with open_projection(gallery, place) as index:
            assert nearest_people(gallery, index, unit(7)[0], 1)[0].person == brute(gallery, unit(7)[0], 1)[0][0]
        spoil()
        receipt, _ = forget(NAME, gallery.folder, (), tell)
        assert receipt.projections[0].erased and check(gallery, place, quiet).same == 200
        spoil()
        drop(gallery, place, abandon=False)
        assert not (place.local / "collections" / collection_of(gallery)).exists()
        assert check(beside, place, quiet).same == 1


@lite_only
def test_an_engine_that_has_lost_its_rows_makes_no_stranger_of_everybody(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    for file in place.local.rglob("*.parquet"):
        file.unlink()
    with open_projection(gallery, place) as index, pytest.raises(ProjectionDiffers, match="finds none of its 202 rows"):
        nearest_people(gallery, index, unit(7)[0], 1)
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)


def test_rows_that_the_gallery_does_not_know_are_no_answers(gallery: Gallery, place: Place):
    """An engine that proposes faces that were never enrolled, or were forgotten."""

    class Liar:
        def search(self, name: str, index: str, queries: F32, k: int, *, strong: bool) -> list[list[tuple[str, int]]]:
            return [[("A" * 20, 7777), ("B" * 20, -3), (own, 1)]]

    key = projections.key_of(gallery)
    row, blob = gallery.rows([1])[1]
    own = row_id(key, gallery.encoder_id, 1, row.sha256, row.source, blob)
    liar: Any = Liar()
    index = MilvusIndex(
        gallery, liar, Projection("milvus:x.db", "c", "flat", faces=3), np.zeros(0, np.int64), np.zeros((0, D), np.float32), ()
    )
    ids, scores = index.search(unit(0), 3)
    assert ids.tolist() == [[1, -1, -1]] and scores[0, 0] == pytest.approx(float(gallery.vectors_of("person 00")[0] @ unit(0)[0]))


def test_a_collection_of_another_kind_is_refused_and_left_as_it_is(gallery: Gallery, place: Place):
    name = collection_of(gallery)
    with connected(place) as engine:
        engine.create(name, D + 1, gallery.encoder_id, "flat")
        engine.send(name, [Row("A" * 20, 1, np.ones(D + 1, np.float32))])
    try:
        for attempt in (lambda: sync(gallery, place, progress=quiet), lambda: sync(gallery, place, full=True, progress=quiet)):
            with pytest.raises(OtherCollection, match=r"'vector' is FLOAT_VECTOR \{'dim': 17\}, not FLOAT_VECTOR \{'dim': 16\}"):
                attempt()
        with connected(place) as engine:
            assert engine.count(name) == 1
            engine.drop(name)
            engine.create(name, D, "f" * 64, "flat")
        with pytest.raises(OtherCollection, match="encoder ffffffffffff, not eeeeeeeeeeee"):
            sync(gallery, place, progress=quiet)
    finally:
        with connected(place) as engine:
            engine.drop(name)


def test_a_projection_that_is_not_as_the_last_sync_left_it_is_not_asked(gallery: Gallery, place: Place):
    def refused(why: str) -> None:
        with pytest.raises(NotSynced, match=why), open_projection(gallery, place):
            pass

    refused("nothing was ever sent there")
    with pytest.raises(NotSynced):
        check(gallery, place, quiet)
    sync(gallery, place, progress=quiet)
    name = collection_of(gallery)
    with connected(place) as engine:
        stamp = engine.stamp(name)
        engine.set_stamp(name, "17-0123456789abcdef")  # as a copy of this gallery would leave it, or an old backup of the engine
    refused("changed by somebody else")
    assert sync(gallery, place, progress=quiet).compared
    with connected(place) as engine:
        assert engine.stamp(name) not in (stamp, UNFINISHED)
        engine.drop(name)
    refused("is gone")
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)


def test_another_encoder_makes_another_collection_and_the_old_one_is_dropped(gallery: Gallery, place: Place, tmp_path: Path):
    sync(gallery, place, progress=quiet)
    old = collection_of(gallery)

    def embed_anew(encoder: str, shift: int) -> None:
        with Gallery.create(tmp_path / f"fresh-{encoder}", encoder * 64, D, "other") as fresh:
            faces, vectors = gallery.enrolled()
            fresh.add([NewFace(f.person, f.sha256, f.source, np.roll(v, shift)) for f, v in zip(faces, vectors, strict=True)])
            gallery.take_vectors_of(fresh)

    embed_anew("f", 3)
    with pytest.raises(NotSynced, match="another encoder"), open_projection(gallery, place):
        pass
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)
    with connected(place) as engine:
        assert not engine.has(old) and engine.has(collection_of(gallery))
    known = projection_at(gallery, place)
    assert known is not None and known.former == ()
    with open_projection(gallery, place) as index:
        query = np.roll(unit(99_001)[0], 3)
        assert nearest_people(gallery, index, query, 1)[0].person == NAME
    embed_anew("e", -3)  # and back before the next sync, after a sync of neither
    note = projection_at(gallery, place)
    assert note is not None and collection_of(gallery) == old
    projections.note(gallery, replace(note, former=(old,)))  # as a kill before the dropping leaves it
    assert sync(gallery, place, progress=quiet).added == 202 and check(gallery, place, quiet).words() == ""


def test_an_empty_gallery_and_a_damaged_row_are_said(gallery: Gallery, place: Place, tmp_path: Path):
    with Gallery.create(tmp_path / "none", "e" * 64, D, "encoder") as empty, pytest.raises(EmptyGallery), open_projection(empty, place):
        pass
    import sqlite3

    db = sqlite3.connect(gallery.folder / FILE)
    db.execute("UPDATE faces SET vector = zeroblob(32) WHERE face_id = 150")
    db.commit()
    db.close()
    with pytest.raises(CorruptGallery, match="face 150"):
        sync(gallery, place, progress=quiet)


def test_an_encrypted_gallery_is_sent_nowhere(tmp_path: Path):
    target = place_of(f"milvus:{tmp_path / 'faces.db'}")
    with Gallery.create(tmp_path / "sealed", "e" * 64, D, "encoder", Key(bytes(range(32)), "a test")) as gallery:
        gallery.add([face(NAME, 1, SOURCE)])
        with pytest.raises(CannotProject, match="encrypted"):
            sync(gallery, target, progress=quiet)
        with pytest.raises(CannotProject), open_projection(gallery, target):
            pass
    assert not (tmp_path / "faces.db").exists()


def test_a_gallery_whose_vectors_lie_elsewhere_in_the_clear_is_not_encrypted(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    with refused(ProjectedInPlain, "sync --drop"):
        encrypt(gallery.folder, Key(bytes(range(32)), "a test"))
    with Gallery.open(gallery.folder) as opened:
        assert not opened.sealed and len(opened.people()) == 41
    drop(gallery, place, abandon=False)
    assert encrypt(gallery.folder, Key(bytes(range(32)), "a test")).faces == len(gallery)


# ---- interruptions

STEPS = ["create", "send", "settle", "count", "set_stamp", "delete", "drop"]


class Killed(BaseException):
    """As final as a kill, as far as code below can tell."""


@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("step", STEPS)
def test_interrupted_at_any_step_the_same_command_goes_on(
    gallery: Gallery, place: Place, step: str, when: int, monkeypatch: pytest.MonkeyPatch
):
    """Before or after the step, at the first sync and at a later one with somebody new and somebody forgotten."""
    monkeypatch.setattr(job, "SEND", 64)
    plain = getattr(Engine, step)

    def dies(self: Engine, *values: Any, **named: Any) -> Any:
        if when:
            plain(self, *values, **named)
        raise Killed

    def interrupted() -> bool:
        monkeypatch.setattr(Engine, step, dies)
        try:
            sync(gallery, place, progress=quiet)
        except Killed:
            monkeypatch.setattr(Engine, step, plain)
            if step != "count":  # the first thing that is asked, before anything has changed
                with pytest.raises(NotSynced), open_projection(gallery, place):
                    pass
            return True
        finally:
            monkeypatch.setattr(Engine, step, plain)
        return False

    assert interrupted() or step in ("delete", "drop", "count")
    sync(gallery, place, progress=quiet)
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 202)
    gallery.forget(NAME)
    gallery.add([face("eva", 700)])
    needed = {"create", "drop"} if place.local else {"delete"}
    assert interrupted() or step in {"create", "drop", "delete"} - needed
    sync(gallery, place, progress=quiet)
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 201)
    assert projections.owed(gallery) == []


@pytest.mark.slow
@lite_only
@pytest.mark.parametrize("step", ["create", "send", "settle", "set_stamp"])
def test_killed_for_good_at_a_step_the_same_command_goes_on(gallery: Gallery, place: Place, step: str):
    code = f"""
import os
from pathlib import Path
from facesearch.gallery.milvus_engine import Engine
from facesearch.gallery.projections import place_of
from facesearch.gallery.store import Gallery
from facesearch.jobs import sync
sync.SEND = 64
plain = Engine.{step}
Engine.{step} = lambda *values, **named: (plain(*values, **named), os._exit(9))
with Gallery.open(Path({str(gallery.folder)!r})) as gallery:
    sync.sync(gallery, place_of({place.text!r}), progress=lambda done, total: None)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 9
    with pytest.raises(NotSynced, match="interrupted"), open_projection(gallery, place):
        pass
    assert sync(gallery, place, progress=quiet).compared
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 202)


def test_one_sync_at_a_time(gallery: Gallery, place: Place):
    with sole_sync(gallery), pytest.raises(SyncRunning):
        sync(gallery, place, progress=quiet)
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)


# ---- the engine away


def listener(answers: bool) -> tuple[socket.socket, int]:
    """A port that takes connections and never says a word, or one that takes none."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    if not answers:
        server.close()
    return server, port


@pytest.mark.parametrize("answers", [True, False])
def test_an_engine_that_is_down_or_silent_is_said_in_time(gallery: Gallery, answers: bool):
    server, port = listener(answers)
    try:
        place = place_of(f"milvus:http://127.0.0.1:{port}", Access("root:hush-hush", 0.5))
        with pytest.raises(StoreUnreachable, match=r"no connection within 0\.5 s") as raised:
            sync(gallery, place, progress=quiet)
        assert "hush" not in raised.value.message()
        known = projection_at(gallery, place)
        assert known is None  # nothing was sent, so there is nothing to erase
        forget(NAME, gallery.folder, (), tell)
    finally:
        server.close()


@lite_only
def test_an_engine_that_takes_too_long_is_said_and_the_gallery_is_as_it_was(
    gallery: Gallery, place: Place, monkeypatch: pytest.MonkeyPatch
):
    from milvus_lite.adapter.grpc.servicer import MilvusServicer

    sync(gallery, place, progress=quiet)
    asleep = threading.Event()
    patient, place = place, replace(place, access=Access(wait_s=0.3))
    for call, doing in (("Search", "search"), ("Upsert", "take rows")):
        with monkeypatch.context() as patch:
            patch.setattr(MilvusServicer, call, lambda *values: asleep.wait(5))
            with pytest.raises(StoreUnreachable, match=rf"it was asked to {doing} and had not within 0\.3 s"):
                if call == "Search":
                    with open_projection(gallery, place) as index:
                        index.search(unit(1), 3)
                else:
                    gallery.add([face("eva", 700)])
                    sync(gallery, place, progress=quiet)
    asleep.set()
    assert told(sync(gallery, patient, progress=quiet)) == (1, 0, 202)


@lite_only
def test_milvus_lite_in_another_process_is_said(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    import fcntl

    with (place.local / "LOCK").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnreachable, match="another process has it open"), open_projection(gallery, place):
            pass


@lite_only
def test_a_file_that_is_no_projection_is_said(gallery: Gallery, tmp_path: Path):
    (tmp_path / "faces.db").write_text("my diary")
    with pytest.raises(CannotWrite, match="a file of that name is in the way"):
        sync(gallery, place_of(f"milvus:{tmp_path / 'faces.db'}"), progress=quiet)
    assert (tmp_path / "faces.db").read_text() == "my diary"


def test_without_the_extra_the_command_to_install_it_is_said(gallery: Gallery, place: Place, monkeypatch: pytest.MonkeyPatch):
    for name in ("pymilvus", "pymilvus.exceptions", "milvus_lite.adapter.grpc.server"):
        monkeypatch.setitem(sys.modules, name, None)
    with refused(PackageMissing, r"facesearch\[milvus\]"):
        sync(gallery, place, progress=quiet)


def test_what_the_engine_refuses_is_said_without_the_token(place: Place):
    from pymilvus.exceptions import MilvusException

    from facesearch.gallery.milvus_engine import engine_errors

    with pytest.raises(StoreRefused, match=r"refused to search: it does not accept the token"), engine_errors(place, "search", 1.0):
        raise MilvusException(1100, "auth check failure, please check username and password are correct: unauthenticated root:hush")
    with pytest.raises(StoreRefused, match=r"refused to take rows: quota exceeded\."), engine_errors(place, "take rows", 1.0):
        raise MilvusException(9, "quota exceeded\nstack of the server")


# ---- what is told to whom


@lite_only
def test_no_name_source_or_hash_goes_to_the_engine_and_ids_cannot_be_guessed(gallery: Gallery, place: Place, tmp_path: Path):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    import pyarrow.parquet

    files = [path for path in place.local.rglob("*") if path.is_file()]
    tables = [pyarrow.parquet.read_table(path) for path in files if path.suffix == ".parquet"]
    data = b"".join(path.read_bytes() for path in files) + repr([table.to_pylist() for table in tables]).encode()
    row, blob = gallery.rows([201])[201]
    key = projections.key_of(gallery)
    own = row_id(key, gallery.encoder_id, 201, row.sha256, row.source, blob)
    assert len(own) == 20 and own.encode() in data
    for secret in (NAME, SOURCE, row.sha256, "person 07", key.hex(), str(gallery.folder)):
        assert secret.encode() not in data, secret
    others = [
        row_id(bytes(32), gallery.encoder_id, 201, row.sha256, row.source, blob),
        row_id(key, "f" * 64, 201, row.sha256, row.source, blob),
        row_id(key, gallery.encoder_id, 202, row.sha256, row.source, blob),
        row_id(key, gallery.encoder_id, 201, "0" * 64, row.source, blob),
        row_id(key, gallery.encoder_id, 201, row.sha256, "x", blob),
        row_id(key, gallery.encoder_id, 201, row.sha256, row.source, bytes(len(blob))),
    ]
    assert len({own, *others}) == 7
    assert (place.local.stat().st_mode & 0o077) == 0


@lite_only
def test_milvus_lite_opens_no_port_of_the_machine(gallery: Gallery, place: Place):
    def ports() -> set[str]:
        inodes = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
        lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
        return {words[1] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in inodes}

    probe = socket.create_server(("127.0.0.1", 0))
    assert len(ports()) >= 1  # so the look at /proc sees ports
    probe.close()
    before = ports()
    sync(gallery, place, progress=quiet)
    with open_projection(gallery, place):
        assert ports() == before


def test_an_exported_gallery_tells_nothing_of_its_projections(
    gallery: Gallery, place: Place, tmp_path: Path, broken: Callable[[bool], None]
):
    sync(gallery, place, progress=quiet)
    broken(True)
    with pytest.raises(StillProjected):
        forget(NAME, gallery.folder, (), tell)
    export(gallery.folder, tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    key = projections.key_of(gallery).hex()
    assert key.encode() in (gallery.folder / FILE).read_bytes()
    for secret in (key, place.text, "projection", "owed:"):
        assert secret.encode() not in data, secret
    assert import_into(tmp_path / "out", tmp_path / "other", quiet).people == 40
    broken(False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("faces.db", "none that is known"), ("milvus:", "none that is known"), ("milvus:faces", "ends in .db"),
        ("milvus:ftp://host", "no address"), ("milvus:http://", "no address"), ("redis:http://host", "none that is known"),
        ("milvus:http://root:hush@host:19530", "ends up in logs"), ("milvus:http://host?token=hush", "ends up in logs"),
        ("http://root:hush@host", "none that is known"),
    ],
)  # fmt: skip
def test_what_is_no_address_of_an_engine_is_refused_and_no_secret_repeated(text: str, why: str):
    with pytest.raises(BadStore, match=why) as raised:
        place_of(text)
    assert "hush" not in raised.value.message()


def test_addresses_and_how_their_engines_are_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert (
        place_of("milvus:./faces.db")
        == place_of(f"milvus:{tmp_path}/faces.db")
        == Place(f"milvus:{tmp_path}/faces.db", f"{tmp_path}/faces.db", tmp_path / "faces.db")
    )
    remote = place_of("milvus:https://milvus.example:19530/faces/")
    assert remote == Place("milvus:https://milvus.example:19530/faces", "https://milvus.example:19530/faces", None)
    assert not remote.is_open_wire and not place_of("milvus:http://localhost:19530").is_open_wire
    assert place_of("milvus:http://milvus.example").is_open_wire and not place_of("milvus:faces.db").is_open_wire
    for name in ("FACESEARCH_MILVUS_TOKEN", "FACESEARCH_MILVUS_TOKEN_FILE", "FACESEARCH_STORE_TIMEOUT_S"):
        monkeypatch.delenv(name, raising=False)
    assert access_of() == remote.access == Access("", 30.0)
    monkeypatch.setenv("FACESEARCH_MILVUS_TOKEN", "a:b")
    assert access_of().token == "a:b" and place_of(remote.text).access == Access()  # the library reads no environment
    (tmp_path / "token").write_text("c:d\n")
    monkeypatch.setenv("FACESEARCH_MILVUS_TOKEN_FILE", str(tmp_path / "token"))
    assert access_of().token == "c:d"
    given = place_of(remote.text, access_of())
    assert given == replace(remote, access=Access("c:d")) and "c:d" not in repr(given) + given.text + given.uri
    monkeypatch.setenv("FACESEARCH_STORE_TIMEOUT_S", "0.5")
    assert access_of() == Access("c:d", 0.5)
    for text in ("soon", "-1", "0", "nan", "inf"):
        monkeypatch.setenv("FACESEARCH_STORE_TIMEOUT_S", text)
        with pytest.raises(BadStore, match="no number of seconds"):
            access_of()
    monkeypatch.setenv("FACESEARCH_MILVUS_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(CannotRead, match="No such file"):
        access_of()


# ---- giving it up


def test_a_projection_can_be_dropped_or_abandoned(gallery: Gallery, place: Place, broken: Callable[[bool], None]):
    with pytest.raises(NotSynced):
        drop(gallery, place, abandon=False)
    sync(gallery, place, progress=quiet)
    name = collection_of(gallery)
    broken(True)
    with pytest.raises(StoreUnreachable):
        drop(gallery, place, abandon=False)
    with pytest.raises(StillProjected):
        forget(NAME, gallery.folder, (), tell)
    drop(gallery, place, abandon=True)
    assert projection_at(gallery, place) is None and projections.owed(gallery) == []
    forget("person 01", gallery.folder, (), tell)  # owes nothing to anybody any more
    broken(False)
    assert sync(gallery, place, progress=quiet).same == 195  # what was abandoned is found again, and brought up to date
    drop(gallery, place, abandon=False)
    with connected(place) as engine:
        assert not engine.has(name)


def test_another_kind_of_index_gives_the_same_answers(gallery: Gallery, place: Place):
    sync(gallery, place, progress=quiet)
    kinds = ["hnsw", "flat"] if place.local else ["diskann", "ivf_sq8", "flat", "hnsw"]
    for kind in kinds:
        assert told(sync(gallery, place, index=kind, progress=quiet)) == (0, 0, 202)
        known = projection_at(gallery, place)
        assert known is not None and known.index == kind
        with open_projection(gallery, place) as index:
            for query in unit(6000, 5):
                found = nearest_people(gallery, index, query, 3)
                assert [(m.person, pytest.approx(m.score, abs=1e-6)) for m in found] == brute(gallery, query, 3), kind
    if place.local:
        with pytest.raises(BadStore, match="no DiskANN"):
            sync(gallery, place, index="diskann", progress=quiet)


# ---- the commands


@lite_only
def test_the_commands(run: Any, album: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    given = ["--aligned", "--weights", weights]
    run("enroll", "--from", album, *given)
    photo = next(album.rglob("*.png"))
    assert "say where: --store" in run("sync", code=2).stderr
    assert "exclude each other" in run("sync", "--store", "milvus:faces.db", "--check", "--full", code=2).stderr
    refused = run("query", photo, *given, "--store", "milvus:faces.db", code=1)
    assert "nothing was ever sent there.\nRun: facesearch sync --store milvus:" in refused.stderr
    first = run("sync", "--store", "milvus:faces.db")
    assert first.stdout == f"milvus:{tmp_path}/faces.db: 48 added, 0 removed, 0 same\n" and first.stderr == ""
    own = run("query", photo, *given, "--json").stdout
    there = run("query", photo, *given, "--json", "--store", "milvus:faces.db").stdout
    mine, theirs = (json.loads(said)["photos"][0]["faces"][0]["matches"] for said in (own, there))
    assert len(mine) == 5
    for here, elsewhere in zip(mine, theirs, strict=True):
        assert here["person"] == elsewhere["person"] and here["score"] == pytest.approx(elsewhere["score"], abs=1e-6)
    monkeypatch.setenv("FACESEARCH_STORE", "milvus:faces.db")
    assert json.loads(run("sync", "--json").stdout)["same"] == 48
    line = next(line for line in run("info").stdout.splitlines() if line.startswith("projection"))
    assert f"milvus:{tmp_path}/faces.db" in line and "48 faces, flat; as of the last sync" in line
    assert json.loads(run("info", "--json").stdout)["projections"] == [
        {"store": f"milvus:{tmp_path}/faces.db", "faces": 48, "index": "flat", "synced": True, "owed": 0}
    ]
    assert run("sync", "--check").stdout.endswith("0 missing, 0 too many, 0 with another vector, 48 right\n")
    with connected(place_of("milvus:faces.db")) as engine, Gallery.open(Path("index")) as gallery:
        engine.delete(collection_of(gallery), "face == 3")
    failed = run("sync", "--check", "--json", code=1)
    assert json.loads(failed.stdout)["missing"] == 1 and "1 rows missing" in failed.stderr and "sync --full --store" in failed.stderr
    run("sync", "--full")
    person = sorted(path.name for path in album.iterdir() if path.is_dir())[0]
    gone = run("forget", person)
    assert "8 photos forgotten" in gone.stdout and "its files were deleted and written anew" in gone.stderr
    assert run("sync").stdout.endswith("0 added, 0 removed, 40 same\n")
    assert run("sync", "--drop").stdout == f"milvus:{tmp_path}/faces.db: dropped\n"
    assert "not encrypted" in run("sync", "--store", "milvus:http://milvus.invalid:1", code=1).stderr


def test_pymilvus_prints_nothing_of_its_own(gallery: Gallery, place: Place, capfd: pytest.CaptureFixture[str]):
    sync(gallery, place, progress=quiet)
    with connected(place) as engine, pytest.raises(StoreRefused, match="refused to search"):
        engine.search("no_such_collection", "flat", unit(1), 3, strong=True)
    assert capfd.readouterr() == ("", "")


def test_grpc_prints_nothing_when_a_server_leaves_in_the_middle_of_a_call(gallery: Gallery, place: Place, tmp_path: Path):
    """In a process of its own, since gRPC reads how much to tell only once: as the program, which sets that up, and then goes on here."""
    script = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from facesearch import cli

def work():
    from facesearch.gallery.milvus_engine import connected
    from facesearch.gallery.projections import place_of

    with connected(place_of(sys.argv[1])):
        pass
    import grpc

    class Slow(grpc.GenericRpcHandler):
        def service(self, call):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: time.sleep(1))

    for i in range(3):
        server = grpc.server(ThreadPoolExecutor(1))
        server.add_generic_rpc_handlers((Slow(),))
        server.add_insecure_port(f"unix:{sys.argv[2]}{i}")
        server.start()
        channel = grpc.insecure_channel(f"unix:{sys.argv[2]}{i}")
        channel.unary_unary("/a/b").future(b"")
        time.sleep(0.3)
        server.stop(None).wait()
        time.sleep(0.1)
        channel.close()
    print("all done")

assert "grpc" not in sys.modules  # what the program sets is read when gRPC is imported
cli.main = work
cli.run()
"""
    given = [place.text, str(tmp_path / "s")]
    done = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all done\n", "")
