"""Connections that keep us waiting are let go, and never keep others out."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from starlette.types import Message, Receive, Scope, Send

from facesearch.web import connections
from facesearch.web.connections import Connection
from facesearch.web.security import MOST_HEAD
from facesearch.web.server import Server, configured, listen

HELLO = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_S = 20


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with as many bytes as it was sent; a megabyte for each at /large."""
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message: Message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = b"x" * 2**24 if scope["path"] == "/large" else str(size).encode()
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server with short deadlines and room for six connections, in a thread."""
    for name, seconds in (("HEAD_S", 0.5), ("NEXT_HEAD_S", 1.0), ("TAKE_S", 0.5)):
        monkeypatch.setattr(connections, name, seconds)
    monkeypatch.setattr(Connection, "most", 6)
    config = configured(echo)
    config.lifespan = "off"
    server, listening = Server(config), listen("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: asyncio.run(server._serve([listening])))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def answer(client: socket.socket, request: bytes = HELLO) -> bytes:
    """Head and body, as long as the head says; what there is when the server ends it before."""
    client.sendall(request)
    told = b""
    while piece := client.recv(2**16):
        told += piece
        head, _, body = told.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if length is not None and len(body) >= int(length[1]):
            break
    return told


def is_ended(client: socket.socket) -> bool:
    """Whether the server ends this connection, sooner or later."""
    with contextlib.suppress(ConnectionError):
        while client.recv(2**16):
            pass
    return True


@pytest.mark.slow
@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\n", HELLO + b"GET /again HT"])
def test_a_head_that_does_not_come_ends_its_connection(port: int, begin: bytes):
    with connect(port) as client:
        client.sendall(begin)
        assert is_ended(client)


@pytest.mark.slow
def test_a_head_that_drips_ends_its_connection(port: int):
    with connect(port) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        client.settimeout(0.05)
        for _ in range(PATIENCE_S * 20):
            client.sendall(b"a")
            with contextlib.suppress(TimeoutError):
                assert client.recv(1) == b""
                return
        raise AssertionError("it goes on for ever")


@pytest.mark.slow
def test_a_body_that_nobody_waits_for_does_not_keep_its_connection(port: int):
    with connect(port) as client:
        client.sendall(b"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        threading.Event().wait(2.5)  # nothing of the rest is taken
        assert is_ended(client)


def test_whoever_comes_anew_is_heard_however_many_are_silent(port: int):
    silent = [connect(port) for _ in range(40)]
    dripping = [connect(port) for _ in range(6)]
    for client in dripping:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
    try:
        for _ in range(10):
            with connect(port) as honest:
                assert answer(honest).startswith(b"HTTP/1.1 200")
    finally:
        for client in (*silent, *dripping):
            client.close()


def test_a_connection_is_kept_for_the_next_request(port: int):
    with connect(port) as client:
        for _ in range(5):
            assert answer(client).endswith(b"\r\n\r\n0")


def test_heads_and_crumbs_are_bounded(port: int):
    with connect(port) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert b" 400 " in answer(client, b"a" * 3 * MOST_HEAD)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(port) as client, contextlib.suppress(ConnectionError):
        assert b" 400 " in answer(client, head + b"1\r\nx\r\n" * 20_000)
    with connect(port) as client:
        assert answer(client, head + b"1000\r\n" + b"x" * 4096 + b"\r\n" + b"0\r\n\r\n").endswith(b"4096")
