"""What is not right in Milvus is counted, named and repaired; what cannot be is refused and left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import (
    CorruptGallery,
    EmptyGallery,
    NotSynced,
    OtherCollection,
    ProjectionDiffers,
    StoreRefused,
)
from facesearch.gallery.milvus.engine import UNFINISHED, Row, connected
from facesearch.gallery.milvus.index import open_projection
from facesearch.gallery.milvus.projections import Place, collection_of, projection_at
from facesearch.gallery.milvus.sync import Checked, check, drop, sync
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.rewriting import take_vectors_of
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.milvus import NAME, brute, forget, lite_only, told
from tests.helpers.rows import D, face, unit
from tests.helpers.saying import quiet, tell


@pytest.fixture
def gallery(forty_people: Store) -> Store:
    return forty_people


def test_a_check_counts_what_is_missing_too_many_or_another_vector_and_full_repairs_it(
    gallery: Store, place: Place
):
    sync(gallery, place, progress=quiet)
    name = collection_of(gallery)
    with connected(place) as engine:
        engine.prepare(name, "flat" if place.local else "hnsw")
        rows = [row for part in engine.between(name, 0, 202, vectors=True) for row in part]
        assert [row.face for row in rows] == list(range(1, 203)) and all(
            row.vector is not None for row in rows
        )
        engine.delete(name, "face in [5, 6, 7]")
        engine.send(
            name,
            [Row("A" * 20, 9, unit(1)[0]), Row("B" * 20, 5000, unit(1)[0]), Row("C" * 20, -1, unit(1)[0])],
        )
        engine.send(name, [Row(rows[99].id, 100, unit(2)[0])])
        engine.send(name, [Row(rows[149].id, 151, rows[149].vector)])
        stamp = engine.stamp(name)
    found = check(gallery, place, quiet)
    assert (found.missing, found.extra, found.wrong, found.same) == (4, 4, 1, 197)
    with connected(place) as engine:
        assert engine.stamp(name) == stamp and engine.count(name) == 202  # nothing was changed
    with (
        open_projection(gallery, place) as index,
        pytest.raises(ProjectionDiffers, match="is another one there"),
    ):
        index.search(unit(1), 202)
    sync(gallery, place, full=True, progress=quiet)
    assert check(gallery, place, quiet) == Checked(place.text, name, 0, 0, 0, 202)
    with connected(place) as engine:
        engine.delete(name, "face in [5, 6, 7]")  # a count that does not fit is seen without --full
    assert sync(gallery, place, progress=quiet).added == 3
    assert check(gallery, place, quiet).words() == ""


@pytest.mark.slow
@lite_only
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:1000] + bytes(200) + data[1200:],
    ],
)
def test_a_milvus_lite_that_cannot_read_its_files_says_what_to_do_and_is_written_anew(
    gallery: Store, place: Place, tmp_path: Path, damage: Callable[[bytes], bytes]
):
    with Store.create(tmp_path / "beside", "e" * 64, D, "encoder") as beside:
        beside.faces.add([face("eva", 700)])
        sync(beside, place, progress=quiet)
        sync(gallery, place, progress=quiet)
        assert place.local is not None

        def spoil() -> None:
            assert place.local is not None
            for file in (place.local / "collections" / collection_of(gallery)).rglob("*.parquet"):
                file.write_bytes(damage(file.read_bytes()))

        spoil()
        for ask in (
            lambda: check(gallery, place, quiet),
            lambda: open_projection(gallery, place).__enter__(),
        ):
            with pytest.raises(StoreRefused) as raised:
                ask()
            assert f"facesearch sync --store {place.text}" in raised.value.advice
        done = sync(gallery, place, progress=quiet)
        assert told(done) == (202, 0, 0) and done.rebuilt and check(gallery, place, quiet).words() == ""
        with open_projection(gallery, place) as index:
            assert (
                nearest_people(gallery, index, unit(7)[0], 1)[0].person == brute(gallery, unit(7)[0], 1)[0][0]
            )
        spoil()
        receipt, _ = forget(NAME, gallery.folder, (), tell)
        assert receipt.projections[0].erased and check(gallery, place, quiet).same == 200
        spoil()
        drop(gallery, place, abandon=False)
        assert not (place.local / "collections" / collection_of(gallery)).exists()
        assert check(beside, place, quiet).same == 1


def test_a_collection_of_another_kind_is_refused_and_left_as_it_is(gallery: Store, place: Place):
    name = collection_of(gallery)
    with connected(place) as engine:
        engine.create(name, D + 1, gallery.encoder_id, "flat")
        engine.send(name, [Row("A" * 20, 1, np.ones(D + 1, np.float32))])
    try:
        for attempt in (
            lambda: sync(gallery, place, progress=quiet),
            lambda: sync(gallery, place, full=True, progress=quiet),
        ):
            with pytest.raises(
                OtherCollection,
                match=r"'vector' is FLOAT_VECTOR \{'dim': 17\}, not FLOAT_VECTOR \{'dim': 16\}",
            ):
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


def test_a_projection_that_is_not_as_the_last_sync_left_it_is_not_asked(gallery: Store, place: Place):
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
        engine.set_stamp(
            name, "17-0123456789abcdef"
        )  # as a copy of this gallery would leave it, or an old backup of the engine
    refused("changed by somebody else")
    assert sync(gallery, place, progress=quiet).compared
    with connected(place) as engine:
        assert engine.stamp(name) not in (stamp, UNFINISHED)
        engine.drop(name)
    refused("is gone")
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)


def test_another_encoder_makes_another_collection_and_the_old_one_is_dropped(
    gallery: Store, place: Place, tmp_path: Path
):
    sync(gallery, place, progress=quiet)
    old = collection_of(gallery)

    def embed_anew(encoder: str, shift: int) -> None:
        with Store.create(tmp_path / f"fresh-{encoder}", encoder * 64, D, "other") as fresh:
            faces, vectors = gallery.faces.enrolled()
            fresh.faces.add(
                [
                    NewFace(f.person, f.sha256, f.source, np.roll(v, shift))
                    for f, v in zip(faces, vectors, strict=True)
                ]
            )
            take_vectors_of(gallery, fresh)

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
    gallery.notes.set_projection(replace(note, former=(old,)))  # as a kill before the dropping leaves it
    assert sync(gallery, place, progress=quiet).added == 202 and check(gallery, place, quiet).words() == ""


def test_an_empty_gallery_and_a_damaged_row_are_said(gallery: Store, place: Place, tmp_path: Path):
    with (
        Store.create(tmp_path / "none", "e" * 64, D, "encoder") as empty,
        pytest.raises(EmptyGallery),
        open_projection(empty, place),
    ):
        pass
    import sqlite3

    db = sqlite3.connect(gallery.folder / FILE)
    db.execute("UPDATE faces SET vector = zeroblob(32) WHERE face_id = 150")
    db.commit()
    db.close()
    with pytest.raises(CorruptGallery, match="face 150"):
        sync(gallery, place, progress=quiet)
