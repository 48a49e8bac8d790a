"""Waiting for an engine to search by its index what was sent there."""

from __future__ import annotations

import time
from collections.abc import Callable

from facesearch.gallery.milvus.engine import PATIENCE, Engine
from facesearch.records import Progress

POLL_S = 1.0


def wait_until_indexed(
    engine: Engine,
    name: str,
    progress: Progress,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until every row of a collection is searched by its index. Returns how many are not: some, when the
    engine has given up making the index, or nothing has come of it for PATIENCE times the time that one
    answer may take.

    progress is told how many rows are, of how many. Raises StoreUnreachable, StoreRefused.
    """
    total, patience_s = engine.count(name), PATIENCE * engine.place.access.wait_s
    fewest, since = total + 1, now()
    while left := engine.unindexed(name):
        total = max(total, left)
        progress(total - left, total)
        if left < fewest:
            fewest, since = left, now()
        if now() - since > patience_s or engine.index_failed(name):
            return left
        sleep(POLL_S)
    progress(total, total)
    return 0
