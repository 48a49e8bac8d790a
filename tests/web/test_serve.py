"""`facesearch serve` as a process: how it stops, what its log says, and what it cannot begin with."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.browser import CHROMIUM, drawn

pytest.importorskip("fastapi", reason="needs the extra [web]")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not here"),
]


def test_a_stop_ends_what_is_under_way_and_the_log_says_no_name(world: Path, tmp_path: Path):
    import http.client
    import threading

    gallery = shutil.copytree(world / "gallery", tmp_path / "gallery")
    body = (world / "asked" / "party.png").read_bytes()
    form = (
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + body + b"\r\n"
    ) * 3 + b"--b--\r\n"
    with drawn.served(gallery, log=tmp_path / "log") as (url, process):
        host = url.removeprefix("http://")
        statuses: list[int] = []
        sent = threading.Barrier(5)

        def ask() -> None:
            with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
                connection.request(
                    "POST", "/v1/search", form, {"content-type": "multipart/form-data; boundary=b"}
                )
                sent.wait(30)
                statuses.append(connection.getresponse().status)

        def figures() -> bytes:
            with urllib.request.urlopen(f"{url}/metrics") as answer:
                return bytes(answer.read())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        sent.wait(30)
        while b"facesearch_requests_in_flight 5.0" not in (told := figures()):
            assert b'route="/v1/search",status="200"} 4.0' not in told, "all had ended before the stop"
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 4, (tmp_path / "log").read_text()[-3000:]
        assert process.wait(40) == 0
    log = (tmp_path / "log").read_text()
    assert '"event": "stopped"' in log
    assert not any(name in log for name in ("Cleo", "Hugo", "party", "a.png"))


def test_a_port_that_is_taken_and_a_missing_folder_are_errors_in_words(world: Path, tmp_path: Path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = drawn.facesearch("serve", "--port", port, "--gallery", world / "gallery")
        done = subprocess.run(
            command, capture_output=True, text=True, env=drawn.environment(), cwd=tmp_path, timeout=120
        )
    assert (
        done.returncode == 1
        and f"127.0.0.1:{port}: The service cannot listen" in done.stderr
        and "--port" in done.stderr
    )
    command = drawn.facesearch(
        "serve", "--port", 0, "--gallery", world / "gallery", "--photos", tmp_path / "none"
    )
    done = subprocess.run(
        command, capture_output=True, text=True, env=drawn.environment(), cwd=tmp_path, timeout=120
    )
    assert done.returncode == 1 and "no folder of photos there" in done.stderr
