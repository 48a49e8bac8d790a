"""Ctrl-C ends any command within a second, whatever it waits for, and what was done is kept."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from facesearch.cli import interrupt
from facesearch.cli.main import main
from facesearch.errors import Interrupted
from tests.helpers.drawn import own, save_colour
from tests.helpers.stalled import interrupted

SOON_S = 4.0
"""It takes a second at most on an idle machine. What waits for a thread waits five seconds or for ever."""
PHOTOS = 5


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people's photos; the last one of the second does not answer."""
    for person, colour in (("ana", "red"), ("ben", "blue")):
        for shot in range(PHOTOS):
            save_colour(tmp_path / "people" / person / f"{shot}.png", colour, shade=shot)
    (tmp_path / "people" / "ben" / "stalled.png").write_bytes(b"never read")
    return tmp_path / "people"


def faces_in(file: Path) -> Callable[[], bool]:
    """Asks whether all faces that can be had are committed."""

    def committed() -> bool:
        if not file.exists():
            return False
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=1)) as db:
            try:
                return bool(db.execute("SELECT count(*) FROM faces").fetchone()[0] == 2 * PHOTOS)
            except sqlite3.Error:
                return False

    return committed


@pytest.mark.slow
def test_enroll_keeps_what_was_enrolled(run, people: Path, weights: Path):
    how = ("--weights", weights, "--aligned")
    there = faces_in(people.parent / "index/gallery.sqlite")
    code, seconds, _, told = interrupted(people.parent, "enroll", "--from", people, *how, until=there)
    assert code == 130 and seconds < SOON_S
    assert told.endswith("Interrupted. What was enrolled so far is kept; the same command adds the rest.\n")
    assert run("list").stdout.split() == ["5", "ana", "5", "ben"]


@pytest.mark.slow
def test_scan_keeps_what_was_found_and_goes_on(run, people: Path, weights: Path):
    how = ("--weights", weights, "--aligned")
    there = faces_in(people.parent / "people.scan/scan.sqlite")
    code, seconds, _, told = interrupted(people.parent, "scan", people, *how, until=there)
    assert code == 130 and seconds < SOON_S
    assert told.endswith("Interrupted. What was found so far is kept. The same command goes on from there.\n")
    (people / "ben" / "stalled.png").unlink()
    found = json.loads(run("scan", people, *how, "--json").stdout)
    assert (found["photos"], found["new_photos"], found["faces"]) == (10, 0, 10)


def test_prepare_keeps_the_photos_it_has_done(run, people: Path):
    how = ("--out", "d", "--aligned", "--workers", "1")  # the last photo is begun when all others are done
    code, seconds, _, told = interrupted(people.parent, "prepare", people, *how)
    assert code == 130 and seconds < SOON_S
    assert told == "Interrupted. The photos done so far are kept. The same command goes on from there.\n"
    assert run("prepare", people, *how).stderr.startswith("10 photos had been done by an earlier run\n")


@pytest.mark.parametrize("deaf", [False, True], ids=["a reader waits", "the kernel waits"])
@pytest.mark.parametrize(
    "words",
    [
        ("detect", "people"),
        ("detect", "people/ben/stalled.png"),
        ("embed", "people", "--out", "v.npy"),
        ("prepare", "people", "--unlabelled", "--out", "d"),
        ("compare", "people/ana/1.png", "people/ben/stalled.png"),
    ],
    ids=" ".join,
)
def test_whatever_waits_for_whatever(people: Path, weights: Path, words: tuple[str, ...], deaf: bool):
    more = {"embed": ("--weights", weights), "compare": ("--weights", weights, "--aligned")}.get(words[0], ())
    code, seconds, _, told = interrupted(people.parent, *words, *more, deaf=deaf)
    assert code == 130 and seconds < SOON_S
    assert told.splitlines()[-1].startswith("Interrupted. ") and "Traceback" not in told


def test_what_is_kept_is_said_of_every_command():
    assert interrupt.KEPT.keys() <= main.commands.keys()
    reads_only = {"query", "list", "info", "compare", "audit", "album"}
    assert main.commands.keys() - interrupt.KEPT.keys() == reads_only


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_saved_itself_says_by_its_exit_code_what_it_was_sent(
    run, monkeypatch: pytest.MonkeyPatch, number: int
):
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted("all is saved", "the same", None, number)

    monkeypatch.setattr("facesearch.api.runs.setting_lines", stopped)
    assert "Interrupted; all is saved." in run("train", "--settings", code=128 + number).stderr


@pytest.mark.slow
def test_watching_a_folder_ends_by_ctrl_c(run, album: Path, weights: Path, tmp_path: Path):
    how = ("--aligned", "--weights", weights)
    run("enroll", "Ana", own(album, 0, 0), *how)
    process = subprocess.Popen(
        [sys.executable, "-m", "facesearch", "query", "--watch", album, "--json", *map(str, how)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and json.loads(process.stdout.readline())["faces"]
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and time.monotonic() - started < SOON_S
    assert told.endswith("Interrupted. Nothing was changed.\n") and "Traceback" not in told


def test_a_process_that_can_take_no_signal_is_ended_all_the_same(tmp_path: Path):
    code = """if True:
        import signal, sys, time
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        from facesearch.cli import interrupt
        interrupt.guard()
        print("ready", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130 and time.monotonic() - started < SOON_S
    process.stdout.close()
