"""Serve an app until somebody asks to stop: uvicorn on a socket of ours, so that port 0 can be told, and a
graceful end.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn

from facesearch.errors import CannotListen, reason_of
from facesearch.web.app import Service

GRACE_S = 15


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes any that is free. Raises CannotListen.

    It names TCP as its protocol: asyncio looks for that before it sends small pieces at once (TCP_NODELAY).
    Without, the body of each answer waits up to 40 ms until the client has acknowledged the head.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)  # so that whoever reads our address can connect at once
    except OSError as error:
        raise CannotListen(
            host, port, str(error) if isinstance(error, socket.gaierror) else reason_of(error)
        ) from error
    return listening


def url_of(host: str, listening: socket.socket) -> str:
    """What to put into a browser."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{listening.getsockname()[1]}"


def serve(service: Service, listening: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM; then take nothing new, end what is under way within GRACE_S, and
    return.
    """
    config = uvicorn.Config(
        service.asgi,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
        ws="none",
    )
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Takes a signal for a wish to stop and no more: uvicorn would raise it again after a graceful end, and
    die of it.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
