"""The end of `facesearch serve`: in time, whatever runs, with nothing half-written."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

import drawn_world as drawn
from drawn_world import environment, facesearch

pytestmark = pytest.mark.slow

DOCKER_WAITS_S = 10
SPINNING = """
import sys
from facesearch.api.gallery import Gallery

def spin(*_, **__):
    while True:
        sum(range(1000))

Gallery.rename = spin
from facesearch.cli.main import run
run()
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.make_world(tmp_path_factory.mktemp("small"), calibrated=False)


@contextlib.contextmanager
def serving(gallery: Path, log: Path) -> Iterator[tuple[tuple[str, int], subprocess.Popen[str]]]:
    """A server in which /v1/rename never ends: where it listens, and its process."""
    command = [sys.executable, "-c", SPINNING, "serve", "--port", "0", "--gallery", str(gallery)]
    with drawn.started(command, gallery, log) as (url, process):
        to = urlsplit(url)
        assert to.hostname and to.port, log.read_text()
        yield (to.hostname, to.port), process


def send(
    at: tuple[str, int], path: str, kind: str, body: bytes, *, length: int | None = None
) -> socket.socket:
    client = socket.create_connection(at, timeout=30)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    client.sendall(f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body)
    return client


@pytest.mark.parametrize("what", ["a stalled upload", "a computation", "a writer that waits", "nothing"])
def test_it_ends_in_time_whatever_runs_and_the_gallery_is_whole(small: Path, tmp_path: Path, what: str):
    gallery, log = shutil.copytree(small, tmp_path / "gallery"), tmp_path / "log"
    photo = next((small.parent / "people").rglob("*.png")).read_bytes()
    locked = sqlite3.connect(gallery / "gallery.sqlite", isolation_level=None)
    with serving(gallery, log) as (at, process), contextlib.ExitStack() as stack:
        if what == "a stalled upload":
            stack.enter_context(send(at, "/v1/search", "application/json", b"{", length=10**6))
        elif what == "a computation":
            body = json.dumps({"old": "Ada", "new": "Adele"}).encode()
            for _ in range(3):
                stack.enter_context(send(at, "/v1/rename", "application/json", body))
        elif what == "a writer that waits":
            locked.execute("BEGIN IMMEDIATE")
            form = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
            parts = form % (b"photo", b'; filename="a.png"', photo) + form % (b"name", b"", b"Zoe")
            parts += form % (b"force", b"", b"true") + b"--b--\r\n"
            stack.enter_context(send(at, "/v1/enroll", "multipart/form-data; boundary=b", parts))
        wait_until_answered(at)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DOCKER_WAITS_S) == 0
    locked.close()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert lines[-1]["event"] == "stopped"
    verify = facesearch("verify", "--gallery", gallery)
    done = subprocess.run(verify, env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ctrl_c_ends_an_idle_service_at_once_and_says_by_its_exit_code(small: Path, tmp_path: Path):
    with serving(small, tmp_path / "log") as (at, process):
        wait_until_answered(at)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(DOCKER_WAITS_S) == 130 and time.monotonic() - started < 5
    assert "Traceback" not in (tmp_path / "log").read_text()


def wait_until_answered(at: tuple[str, int]) -> None:
    """After the server has answered another request, what came before is under way."""
    with socket.create_connection(at, timeout=30) as client:
        client.sendall(b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
