"""Wrong tokens are answered late: each further one from an address later than the one before."""

from __future__ import annotations

import asyncio
import time

FIRST_S = 0.05
LONGEST_S = 5.0
FORGOTTEN_AFTER_S = 300.0
MOST_ADDRESSES = 10_000


class Slowing:
    """Who showed how many wrong tokens. Who shows the right one never has to wait, from any
    address.
    """

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}

    async def wrong(self, address: str) -> None:
        """Wait for as long as this address has earned: twice as long as last time, LONGEST_S at most. Others
        go on meanwhile.
        """
        await asyncio.sleep(self.delay(address, time.monotonic()))

    def delay(self, address: str, now: float) -> float:
        """Seconds that this wrong token waits. now: seconds of a clock that only goes forward. The addresses
        heard of longest ago are forgotten when there are very many.
        """
        times, last = self._wrong.pop(address, (0, now))
        times = 1 if now - last > FORGOTTEN_AFTER_S else min(times + 1, 30)
        self._wrong[address] = times, now
        if len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        return min(LONGEST_S, FIRST_S * 2.0 ** (times - 1))
