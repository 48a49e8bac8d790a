"""The container, as far as it can be checked without docker: scripts/container.sh builds and runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest

from facesearch.cli.main import main

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

ROOT = Path(__file__).parents[1]
Step = tuple[str, str]


def steps() -> list[Step]:
    """The Dockerfile's instructions with their values, lines that go on put together."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in whole if line.strip()]


def last_stage() -> list[Step]:
    found = steps()
    return found[max(i for i, (name, _) in enumerate(found) if name == "FROM") :]


def value(name: str) -> str:
    return [given for step, given in last_stage() if step == name][-1]


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in value("ENV").split())


def compose() -> dict[str, Any]:
    """compose.yaml with the defaults of its variables."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "compose.yaml").read_text("utf-8"))
    assert "${" not in text, "every variable has a default"
    return yaml.safe_load(text)


def service() -> dict[str, Any]:
    return compose()["services"]["facesearch"]


def is_sent(path: str) -> bool:
    """Whether docker sends a file to the build: the last line of .dockerignore that speaks of it decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").split("\n"):
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            above = [path, *map(str, Path(path).parents)][:-1]
            spoken = [fnmatch(part, pattern.removeprefix("**/")) for part in above]
            names = [fnmatch(Path(part).name, pattern.removeprefix("**/")) for part in above]
            if any(names if pattern.startswith("**/") else spoken):
                sent = line.startswith("!")
    return sent


def served() -> click.Context:
    """The image's command, as the command line takes it."""
    words = json.loads(value("ENTRYPOINT")) + service().get("command", json.loads(value("CMD")))
    assert words[:2] == ["facesearch", "serve"]
    return main.commands["serve"].make_context("serve", words[2:])


# ---- the image


def test_what_is_copied_is_there_and_is_sent_to_the_build():
    copies = [given.split() for step, given in steps() if step in ("COPY", "ADD")]
    sources = [path for words in copies if not words[0].startswith("--from") for path in words[:-1]]
    assert sources and all((ROOT / path).exists() and is_sent(path) for path in sources), sources
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {project["project"]["readme"], "pyproject.toml", *wheel["packages"], *wheel["force-include"]}
    needed |= {name for name in project["project"]["license-files"] if "/" not in name}
    assert needed <= set(sources), "the package is not built without them"
    extras = {extra for step, given in steps() if step == "ARG" for extra in given.split("=")[1].split(",")}
    assert extras and extras <= set(project["project"]["optional-dependencies"]) - {"train", "dev"}


def test_nothing_private_is_sent_to_the_build():
    for path in ("facesearch/cli/main.py", "facesearch/weights/facesearch-r34.safetensors"):
        assert is_sent(path)
    private = ("index/gallery.sqlite", "facesearch_token", "gallery/gallery.sqlite", "photos/a.jpg", "data/x")
    others = (".git/config", ".venv/bin/python", "tests/conftest.py", "scripts/bench.py")
    assert not [path for path in (*private, *others, "facesearch/__pycache__/a.pyc") if is_sent(path)]
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/facesearch_token", "/gallery/", "/photos/"} <= set(ignored)


def test_it_runs_as_somebody_who_is_not_root():
    for user in (value("USER"), service()["user"]):
        name, _, group = user.partition(":")
        assert name.isdigit() and group.isdigit() and int(name) > 999 and int(group) > 999
    order = [name for name, _ in last_stage()]
    assert order.index("USER") < order.index("ENTRYPOINT") and "ADD" not in order


def test_its_base_has_a_version_that_the_package_runs_on():
    bases = {given.split()[0] for name, given in steps() if name == "FROM"}
    assert len(bases) == 1, "what is built in one is run in the other"
    major, minor = re.fullmatch(r"python:(\d+)\.(\d+)-slim-\w+", bases.pop()).groups()  # type: ignore[union-attr]
    assert (int(major), int(minor)) >= (3, 11)


def test_its_command_is_one_that_facesearch_takes():
    given = served().params
    assert given["host"] == "0.0.0.0" and given["port"] == int(value("EXPOSE"))
    secret = compose()["secrets"].keys() & set(service()["secrets"])
    assert str(given["token_file"]).removeprefix("/run/secrets/") in secret
    mounts = {mount["target"]: mount.get("read_only", False) for mount in service()["volumes"]}
    assert given["gallery"] == Path("/gallery") and given["photos"] == Path("/photos")
    assert mounts == {"/gallery": False, "/photos": True}
    assert environment()["MALLOC_ARENA_MAX"] == "2"


def test_its_health_is_asked_of_the_port_that_it_listens_on():
    told = value("HEALTHCHECK")
    command = json.loads(told[told.index("[") :])
    assert command[0] == "python" and "/v1/ready" in command[2] and f", {value('EXPOSE')}," in command[2]


@pytest.mark.parametrize("status, code", [(200, 0), (503, 1), (None, 1)])
def test_its_health_check_fails_when_it_is_not_ready_or_not_there(status: int | None, code: int):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v1/ready" and "authorization" not in self.headers
            self.send_response(status or 200)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        port = str(server.server_port)
        told = value("HEALTHCHECK")
        check = json.loads(told[told.index("[") :])[2].replace("8008", port)
        if status is None:
            server.server_close()
        Thread(target=server.handle_request, daemon=True).start() if status else None
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, timeout=30)
    assert done.returncode == code


# ---- how it is run


def test_it_is_shut_in():
    run = service()
    assert run["read_only"] is True and [mount.split(":")[0] for mount in run["tmpfs"]] == ["/tmp"]
    assert run["cap_drop"] == ["ALL"] and "no-new-privileges:true" in run["security_opt"]
    assert not run.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}
    assert all(port.startswith("127.0.0.1:") for port in run["ports"]), "no other machine reaches it"
    assert run["init"] is True and run["stop_grace_period"] == "10s"
    assert environment()["HOME"] == "/tmp", "all else is read-only"
    assert all(mount["bind"]["create_host_path"] is False for mount in run["volumes"]), "root would own it"


def test_its_script_is_one_that_bash_takes():
    subprocess.run(["bash", "-n", ROOT / "scripts" / "container.sh"], check=True)


def test_its_page_names_files_and_variables_that_there_are():
    page = (ROOT / "docs" / "howto" / "docker.md").read_text("utf-8")
    known = (ROOT / "compose.yaml").read_text("utf-8") + (ROOT / "Dockerfile").read_text("utf-8")
    for name in set(re.findall(r"FACESEARCH_[A-Z_]+", page)):
        assert name in known, name
    for path in re.findall(r"`((?:scripts|docs)/[\w.]+)`", page):
        assert (ROOT / path).is_file()
