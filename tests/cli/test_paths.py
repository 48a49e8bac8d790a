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
    assert found is not None, f"README.md has no block marked <!-- path: {kind} -->"
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
        environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
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
    assert kinds == ["researcher", "engineer", "archivist"]


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
    _, printed = walk("engineer")
    assert "set on searches of 12 strangers" in printed
    [photo] = json.loads(printed[printed.index("\n{") :])["photos"]
    [face] = photo["faces"]
    assert face["decision"] == "match" and face["matches"][0]["person"] == "p003" and face["threshold"] > 0


@pytest.mark.slow
def test_the_archivists_path(walk):  # type: ignore[no-untyped-def]
    folder, printed = walk("archivist")
    assert "Ada Lovelace: 7 photos enrolled" in printed
    assert len(list((folder / "sorted" / "Ada Lovelace").iterdir())) == 7
    sorted_names = {path.name for path in (folder / "sorted").rglob("*.png")}
    assert len(sorted_names) == len(list((folder / "album").iterdir())) == 39, "every photo is somewhere"
    page = (folder / "album.scan" / "review.html").read_text()
    assert "data:image/jpeg" in page, "a page with pictures keeps them"
