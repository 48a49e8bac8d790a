"""A gallery projected into Milvus names the same people with the same scores, whatever lies there besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facesearch.errors import BadStore, NotSynced, ProjectionDiffers
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.milvus import index as milvus_index
from facesearch.gallery.milvus.index import MilvusIndex, open_projection
from facesearch.gallery.milvus.projections import Place, projection_at, row_id
from facesearch.gallery.milvus.sync import check, sync
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.notes import Projection
from facesearch.gallery.store.store import Store
from facesearch.records import F32
from tests.helpers.milvus import brute, lite_only, told
from tests.helpers.rows import D, face, unit
from tests.helpers.saying import quiet


@pytest.fixture
def gallery(forty_people: Store) -> Store:
    return forty_people


def test_a_projection_names_the_same_people_with_the_same_scores_as_faiss_and_as_a_plain_loop(
    gallery: Store, place: Place
):
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)
    own = open_index(gallery)
    with open_projection(gallery, place) as index:
        assert len(index) == 202 and index.notes == () and index.erasures == own.erasures
        for query in np.vstack([unit(5000, 20), unit(3), unit(99_001)]):
            there, here = nearest_people(gallery, index, query, 5), nearest_people(gallery, own, query, 5)
            plain = brute(gallery, query, 5)
            assert [m.person for m in there] == [m.person for m in here] == [person for person, _ in plain]
            assert np.allclose([m.score for m in there], [score for _, score in plain], rtol=0, atol=1e-6)
            assert [[s.source for s in m.support] for m in there] == [
                [s.source for s in m.support] for m in here
            ]
            ids, scores = index.search(query[None, :], 7)
            own_ids, own_scores = own.search(query[None, :], 7)
            assert ids.tolist() == own_ids.tolist() and np.allclose(scores, own_scores, rtol=0, atol=1e-6)
        ids, scores = index.search(unit(1, 2), 300)
        assert (
            ids.shape == (2, 300)
            and (ids[:, 202:] == -1).all()
            and np.isneginf(scores[:, 202:]).all()
            and (ids[:, :202] > 0).all()
        )
        with pytest.raises(ValueError, match="finite"):
            index.search(np.full((1, D), np.nan, np.float32), 3)


def test_who_was_enrolled_since_is_found_before_the_next_sync_which_sends_only_them(
    gallery: Store, place: Place
):
    sync(gallery, place, progress=quiet)
    gallery.faces.add([face("eva", 700), face("eva", 701)])
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(700)[0], 1)[0].person == "eva"
        assert index.notes == (
            (
                "2 faces enrolled since the last sync: searched in the gallery itself. Run: facesearch sync"
                f" --store {place.text}"
            ),
        )
    assert told(sync(gallery, place, progress=quiet)) == (2, 0, 202)
    with open_projection(gallery, place) as index:
        assert index.notes == () and nearest_people(gallery, index, unit(701)[0], 1)[0].person == "eva"


def test_a_repeated_sync_changes_nothing_and_a_rename_sends_nothing(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    noted, generation = projection_at(gallery, place), gallery.notes.generation
    assert told(sync(gallery, place, progress=quiet)) == (0, 0, 202)
    assert projection_at(gallery, place) == noted and gallery.notes.generation == generation
    gallery.faces.rename("person 07", "Ana", join=False)
    assert told(sync(gallery, place, progress=quiet)) == (0, 0, 202)
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(7)[0], 1)[0].person == "Ana"
    full = sync(gallery, place, full=True, progress=quiet)
    assert told(full) == (0, 0, 202) and full.compared
    gallery.faces.rename("Ana", "person 08", join=True)  # counts as an erasure, since rows may go
    with open_projection(gallery, place) as index:
        assert nearest_people(gallery, index, unit(7)[0], 1)[0].person == "person 08"
    assert told(sync(gallery, place, progress=quiet))[2] in (0, 202)
    assert check(gallery, place, quiet).words() == ""


def test_too_much_enrolled_since_asks_for_a_sync(
    gallery: Store, place: Place, monkeypatch: pytest.MonkeyPatch
):
    sync(gallery, place, progress=quiet)
    monkeypatch.setattr(milvus_index, "DELTA_LIMIT", 1)
    gallery.faces.add([face("eva", 700), face("eva", 701)])
    with (
        pytest.raises(NotSynced, match="more than 1 faces were enrolled since"),
        open_projection(gallery, place),
    ):
        pass


def test_another_kind_of_index_gives_the_same_answers(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    kinds = ["hnsw", "flat"] if place.local else ["diskann", "ivf_sq8", "flat", "hnsw"]
    for kind in kinds:
        assert told(sync(gallery, place, index=kind, progress=quiet)) == (0, 0, 202)
        known = projection_at(gallery, place)
        assert known is not None and known.index == kind
        with open_projection(gallery, place) as index:
            for query in unit(6000, 5):
                found = nearest_people(gallery, index, query, 3)
                assert [(m.person, pytest.approx(m.score, abs=1e-6)) for m in found] == brute(
                    gallery, query, 3
                ), kind
    if place.local:
        with pytest.raises(BadStore, match="no DiskANN"):
            sync(gallery, place, index="diskann", progress=quiet)


@lite_only
def test_an_engine_that_has_lost_its_rows_makes_no_stranger_of_everybody(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    for file in place.local.rglob("*.parquet"):
        file.unlink()
    with (
        open_projection(gallery, place) as index,
        pytest.raises(ProjectionDiffers, match="finds none of its 202 rows"),
    ):
        nearest_people(gallery, index, unit(7)[0], 1)
    assert told(sync(gallery, place, progress=quiet)) == (202, 0, 0)


def test_rows_that_the_gallery_does_not_know_are_no_answers(gallery: Store, place: Place):
    """An engine that proposes faces that were never enrolled, or were forgotten."""

    class Liar:
        def search(
            self, name: str, index: str, queries: F32, k: int, *, strong: bool
        ) -> list[list[tuple[str, int]]]:
            return [[("A" * 20, 7777), ("B" * 20, -3), (own, 1)]]

    key = gallery.notes.projection_key()
    row, blob = gallery.faces.rows([1])[1]
    own = row_id(key, gallery.encoder_id, 1, row.sha256, row.source, blob)
    liar: Any = Liar()
    index = MilvusIndex(
        gallery,
        liar,
        Projection("milvus:x.db", "c", "flat", faces=3),
        np.zeros(0, np.int64),
        np.zeros((0, D), np.float32),
        (),
    )
    ids, scores = index.search(unit(0), 3)
    assert ids.tolist() == [[1, -1, -1]] and scores[0, 0] == pytest.approx(
        float(gallery.faces.vectors_of("person 00")[0] @ unit(0)[0])
    )
