"""Start the processes of one run without torchrun, which would cost another import of torch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def in_ranks(world: int, *words: object, expect: tuple[int, ...] | None = None) -> list[tuple[str, str]]:
    """Run tests.helpers.rank_work WORDS in `world` gloo processes; returns (stdout, stderr) of each.

    expect: their exit codes, all 0 if None.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = []
    for rank in range(world):
        place = {
            "RANK": str(rank),
            "WORLD_SIZE": str(world),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        environment = {**os.environ, **place, "OMP_NUM_THREADS": "1", "FACESEARCH_PRECISION": "float32"}
        command = [sys.executable, "-m", "tests.helpers.rank_work", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes))  # type: ignore[call-overload]
    answers = [process.communicate(timeout=600) for process in processes]
    codes = tuple(process.returncode for process in processes)
    assert codes == (expect or (0,) * world), "\n".join(errors for _, errors in answers)
    return answers
