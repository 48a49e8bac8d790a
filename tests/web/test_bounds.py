"""No request costs more than its size: heads, cookies, JSON, forms, wrong tokens."""

from __future__ import annotations

import asyncio
import base64
import http.cookies
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient
from starlette.types import Message

from facesearch.web import forms, slowing
from facesearch.web.forms import BESIDE_BYTES, json_of, parts_of
from facesearch.web.intake import Intake
from facesearch.web.places import Left, Places, Turns
from facesearch.web.problems import Problem
from facesearch.web.security import COOKIE, MOST_HEAD, SMALL_BODY
from facesearch.web.settings import Limits
from facesearch.web.slowing import Slowing
from tests.helpers.service import HOST, RED, ask, png, problem, sent, service

TOKEN = "a-long-secret-token-of-ours"
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(gallery: Path) -> Iterator[TestClient]:
    with TestClient(service(gallery).asgi, base_url=HOST) as client:
        yield client


@pytest.fixture
def guarded(gallery: Path) -> Iterator[TestClient]:
    serving = service(gallery, token=TOKEN)
    with TestClient(serving.asgi, base_url=HOST, follow_redirects=False) as client:
        yield client


# ---- heads


def test_our_cookie_is_found_among_others_without_the_interpreters_parser(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch
):
    session = guarded.post("/login", data={"token": TOKEN}).cookies[COOKIE]
    guarded.cookies.clear()

    def never(*_: object) -> None:
        raise AssertionError("SimpleCookie takes seconds for a long line")

    monkeypatch.setattr(http.cookies.BaseCookie, "load", never)
    for line in (
        f"{COOKIE}={session}",
        f'a=b; {COOKIE}="{session}"; c',
        f"{COOKIE}=old; {COOKIE}={session}",
        "a=" * 4000 + f";;= ;{COOKIE}={session}",
    ):
        assert guarded.get("/v1/people", headers={"cookie": line}).status_code == 200
    for line in ("", ";", "=", f"{COOKIE}", f"{COOKIE}=", f"x{COOKIE}={session}", "a=" * 8000, '"' * 9000):
        problem(guarded.get("/v1/people", headers={"cookie": line}), 401, "token-needed")


def test_a_head_is_bounded_before_anything_is_made_of_it(client: TestClient):
    for headers in ({"cookie": "a" * MOST_HEAD}, {f"x-{i}": "y" * 500 for i in range(40)}):
        problem(client.get("/v1/health", headers=headers), 431, "too-large")
    problem(client.get("/v1/people", params={"search": "a" * MOST_HEAD}), 431, "too-large")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://["},
        {"origin": "http://]:x"},
        {"origin": "http://[::1"},
        {"host": "["},
        {"host": "[::1"},
        {"host": "127.0.0.1:8008:8008"},
        {"content-length": "²"},
        {"content-length": "9" * 5000},
        {"content-length": "-1"},
        {"content-type": "multipart/form-data; boundary="},
        {"content-type": "multipart/form-data; boundary=" + "b" * 5000},
        {"content-type": "multipart/form-data; boundary=ü"},
        {"content-type": 'multipart/form-data; boundary="'},
        {"content-type": ";"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer \xff"},
        {"cookie": f'{COOKIE}="\xff'},
        {"sec-fetch-site": "\xff"},
    ],
)
def test_a_malformed_header_is_refused_and_no_fault_of_ours(
    client: TestClient, guarded: TestClient, headers: dict[str, str]
):
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    for each in (client, guarded):
        for path in ("/v1/search", "/v1/rename", "/login"):
            assert 400 <= each.post(path, headers=raw, content=b"x").status_code < 500


# ---- JSON


def test_bodies_without_photos_are_small(client: TestClient):
    for path in ("/v1/rename", "/v1/move", "/v1/forget", "/v1/calibration", "/v1/audit/confirm"):
        answer = client.post(path, content=b" " * (SMALL_BODY + 1), headers=JSON)
        problem(answer, 413, "too-large")
    shas = [f"{i:064x}" for i in range(1000)]
    moved = client.post("/v1/move", json={"person": "Ada", "photos": shas, "to": "Ben"})
    assert moved.status_code not in (413, 422)


@pytest.mark.parametrize("path", ["/v1/rename", "/v1/search"])
def test_a_few_faults_are_told_and_no_value(client: TestClient, path: str):
    photo = {"photos": [{"data": base64.b64encode(png(RED)).decode()}]} if path == "/v1/search" else {}
    unknown = {f"member{i}": "secret value" for i in range(150)}
    body = problem(client.post(path, json={**photo, **unknown}), 422, "bad-request")
    assert len(body["errors"]) == 10 and "secret" not in json.dumps(body)
    many = problem(client.post(path, json={**photo, **{f"m{i}": 0 for i in range(5000)}}), 422, "bad-request")
    assert "members" in many["detail"] and "errors" not in many
    long = problem(client.post(path, json={**photo, "k" * 50_000: 1}), 422, "bad-request")
    assert len(json.dumps(long)) < 2000
    odd = json.dumps({**photo, "\ud800\x1b[31m": 1})
    shown = problem(client.post(path, content=odd, headers=JSON), 422, "bad-request")
    assert "\x1b" not in json.dumps(shown, ensure_ascii=False)


def test_json_beside_photos_is_bounded_and_never_interpreted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    data = base64.b64encode(png(RED, size=(300, 300)) + bytes(3 * BESIDE_BYTES)).decode()
    whole = json.dumps({"photos": [{"name": 'a"\\.png', "data": data}], "top": 1})
    assert client.post("/v1/search", content=whole, headers=JSON).status_code == 200
    escaped = whole.replace("/", "\\/")
    assert client.post("/v1/search", content=escaped, headers=JSON).status_code == 200
    seen: list[int] = []
    loads = json.loads
    monkeypatch.setattr(forms.json, "loads", lambda text, **how: seen.append(len(text)) or loads(text, **how))
    many = {f"m{i}": i for i in range(20_000)}
    for body in (
        json.dumps({"photos": [{"data": data}], **many}),
        json.dumps({"photos": [{"data": data}], "more": [[] for _ in range(100_000)]}),
        '{"photos": [' + '"",' * 100_000,
        "[" * 200_000,
        '{"a": "' + '\\"' * 200_000 + '"}',
        '{"a": "' + "\\" * 200_001 + '"}',
        '{"a": "' + "x" * 200_000,
        json.dumps({"photos": [{"data": data, "name": data}]}),
        json.dumps({"photos": [{"data": data}], data: 1}),
        json.dumps({"photos": [data]}),
    ):
        answer = client.post("/v1/search", content=body, headers=JSON)
        assert answer.status_code in (400, 422), answer.text
        assert len(answer.content) < 4000
    assert max(seen, default=0) <= BESIDE_BYTES + 100


def test_base64_is_read_strictly_across_its_steps():
    from facesearch.web.uploads import STEP, _from_base64

    for size in (0, 1, 2, 3, STEP, STEP * 3 // 4, STEP + 1):
        assert _from_base64(base64.b64encode(b"\xfe" * size)) == b"\xfe" * size
    for text in (b"AA==" * 2, b"A" * (STEP - 2) + b"==" + b"AAAA", b"AAA", b"AA AA", b"A===", b"\n" * 4):
        with pytest.raises(ValueError):
            _from_base64(text)


def test_long_texts_come_out_of_json_as_they_went_in():
    texts = ["short", "x" * 5000, 'quo"ted\\', "y" * 70_000]
    value, long = json_of(json.dumps({"t": texts, "n": [1, None]}).encode())
    back = [(long.take(text) or text.encode()).decode() for text in value["t"]]
    assert back == texts and value["n"] == [1, None] and not long.by_word


# ---- forms


def test_forms_are_cut_at_their_boundaries():
    tricky = b"\r\n--bound\r\n--b" * 1000 + b"\r" * 1000 + b"\x00"
    body = (
        b'preamble\r\n--b0\r\nContent-Disposition: form-data; name="photo"; filename="a;\\"b.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + tricky + b"\r\n--b0\r\n"
        b'content-disposition: form-data; name="top"\r\n\r\n3\r\n--b0--\r\nepilogue'
    )
    photo, top = parts_of(body, 'multipart/form-data; boundary="b0"', most=2)
    assert (photo.name, photo.filename, photo.data) == ("photo", 'a;"b.png', tricky)
    assert (top.name, top.filename, top.data) == ("top", None, b"3")
    with pytest.raises(Problem, match="Too many parts"):
        parts_of(body, "multipart/form-data; boundary=b0", most=0)
    head = b'--b\r\nContent-Disposition: form-data; name="x"\r\nX: '
    with pytest.raises(Problem, match="no head"):
        parts_of(head + b"y" * 100_000 + b"\r\n\r\nz\r\n--b--", "multipart/form-data; boundary=b", most=9)


# ---- bodies in all, and their pace


def test_a_body_that_is_slow_silent_or_too_much_with_the_others_is_given_up():
    async def dripping() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def silent() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def flood() -> Message:
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def try_all() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("facesearch.web.intake.BEGIN_S", 0.2)
            for receive, silent_s, status in ((dripping, 9, 408), (silent, 0.05, 408), (flood, 9, 503)):
                intake = Intake(10_000, silent_s)
                with pytest.raises(Problem) as told:
                    await intake.whole(receive, 10**9)
                assert told.value.status_code == status and intake.held == 0

    asyncio.run(try_all())


def test_large_bodies_make_room_for_small_ones_and_for_each_other():
    async def body(pieces: int, size: int, pause_s: float, *, ends: bool = True) -> Message:
        nonlocal sent_so_far
        await asyncio.sleep(pause_s)
        sent_so_far += 1
        return {"type": "http.request", "body": b"x" * size, "more_body": sent_so_far < pieces or not ends}

    sent_so_far = 0

    async def try_it() -> None:
        nonlocal sent_so_far
        intake = Intake(4 * 2**20, 30)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("facesearch.web.intake.SMALL", 2**20)
            large = asyncio.create_task(
                intake.whole(lambda: body(10**6, 2**20, 60 if sent_so_far == 3 else 0), 10**9)
            )
            while intake.held < 3 * 2**20:
                await asyncio.sleep(0.001)
            sent_so_far = 0
            small = await intake.whole(lambda: body(1, 2**19, 0), 10**9)
            with pytest.raises(Problem) as told:
                await large
            assert told.value.status_code == 503 and intake.held == small.size == 2**19

    asyncio.run(try_it())


def test_whoever_leaves_the_queue_is_not_worked_for():
    async def try_it() -> None:
        turns = Turns(1, 10)

        async def leaves() -> Message:
            return {"type": "http.disconnect"}

        async def stays() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async with turns.turn():
            with pytest.raises(Left):
                async with turns.turn(leaves):
                    raise AssertionError
            one, other = turns.turn(stays), turns.turn(stays)
            stayed, gone = asyncio.create_task(one.__aenter__()), asyncio.create_task(other.__aenter__())
            await asyncio.sleep(0.01)
            gone.cancel()
        await stayed
        with pytest.raises(asyncio.CancelledError):
            await gone
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), turns.turn():
                raise AssertionError
        await one.__aexit__(None, None, None)
        async with asyncio.timeout(1), turns.turn():
            pass

    asyncio.run(try_it())


def test_a_body_is_counted_for_as_long_as_it_is_worked_on():
    async def once() -> Message:
        return {"type": "http.request", "body": b"xyz", "more_body": False}

    async def try_it() -> None:
        intake = Intake(10, 1)
        held = await intake.whole(once, 10)
        assert intake.held == 3 and (await held.again(once)())["body"] == b"xyz"
        held.let_go()
        held.let_go()
        assert intake.held == 0

    asyncio.run(try_it())


# ---- turns


def test_those_above_the_limit_wait_their_turn_and_are_told_when_to_come_again():
    async def try_it() -> None:
        turns = Turns(1, 0.05)
        async with turns.turn():
            with pytest.raises(Problem) as told:
                async with turns.turn():
                    pass
            assert told.value.status_code == 503 and told.value.headers is not None
            assert 1 <= int(told.value.headers["Retry-After"]) <= 60

        patient, order = Turns(1, 10), list[int]()

        async def work(number: int) -> None:
            async with patient.turn():
                await asyncio.sleep(0.001)
                order.append(number)

        await asyncio.gather(*map(work, range(16)))
        assert order == list(range(16))

    asyncio.run(try_it())


def test_searches_writers_and_all_else_take_turns_apart_and_health_takes_none():
    async def try_it() -> None:
        places = Places(4, 1)
        search, writer = places.of("POST", "/v1/search"), places.of("POST", "/v1/enroll")
        reader = places.of("GET", "/v1/people")
        assert search and writer and reader and len({id(each) for each in (search, writer, reader)}) == 3
        assert places.of("POST", "/v1/forget") is writer and places.of("POST", "/v1/embed") is search
        for path in ("/v1/health", "/v1/ready", "/", "/static/app.js", "/metrics"):
            assert places.of("GET", path) is None
        assert places.threads > search.places + writer.places + reader.places

    asyncio.run(try_it())


def test_searches_are_answered_while_writers_fill_their_places(
    gallery: Path, monkeypatch: pytest.MonkeyPatch
):
    import threading

    entered, let_go = threading.Semaphore(0), threading.Event()
    serving = service(gallery, limits=Limits(requests=2))

    def wait(*_: object, **__: object) -> int:
        entered.release()
        let_go.wait(30)
        return 1

    monkeypatch.setattr(serving.gallery, "rename", wait)
    with TestClient(serving.asgi, base_url=HOST) as client:
        change = {"old": "Ada", "new": "Adele"}
        threads = [threading.Thread(target=lambda: client.post("/v1/rename", json=change)) for _ in range(40)]
        for thread in threads:
            thread.start()
        try:
            assert all(entered.acquire(timeout=10) for _ in range(8))
            for _ in range(4):
                assert ask(client, png(RED))["photos"][0]["skipped"] is None
                assert client.get("/v1/health").status_code == 200
        finally:
            let_go.set()
            for thread in threads:
                thread.join(30)


# ---- wrong tokens


def test_wrong_tokens_wait_longer_each_time_and_others_do_not():
    slow = Slowing()
    delays = [slow.delay("10.0.0.1", float(i)) for i in range(12)]
    assert delays == sorted(delays) and delays[0] < 0.1 and delays[-1] == slowing.LONGEST_S
    assert slow.delay("10.0.0.2", 12.0) == delays[0]
    assert slow.delay("10.0.0.1", 12.0 + slowing.FORGOTTEN_AFTER_S) == delays[0]
    for i in range(slowing.MOST_ADDRESSES + 100):
        slow.delay(f"a{i}", 500.0)
    assert len(slow._wrong) == slowing.MOST_ADDRESSES


def test_a_wrong_token_is_slowed_wherever_it_is_shown_and_a_right_one_never(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch
):
    waited: list[str] = []

    async def wrong(self: Slowing, address: str) -> None:
        waited.append(address)

    monkeypatch.setattr(Slowing, "wrong", wrong)
    problem(guarded.get("/v1/people", headers={"authorization": "Bearer wrong"}), 401, "token-needed")
    assert guarded.post("/login", data={"token": "wrong"}).status_code == 401
    assert len(waited) == 2
    guarded.get("/v1/people")
    guarded.get("/v1/people", headers={"authorization": f"Bearer {TOKEN}"})
    assert guarded.post("/login", data={"token": TOKEN}).status_code == 303
    assert sent(guarded, "/v1/search", png(RED)).status_code == 200
    assert len(waited) == 2
