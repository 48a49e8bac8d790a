"""Nobody who was forgotten stays in Milvus: erased at once, or owed until the engine is back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import NotSynced, StillProjected, StoreUnreachable, UnknownPerson
from facesearch.gallery import forget as erase
from facesearch.gallery.milvus import sync as job
from facesearch.gallery.milvus.engine import Engine, Row, connected
from facesearch.gallery.milvus.index import open_projection
from facesearch.gallery.milvus.projections import Access, Place, collection_of, place_of, projection_at
from facesearch.gallery.milvus.sync import Checked, check, drop, sync
from facesearch.gallery.move import move
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.store import Store
from tests.helpers.milvus import ACCESS, NAME, forget, held, lite_only, told
from tests.helpers.rows import face, unit
from tests.helpers.saying import quiet, refused, tell


@pytest.fixture
def gallery(forty_people: Store) -> Store:
    return forty_people


# ---- forgetting


@lite_only
def test_forgetting_reaches_the_projection_and_leaves_no_byte_of_the_vector_in_its_files(
    gallery: Store, place: Place, tmp_path: Path
):
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
    assert held(place.local, unit(3)[0]) == [] and held(place.local, gallery.faces.vectors_of("person 03")[0])
    entry = {
        "store": place.text,
        "erased": True,
        "how": "its files were deleted and rewritten from the gallery",
    }
    assert json.loads(path.read_text())["projections"] == [entry] and receipt.projections[0].erased
    assert lines == [f"{place.text}: its files were deleted and rewritten from the gallery"]
    assert gallery.notes.pending_erasures() == [] and told(sync(gallery, place, progress=quiet)) == (
        0,
        0,
        200,
    )
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 200)


@lite_only
@pytest.mark.parametrize("number", [9, 5000, -1])
def test_rows_that_do_not_belong_there_leave_no_byte_either(gallery: Store, place: Place, number: int):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    with connected(place) as engine:
        engine.send(
            collection_of(gallery),
            [Row("A" * 20, number, unit(55_555)[0].astype(np.float16).astype(np.float32))],
        )
        engine.settle(collection_of(gallery), compact=False)
    assert held(place.local, unit(55_555)[0])
    done = sync(gallery, place, progress=quiet)
    assert (
        done.compared
        and done.rebuilt
        and told(done) == (0, 1, 202)
        and held(place.local, unit(55_555)[0]) == []
    )


def test_after_forgetting_no_search_of_the_projection_finds_the_rows(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    forget(NAME, gallery.folder, (), tell)
    with connected(place) as engine:
        engine.prepare(collection_of(gallery), "flat" if place.local else "hnsw")
        hits = engine.search(
            collection_of(gallery), "flat" if place.local else "hnsw", unit(99_001), 200, strong=True
        )[0]
    assert len(hits) == 200 and not {201, 202} & {number for _, number in hits}


def test_one_photo_is_forgotten_there_too(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    forget(NAME, gallery.folder, ("second-zanzibar.jpg",), tell)
    assert check(gallery, place, quiet).same == 201
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(99_001)[0], 1)[0].photos == 1


def test_who_was_enrolled_and_forgotten_between_two_syncs_was_never_there(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    gallery.faces.add([face("eva", 700), face("mia", 701)])
    gallery.eraser.delete("eva")
    done = sync(gallery, place, progress=quiet)
    assert told(done) == (1, 0, 202) and not done.rebuilt and not done.compared
    assert check(gallery, place, quiet).same == 203


def test_an_engine_that_is_down_is_owed_the_erasure_and_the_same_command_ends_it(
    gallery: Store, place: Place, broken: Callable[[bool], None]
):
    sync(gallery, place, progress=quiet)
    broken(True)
    with pytest.raises(StillProjected, match="still hold the vectors") as raised:
        forget(NAME, gallery.folder, (), tell)
    receipt = raised.value.receipt
    assert [entry["erased"] for entry in json.loads(receipt.read_text())["projections"]] == [False]
    assert NAME not in [person.name for person in gallery.faces.people()]
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


def test_a_sync_ends_an_erasure_that_is_owed_and_its_receipt_says_so(
    gallery: Store, place: Place, broken: Callable[[bool], None]
):
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
    assert gallery.notes.pending_erasures() == [] and check(gallery, place, quiet).words() == ""


def test_of_two_projections_the_one_that_is_down_is_owed_the_erasure_alone(
    gallery: Store, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        return {
            entry["store"]: entry["erased"]
            for entry in json.loads(raised.value.receipt.read_text())["projections"]
        }

    assert reached() == {place.text: True, other.text: False}
    assert check(gallery, place, quiet).words() == "" and check(gallery, other, quiet).extra == 2
    assert [elsewhere.store for elsewhere in forget(NAME, gallery.folder, (), tell)[0].projections] == [
        other.text
    ]
    assert reached() == {place.text: True, other.text: True} and gallery.notes.pending_erasures() == []


def test_who_is_forgotten_or_moved_is_erased_there_with_the_access_that_is_given(
    gallery: Store, place: Place, monkeypatch: pytest.MonkeyPatch
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
    photos = {sha256 for _, sha256 in gallery.faces.photos_of("person 03")[:2]}
    move("person 03", photos, "Ana", gallery.folder, tell, access=mine)
    erase.forget(NAME, gallery.folder, (), tell, access=mine)
    assert seen and set(seen) == {mine} and "hush" not in repr(seen)
    monkeypatch.undo()
    assert check(gallery, place, quiet).words() == "" and gallery.notes.pending_erasures() == []


def test_somebody_forgotten_while_a_sync_is_under_way_is_not_there_when_it_ends(
    gallery: Store, place: Place, monkeypatch: pytest.MonkeyPatch
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
    assert gallery.notes.pending_erasures() == []


# ---- giving it up


def test_a_projection_can_be_dropped_or_abandoned(
    gallery: Store, place: Place, broken: Callable[[bool], None]
):
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
    assert projection_at(gallery, place) is None and gallery.notes.pending_erasures() == []
    forget("person 01", gallery.folder, (), tell)  # owes nothing to anybody any more
    broken(False)
    assert (
        sync(gallery, place, progress=quiet).same == 195
    )  # what was abandoned is found again, and brought up to date
    drop(gallery, place, abandon=False)
    with connected(place) as engine:
        assert not engine.has(name)
