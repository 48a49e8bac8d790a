"""The OpenAPI schema: real answers are as it says; and schemathesis over all of it, against a server with the
stand-in encoder: no server error, nothing undocumented."""

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
from fastapi.testclient import TestClient

from facesearch.api.detector import FaceDetector
from facesearch.gallery.enroll import enroll
from facesearch.web.server import listen, url_of
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet
from tests.helpers.service import GREEN, HOST, Halves, pair, png, sent, service

# unsupported_method: an undocumented method must give 405 with Allow. Left out: what an HTTP schema cannot
# say here (a name that is enrolled, a photo that is a picture), so that "valid" data may rightly be answered
# 404 or 422.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method,"
    "response_headers_conformance,allow_header_conformance,negative_data_rejection,missing_required_header"
)


@pytest.fixture
def address(gallery: Path, photos: Path) -> Iterator[str]:
    more = [("Ada Lovelace", path) for path in sorted((photos / "Ada").iterdir())]
    enroll(more, gallery, ColourEncoder(), None, largest=False, fpir=None, progress=quiet)
    serving = service(gallery, photos=photos)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(serving.asgi, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield url_of("127.0.0.1", listening)
    server.should_exit = True
    thread.join(30)
    listening.close()
    assert not thread.is_alive()


def test_answers_to_real_photos_are_as_the_schema_says(gallery: Path):
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    with TestClient(service(gallery, detector=FaceDetector.of(Halves())).asgi, base_url=HOST) as client:
        schema = client.get("/v1/openapi.json").json()
        for path in ("/v1/search", "/v1/compare", "/v1/embed", "/v1/detect"):
            told = sent(client, path, png(GREEN), png(GREEN, shade=40) if path == "/v1/compare" else pair())
            assert told.status_code == 200, told.text
            shape = schema["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema.validate(told.json(), {**shape, "components": schema["components"]})
            with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
                jsonschema.validate({**told.json(), "more": 1}, {**shape, "components": schema["components"]})


@pytest.mark.slow
def test_the_service_keeps_to_its_schema(address: str, tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{address}/v1/openapi.json",
        "--checks",
        CHECKS,
        "--max-examples",
        "25",
        "--seed",
        "1",
        "--phases",
        "examples,coverage,fuzzing",
        "--generation-database",
        "none",
        "--no-color",
        "--workers",
        "1",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr[-2000:]
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None and int(cases[1]) > 200, done.stdout[-3000:]
