"""How many requests are worked on at once, searches and writers apart, so that neither waits for the other.
Those above wait their turn.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from facesearch.web.intake import too_busy

LOOKING = frozenset({"/v1/search", "/v1/compare", "/v1/embed", "/v1/detect"})
UPLOADS = LOOKING | {"/v1/enroll"}
AT_ONCE = frozenset({"/v1/health", "/v1/ready", "/v1/version"})
"""Answered whatever else is going on."""

WRITERS, READERS, SPARE = 8, 12, 12
"""Places beside those of searches; threads for what takes no place."""

MOST_WAITING = 16
"""Requests that wait for each place."""


class Left(Exception):
    """The client did not wait for its turn."""


class Turns:
    """So many places, first come first served."""

    def __init__(self, places: int, wait_s: float) -> None:
        self.places, self._wait_s = places, wait_s
        self._free = asyncio.Semaphore(places)
        self._waiting = 0
        self._usual_s = 0.5

    @asynccontextmanager
    async def turn(self, receive: Receive | None = None) -> AsyncIterator[None]:
        """Hold a place. receive: of the client, whose body is whole, so that it tells of nothing but that the
        client has left. Raises Problem, with the time when to come again, after wait_s without a place, or at
        once when very many wait; Left when the client does not wait any longer.
        """
        if self._waiting >= MOST_WAITING * self.places:
            raise too_busy(self.again_s())
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                if receive is None or not self._free.locked():
                    await self._free.acquire()
                else:
                    await self._acquire_or_leave(receive)
        except TimeoutError:
            raise too_busy(self.again_s()) from None
        finally:
            self._waiting -= 1
        began = time.monotonic()
        try:
            yield
        finally:
            self._free.release()
            self._usual_s += 0.1 * (time.monotonic() - began - self._usual_s)

    async def _acquire_or_leave(self, receive: Receive) -> None:
        place, leaving = asyncio.ensure_future(self._free.acquire()), asyncio.ensure_future(receive())
        try:
            await asyncio.wait({place, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not place.done():
                raise Left
        except BaseException:
            if not place.cancel():  # it has the place already
                self._free.release()
            raise
        finally:
            leaving.cancel()

    def again_s(self) -> int:
        """In how many seconds those who wait now are likely to be done; from 1 to 60."""
        return max(1, min(60, math.ceil(self._usual_s * (self._waiting + self.places) / self.places)))


class Places:
    """The turns of one service: of searches, of what changes the gallery, of all else."""

    def __init__(self, searches: int, wait_s: float) -> None:
        self._searches = Turns(searches, wait_s)
        self._writers, self._readers = Turns(WRITERS, wait_s), Turns(READERS, wait_s)

    @property
    def threads(self) -> int:
        """So many threads are enough for every place, and for what takes none."""
        return sum(turns.places for turns in (self._searches, self._writers, self._readers)) + SPARE

    def of(self, method: str, path: str) -> Turns | None:
        """Which turns a request waits for; None for what is answered at once."""
        if path in LOOKING:
            return self._searches
        if not path.startswith("/v1/") or path in AT_ONCE:
            return None
        return self._readers if method in ("GET", "HEAD", "OPTIONS") else self._writers
