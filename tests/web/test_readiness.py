"""Health says that the service lives; ready says whether a search would be answered, and why not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient

from facesearch.api.encoder import Encoder
from facesearch.api.opening import open_gallery
from facesearch.api.state import ready
from facesearch.web import readiness
from tests.helpers.drawn import ColourEncoder, WideEncoder
from tests.helpers.service import HOST, RED, ask, png, problem, sent, service

TOKEN = "a-long-secret-token-of-ours"


@pytest.fixture
def client(gallery: Path) -> Iterator[TestClient]:
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        yield client


def standing(client: TestClient) -> Any:
    """What health says of the gallery: always 200."""
    answer = client.get("/v1/health")
    assert answer.status_code == 200 and answer.json()["status"] == "ok"
    return answer.json()["gallery"]


def test_a_gallery_is_ready_and_so_is_none(client: TestClient, tmp_path: Path):
    assert client.get("/v1/ready").json() == {"status": "ready", "gallery": "ready"}
    assert standing(client) == "ready"
    with TestClient(service(tmp_path / "none").asgi, base_url=HOST) as nobody:
        assert nobody.get("/v1/ready").json() == {"status": "ready", "gallery": "empty"}
        assert standing(nobody) == "empty"


def test_people_are_counted_once_for_each_state(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    counted, count = [], readiness.state.health
    monkeypatch.setattr(readiness.state, "health", lambda gallery: counted.append(1) or count(gallery))
    assert {client.get("/v1/health").json()["people"] for _ in range(3)} == {3} and len(counted) == 1
    assert client.post("/v1/forget", json={"name": "Ada"}).status_code == 200
    assert client.get("/v1/health").json()["people"] == 2 and len(counted) == 2


def test_neither_asks_for_a_token(gallery: Path):
    serving = service(gallery, host="0.0.0.0", token=TOKEN)
    with TestClient(serving.asgi, base_url="http://10.1.2.3:8008") as client:
        assert client.get("/v1/health").status_code == client.get("/v1/ready").status_code == 200
        problem(client.get("/v1/people"), 401, "token-needed")
        schema = client.get("/v1/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).json()
    for path in ("/v1/health", "/v1/ready"):
        assert schema["paths"][path]["get"]["security"] == []
    assert "security" not in schema["paths"]["/v1/people"]["get"]


def test_after_reindex_by_another_encoder_it_is_not_ready(client: TestClient, gallery: Path, photos: Path):
    assert client.get("/v1/ready").status_code == 200
    with open_gallery(gallery, encoder=Encoder.of(ColourEncoder()), detector="aligned") as library:
        library.reindex(Encoder.of(WideEncoder()), photos=[photos])
    problem(sent(client, "/v1/search", png(RED)), 409, "other-encoder")
    answer = client.get("/v1/ready")
    assert "encoder" in problem(answer, 503, "other-encoder")["detail"] and answer.headers["retry-after"]
    assert standing(client) == "not-ready"
    with open_gallery(gallery, encoder=Encoder.of(WideEncoder()), detector="aligned") as library:
        library.reindex(Encoder.of(ColourEncoder()), photos=[photos])
    assert client.get("/v1/ready").status_code == 200 and standing(client) == "ready"


def test_a_gallery_that_cannot_be_read_is_not_ready(client: TestClient, gallery: Path):
    assert client.get("/v1/ready").status_code == 200
    whole = (gallery / "gallery.sqlite").read_bytes()
    (gallery / "gallery.sqlite").write_bytes(b"no database" * 1000)
    problem(client.get("/v1/ready"), 503, "gallery-damaged")
    health = client.get("/v1/health").json()
    assert health == {
        "status": "ok",
        "gallery": "not-ready",
        "people": None,
        "faces": None,
        "generation": None,
    }
    (gallery / "gallery.sqlite").write_bytes(whole)
    assert client.get("/v1/ready").status_code == 200


def test_a_damaged_row_is_told(client: TestClient, gallery: Path, monkeypatch: pytest.MonkeyPatch):
    import sqlite3

    with sqlite3.connect(gallery / "gallery.sqlite") as db:
        db.execute("UPDATE faces SET checksum = checksum + 1")
    problem(sent(client, "/v1/search", png(RED)), 500, "gallery-damaged")
    problem(client.get("/v1/ready"), 503, "gallery-damaged")
    assert standing(client) == "not-ready"
    monkeypatch.setattr(
        readiness, "FAILED_FOR_S", 0
    )  # what nobody has looked at for long is not called damaged
    assert standing(client) == "ready"


def test_an_index_that_is_damaged_and_cannot_be_written_anew_is_told(client: TestClient, gallery: Path):
    for path in gallery.glob("vectors*"):
        path.unlink()
    (gallery / "vectors.json" / "in the way").mkdir(parents=True)
    problem(sent(client, "/v1/search", png(RED)), 500, "cannot-write")
    body = problem(client.get("/v1/ready"), 503, "cannot-write")
    assert str(gallery) not in str(body) and standing(client) == "not-ready"
    (gallery / "vectors.json" / "in the way").rmdir()
    (gallery / "vectors.json").rmdir()
    ask(client, png(RED))
    assert client.get("/v1/ready").status_code == 200 and standing(client) == "ready"


def test_an_index_that_does_not_find_who_is_enrolled_is_rebuilt(client: TestClient, gallery: Path):
    ask(client, png(RED))
    (rows,) = gallery.glob("vectors-*.faiss")
    data = rows.read_bytes()
    rows.write_bytes(data[:100] + bytes(len(data) - 100))  # under the mapping that is searched
    assert client.get("/v1/ready").json()["gallery"] == "ready"  # it was rebuilt from the rows
    assert ask(client, png(RED))["photos"][0]["faces"][0]["matches"][0]["person"] == "Ada"


def test_while_the_index_is_opened_it_says_so_and_one_attempt_is_for_all(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    go, tried = threading.Event(), []

    def slow(gallery: Any) -> Any:
        tried.append(1)
        go.wait(30)
        return ready(gallery)

    monkeypatch.setattr(readiness.state, "ready", slow)
    monkeypatch.setattr(readiness, "WAIT_S", 0.05)
    for _ in range(3):
        problem(client.get("/v1/ready"), 503, "not-ready-yet")
    assert len(tried) == 1
    monkeypatch.setattr(readiness, "WAIT_S", 30)
    go.set()
    assert client.get("/v1/ready").status_code == 200


def test_a_fault_of_ours_is_no_readiness_and_keeps_its_words(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    def fail(gallery: Any) -> None:
        raise ZeroDivisionError("about Ada")

    monkeypatch.setattr(readiness.state, "ready", fail)
    assert "Ada" not in str(problem(client.get("/v1/ready"), 503, "our-fault"))
