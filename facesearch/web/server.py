"""Serve an app until somebody asks to stop: uvicorn on a socket of ours, so that port 0 can be told, and a
graceful end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from facesearch.errors import CannotListen, reason_of
from facesearch.web.app import Service
from facesearch.web.connections import NEXT_HEAD_S, Connection
from facesearch.web.observe import LOG
from facesearch.web.security import MOST_HEAD

GRACE_S = 5
"""For so long after a signal answers may still be given."""

END_S = 6.0
"""So long after a signal the process ends; Docker waits for ten seconds."""

MOST_CONNECTIONS = 512
QUEUE = 256
"""Connections that the system holds until they are accepted."""

AT_ONCE = 8
"""Connections accepted before anything else is done. Few, so that a client that has just come is read from
before as many others have come as there is room for: it would be the oldest of the silent ones by then."""


M_ARENA_MAX, ARENAS = -8, 2
"""glibc's number of the setting (malloc.h), and its value here."""


def use_few_arenas() -> None:
    """Tell glibc to share its heaps among threads: otherwise each of a service's many threads keeps, in a
    heap of its own, what its photos took. Nothing happens where the C library is another one. Call it before
    threads start.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


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
        listening.listen(QUEUE)  # so that a program that reads our address can connect at once
    except OSError as error:
        raise CannotListen(
            host, port, str(error) if isinstance(error, socket.gaierror) else reason_of(error)
        ) from error
    return listening


def url_of(host: str, listening: socket.socket) -> str:
    """What to put into a browser."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{listening.getsockname()[1]}"


def serve(service: Service, listening: socket.socket) -> int:
    """Answer until SIGINT or SIGTERM; then take nothing new, and end what is under way. What has not ended
    END_S after the signal is cut off with the process: the gallery's file takes whole changes or none.

    Returns the exit code: 0, as it should be after SIGTERM, by which services are stopped; after Ctrl-C 130.
    """
    Connection.most = _connections()
    server = Server(configured(service.asgi))
    server.run(sockets=[listening])
    return server.exit_code


def configured(app: ASGIApp) -> uvicorn.Config:
    """What uvicorn is told of an app."""
    return uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=int(NEXT_HEAD_S),
        h11_max_incomplete_event_size=MOST_HEAD,
        backlog=AT_ONCE,
        ws="none",
    )


def _connections() -> int:
    """How many connections at once: half of the files that this process may have open, for each request that
    is worked on opens some too.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS + 256
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(MOST_CONNECTIONS, (soft - AT_ONCE) // 2))


class Server(uvicorn.Server):
    """Takes a signal for a wish to stop and no more: uvicorn would raise it again after a graceful end, and
    die of it.
    """

    exit_code = 0

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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. asyncio takes one number for two things, and what is good for accepting is too few to
        queue.
        """
        await super().startup(sockets)
        for listening in sockets or []:
            if not self.should_exit:
                listening.listen(QUEUE)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self.exit_code = 128 + sig if sig == signal.SIGINT else 0
            end_within(END_S, self.exit_code)
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: once a second, look at every connection."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)


def end_within(seconds: float, exit_code: int) -> None:
    """End this process so many seconds from now, whatever its threads are doing. In a computation that lets
    no other thread go on, a clock that needs none does it a second later.
    """
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            nowhere = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
            faulthandler.dump_traceback_later(seconds + 1, exit=True, file=nowhere)

    def end() -> None:
        threading.Event().wait(seconds)
        LOG.warning("stopped", extra={"fields": {"unfinished": True}})
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
            sys.stdout.flush()
        os._exit(exit_code)

    threading.Thread(target=end, name="end", daemon=True).start()
