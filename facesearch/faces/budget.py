"""How much memory all that is decoded in this process may take together."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


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
        self._waiting: deque[object] = deque()
        self._left = self.total

    @contextmanager
    def taken(self, weight: int) -> Iterator[None]:
        """So many bytes, as soon as they are free; given back at the end. It is not to be taken twice by one
        thread.
        """
        weight, mine = min(max(0, weight), self.total), object()
        with self._changed:
            self._waiting.append(mine)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is mine and weight <= self._left)
                self._left -= weight
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._left += weight
                self._changed.notify_all()


DECODING = Budget(max(512, 96 * (os.cpu_count() or 1)) * 2**20)
"""For all who decode photos in this process: 512 MiB, on large machines 96 MiB a core."""
