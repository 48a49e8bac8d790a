"""What a gallery is opened with besides its folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from facesearch.encoder.runtime import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """All that is needed to make an encoder, when it is known which."""

    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    precision: Precision = "auto"
    batch: int = 64


@dataclass(slots=True)
class Locks:
    """What the threads of one process share: one writer at a time, one choice of an encoder."""

    writing: threading.Lock = field(default_factory=threading.Lock)
    choosing: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def in_turn(lock: threading.Lock, wait_s: float, busy: Exception) -> Iterator[None]:
    """Hold the lock.

    Raises:
        Exception: `busy`, when others have held it for `wait_s` seconds.
    """
    if not lock.acquire(timeout=wait_s):
        raise busy
    try:
        yield
    finally:
        lock.release()


def quiet(done: int, total: int) -> None:
    """A progress that nobody watches."""


def silent(line: str) -> None:
    """What is told to nobody."""
