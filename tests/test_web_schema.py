"""Schemathesis over the whole OpenAPI schema, against a server with the stand-in encoder: no server error, nothing undocumented."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")
pytest.importorskip("schemathesis", reason="needs schemathesis")

import uvicorn

from facesearch.jobs.people import enroll
from facesearch.web.app import Service
from facesearch.web.server import listen, url_of
from facesearch.web.settings import Settings
from tests.conftest import ColourEncoder
from tests.test_web_api import gallery, photos, quiet  # noqa: F401

# unsupported_method: an undocumented method must give 405 with Allow. Left out: what an HTTP schema cannot say here (a name that is
# enrolled, a photo that is a picture), so that "valid" data may rightly be answered 404 or 422.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method," \
    "response_headers_conformance,allow_header_conformance,negative_data_rejection,missing_required_header"  # fmt: skip


@pytest.fixture
def address(gallery: Path, photos: Path) -> Iterator[str]:  # noqa: F811
    more = [("Ada Lovelace", path) for path in sorted((photos / "Ada").iterdir())]
    enroll(more, gallery, ColourEncoder(), None, largest=False, fpir=None, progress=quiet)
    service = Service(Settings(gallery=gallery, photos=photos, workers=2), ColourEncoder(), None)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(service.asgi, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield url_of("127.0.0.1", listening)
    server.should_exit = True
    thread.join(30)
    listening.close()
    assert not thread.is_alive()


@pytest.mark.slow
def test_the_service_keeps_to_its_schema(address: str, tmp_path: Path):
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{address}/v1/openapi.json", "--checks", CHECKS, "--max-examples", "25",
        "--seed", "1", "--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color", "--workers", "1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr[-2000:]
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None and int(cases[1]) > 200, done.stdout[-3000:]
