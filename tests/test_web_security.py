"""Who may talk to the service, what every answer carries, what the log and the figures never hold."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient

from facesearch.errors import BadToken
from facesearch.web import observe
from facesearch.web.app import Service
from facesearch.web.security import HEADERS
from facesearch.web.settings import Settings, is_loopback, token_for
from tests.conftest import ColourEncoder
from tests.test_web_api import HOST, ask, enroll_face, gallery, photos, png, problem  # noqa: F401

TOKEN = "a-long-secret-token-of-ours"
CHANGE = {"old": "Ada", "new": "Adele"}


@pytest.fixture
def client(gallery: Path) -> Iterator[TestClient]:  # noqa: F811
    with TestClient(Service(Settings(gallery=gallery), ColourEncoder(), None).asgi, base_url=HOST) as client:
        yield client


@pytest.fixture
def public(gallery: Path) -> Iterator[TestClient]:  # noqa: F811
    settings = Settings(gallery=gallery, host="0.0.0.0", token=TOKEN, hosts=frozenset({"faces.example"}))
    with TestClient(Service(settings, ColourEncoder(), None).asgi, base_url="http://10.1.2.3:8008", follow_redirects=False) as client:
        yield client


def is_unchanged(client: TestClient, **headers: str) -> bool:
    return client.get("/v1/people", params={"search": "Adele"}, headers=headers).json()["total"] == 0


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8008", "127.0.0.1.evil.example", "10.0.0.1:8008", "", "localhost.evil"])
def test_a_request_for_another_host_is_refused_whatever_it_asks(client: TestClient, host: str):
    for path in ("/", "/v1/people", "/metrics", "/static/style.css", "/v1/openapi.json"):
        problem(client.get(path, headers={"host": host}), 421, "wrong-host")


@pytest.mark.parametrize("host", ["127.0.0.1:8008", "localhost:8008", "LOCALHOST", "[::1]:8008"])
def test_our_own_names_are_answered(client: TestClient, host: str):
    assert client.get("/v1/version", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8009"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "origin": HOST},
    ],
)
def test_another_sites_page_changes_nothing(client: TestClient, headers: dict[str, str]):
    problem(client.post("/v1/rename", json=CHANGE, headers=headers), 403, "cross-origin")
    problem(client.post("/v1/search", files={"photo": ("a.png", png((1, 2, 3)))}, headers=headers), 403, "cross-origin")
    problem(client.get("/v1/people", headers=headers), 403, "cross-origin")
    assert is_unchanged(client)


def test_our_own_page_and_programs_may_and_links_to_the_page_work(client: TestClient):
    for headers in ({}, {"origin": HOST}, {"sec-fetch-site": "same-origin", "origin": HOST}):
        assert client.post("/v1/rename", json=CHANGE, headers=headers).status_code == 200
        assert client.post("/v1/rename", json={"old": "Adele", "new": "Ada"}, headers=headers).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    problem(client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}), 403, "cross-origin")


def test_no_cors_and_no_method_that_is_not_there(client: TestClient):
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/v1/rename", headers=asked)
    assert answer.status_code == 403 and not [name for name in answer.headers if name.startswith("access-control")]
    body = problem(client.delete("/v1/people"), 405, "no-such-method")
    assert body["status"] == 405
    assert client.delete("/v1/calibration").headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "path", ["/", "/v1/people", "/nothing", "/static/nothing", "/static/../app.py", "/static/%2e%2e/app.py", "/metrics"]
)
def test_every_answer_carries_our_headers(client: TestClient, path: str):
    answer = client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "Service" not in answer.text
    assert "server" not in answer.headers


def test_a_token_is_asked_for_and_a_browser_gets_a_session(public: TestClient):
    for path in ("/v1/people", "/metrics", "/v1/openapi.json", "/report", "/nothing"):
        body = problem(public.get(path), 401, "token-needed")
        assert "facesearch serve" in body["detail"]
    assert public.get("/v1/people").headers["www-authenticate"] == "Bearer"
    problem(public.get("/v1/people", headers={"authorization": "Bearer wrong"}), 401, "token-needed")
    problem(public.get("/v1/people", headers={"cookie": "facesearch_session=wrong"}), 401, "token-needed")
    assert public.get("/v1/people", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    page = public.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401 and 'name="token"' in page.text
    assert public.get("/static/style.css").status_code == 200
    wrong = public.post("/login", data={"token": "wrong"})
    assert wrong.status_code == 401 and "not the token" in wrong.text and "set-cookie" not in wrong.headers
    problem(public.post("/login", data={"token": TOKEN}, headers={"origin": "https://evil.example"}), 403, "cross-origin")
    right = public.post("/login", data={"token": TOKEN})
    assert right.status_code == 303 and right.headers["location"] == "/"
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and TOKEN not in cookie
    assert public.get("/v1/people").status_code == 200


def test_on_a_public_address_ip_addresses_and_named_hosts_are_ours_and_no_others(public: TestClient):
    shown = {"authorization": f"Bearer {TOKEN}"}
    for host in ("10.1.2.3:8008", "[fe80::1]:8008", "faces.example", "FACES.example:443", "localhost"):
        assert public.get("/v1/version", headers=shown | {"host": host}).status_code == 200
    problem(public.get("/v1/version", headers=shown | {"host": "evil.example"}), 421, "wrong-host")


def test_tokens_come_from_a_private_file_or_are_made_up_where_needed(tmp_path: Path):
    assert token_for("127.0.0.1", None) == ("", False) == token_for("::1", None) == token_for("localhost", None)
    made, made_up = token_for("0.0.0.0", None)
    assert made_up and len(made) >= 43 and made != token_for("0.0.0.0", None)[0]
    assert not is_loopback("192.168.1.5") and not is_loopback("example.org")
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    with pytest.raises(BadToken, match="others than its owner"):
        token_for("127.0.0.1", file)
    file.chmod(0o600)
    assert token_for("127.0.0.1", file) == (TOKEN, False)
    for text, why in (("short", "at least 16"), ("two words of a token", "one word"), ("ä" * 20, "ASCII")):
        file.write_text(text)
        with pytest.raises(BadToken, match=why):
            token_for("127.0.0.1", file)
    with pytest.raises(BadToken, match="No such file"):
        token_for("127.0.0.1", tmp_path / "none")


def test_the_log_is_json_and_holds_no_name_photo_or_path(client: TestClient, gallery: Path, caplog: pytest.LogCaptureFixture):  # noqa: F811
    stream = io.StringIO()
    logger = logging.getLogger("facesearch.web")
    before = logger.handlers, logger.propagate, logger.level
    observe.log_to(stream)
    try:
        ask(client, png((220, 10, 10)))
        enroll_face(client, "Secret Person", png((9, 120, 130)), force="true")
        client.get("/v1/people", params={"search": "Secret"})
        client.get("/v1/people/photos", params={"name": "Secret Person"})
        client.post("/v1/rename", json={"old": "Secret Person", "new": "Hidden Person"})
        client.get("/Secret")
        client.request("SECRET", "/v1/people")
        client.get("/v1/people", headers={"host": "secret.example"})
    finally:
        logger.handlers, logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["request"] * 8
    assert lines[0]["route"] == "/v1/search" and (lines[0]["photos"], lines[0]["faces"]) == (1, 1)
    assert [line["status"] for line in lines] == [200, 200, 200, 200, 200, 404, 405, 421]
    assert len({line["id"] for line in lines}) == 8 and all(line["ms"] >= 0 for line in lines)
    text = stream.getvalue()
    for word in ("secret", "hidden", "new.png", str(gallery).lower()):
        assert word not in text.lower()
    figures = client.get("/metrics").text
    assert 'facesearch_requests_total{method="POST",route="/v1/search",status="200"} 1.0' in figures
    assert "facesearch_faces_embedded_total 2.0" in figures and "facesearch_batch_crops_count 2.0" in figures
    assert "secret" not in figures.lower() and "hidden" not in figures.lower()


def test_a_fault_of_ours_is_a_problem_and_its_message_is_not_logged(gallery: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    service = Service(Settings(gallery=gallery), ColourEncoder(), None)
    stream = io.StringIO()
    logger = logging.getLogger("facesearch.web")
    before = logger.handlers, logger.propagate, logger.level
    observe.log_to(stream)

    def fail(*args: object) -> None:
        raise ZeroDivisionError("about Ada")

    monkeypatch.setattr(service.desk, "separations", fail)
    try:
        with TestClient(service.asgi, base_url=HOST) as client:
            body = problem(client.get("/v1/people"), 500, "our-fault")
            assert "Ada" not in json.dumps(body)
    finally:
        logger.handlers, logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
    fault = next(json.loads(line) for line in stream.getvalue().splitlines() if '"fault"' in line)
    assert fault["error"] == "ZeroDivisionError" and fault["at"] and "Ada" not in stream.getvalue()
