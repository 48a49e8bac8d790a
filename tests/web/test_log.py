"""The log: every line is JSON, and it says why something failed without saying whom it was about."""

from __future__ import annotations

import errno
import io
import json
import logging
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient

from facesearch.cli.commands.serve import logged
from facesearch.cli.terminal import tell
from facesearch.errors import CannotWrite, CorruptGallery, FacesearchError, UnknownPerson
from facesearch.web import observe, places
from facesearch.web.app import Service
from tests.helpers.service import HOST, enroll_face, png, service

CHANGE = {"old": "Ada", "new": "Adele"}
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged until now; every line must be JSON."""
    stream = io.StringIO()
    undo = observe.log_to(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    undo()


def failing(serving: Service, error: BaseException, cause: BaseException | None = None) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error from cause

    serving.gallery.rename = fail  # type: ignore[method-assign, assignment]


def request_of(told: list[dict[str, Any]]) -> dict[str, Any]:
    (line,) = [line for line in told if line["event"] == "request"]
    return line


def test_a_full_disk_is_named(gallery: Path, lines: Lines):
    serving = service(gallery)
    path = gallery / "gallery.sqlite"
    failing(serving, CannotWrite(path, "the disk is full"), sqlite3.OperationalError("about Ada"))
    with TestClient(serving.asgi, base_url=HOST) as client:
        assert client.post("/v1/rename", json=CHANGE).status_code == 500
    line = request_of(lines())
    assert (line["level"], line["status"], line["problem"]) == ("error", 500, "cannot-write")
    assert line["error"] == "CannotWrite" and "the disk is full" in line["reason"]
    assert line["cause"] == "OperationalError" and "at" not in line and line["route"] == "/v1/rename"
    assert "Ada" not in str(lines()) and str(gallery) not in str(lines())


def test_a_real_full_disk_on_the_way_to_the_rows(
    gallery: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    from facesearch.gallery.store.faces import Faces

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "about Ada", "/somewhere/Ada.png")

    monkeypatch.setattr(Faces, "rename", full)
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        assert client.post("/v1/rename", json=CHANGE).status_code == 500
    (fault,) = [line for line in lines() if line["event"] == "fault"]
    assert (fault["level"], fault["error"], fault["reason"]) == (
        "error",
        "OSError",
        "No space left on device",
    )
    assert any(place.startswith("facesearch/gallery/rename.py:") for place in fault["at"])
    assert request_of(lines())["level"] == "error" and "Ada" not in str(lines())


def test_an_unexpected_error_is_its_class_and_places_in_the_code(gallery: Path, lines: Lines):
    serving = service(gallery)
    failing(serving, ZeroDivisionError("about Ada"), ValueError("about Ben"))
    with TestClient(serving.asgi, base_url=HOST) as client:
        assert client.post("/v1/rename", json=CHANGE).status_code == 500
    (fault,) = [line for line in lines() if line["event"] == "fault"]
    assert fault["error"] == "ZeroDivisionError" and fault["cause"] == "ValueError" and "reason" not in fault
    assert fault["at"][-1].split(":")[0] == "tests/web/test_log.py"
    assert not {"Ada", "Ben"} & set(str(lines()).replace("'", " ").split())


def test_what_clients_do_wrong_is_no_error_of_ours_and_names_nobody(gallery: Path, lines: Lines):
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        assert client.post("/v1/rename", json={"old": "Secret", "new": "Hidden"}).status_code == 404
    line = request_of(lines())
    assert (line["level"], line["problem"]) == ("info", "unknown-person") and "reason" not in line
    assert "Secret" not in str(lines())


def test_a_503_of_the_guard_has_its_reason(gallery: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "MOST_WAITING", 0)
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        assert enroll_face(client, "Dora", png((9, 9, 9))).status_code == 503
    line = request_of(lines())
    assert (line["level"], line["problem"]) == ("error", "too-busy") and line["reason"]


@pytest.mark.parametrize(
    "error",
    [
        UnknownPerson("Ada Secret", ("Ben Hidden",)),
        CorruptGallery(Path("/secret/place"), "the row of face 7 does not fit its checksum"),
    ],
)
def test_an_expected_error_is_told_without_names_and_paths(error: FacesearchError, lines: Lines):
    try:
        raise error
    except FacesearchError as caught:
        observe.LOG.error("it failed", exc_info=caught)
    (line,) = lines()
    assert line["error"] == type(error).__name__ and line["reason"]
    for word in ("Secret", "Hidden", "/secret"):
        assert word not in str(line)


def test_whoever_speaks_a_line_is_json(lines: Lines):
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("asyncio").error("Task %s failed", "about Ada")
    logging.getLogger("some.package").warning("about %s", "Ada")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = observe._warned
        warnings.warn("about Ada", RuntimeWarning, stacklevel=1)

    def fail() -> None:
        raise ZeroDivisionError("about Ada")

    thread = threading.Thread(target=fail)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", observe._ended)
        thread.start()
        thread.join()
    told = lines()
    assert [line["event"] for line in told] == [
        "Invalid HTTP request received.",
        "Task %s failed",
        "about %s",
        "warning",
        "a thread has failed",
    ]
    assert told[3]["warning"] == "RuntimeWarning" and "test_log.py" in told[3]["at"][0]
    assert told[4]["error"] == "ZeroDivisionError" and "Ada" not in str(told)


def test_all_is_as_it_was_when_the_log_is_undone():
    def standing() -> list[object]:
        names = ("", "facesearch.web", "uvicorn", "uvicorn.error")
        found: list[object] = [warnings.showwarning, threading.excepthook]
        for logger in map(logging.getLogger, names):
            found += [list(logger.handlers), logger.propagate, logger.level]
        return found

    before = standing()
    undo = observe.log_to(io.StringIO())
    assert standing() != before
    undo()
    assert standing() == before


def test_serve_talks_json_from_its_first_line_on(monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    real = observe.log_to
    monkeypatch.setattr(observe, "log_to", lambda: real(stream))
    with logged():
        tell("encoder: one")
        thread = threading.Thread(target=tell, args=("two",))
        thread.start()
        thread.join()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["says"] for line in told] == ["encoder: one", "two"]


def test_the_watch_says_once_why_it_cannot_look(gallery: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch):
    from facesearch.web import app

    serving = service(gallery)
    looks = threading.Semaphore(0)

    def fail() -> int:
        looks.release()
        raise CorruptGallery(gallery, "made up")

    serving.gallery.refresh = fail  # type: ignore[method-assign]
    monkeypatch.setattr(app, "LOOK_EVERY_S", 0.01)
    with TestClient(serving.asgi, base_url=HOST):
        for _ in range(4):
            assert looks.acquire(timeout=10)
    told = [line for line in lines() if line["event"] == "the gallery could not be looked at"]
    assert [(line["level"], line["error"]) for line in told] == [("error", "CorruptGallery")]
    assert "made up" in told[0]["reason"]
