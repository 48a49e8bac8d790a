"""Things that do not survive a fork: locks that another thread held, threads, engines with threads inside."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_BORN = os.getpid()


class PerProcess(Generic[T]):
    """A value that is made once in each process that asks for it, by one of its threads; a forked process
    makes its own.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._slots: dict[int, _Slot[T]] = {}

    def get(self) -> T:
        """The value; what making it raises is raised, and the next one who asks tries again."""
        slot = self._slots.get(os.getpid())
        if slot is None:
            slot = self._slots.setdefault(os.getpid(), _Slot())
        if not slot.made:
            with slot.lock:
                if not slot.made:
                    slot.value = self._make()
                    slot.made = True
        return slot.value

    def peek(self) -> T | None:
        """The value where this process has made it already."""
        slot = self._slots.get(os.getpid())
        return slot.value if slot is not None and slot.made else None

    def drop(self) -> T | None:
        """Take the value away; the next one who asks makes another."""
        slot = self._slots.pop(os.getpid(), None)
        return slot.value if slot is not None and slot.made else None


class _Slot(Generic[T]):
    value: T

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made = False


def run(work: Callable[[], T]) -> T:
    """Do this work; in a process that was forked, in a thread of its own.

    FAISS's OpenMP (GNU's) waits for ever for threads of the parent when the thread that forked asks it to
    share work. A thread that was born in this process gets threads of its own.
    """
    if os.getpid() == _BORN:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def working() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)

    thread = threading.Thread(target=working, name="facesearch")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def in_this_process(method: Callable[P, T]) -> Callable[P, T]:
    """The method, done by run."""

    @wraps(method)
    def running(*args: P.args, **given: P.kwargs) -> T:
        return run(lambda: method(*args, **given))

    return running
