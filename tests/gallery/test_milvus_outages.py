"""Syncs that are interrupted, and engines that are down, silent, slow or locked: nothing is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facesearch.errors import (
    CannotWrite,
    NotSynced,
    PackageMissing,
    StoreRefused,
    StoreUnreachable,
    SyncRunning,
)
from facesearch.gallery.milvus import sync as job
from facesearch.gallery.milvus.engine import Engine
from facesearch.gallery.milvus.index import open_projection
from facesearch.gallery.milvus.projections import (
    Access,
    Place,
    collection_of,
    place_of,
    projection_at,
    sole_sync,
)
from facesearch.gallery.milvus.sync import Checked, check, sync
from facesearch.gallery.store.store import Store
from tests.helpers.milvus import NAME, forget, lite_only, told
from tests.helpers.rows import face, unit
from tests.helpers.saying import quiet, refused, tell


@pytest.fixture
def gallery(forty_people: Store) -> Store:
    return forty_people


# ---- interruptions


STEPS = ["create", "send", "settle", "count", "set_stamp", "delete", "drop"]


class Killed(BaseException):
    """As final as a kill, as far as code below can tell."""


@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("step", STEPS)
def test_interrupted_at_any_step_the_same_command_goes_on(
    gallery: Store, place: Place, step: str, when: int, monkeypatch: pytest.MonkeyPatch
):
    """Before or after the step, at the first sync and at a later one with somebody new and somebody
    forgotten.
    """
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
    gallery.eraser.delete(NAME)
    gallery.faces.add([face("eva", 700)])
    needed = {"create", "drop"} if place.local else {"delete"}
    assert interrupted() or step in {"create", "drop", "delete"} - needed
    sync(gallery, place, progress=quiet)
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 201)
    assert gallery.notes.pending_erasures() == []


@pytest.mark.slow
@lite_only
@pytest.mark.parametrize("step", ["create", "send", "settle", "set_stamp"])
def test_killed_for_good_at_a_step_the_same_command_goes_on(gallery: Store, place: Place, step: str):
    code = f"""
import os
from pathlib import Path
from facesearch.gallery.milvus.engine import Engine
from facesearch.gallery.milvus.projections import place_of
from facesearch.gallery.store.store import Store
from facesearch.gallery.milvus import sync
sync.SEND = 64
plain = Engine.{step}
Engine.{step} = lambda *values, **named: (plain(*values, **named), os._exit(9))
with Store.open(Path({str(gallery.folder)!r})) as gallery:
    sync.sync(gallery, place_of({place.text!r}), progress=lambda done, total: None)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 9
    with pytest.raises(NotSynced, match="interrupted"), open_projection(gallery, place):
        pass
    assert sync(gallery, place, progress=quiet).compared
    assert check(gallery, place, quiet) == Checked(place.text, collection_of(gallery), 0, 0, 0, 202)


def test_one_sync_at_a_time(gallery: Store, place: Place):
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
def test_an_engine_that_is_down_or_silent_is_said_in_time(gallery: Store, answers: bool):
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
    gallery: Store, place: Place, monkeypatch: pytest.MonkeyPatch
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
                    gallery.faces.add([face("eva", 700)])
                    sync(gallery, place, progress=quiet)
    asleep.set()
    assert told(sync(gallery, patient, progress=quiet)) == (1, 0, 202)


@lite_only
def test_milvus_lite_in_another_process_is_said(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    import fcntl

    with (place.local / "LOCK").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(StoreUnreachable, match="another process has it open"),
            open_projection(gallery, place),
        ):
            pass


@lite_only
def test_a_file_that_is_no_projection_is_said(gallery: Store, tmp_path: Path):
    (tmp_path / "faces.db").write_text("my diary")
    with pytest.raises(CannotWrite, match="a file of that name is in the way"):
        sync(gallery, place_of(f"milvus:{tmp_path / 'faces.db'}"), progress=quiet)
    assert (tmp_path / "faces.db").read_text() == "my diary"


def test_without_the_extra_the_command_to_install_it_is_said(
    gallery: Store, place: Place, monkeypatch: pytest.MonkeyPatch
):
    for name in ("pymilvus", "pymilvus.exceptions", "milvus_lite.adapter.grpc.server"):
        monkeypatch.setitem(sys.modules, name, None)
    with refused(PackageMissing, r"facesearch\[milvus\]"):
        sync(gallery, place, progress=quiet)


def test_what_the_engine_refuses_is_said_without_the_token(place: Place):
    from pymilvus.exceptions import MilvusException

    from facesearch.gallery.milvus.engine import engine_errors

    with (
        pytest.raises(StoreRefused, match=r"refused to search: it does not accept the token"),
        engine_errors(place, "search", 1.0),
    ):
        raise MilvusException(
            1100,
            "auth check failure, please check username and password are correct: unauthenticated root:hush",
        )
    with (
        pytest.raises(StoreRefused, match=r"refused to take rows: quota exceeded\."),
        engine_errors(place, "take rows", 1.0),
    ):
        raise MilvusException(9, "quota exceeded\nstack of the server")
