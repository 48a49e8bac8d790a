"""Who may talk to the service, what every answer carries, what the log and the figures never hold."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient

from facesearch.errors import BadToken
from facesearch.web import app, observe
from facesearch.web.places import UPLOADS
from facesearch.web.security import HEADERS
from facesearch.web.settings import Limits, is_loopback, token_for
from tests.helpers.service import BLUE, HOST, RED, ask, enroll_face, png, problem, sent, service, sha

TOKEN = "a-long-secret-token-of-ours"
CHANGE = {"old": "Ada", "new": "Adele"}
LOOKING = ("/v1/search", "/v1/compare", "/v1/embed", "/v1/detect")


@pytest.fixture
def client(gallery: Path, photos: Path) -> Iterator[TestClient]:
    with TestClient(service(gallery, photos=photos).asgi, base_url=HOST) as client:
        yield client


@pytest.fixture
def public(gallery: Path) -> Iterator[TestClient]:
    serving = service(gallery, host="0.0.0.0", token=TOKEN, hosts=frozenset({"faces.example"}))
    with TestClient(serving.asgi, base_url="http://10.1.2.3:8008", follow_redirects=False) as client:
        yield client


def is_unchanged(client: TestClient, **headers: str) -> bool:
    return client.get("/v1/people", params={"search": "Adele"}, headers=headers).json()["total"] == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8008", "127.0.0.1.evil.example", "10.0.0.1:8008", "", "localhost.evil"],
)
def test_a_request_for_another_host_is_refused_whatever_it_asks(client: TestClient, host: str):
    for path in ("/", "/v1/people", "/metrics", "/static/style.css", "/v1/openapi.json"):
        problem(client.get(path, headers={"host": host}), 421, "wrong-host")


@pytest.mark.parametrize("host", ["127.0.0.1:8008", "localhost:8008", "LOCALHOST", "[::1]:8008"])
def test_our_own_names_are_answered(client: TestClient, host: str):
    assert client.get("/v1/version", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.2", "127.8.9.10", "0:0:0:0:0:0:0:1"])
def test_the_address_that_it_listens_on_is_its_own(gallery: Path, address: str):
    name = f"[{address}]" if ":" in address else address
    with TestClient(service(gallery, host=address).asgi, base_url=HOST) as client:
        for host in (name, f"{name}:8008", "127.0.0.1:8008", "localhost"):
            assert client.get("/v1/version", headers={"host": host}).status_code == 200
        for host in ("127.0.0.3", "evil.example", "10.0.0.1"):
            problem(client.get("/v1/version", headers={"host": host}), 421, "wrong-host")


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
    for path in UPLOADS:
        problem(
            client.post(path, files={"photo": ("a.png", png((1, 2, 3)))}, headers=headers),
            403,
            "cross-origin",
        )
    problem(client.get("/v1/people", headers=headers), 403, "cross-origin")
    assert is_unchanged(client)


def test_our_own_page_and_programs_may_and_links_to_the_page_work(client: TestClient):
    for headers in ({}, {"origin": HOST}, {"sec-fetch-site": "same-origin", "origin": HOST}):
        assert client.post("/v1/rename", json=CHANGE, headers=headers).status_code == 200
        assert (
            client.post("/v1/rename", json={"old": "Adele", "new": "Ada"}, headers=headers).status_code == 200
        )
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    problem(
        client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
        403,
        "cross-origin",
    )


def test_no_cors_and_no_method_that_is_not_there(client: TestClient):
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/v1/rename", headers=asked)
    assert answer.status_code == 403 and not [
        name for name in answer.headers if name.startswith("access-control")
    ]
    body = problem(client.delete("/v1/people"), 405, "no-such-method")
    assert body["status"] == 405
    assert client.delete("/v1/calibration").headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/people",
        "/nothing",
        "/static/nothing",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/metrics",
    ],
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
    assert {*LOOKING, "/v1/enroll"} == UPLOADS
    for path in UPLOADS:
        problem(sent(public, path, png(RED), png(RED)), 401, "token-needed")
    for path in LOOKING:
        assert (
            sent(public, path, png(RED), png(RED), headers={"authorization": f"Bearer {TOKEN}"}).status_code
            == 200
        )
    assert public.get("/v1/people").headers["www-authenticate"] == "Bearer"
    problem(public.get("/v1/people", headers={"authorization": "Bearer wrong"}), 401, "token-needed")
    problem(public.get("/v1/people", headers={"cookie": "facesearch_session=wrong"}), 401, "token-needed")
    assert public.get("/v1/people", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    page = public.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401 and 'name="token"' in page.text
    assert public.get("/static/style.css").status_code == 200
    wrong = public.post("/login", data={"token": "wrong"})
    assert wrong.status_code == 401 and "not the token" in wrong.text and "set-cookie" not in wrong.headers
    problem(
        public.post("/login", data={"token": TOKEN}, headers={"origin": "https://evil.example"}),
        403,
        "cross-origin",
    )
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
    assert (
        token_for("127.0.0.1", None) == ("", False) == token_for("::1", None) == token_for("localhost", None)
    )
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


def test_the_log_is_json_and_holds_no_name_photo_or_path(
    client: TestClient, gallery: Path, caplog: pytest.LogCaptureFixture
):
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
        for path in ("/v1/compare", "/v1/embed", "/v1/detect"):
            sent(client, path, png(RED), png((9, 120, 130)))
        sent(client, "/v1/detect", png(RED), b"secret")
        sent(client, "/v1/compare", png(RED), b"secret")
    finally:
        logger.handlers, logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["request"] * 13
    assert lines[0]["route"] == "/v1/search" and (lines[0]["photos"], lines[0]["faces"]) == (1, 1)
    assert [line["status"] for line in lines] == [
        200,
        200,
        200,
        200,
        200,
        404,
        405,
        421,
        200,
        200,
        200,
        200,
        422,
    ]
    assert [(line.get("photos"), line.get("faces")) for line in lines[8:]] == [
        (2, 2),
        (2, 2),
        (2, 2),
        (2, 1),
        (None, None),
    ]
    assert len({line["id"] for line in lines}) == 13 and all(line["ms"] >= 0 for line in lines)
    text = stream.getvalue()
    for word in ("secret", "hidden", "new.png", str(gallery).lower()):
        assert word not in text.lower()
    figures = client.get("/metrics").text
    assert 'facesearch_requests_total{method="POST",route="/v1/search",status="200"} 1.0' in figures
    assert "facesearch_faces_embedded_total 6.0" in figures and "facesearch_batch_crops_count 4.0" in figures
    assert 'facesearch_photos_total{outcome="refused"} 1.0' in figures
    assert "secret" not in figures.lower() and "hidden" not in figures.lower()


def test_a_fault_of_ours_is_a_problem_and_its_message_is_not_logged(
    gallery: Path, monkeypatch: pytest.MonkeyPatch
):
    serving = service(gallery)
    stream = io.StringIO()
    logger = logging.getLogger("facesearch.web")
    before = logger.handlers, logger.propagate, logger.level
    observe.log_to(stream)

    def fail(*args: object) -> None:
        raise ZeroDivisionError("about Ada")

    monkeypatch.setattr(serving.gallery, "rename", lambda *_, **__: fail())
    try:
        with TestClient(serving.asgi, base_url=HOST) as client:
            body = problem(client.post("/v1/rename", json=CHANGE), 500, "our-fault")
            assert "Ada" not in json.dumps(body)
    finally:
        logger.handlers, logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
    fault = next(json.loads(line) for line in stream.getvalue().splitlines() if '"fault"' in line)
    assert fault["error"] == "ZeroDivisionError" and fault["at"] and "Ada" not in stream.getvalue()


def test_the_figures_tell_how_many_are_enrolled(gallery: Path, monkeypatch: pytest.MonkeyPatch):
    def wait_for(faces: int) -> None:
        for _ in range(200):
            if f"facesearch_gallery_faces {faces}.0" in client.get("/metrics").text:
                return
            threading.Event().wait(0.02)
        raise AssertionError(client.get("/metrics").text)

    monkeypatch.setattr(app, "LOOK_EVERY_S", 0.01)
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        wait_for(6)
        assert enroll_face(client, "Dora", png((9, 120, 130))).status_code == 200
        wait_for(7)
        assert client.post("/v1/forget", json={"name": "Dora"}).status_code == 200
        wait_for(6)


# ---- photos in and out


def test_thumbnails_are_of_the_enrolled_content_and_of_nothing_else(
    client: TestClient, photos: Path, tmp_path: Path
):
    listed = client.get("/v1/people/photos", params={"name": "Ada"}).json()["photos"]
    small = client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": listed[0]["sha256"]})
    assert small.status_code == 200 and small.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) <= 320
    problem(
        client.get("/v1/people/thumbnail", params={"name": "Ben", "sha256": listed[0]["sha256"]}),
        404,
        "no-photo",
    )
    for bad in ("../../etc/passwd", "a" * 63, "A" * 64):
        problem(client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": bad}), 422, "bad-request")
    (photos / "Ada" / listed[0]["source"]).write_bytes(
        png(BLUE, shade=99)
    )  # another content under the same name
    problem(
        client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": listed[0]["sha256"]}),
        404,
        "no-photo",
    )


def test_a_link_out_of_the_photos_folder_is_not_followed(gallery: Path, photos: Path, tmp_path: Path):
    original = photos / "Ada" / "Ada20.png"
    outside = tmp_path / "outside.png"
    outside.write_bytes(original.read_bytes())
    content = sha(outside.read_bytes())
    original.unlink()
    original.symlink_to(outside)
    with TestClient(service(gallery, photos=photos).asgi, base_url=HOST) as client:
        problem(
            client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": content}), 404, "no-photo"
        )


def test_uploads_are_bounded_by_count_bytes_pixels_and_form(gallery: Path):
    limits = Limits(photos=2, photo_bytes=5000, body_bytes=20_000, pixels=100_000)
    with TestClient(service(gallery, limits=limits).asgi, base_url=HOST) as client:
        good = ("photo", ("a.png", png(RED), "image/png"))
        problem(client.post("/v1/search", files=[good] * 3), 422, "bad-request")
        many = {"photos": [{"data": base64.b64encode(png(RED)).decode()}] * 3}
        problem(client.post("/v1/search", json=many), 422, "bad-request")
        problem(client.post("/v1/search", files={"photo": ("a", b"x" * 6000)}), 413, "too-large")
        problem(client.post("/v1/search", files={"photo": ("a", b"x" * 30_000)}), 413, "too-large")
        stream = (b"x" * 1000 for _ in range(30))
        problem(
            client.post("/v1/search", content=stream, headers={"content-type": "application/json"}),
            413,
            "too-large",
        )
        for path in LOOKING:
            problem(sent(client, path, *[png(RED)] * 3), 422, "bad-request")
            problem(sent(client, path, b"x" * 6000, png(RED)), 413, "too-large")
            problem(sent(client, path, *[b"x" * 4000] * 6), 413, "too-large")
        huge = png(RED, size=(400, 400))
        for path in ("/v1/search", "/v1/embed", "/v1/detect"):
            one, other = sent(client, path, huge, png(RED)).json()["photos"]
            assert "megapixels" in one["skipped"] and one["faces"] == [] and len(other["faces"]) == 1
        assert (
            "megapixels" in problem(sent(client, "/v1/compare", png(RED), huge), 422, "bad-photo")["detail"]
        )
        assert "megapixels" in problem(enroll_face(client, "Dora", huge), 422, "bad-photo")["detail"]
        problem(
            client.post("/v1/rename", content=b"x" * 2_000_000, headers={"content-type": "application/json"}),
            413,
            "too-large",
        )


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"photos": [3]}', "application/json", 422),
        (b'{"photos": [{"data": "!!"}]}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA"}], "top": 0}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA"}], "topp": 1}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA"}], "largest": 0}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA", "name": 3}]}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA", "path": "x"}]}', "application/json", 422),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 400),
        (b"--b\r\nx", "multipart/form-data; boundary=b", 422),
        (b"", "", 415),
    ],
)
def test_what_cannot_be_understood_is_refused_in_words(
    client: TestClient, body: bytes, kind: str, status: int
):
    for path in LOOKING:
        problem(client.post(path, content=body, headers={"content-type": kind}), status, "bad-request")


def test_no_photo_is_written_to_a_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    import tempfile

    def refuse(self: Any) -> None:
        raise AssertionError("a photo went to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    assert len(out.getvalue()) > 4_000_000
    assert ask(client, out.getvalue())["photos"][0]["skipped"] is None
    for path in LOOKING:
        assert sent(client, path, out.getvalue(), out.getvalue()).status_code == 200


def test_names_of_photos_are_never_paths(client: TestClient):
    data = png((90, 30, 200))
    files = {"photo": ("../../..\\evil\x07.png", data, "image/png")}
    assert client.post("/v1/enroll", files=files, data={"name": "Eve", "force": "true"}).status_code == 200
    photo = client.get("/v1/people/photos", params={"name": "Eve"}).json()["photos"][0]
    assert "/" not in photo["source"] and "\\" not in photo["source"] and "\x07" not in photo["source"]
