"""Ctrl-C ends a command within a second, whatever its threads wait for, and says what is kept.

As a rule the main thread is told by Python, lets go of what it holds, and ends. Where it does not come to
that (a read of a folder that no longer answers, a long computation), a guard ends the process: galleries,
scans and datasets take whole changes or none.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time

WITHIN_S = 0.7
LOOK_S = 0.25
INTERRUPTED = 128 + signal.SIGINT

_AGAIN = "The same command goes on from there."
_WHOLE = "The gallery has taken whole changes or none. Run the same command again."
_NOTHING = "Nothing was changed."
KEPT = {
    "enroll": "What was enrolled so far is kept; the same command adds the rest.",
    "build-index": "What was embedded so far is kept. " + _AGAIN,
    "forget": "Run the same command again: an erasure that was begun is ended first.",
    "scan": "What was found so far is kept. " + _AGAIN,
    "sort": "What was copied or linked so far is kept. " + _AGAIN,
    "prepare": "The photos done so far are kept. " + _AGAIN,
    "train": "What the run had saved is kept; go on with --resume.",
    "reindex": "What was embedded so far is kept; the gallery has its encoder as before, or the new one.",
    "sync": "What was sent so far is kept. " + _AGAIN,
    "embed": "The vectors' file was not written.",
    "detect": "What was found so far was answered.",
    "toy": "The pictures drawn so far are kept.",
    "backup": "The backup was not finished; the gallery is as it was.",
    "demo-gallery": "The copy was not finished, and nothing of it is left.",
    "export": "The file was not written; the gallery is as it was.",
    "plot": "The file is as it was, or whole.",
    "evaluate": "The report's files are as they were, or whole.",
} | dict.fromkeys(
    ("calibrate", "rename", "restore", "import", "encrypt", "decrypt", "verify", "serve"), _WHOLE
)
"""What an interrupted command keeps, by its name; the others change nothing."""


class _State:
    """said: whether somebody has told of the interruption; command: what is interrupted."""

    said = threading.Lock()
    command = ""


def started(command: str) -> None:
    """From now on it is this command that is interrupted."""
    _State.command = command


def words() -> str | None:
    """The line about it, for the first who asks; None for the others."""
    if not _State.said.acquire(blocking=False):
        return None
    return f"Interrupted. {KEPT.get(_State.command, _NOTHING)}"


def guard() -> None:
    """From now on, within a second after Ctrl-C this process has ended, unless somebody else takes its
    signals. Only where the system has what that needs.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_watch, args=(reader,), name="interrupt", daemon=True).start()


def _watch(reader: int) -> None:
    main = threading.main_thread().ident
    while True:
        signals = b""
        if select.select([reader], [], [], LOOK_S)[0]:
            signals = os.read(reader, 64)
        elif main is not None and _is_pending():
            signal.pthread_kill(main, signal.SIGINT)
            signals = bytes([signal.SIGINT])
        if signal.SIGINT in signals and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            time.sleep(WITHIN_S)
            end()


def _is_pending() -> bool:
    """Whether a SIGINT waits for a thread that the system chose and that does not come to take it."""
    take = getattr(signal, "sigtimedwait", None)
    return take is not None and take([signal.SIGINT], 0) is not None


def end() -> None:
    """End this process here and now, as interrupted, whatever its threads do."""
    line = words()
    with contextlib.suppress(OSError, ValueError):
        if line is not None and select.select([], [2], [], 0)[1]:
            os.write(2, f"{line}\n".encode())
    os._exit(INTERRUPTED)
