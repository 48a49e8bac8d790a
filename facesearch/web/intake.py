"""A request's body on its way in: how much of it, how fast at least, and how much of all of them together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

from starlette.types import Message, Receive

from facesearch.web.problems import Problem

BEGIN_S = 10.0
"""For so long a body may be slower than SLOWEST."""

SLOWEST = 8 * 1024
"""Bytes a second that a body must have on the whole: a photo of a megabyte comes within two minutes."""

SMALL = 8 * 2**20
"""Bytes of a body that is taken although larger ones fill their share of the memory."""

AGAIN_S = 5
"""When to come again with a body that there was no room for."""


class Intake:
    """The bodies of one service. They are read whole before anything is done with them, so that a slow one
    uses a connection and its own bytes, and never a place where photos are looked at.
    """

    def __init__(self, most_together: int, silent_s: float) -> None:
        """most_together: bytes of all bodies; silent_s: seconds without a byte, after which one is given
        up.
        """
        self._most_together, self._silent_s = most_together, silent_s
        self._held = 0
        self._coming: set[Held] = set()

    @property
    def held(self) -> int:
        """Bytes of all bodies that are in memory."""
        return self._held

    async def whole(self, receive: Receive, most: int) -> Held:
        """The body. Raises Problem: too large, too slow, or too much with the others'."""
        held, began = Held(self), time.monotonic()
        self._coming.add(held)
        try:
            more = True
            while more:
                message = await self._next(receive, began, held)
                if message["type"] != "http.request":  # the client has gone: the app is told so
                    held.gone = True
                    break
                held.add(message.get("body", b""))
                if held.size > most:
                    raise too_large(most)
                more = message.get("more_body", False)
                self._make_room()
                if held.is_put_out:
                    raise too_busy(AGAIN_S)
        except BaseException:
            held.let_go()
            raise
        finally:
            self._coming.discard(held)
        return held

    def _make_room(self) -> None:
        """While there is too much, the largest body that is still coming is put out. A quarter is left to
        small ones, so that somebody's one photo is taken beside any number of large uploads.
        """
        while self._coming:
            largest = max(self._coming, key=lambda held: held.size)
            share = 1.0 if largest.size <= SMALL else 0.75
            if self._held <= share * self._most_together:
                break
            largest.put_out()
            self._coming.discard(largest)

    async def _next(self, receive: Receive, began: float, held: Held) -> Message:
        left = began + BEGIN_S + held.size / SLOWEST - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(self._silent_s, left))) as held.timeout:
                return await receive()
        except TimeoutError:
            if held.is_put_out:
                raise too_busy(AGAIN_S) from None
            why = "Nothing came for a while" if left > self._silent_s else "It came too slowly"
            raise Problem(
                "too-slow", 408, f"{why}, so the upload was given up.", headers={"Connection": "close"}
            ) from None

    def change(self, by: int) -> None:
        """So many bytes more, or fewer, are in memory."""
        self._held += by


class Held:
    """One body's bytes. size: how many; gone: the client left before the end."""

    def __init__(self, intake: Intake) -> None:
        self._intake, self._pieces = intake, deque[bytes]()
        self.size, self.gone, self.is_put_out = 0, False, False
        self.timeout: asyncio.Timeout | None = None

    @property
    def body(self) -> bytes:
        """All of it that has come."""
        return b"".join(self._pieces)

    def add(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)
            self._intake.change(len(piece))

    def let_go(self) -> None:
        """Its bytes are no longer counted."""
        self._intake.change(-self.size)
        self._pieces, self.size = deque(), 0

    def put_out(self) -> None:
        """Let it go while it is still coming; all who wait for it are told at once."""
        self.let_go()
        self.is_put_out = True
        if self.timeout is not None and self.timeout.when() is not None:
            with contextlib.suppress(RuntimeError):  # it waits for nothing
                self.timeout.reschedule(asyncio.get_running_loop().time())

    def again(self, receive: Receive) -> Receive:
        """As if the body came only now, once. What comes after it comes from `receive`."""
        told = False

        async def received() -> Message:
            nonlocal told
            if told:
                return await receive()
            if self.gone:
                told = True
                return {"type": "http.disconnect"}
            piece = self._pieces.popleft() if self._pieces else b""
            told = not self._pieces
            return {"type": "http.request", "body": piece, "more_body": not told}

        return received


def too_large(most: int) -> Problem:
    """A body of more than `most` bytes."""
    size = f"{most / 2**20:.0f} MiB" if most >= 2**20 else f"{most / 2**10:.0f} KiB"
    return Problem("too-large", 413, f"A request may hold {size}. Send fewer or smaller photos at a time.")


def too_busy(again_s: int) -> Problem:
    """More than can be done at once. again_s: when to come again."""
    return Problem(
        "too-busy",
        503,
        f"Too much is being done at once. Try again in {again_s} s.",
        headers={"Retry-After": str(again_s)},
    )
