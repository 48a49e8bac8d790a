"""The socket that the service answers on."""

from __future__ import annotations

import asyncio
import socket

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from facesearch.web.server import listen


def test_an_answers_body_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    """Head and body are two writes: with Nagle's algorithm on, every answer takes as long as the client's
    delayed ACK, 40 ms.
    """

    async def nodelay() -> int:
        connected: asyncio.Queue[int] = asyncio.Queue()

        def connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = writer.get_extra_info("socket")
            connected.put_nowait(there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        async with await asyncio.start_server(connection, sock=listening):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await asyncio.wait_for(connected.get(), timeout=10)
            finally:
                writer.close()

    assert asyncio.run(nodelay()) != 0
