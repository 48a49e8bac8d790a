"""A service's many threads share few heaps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COUNT = """
import ctypes, os, sys, tempfile, threading
from facesearch.web.server import use_few_arenas
if sys.argv[1] == "few":
    use_few_arenas()
libc = ctypes.CDLL(None)
together = threading.Barrier(12)
def allocate():
    libc.malloc.restype = ctypes.c_void_p
    together.wait()
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fopen.restype = ctypes.c_void_p
name = tempfile.mktemp()
file = ctypes.c_void_p(libc.fopen(name.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(name).read().count("<heap nr="))
os.unlink(name)
"""


def heaps(how: str) -> int:
    environment = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, how], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not os.confstr_names.get("CS_GNU_LIBC_VERSION"), reason="another C library")
def test_threads_share_two_heaps():
    assert heaps("many") > 2
    assert heaps("few") <= 2
