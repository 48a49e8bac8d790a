"""Ctrl-C as a question that long work asks itself when it can be left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_signal() -> Iterator[Callable[[], int]]:
    """Turn Ctrl-C and SIGTERM into a question asked between steps: which of them came, 0 for none. A second
    Ctrl-C breaks off at once, and from then on it does what it does elsewhere.
    """
    asked = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked
        return

    def ask(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            raise KeyboardInterrupt
        asked = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
