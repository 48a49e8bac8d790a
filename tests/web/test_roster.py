"""The page of people is there at once; separations are computed beside it, once for all who ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient

from facesearch.errors import CorruptGallery
from facesearch.gallery.store.rows import LONGEST_NAME
from facesearch.web import roster
from tests.helpers.service import HOST, enroll_face, png, service


def until(true: Callable[[], Any]) -> Any:
    """What it gives as soon as that is something."""
    for _ in range(500):
        if found := true():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come")


class Computing:
    """Stands in for the computation: it lasts until it is let go, and counts."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.begun = self.running = self.most = 0
        self.go = threading.Event()
        self.fails: Exception | None = None

    def __call__(self, gallery: Any, pause: Callable[[], None]) -> Any:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while not self.go.wait(0.005):
                pause()
            if self.fails is not None:
                raise self.fails
            return self._real(gallery, pause)
        finally:
            self.running -= 1


@pytest.fixture
def computing(monkeypatch: pytest.MonkeyPatch) -> Computing:
    made = Computing(roster.how_apart)
    monkeypatch.setattr(roster, "how_apart", made)
    monkeypatch.setattr(roster, "FEW", 0)
    return made


@pytest.fixture
def client(gallery: Path, computing: Computing) -> Iterator[TestClient]:
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        yield client


def people(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.get("/v1/people", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def done(client: TestClient) -> dict[str, Any]:
    return until(lambda: (page := people(client))["separations"]["state"] == "done" and page)


def test_the_page_does_not_wait_and_one_computation_is_for_all(client: TestClient, computing: Computing):
    for asked in ({}, {"sort": "name"}, {"search": "ad"}, {"offset": 1, "limit": 1}, {}):
        page = people(client, **asked)
        assert page["separations"] == {"state": "running", "generation": None, "computed_at": None}
        assert page["people"] and all(person["pending"] for person in page["people"])
    assert [person["name"] for person in people(client)["people"]] == ["Ada", "Ben", "Cleo"]
    until(lambda: computing.begun)
    assert computing.begun == 1
    computing.go.set()
    page = done(client)
    assert page["separations"]["generation"] == page["generation"] and page["separations"]["computed_at"]
    assert not any(person["pending"] for person in page["people"])
    assert all(person["separation"] is not None and person["nearest"] for person in page["people"])
    people(client)
    assert computing.begun == 1


def test_a_small_gallery_is_compared_at_once(gallery: Path):
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        page = people(client)
    assert page["separations"]["state"] == "done" and not any(person["pending"] for person in page["people"])


def test_a_write_shows_older_separations_with_their_age_and_never_two_run(
    client: TestClient, computing: Computing
):
    computing.go.set()
    before = done(client)
    computing.go.clear()
    for number in range(3):
        assert (
            enroll_face(client, f"Dora {number}", png((9, 120, 130), shade=number), force="true").status_code
            == 200
        )
        page = people(client, sort="name")
        assert page["separations"]["state"] == "running"
        assert page["separations"]["generation"] == before["generation"] < page["generation"]
        told = {person["name"]: person for person in page["people"]}
        assert not told["Ada"]["pending"] and told[f"Dora {number}"]["pending"]
    until(lambda: computing.begun == 2)
    computing.go.set()
    assert done(client)["separations"]["generation"] == page["generation"]
    assert computing.most == 1 and computing.begun <= 3


def test_no_name_of_somebody_forgotten_is_shown_or_kept(gallery: Path, computing: Computing):
    serving = service(gallery)
    with TestClient(serving.asgi, base_url=HOST) as client:
        computing.go.set()
        near = {person["name"]: person["nearest"] for person in done(client)["people"]}
        computing.go.clear()
        gone = near["Ada"]
        assert client.post("/v1/forget", json={"name": gone}).status_code == 200
        assert gone not in repr(vars(serving._roster))
        page = people(client)
        assert gone not in str(page)
        assert next(person for person in page["people"] if person["name"] == "Ada")["pending"]
        computing.go.set()
        assert gone not in str(done(client))


@pytest.mark.parametrize("error", [CorruptGallery(Path("x"), "made up"), ZeroDivisionError("about Ada")])
def test_a_failure_is_told_and_the_list_goes_on(
    client: TestClient, computing: Computing, error: Exception, caplog: pytest.LogCaptureFixture
):
    computing.fails = error
    computing.go.set()
    people(client)
    page = until(lambda: (found := people(client))["separations"]["state"] == "failed" and found)
    assert len(page["people"]) == 3 and computing.begun == 1
    assert "separations failed" in caplog.text and people(client)["total"] == 3 and computing.begun == 1
    computing.fails = None
    assert enroll_face(client, "Dora", png((9, 120, 130))).status_code == 200  # another state: tried again
    done(client)


def test_too_many_people_are_listed_without(
    client: TestClient, computing: Computing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(roster, "MOST_PEOPLE", 2)
    page = people(client)
    assert page["separations"]["state"] == "too-many" and len(page["people"]) == 3 and not computing.begun


def test_the_end_of_the_service_ends_the_computation(gallery: Path, computing: Computing):
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        people(client)
        until(lambda: computing.running)
    assert computing.running == 0


def test_an_older_gallery_that_was_put_back_gets_nobody_elses_separations(
    client: TestClient, computing: Computing, gallery: Path
):
    import sqlite3

    computing.go.set()
    done(client)
    computing.go.clear()
    with sqlite3.connect(gallery / "gallery.sqlite") as db:
        db.execute("UPDATE meta SET value = '0' WHERE key = 'generation'")
    page = people(client)
    assert page["separations"] == {"state": "running", "generation": None, "computed_at": None}


def test_a_long_search_finds_nobody(client: TestClient):
    assert people(client, search="x" * LONGEST_NAME)["total"] == 0
