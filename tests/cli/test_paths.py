"""The README's five-minute paths, run as they stand: each block by bash, in an empty folder, with drawn
people.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def block(kind: str) -> str:
    """The shell block that follows the marker of this kind of user."""
    found = re.search(rf"<!-- path: {kind} -->\n```[a-z]*\n(.*?)```", README, re.DOTALL)
    if found is None:
        pytest.skip(f"README.md has no block marked <!-- path: {kind} -->")
    return found.group(1)


@pytest.fixture
def walk(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Run a path in an empty folder with `facesearch` being this checkout; returns the folder and what it
    printed.
    """

    def go(kind: str) -> tuple[Path, str]:
        script = block(kind)
        tools = tmp_path / "tools"
        tools.mkdir()
        for name, words in (("facesearch", " -m facesearch"), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
            (tools / name).chmod(0o755)
        folder = tmp_path / "here"
        folder.mkdir()
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return folder, done.stdout

    return go


def test_every_kind_of_user_has_a_path():
    kinds = re.findall(r"<!-- path: ([a-z]+) -->", README)
    if not kinds:
        pytest.skip("README.md has no paths yet")
    assert kinds == ["program", "researcher", "engineer", "archivist"]


def test_the_programs_lines(walk):  # type: ignore[no-untyped-def]
    folder, out = walk("program")
    face, decision, shapes, last = out.splitlines()[1:]
    assert "Person 3" in face and decision in ("same", "different") and shapes == "(112, 112, 3) (1, 512)"
    assert (
        "Ada Lovelace" in last
        and "Person 0" not in last
        and (folder / "gallery" / "gallery.sqlite").is_file()
    )


@pytest.mark.slow
def test_the_researchers_path(walk):  # type: ignore[no-untyped-def]
    folder, _ = walk("researcher")
    figures = {
        figure["name"]: figure
        for figure in json.loads((folder / "report" / "evaluation.json").read_text())["figures"]
    }
    assert figures["rank-1"]["rate"]["value"] > 0.8
    assert (folder / "report" / "index.html").is_file() and (folder / "run" / "best.safetensors").is_file()


@pytest.mark.slow
def test_the_engineers_path(walk):  # type: ignore[no-untyped-def]
    folder, printed = walk("engineer")
    assert printed.splitlines()[-1] == "match p003"
    [face] = json.loads((folder / "answer.json").read_text())["photos"][0]["faces"]
    assert "set on searches of 10 strangers" in printed and face["threshold"] > 0


@pytest.mark.slow
def test_the_archivists_path(walk):  # type: ignore[no-untyped-def]
    folder, printed = walk("archivist")
    assert "Ada Lovelace: 6 photos enrolled" in printed and "Charles Babbage: 6 photos enrolled" in printed
    for person in ("Ada Lovelace", "Charles Babbage"):
        names = [path.name for path in (folder / "sorted" / person).iterdir()]
        reviewed = {name.split("-")[1] for name in names}
        assert len(names) >= 6 and len(reviewed) == 1, "each folder holds the photos of one drawn person"
    assert (
        len(list((folder / "sorted").rglob("*.png"))) == 36 and len(list((folder / "album").iterdir())) == 36
    )
    page = (folder / "album.scan" / "review.html").read_text()
    assert "data:image/jpeg" in page, "a page with pictures keeps them"
