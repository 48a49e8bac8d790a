"""Locks between processes, on every system: one at a time, and one that dies lets go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facesearch.errors import CannotWrite
from facesearch.files import locked_file

HOLDS = """
import sys
from pathlib import Path
from facesearch.files import locked_file
with locked_file(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Busy(Exception):
    """Somebody else is at it."""


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path):
    path = tmp_path / "x.lock"
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(Busy), locked_file(path, busy=Busy()):
            pass
        other.kill()
    with locked_file(path, busy=Busy()):
        assert path.stat().st_mode & 0o077 == 0
        with pytest.raises(Busy), locked_file(path, busy=Busy()):  # nor twice in one process
            pass
    with locked_file(path):
        pass


def test_a_place_where_nothing_can_be_written_is_said(tmp_path: Path):
    with pytest.raises(CannotWrite), locked_file(tmp_path / "none" / "x.lock"):
        pass
