"""stdin, stdout and stderr as their opener left them: full, closed, or read by nobody any more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facesearch.cli.main import main
from tests.helpers.drawn import save_colour

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
LOST = "What the command did is done; its answer, or a part of it, is lost.\n"
ANSWERS = {
    "list": "list",
    "list --json": "list --json",
    "info": "info",
    "query": "query ana/0.png --aligned",
    "query --json": "query ana/0.png --aligned --json",
    "enroll": "enroll Eva eva.png --aligned --json",
    "detect": "detect ana --aligned",
    "embed": "embed ana --aligned --out v.npy --weights {weights}",
    "compare": "compare ana/0.png ana/1.png --aligned --weights {weights}",
    "scan": "scan ana --aligned",
    "toy": "toy t --people 2 --photos 2",
    "prepare": "prepare t --out d --aligned",
    "train --settings": "train --settings",
    "verify": "verify",
    "backup": "backup b",
    "export": "export g.file",
    "forget": "forget Eva",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("place")
    for i in range(3):
        save_colour(folder / "ana" / f"{i}.png", "red", shade=i)
    save_colour(folder / "eva.png", "blue")
    done = sh(folder, f"enroll Ana ana/0.png ana/1.png --aligned --weights {weights}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ready(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place with all that the commands work on, which a test copies: no process a test for that."""
    folder = copied(place, tmp_path_factory.mktemp("ready") / "place")
    for words in ("toy t --people 2 --photos 2", "enroll Eva eva.png --aligned"):
        assert sh(folder, words).returncode == 0
    return folder


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def sh(folder: Path, words: str, streams: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m facesearch {words} {streams}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@FULL
@pytest.mark.parametrize("streams", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["", *sorted(main.commands)])
def test_help_that_cannot_be_written_is_an_error(tmp_path: Path, command: str, streams: str):
    done = sh(tmp_path, f"{command} --help", streams)
    reason = "the disk is full" if "full" in streams else "it is closed"
    assert done.returncode == 1
    assert done.stderr == f"Error: The answer could not be written to stdout: {reason}.\n{LOST}"


@FULL
@pytest.mark.slow
@pytest.mark.parametrize("streams", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_cannot_be_written_is_an_error(
    ready: Path, weights: Path, command: str, streams: str, tmp_path: Path
):
    done = sh(copied(ready, tmp_path / "here"), command.format(weights=weights), streams)
    reason = "the disk is full" if "full" in streams else "it is closed"
    assert done.returncode == 1
    assert done.stderr.endswith(f"Error: The answer could not be written to stdout: {reason}.\n{LOST}")
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.parametrize("command", ["list", "detect ana --aligned", "train --settings", "query --help"])
def test_nobody_reads_on_and_it_ends_quietly(place: Path, command: str):
    done = sh(place, command, "| true")
    assert (done.returncode, done.stdout) == (1, "")
    assert not done.stderr


@pytest.mark.slow
def test_answers_come_whole_where_nobody_listens_to_the_talk(place: Path):
    whole = sh(place, "query ana/0.png --aligned")
    assert whole.returncode == 0 and whole.stderr.startswith("encoder: ")
    deaf = sh(place, "query ana/0.png --aligned", "2>&-")
    assert (deaf.returncode, deaf.stdout) == (0, whole.stdout)
    assert sh(place, "list", "2>&- <&-").stdout == "2  Ana\n"
    assert sh(place, "query nothing.png --aligned", "2>&-").returncode == 1


@FULL
def test_talk_that_cannot_be_written_stops_nothing_and_is_no_success(place: Path):
    done = sh(place, "query ana/0.png --aligned", "2>/dev/full")
    assert done.returncode == 1 and "Ana" in done.stdout


def test_a_closed_stdin_is_said_to_be_closed(place: Path):
    done = sh(place, "query - --aligned", "<&-")
    assert done.returncode == 1
    assert done.stderr.endswith("Error: stdin: The file or folder cannot be read: it is closed.\n")


def test_no_file_of_ours_takes_the_place_of_a_closed_stream(place: Path):
    """The first file that is opened would get number 1, and what some library prints would go into it."""
    code = (
        "import os; from facesearch.cli import streams; streams.make_safe();"
        "f = open('mine', 'w'); os.write(1, b'printed'); os.write(2, b'told'); print(f.fileno() > 2, file=f)"
    )
    subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{code}" <&- >&- 2>&-'],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert (place / "mine").read_text() == "True\n"


def test_a_line_of_stdin_may_name_a_file_in_any_bytes(place: Path):
    name = b"\xe9t\xe9.png"
    (place / os.fsdecode(name)).write_bytes((place / "eva.png").read_bytes())
    (place / "names").write_bytes(name + b"\nana/0.png\n")
    done = sh(place, "query - --aligned --json", "< names")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
