"""Connections with deadlines, and a limit on how many there are: what uvicorn leaves to others.

A connection is let go when no whole head comes in time, when its client takes no answer, or, as soon as there
are too many, when it is the one that has kept us waiting for longest, of the address that has most. So
a newcomer is always heard, however many others are silent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""From a connection's beginning to the end of its first head."""

NEXT_HEAD_S = 30.0
"""From the end of an answer to the end of the next head."""

TAKE_S = 30.0
"""For so long a client may take nothing of an answer that is ready."""

JUST_S = 1.0
"""For so long a connection has just begun."""

PIECES = 250
SMALLEST_PIECE = 128
"""A body that has come in more than so many pieces must have so many bytes in each: a piece costs as much
time as kilobytes do."""


class Parser(h11.Connection):
    """h11's, which refuses a body that is cut into crumbs."""

    _pieces = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._pieces, self._bytes = self._pieces + 1, self._bytes + len(event.data)
            if self._pieces > PIECES and self._bytes < SMALLEST_PIECE * self._pieces:
                raise h11.RemoteProtocolError("the body is cut into crumbs")
        elif isinstance(event, h11.EndOfMessage):
            self._pieces = self._bytes = 0
        return event


class Connection(H11Protocol):
    """One client's connection, which knows for how long it has kept us waiting."""

    most = 512
    """Connections at once."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.conn = Parser(h11.SERVER, self.config.h11_max_incomplete_event_size or 2**14)
        self._waiting_since, self._waits_s = self.loop.time(), HEAD_S
        self._stuck_since: float | None = None

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self.client[0] if self.client else ""

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or bool(self.cycle.response_complete)

    @property
    def is_slow(self) -> bool:
        """Whether the body of its request is not whole yet, or its answer is not taken."""
        return not self.is_waiting and (bool(self.cycle.more_body) or self._stuck_since is not None)

    @property
    def waiting_since(self) -> float:
        """When it was last heard of, or answered."""
        return self._waiting_since

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        if len(self.connections) > self.most:
            everybody = [each for each in self.connections if isinstance(each, Connection)]
            one_to_go(everybody, self).transport.abort()

    def data_received(self, data: bytes) -> None:
        waited = self.is_waiting
        super().data_received(data)
        if waited and not self.is_waiting:
            self._waiting_since = self.loop.time()

    def on_response_complete(self) -> None:
        self._waiting_since, self._waits_s = self.loop.time(), NEXT_HEAD_S
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """Let it go when it has kept us waiting for too long. now: the loop's time."""
        if self._stuck_since is not None:
            overdue = now - self._stuck_since > TAKE_S
        elif self.transport.is_closing():
            overdue = now - self._waiting_since > TAKE_S
        else:
            overdue = self.is_waiting and now - self._waiting_since > self._waits_s
        if overdue:
            self.transport.abort()


def one_to_go(everybody: Collection[Connection], newest: Connection) -> Connection:
    """Which of too many connections is let go: one that says nothing before one that is still sending its
    body or does not take its answer, and those that have just begun last; of the address that has most of
    them the oldest. The newest itself when all others are being answered.
    """
    others = [each for each in everybody if each is not newest and not each.transport.is_closing()]
    silent, slow = [each for each in others if each.is_waiting], [each for each in others if each.is_slow]
    long_ago = newest.waiting_since - JUST_S
    for these in (silent, slow):
        old = [each for each in these if each.waiting_since < long_ago]
        if old:
            break
    many = Counter(each.address for each in everybody)
    chosen = old or silent + slow
    return min(chosen, key=lambda each: (-many[each.address], each.waiting_since), default=newest)
