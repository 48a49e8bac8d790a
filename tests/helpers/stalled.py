"""A real command that reads from a folder which does not answer, as a network share that has gone."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

STALLED = "stalled"
"""Whatever has this in its name can be listed, and is never opened."""
_SITE = f"""
import ctypes, os, sys, time
_open = os.open

def _stalled(path, *given, **more):
    if not isinstance(path, int) and {STALLED!r} in os.path.basename(os.fsdecode(path)):
        os.write(int(os.environ["STALLED_TELLS"]), b"!")
        if os.environ.get("STALLED_DEAF"):  # the kernel waits, and takes no signal meanwhile
            lock = ctypes.create_string_buffer(64)
            for _ in range(2):
                ctypes.CDLL(None).pthread_mutex_lock(lock)
        time.sleep(600)
    return _open(path, *given, **more)

os.open = _stalled
"""


def interrupted(
    folder: Path, *words: object, deaf: bool = False, until: Callable[[], object] = lambda: True
) -> tuple[int, float, str, str]:
    """Run a command in folder, press Ctrl-C when it (or a thread of it) has begun to wait for ever: its exit
    code, the seconds until then, stdout and stderr. deaf: a thread that waits hears no signal. until: what is
    to be seen before that too.
    """
    site = folder / ".site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITE)
    path = os.pathsep.join([str(site), str(Path(__file__).parents[2])])
    reader, writer = os.pipe()
    more = {"PYTHONPATH": path, "STALLED_TELLS": str(writer)} | ({"STALLED_DEAF": "1"} if deaf else {})
    process = subprocess.Popen(
        [sys.executable, "-m", "facesearch", *map(str, words)],
        cwd=folder,
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[writer],
    )
    os.close(writer)
    try:
        assert select.select([reader], [], [], 60)[0], "it never came to it"
        assert os.read(reader, 1), process.communicate()
        for _ in range(600):
            if until():
                break
            time.sleep(0.1)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        return process.returncode, time.monotonic() - started, out, err
    finally:
        os.close(reader)
        process.kill()
        process.wait()
