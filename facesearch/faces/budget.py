"""How much memory all that is decoded in this process may take together."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LARGE_FILE_BYTES = 16 * 2**20
"""Of files above this one is in memory at a time, in what `span` bounds."""


@dataclass(slots=True)
class Lease:
    """What one decoder has taken. keep: bytes of the result, which stay taken until the span ends."""

    keep: int = 0


class _Mine(threading.local):
    """What one thread holds while it is in a span."""

    spans = 0
    kept = 0
    turn = False


class Budget:
    """Gives out bytes, first come first served, and lets wait who asks for more than is left.

    Who asks for more than there is at all gets in alone, when everybody else is done.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._begin()
        if hasattr(os, "register_at_fork"):  # a child has none of the parent's threads, so nothing is taken
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._waiting: deque[object] = deque()
        self._left = self.total
        self._mine = _Mine()

    @contextmanager
    def span(self) -> Iterator[None]:
        """Work of this thread on one photo, from its file to its crops: decoded pixels count until the end
        of it, since they are in memory so long. Never two photos at once: the first one's bytes are given
        back when a second is decoded, so nobody waits for what they hold themselves.
        """
        mine = self._mine
        mine.spans += 1
        try:
            yield
        finally:
            mine.spans -= 1
            if not mine.spans:
                self._let_go(mine)
                if mine.turn:
                    mine.turn = False
                    self._turn.release()

    def large_file(self, size: int) -> None:
        """Wait until no other span has a large file in memory; it is this one's turn until it ends."""
        mine = self._mine
        if mine.spans and size > LARGE_FILE_BYTES and not mine.turn:
            self._let_go(mine)  # who holds the turn may need it
            self._turn.acquire()
            mine.turn = True

    @contextmanager
    def taken(self, weight: int) -> Iterator[Lease]:
        """So many bytes, as soon as they are free; given back at the end, but for what the lease says that a
        span keeps. It is not to be taken twice by one thread.
        """
        self._let_go(self._mine)
        weight, mine, lease = min(max(0, weight), self.total), object(), Lease()
        with self._changed:
            self._waiting.append(mine)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is mine and weight <= self._left)
                self._left -= weight
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()
        try:
            yield lease
        finally:
            kept = min(lease.keep, weight) if self._mine.spans else 0
            self._mine.kept = kept
            self._give_back(weight - kept)

    def _let_go(self, mine: _Mine) -> None:
        kept, mine.kept = mine.kept, 0
        self._give_back(kept)

    def _give_back(self, weight: int) -> None:
        if weight:
            with self._changed:
                self._left += weight
                self._changed.notify_all()


ROOM = 192 * 2**20
"""For one picture: above this it is reduced, or read a band of rows at a time. 24 megapixels come whole."""

DECODING = Budget(max(ROOM, 48 * 2**20 * (os.cpu_count() or 1)))
"""For all who decode photos in this process: room for one of the largest, on large machines 48 MiB a core."""
