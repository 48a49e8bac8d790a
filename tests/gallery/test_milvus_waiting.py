"""Just after a sync a server searches growing rows approximately: it is waited for, or said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from facesearch.errors import StoreUnreachable
from facesearch.gallery.milvus import sync as job
from facesearch.gallery.milvus import waiting
from facesearch.gallery.milvus.engine import Engine
from facesearch.gallery.milvus.projections import Access, Place, place_of
from facesearch.gallery.milvus.waiting import wait_until_indexed
from facesearch.gallery.store.store import Store
from tests.helpers.milvus import SERVER, lite_only
from tests.helpers.saying import quiet

SERVED = place_of("milvus:http://127.0.0.1:1", Access(wait_s=30))
GROWING, SEALED, FLUSHED, DROPPED = 2, 3, 4, 6


@dataclass
class Segment:
    """As pymilvus tells of one."""

    segment_id: int
    num_rows: int
    state: int = FLUSHED
    level: int = 2
    compaction_from: list[int] = field(default_factory=list)


class Server:
    """What a Milvus server says of a collection, one moment after the other; the last one stays. A moment:
    rows in all, rows its index is built of, segments written, segments loaded, the index's state.
    """

    def __init__(self, *moments: tuple[Any, ...]) -> None:
        self.moments = list(moments)

    def query(self, name: str, **named: Any) -> list[dict[str, int]]:
        return [{"count(*)": self.moments[0][0]}]

    def describe_index(self, name: str, index: str, **named: Any) -> dict[str, Any]:
        rows, built, *_ = self.moments[0]
        state = self.moments[0][4] if len(self.moments[0]) > 4 else "Finished"
        return {"total_rows": rows, "indexed_rows": built, "pending_index_rows": 0, "state": state}

    def list_persistent_segments(self, name: str, **named: Any) -> list[Segment]:
        return self.moments[0][2]

    def list_loaded_segments(self, name: str, **named: Any) -> list[Segment]:
        return self.moments[0][3]

    def next(self, seconds: float = 1) -> None:
        if len(self.moments) > 1:
            del self.moments[0]


def loaded(*segments: Segment) -> list[Segment]:
    return [Segment(s.segment_id, s.num_rows, SEALED) for s in segments]


A, B = Segment(1, 6000), Segment(2, 300)
AS_MEASURED = (  # by a server of 2.3.5, at 0, 2.0 and 11.8 seconds after a sync
    (6000, 0, [A], []),
    (6000, 6000, [A], []),
    (6000, 6000, [A], loaded(A)),
)


@pytest.mark.parametrize(
    "moment, rows",
    [
        (AS_MEASURED[0], 6000),
        (AS_MEASURED[1], 6000),
        (AS_MEASURED[2], 0),
        ((6300, 6300, [A, B], loaded(A)), 300),
        ((6300, 6000, [A, B], loaded(A, B)), 300),
        ((6000, 6000, [A], [Segment(1, 6000, GROWING)]), 6000),
        ((6300, 6300, [A, Segment(3, 300, GROWING)], loaded(A)), 300),
        ((6000, 6000, [A, Segment(3, 300, DROPPED)], loaded(A)), 0),
        ((6000, 6000, [A, Segment(3, 300, level=1)], loaded(A)), 0),
        ((6300, 6300, [Segment(4, 6300, compaction_from=[1, 2])], loaded(A, B)), 0),
        ((6300, 6300, [Segment(4, 6300, compaction_from=[1, 2])], loaded(A)), 6300),
        ((0, 0, [], []), 0),
    ],
)
def test_rows_are_indexed_when_their_segments_are_loaded_not_when_the_index_is_said_to_be_built(
    moment: tuple[Any, ...], rows: int
):
    assert Engine(SERVED, Server(moment)).unindexed("c") == rows


def test_where_segments_may_not_be_listed_the_index_has_to_do(monkeypatch: pytest.MonkeyPatch):
    from pymilvus.exceptions import MilvusException

    def refuse(*args: Any, **named: Any) -> None:
        raise MilvusException(65535, "PrivilegeGetQuerySegmentInfo: permission deny")

    server = Server((6000, 5000, [A], []), (6000, 6000, [A], []))
    monkeypatch.setattr(server, "list_loaded_segments", refuse)
    assert Engine(SERVED, server).unindexed("c") == 1000
    server.next()
    assert Engine(SERVED, server).unindexed("c") == 0


def waited(server: Server, step_s: float = 1) -> tuple[int, list[tuple[int, int]], float]:
    """What waiting answers, what it told, and how long it took; the clock goes step_s at each look."""
    told: list[tuple[int, int]] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += step_s
        server.next()

    left = wait_until_indexed(
        Engine(SERVED, server), "c", lambda *n: told.append(n), now=lambda: clock[0], sleep=sleep
    )
    return left, told, clock[0]


def test_it_is_waited_for_and_said_how_far_it_is():
    second = (6300, 6300, [A, B], loaded(A))
    left, told, took = waited(Server(*AS_MEASURED[:2], second, (6300, 6300, [A, B], loaded(A, B))))
    assert (left, took) == (0, 3) and told == [(0, 6000), (0, 6000), (5700, 6000), (6000, 6000)]
    assert waited(Server(AS_MEASURED[2])) == (0, [(6000, 6000)], 0)


def test_an_index_that_cannot_be_made_is_not_waited_for_for_ever():
    left, _, took = waited(Server((6000, 0, [A], []), (6000, 0, [A], [], "Failed")))
    assert (left, took) == (6000, 1)
    left, _, took = waited(Server((6000, 0, [A], [])), step_s=50)
    assert left == 6000 and 600 < took <= 700, "20 times the 30 s that an answer may take"
    few = [(6000, n * 1000, [A], []) for n in range(6)]
    left, _, took = waited(Server(*few, AS_MEASURED[2]), step_s=500)
    assert left == 6000 and took == 1000, "built, but none is loaded: nothing has come of it"


def test_an_engine_that_goes_away_meanwhile_is_told_of():
    server = Server((6000, 0, [A], []))

    def gone(*args: Any, **named: Any) -> None:
        import grpc
        from pymilvus.exceptions import MilvusException

        raise MilvusException(grpc.StatusCode.UNAVAILABLE, "x")

    server.next = lambda seconds=1: setattr(server, "describe_index", gone)  # type: ignore[assignment]
    with pytest.raises(StoreUnreachable):
        waited(server)


# ---- sync and query


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the engine says it does not search by their index, one answer after the other."""
    answers = [0]
    monkeypatch.setattr(
        Engine, "unindexed", lambda engine, name: answers.pop(0) if len(answers) > 1 else answers[0]
    )
    monkeypatch.setattr(Engine, "index_failed", lambda engine, name: False)
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)
    return answers


@pytest.mark.slow
def test_a_sync_waits_when_it_is_to_and_not_when_somebody_is_forgotten(
    forty_people: Store, place: Place, behind: list[int]
):
    behind[:] = [202, 202, 100, 0]
    told: list[tuple[int, int]] = []
    done = job.sync(forty_people, place, progress=quiet, waiting=lambda *n: told.append(n))
    assert (done.unindexed, done.added) == (0, 202) and told == [(0, 202), (102, 202), (202, 202)]
    behind[:] = [7]
    assert job.sync(forty_people, place, progress=quiet).unindexed == 7


@pytest.mark.slow
def test_others_may_sync_and_forget_while_one_waits(forty_people: Store, place: Place, behind: list[int]):
    behind[:] = [202, 202, 0]
    within: list[int] = []

    def meanwhile(done: int, total: int) -> None:
        if not within:
            with job.sole_sync(forty_people):  # raises SyncRunning while another has it
                within.append(done)

    job.sync(forty_people, place, progress=quiet, waiting=meanwhile)
    assert within


@pytest.fixture
def asked(run: Any, album: Path, weights: Path) -> Callable[..., Any]:
    """Three ways to the same projection of a gallery with an album's people."""
    run("enroll", "--from", album, "--aligned", "--weights", weights)
    photo = next(album.rglob("*.png"))
    return lambda *more: run("query", photo, "--aligned", "--store", "milvus:faces.db", *more)


@pytest.mark.slow
@lite_only
def test_the_command_waits_or_says_that_it_did_not(run: Any, asked: Any, behind: list[int]):
    behind[:] = [48]
    hasty = run("sync", "--store", "milvus:faces.db", "--no-wait", "--json")
    assert json.loads(hasty.stdout)["unindexed"] == 48
    assert "48 rows are not searched by their index yet: until they are, a query may miss" in hasty.stderr
    assert "more slowly" not in hasty.stderr
    early = asked()
    assert "48 faces are not searched by their index in milvus:" in early.stderr
    assert "may be missed. Wait for it with: facesearch sync --store milvus:" in early.stderr
    assert "may be missed" in " ".join(json.loads(asked("--json").stdout)["notes"])
    assert "may be missed" not in asked("--among", "p000").stderr, "those are compared in the gallery itself"
    behind[:] = [48, 48, 20, 0]
    patient = run("sync", "--store", "milvus:faces.db", "--json")
    assert json.loads(patient.stdout)["unindexed"] == 0 and patient.stderr == ""
    late = asked()
    assert "may be missed" not in late.stderr and "match" in late.stdout


@lite_only
def test_a_program_is_told_until_it_is_so(forty_people: Store, place: Place, behind: list[int]):
    job.sync(forty_people, place, progress=quiet)
    behind[:] = [202, 100, 0, 99]
    from facesearch.gallery.milvus.index import open_projection

    with open_projection(forty_people, place) as index:
        here, there = index.of(forty_people), index.of(forty_people)
        assert "202 faces" in index.may_miss() and "100 faces" in here.may_miss()
        assert there.may_miss() == "" and index.may_miss() == "", "seen once, it is not asked any more"


@pytest.mark.skipif(not SERVER, reason="needs a Milvus server")
def test_a_server_has_its_segments_loaded_after_a_sync(forty_people: Store, place: Place):
    done = job.sync(forty_people, place, progress=quiet, waiting=quiet)
    with job.connected(place) as engine:
        assert done.unindexed == engine.unindexed(done.collection) == 0
        assert engine._client.list_loaded_segments(done.collection)
