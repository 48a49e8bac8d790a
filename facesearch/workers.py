"""Threads that nobody has to wait for: one that sits in a read of a folder that no longer answers must not
keep the whole process, or the person who pressed Ctrl-C, from going on.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

R = TypeVar("R")

PATIENCE_S = 1.0
"""Work that is called off is waited for so long; after Ctrl-C not at all."""
LAST_PATIENCE_S = 5.0
"""The same at the end of the process: Python stops such a thread in the middle of what it does, and in a
library's C++ code that aborts the process. In a read it does not."""

_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


class Workers:
    """So many threads at most, which work off what is submitted. All of it is done when the block ends; when
    it ends by an error, what was not begun is called off, and what was begun is left to itself.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = max(1, count), name
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._own: list[threading.Thread] = []
        self._futures: weakref.WeakSet[Future[Any]] = weakref.WeakSet()

    def submit(self, work: Callable[..., R], *given: Any) -> Future[R]:
        """work(*given), by the next thread that is free."""
        future: Future[R] = Future()

        def do() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*given))
                except BaseException as error:  # noqa: BLE001 -- it is raised where it was asked
                    future.set_exception(error)

        self._futures.add(future)
        self._todo.put(do)
        if len(self._own) < self._count:
            thread = threading.Thread(
                target=_work_off, args=(self._todo,), name=f"{self._name}-{len(self._own)}", daemon=True
            )
            thread.start()
            self._own.append(thread)
            _threads.add(thread)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for future in list(self._futures):
                future.cancel()
        for _thread in self._own:
            self._todo.put(None)
        if kind is None:
            for thread in self._own:
                thread.join()
        elif not issubclass(kind, KeyboardInterrupt):
            _wait_for(self._own, PATIENCE_S)


def is_at_work() -> bool:
    """Whether there is still a thread that nobody waits for."""
    return any(thread.is_alive() for thread in _threads)


_foreign_stay = threading.Event()


def foreign_threads_stay() -> None:
    """Note that a library's threads are there until the process ends. Now and then such a one aborts a
    process that is being taken down, though its work is done.
    """
    _foreign_stay.set()


def do_foreign_threads_stay() -> bool:
    """Whether it is better to end at once, without taking down what is left."""
    return _foreign_stay.is_set()


def _work_off(todo: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (do := todo.get()) is not None:
        do()
        del do  # it holds the answer, which is large


def _wait_for(threads: list[threading.Thread], seconds: float) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


@atexit.register
def _end() -> None:
    _wait_for([thread for thread in _threads if thread.is_alive()], LAST_PATIENCE_S)
