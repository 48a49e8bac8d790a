"""The three streams of our own process, as the program that started it left them: full, closed or broken. An
answer that cannot be written is an error; talk that cannot be written does not stop the work.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facesearch.errors import CannotRead, OutputLost, reason_of

_CLOSED = "it is closed"


class _Answers(io.FileIO):
    """stdout's own bytes. Raises OutputLost, once: what comes after goes nowhere, so that nothing else is
    said of it at the end.
    """

    def __init__(self, number: int, reason: str = "") -> None:
        super().__init__(number, "w", closefd=False)
        self._reason, self._over = reason, False

    def write(self, data: Any, /) -> int:
        if self._over:
            return memoryview(data).nbytes
        try:
            if not self._reason:
                return super().write(data)
        except OSError as error:
            self._reason = reason_of(error)
            self._over = True
            raise OutputLost(self._reason, quiet=error.errno == errno.EPIPE) from error
        self._over = True
        raise OutputLost(self._reason)


class _Talk(io.FileIO):
    """stderr's own bytes. lost: some of them could not be written."""

    lost = False

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            type(self).lost = True
            return memoryview(data).nbytes


def make_safe() -> None:
    """Put our streams instead of Python's. A closed one is opened on nothing: the next file that is
    opened would get its number, and what is printed would be written into it.
    """
    if os.name != "posix":  # elsewhere a terminal is no file
        return
    closed = [number for number in (0, 1, 2) if _is_closed(number)]
    for _number in closed:
        os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free
    sys.stdout = _text(_Answers(1, _CLOSED if 1 in closed else ""), sys.stdout)
    sys.stderr = _text(_Talk(2), sys.stderr, errors="backslashreplace")


def read_lines() -> Iterator[str]:
    """The lines of stdin, each as soon as it is there; file names in them may be any bytes. Raises
    CannotRead.
    """
    if sys.stdin is None:
        raise CannotRead(Path("stdin"), _CLOSED)
    try:
        for line in sys.stdin.buffer:
            yield os.fsdecode(line.rstrip(b"\r\n"))
    except OSError as error:
        raise CannotRead(Path("stdin"), reason_of(error)) from error


def is_talk_lost() -> bool:
    """Whether something that was told could not be written, though stderr was open."""
    return _Talk.lost


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _text(raw: io.FileIO, before: Any, errors: str = "strict") -> io.TextIOWrapper:
    """A text stream over raw, as the one before it was."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=getattr(before, "errors", None) or errors,
        line_buffering=getattr(before, "line_buffering", False),
        write_through=getattr(before, "write_through", False),
    )
