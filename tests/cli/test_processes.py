"""Commands as real processes, which can be killed; and their help."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facesearch.cli.main import main
from tests.helpers.drawn import own


def test_help_is_quick_because_it_loads_neither_torch_nor_faiss_nor_numpy():
    code = (
        "import sys, facesearch.cli.main; sys.exit(bool({'torch', 'faiss', 'numpy', 'cv2', 'jinja2'} &"
        " sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_says_of_every_command_what_it_does_in_one_whole_line(run):
    lines = run("--help").stdout.splitlines()
    for name, command in main.commands.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(line) <= 80 and line.split(maxsplit=1)[1] == command.short_help


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_with_an_example(run, command: str):
    text = run(command, "--help").stdout
    assert f"Example:  facesearch {command}" in text


@pytest.mark.slow
def test_every_command_runs_as_a_process(album: Path, weights: Path, tmp_path: Path):
    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "facesearch", *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    assert call("--version").stdout.startswith("facesearch, version")
    assert call("toy", "t", "--people", 3, "--photos", 4).returncode == 0
    assert call("prepare", "t", "--out", "d", "--aligned", "--split", "random").returncode == 0
    assert call("build-index", "--data", "d", "--weights", weights).stdout.startswith(
        "index: 12 vectors added"
    )
    assert (
        call("enroll", "Ana", own(album, 0, 0), "--aligned", "--weights", weights).stdout
        == "Ana: 1 photo enrolled\n"
    )
    assert (
        "match: Ana"
        in call("query", own(album, 0, 0), "--aligned", "--weights", weights, "--threshold", 0.99).stdout
    )
    assert call("forget", "Ana").returncode == 0
    assert len(call("list").stdout.splitlines()) == 3
    assert "threshold" in call("info").stdout
    assert "rank-1" in call("evaluate", "--data", "d", "--weights", weights).stdout
    failed = call("forget", "Ana")
    assert (
        (failed.returncode, failed.stdout) == (1, "")
        and "Nobody called 'Ana'" in failed.stderr
        and "Traceback" not in failed.stderr
    )
    for path in (tmp_path / "index").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.slow
def test_build_index_survives_a_kill_and_ends_whole(album: Path, weights: Path, tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "facesearch", "toy", "t", "--people", "30", "--photos", "20"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [sys.executable, "-m", "facesearch", "prepare", "t", "--out", "d", "--aligned"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    command = [sys.executable, "-m", "facesearch", "build-index", "--data", "d", "--weights", str(weights)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(3000):  # until the first commit is in the store
            try:
                with sqlite3.connect(tmp_path / "index/gallery.sqlite", timeout=1) as db:
                    if db.execute("SELECT count(*) FROM faces").fetchone()[0]:
                        break
            except sqlite3.Error:
                pass
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and "600 vectors of 30 people" in again.stdout
    known = int(again.stdout.split(" known already")[0].split()[-1])
    assert known >= 256


def test_beside_threads_of_a_library_a_command_ends_as_ever(tmp_path: Path):
    code = """if True:
        import atexit, sys
        from facesearch import workers
        from facesearch.cli.main import run
        workers.foreign_threads_stay()
        atexit.register(print, "the last word")
        sys.argv = ["facesearch", "list", "--gallery", "nowhere"]
        run()
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "the last word\n" and "no gallery there" in done.stderr
