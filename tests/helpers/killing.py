"""A process that dies at a step, and the steps at which an erasure can die."""

from __future__ import annotations

import os
import traceback

from facesearch.gallery import forget as erase
from facesearch.gallery.store.eraser import Eraser
from facesearch.gallery.store.notes import Notes

STEPS: dict[str, tuple[object, str]] = {
    "after the rows": (Eraser, "rewrite_file"),
    "after the file": (erase, "rebuild_files"),
    "before the log is cut": (Eraser, "cut_log"),
    "before the search": (erase, "look_for"),
    "before the receipt": (erase, "write_receipt"),
    "before the note is taken away": (Notes, "erasure_done"),
}


def killed(step: tuple[object, str], action: object) -> None:
    owner, name = step
    child = os.fork()
    if child == 0:  # the process that dies: no handler, no finally, no flush
        setattr(owner, name, lambda *args, **kwargs: os._exit(9))
        try:
            action()  # type: ignore[operator]
        except BaseException:  # noqa: BLE001  (a forked child must not go on as a test)
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
