"""Crops that come from several requests at once go through the encoder together: one pass for many costs
little more than for one.
"""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facesearch.encoder.runtime import Runtime, measured
from facesearch.records import F32, U8


@dataclass(frozen=True, slots=True)
class _Asked:
    crops: U8
    answer: Future[tuple[F32, F32]] = field(default_factory=Future)


class BatchingRuntime:
    """A Runtime for many threads over a Runtime for one. measure blocks until the vectors are there.

    One thread of its own holds the encoder and takes whatever waits, up to `most` crops, at once: while it
    works others gather, so under load batches fill by themselves, and without load nobody waits for company.
    An error of the encoder is raised in every thread whose crops were in the batch.
    """

    def __init__(
        self, runtime: Runtime, *, most: int, on_batch: Callable[[int, int], None] | None = None
    ) -> None:
        """on_batch is called with (crops, requests) of each batch."""
        if most < 1:
            raise ValueError("a batch holds at least one crop")
        self.encoder_id, self.dimension, self.words = runtime.encoder_id, runtime.dimension, runtime.words
        self.notes: dict[str, Any] = runtime.notes
        self._waiting: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        work = _Work(
            runtime, most, on_batch, self._waiting
        )  # not this object: the thread would keep it alive for good
        self._thread = threading.Thread(target=work.run, name="encoder", daemon=True)
        self._thread.start()
        _at_work[self._thread] = self._waiting
        weakref.finalize(self, self._waiting.put, None).atexit = False

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 RGB -> (n, d) float32 unit rows, in their order. Raises RuntimeError
        after close.
        """
        return self.measure(crops)[0]

    def measure(self, crops: U8) -> tuple[F32, F32]:
        """The same, and their lengths (n,) float32, see `measured`."""
        if not len(crops):
            return np.empty((0, self.dimension), np.float32), np.empty(0, np.float32)
        asked = _Asked(crops)
        with self._closing:
            if self._closed:
                raise RuntimeError("the encoder is closed")
            self._waiting.put(asked)
        return asked.answer.result()

    def close(self) -> None:
        """Answer what waits, then stop."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()


@dataclass(frozen=True, slots=True)
class _Work:
    """What the encoder's thread does, until None is waiting."""

    runtime: Runtime
    most: int
    on_batch: Callable[[int, int], None] | None
    waiting: queue.SimpleQueue[_Asked | None]

    def run(self) -> None:
        carried: _Asked | None = None
        open_ = True
        while open_:
            first = carried if carried is not None else self.waiting.get()
            if first is None:
                return
            batch, carried, open_ = self._gathered(first)
            self._answer(batch)

    def _gathered(self, first: _Asked) -> tuple[list[_Asked], _Asked | None, bool]:
        """The batch that begins with first, what did not fit into it, and whether more may come."""
        batch, total = [first], len(first.crops)
        while total < self.most:
            try:
                asked = self.waiting.get_nowait()
            except queue.Empty:
                break
            if asked is None:
                return batch, None, False
            if total + len(asked.crops) > self.most:
                return batch, asked, True
            batch.append(asked)
            total += len(asked.crops)
        return batch, None, True

    def _answer(self, batch: list[_Asked]) -> None:
        try:
            vectors, lengths = measured(self.runtime, np.concatenate([asked.crops for asked in batch]))
        except Exception as error:  # noqa: BLE001 - the thread that asked raises it
            for asked in batch:
                asked.answer.set_exception(error)
            return
        start = 0
        for asked in batch:
            own = slice(start, start + len(asked.crops))
            asked.answer.set_result((vectors[own].copy(), lengths[own].copy()))
            start = own.stop
        if self.on_batch is not None:
            with suppress(Exception):  # who counts must not keep the others waiting
                self.on_batch(len(vectors), len(batch))


_at_work: weakref.WeakKeyDictionary[threading.Thread, queue.SimpleQueue[_Asked | None]] = (
    weakref.WeakKeyDictionary()
)
"""The threads of this process that have not ended."""


@atexit.register
def _end() -> None:
    """Python stops a daemon thread in the middle of what it does; in an engine's C++ code that aborts the
    whole process.
    """
    threads = list(_at_work.items())
    for _, waiting in threads:
        waiting.put(None)
    for thread, _ in threads:
        thread.join()
