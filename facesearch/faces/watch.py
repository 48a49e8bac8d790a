"""Photos as they arrive in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from facesearch.faces.kinds import Judge
from facesearch.faces.walking import walk
from facesearch.records import Skipped

EVERY_S = 0.5


def arriving(folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[Path | Skipped]:
    """Yield every photo below folder, then those that come or change, for ever, and what walk skips. Looks
    twice a second, on any kind of disk.

    A file is yielded when its size and time have not changed between two looks, so that one still being
    copied is not taken half. Raises NotFound when the folder is not there.
    """
    judge = Judge()
    told: dict[Path, tuple[int, int]] = {}
    before: dict[Path, tuple[int, int]] = {}
    while True:
        now: dict[Path, tuple[int, int]] = {}
        left_out: dict[Path, Skipped] = {}
        for found in walk(folder, judge.look):
            path = found.path if isinstance(found, Skipped) else found
            if isinstance(found, Skipped):
                left_out[path] = found
            try:
                state = path.lstat() if path.is_symlink() and path in left_out else path.stat()
            except OSError:  # gone between the listing and this
                continue
            now[path] = (state.st_size, state.st_mtime_ns)
        for path, seen in now.items():
            if before.get(path) == seen and told.get(path) != seen:
                told[path] = seen
                yield left_out.get(path, path)
        told = {path: seen for path, seen in told.items() if path in now}
        before = now
        sleep(EVERY_S)
