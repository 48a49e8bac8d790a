"""The rooms stand as docs/architecture.md draws them: one direction, no cellar of helpers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain, groupby, pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "facesearch"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.name.startswith("test_"))
PICTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
LONGEST_FILE, LONGEST_BODY = 500, 60
LONGER = {"api/gallery.py"}
"""The library's one class: docs/architecture.md says why."""
NO_CODE = {"recipes", "schema", "static", "templates", "weights", "yunet"}


def rooms() -> set[str]:
    """Every folder of the package that holds code, by its path."""
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in MODULES}
    return {folder for folder in folders if folder != "."}


def test_the_import_rules_hold():
    command = [Path(sys.executable).with_name("lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_room_is_in_the_picture_and_the_picture_shows_no_other():
    told = set(re.findall(r"^\| `([\w/]+)/` \|", PICTURE, re.MULTILINE))
    inner = {"cli/commands", "web/routes"}  # told of in the line of their room
    assert told == rooms() - inner


def test_the_picture_has_the_order_that_is_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = [re.findall(r"facesearch\.(\w+)", layer) for layer in contracts["contracts"][0]["layers"]]
    drawing = PICTURE.split("```")[1]
    order = [
        name for line in drawing.splitlines() for name in re.findall(r"\b[a-z]+\b", line.split("  the ")[0])
    ]
    places = [[order.index(name) for name in layer] for layer in layers[:9]]
    assert all(max(above) < min(below) for above, below in pairwise(places)), order
    checked = set(chain.from_iterable(layers))
    assert {room.split("/")[0] for room in rooms()} == checked - {
        "ranks",
        "files",
        "workers",
        "answers",
        "gallery_answers",
        "records",
    }


@pytest.mark.parametrize("story", ["asked", "erased", "setting"])
def test_a_story_passes_every_room_once(story: str):
    told = PICTURE.split(f"<!-- story: {story} -->")[1].split("<!-- story:")[0].split("\n## ")[0]
    files = re.findall(r"^\d+\. `([\w/]+\.py)`", told, re.MULTILINE)
    assert len(files) > 5 and all((PACKAGE / file).is_file() for file in files), files
    passed = [room for room, _ in groupby(file.split("/")[0] for file in files)]
    assert len(passed) == len(set(passed)), passed


def test_no_room_is_called_utils():
    assert not {"utils", "helpers", "common", "misc"} & {path.stem for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_about_one_thing_and_functions_say_what_they_do(path: Path):
    source, name = path.read_text("utf-8"), path.relative_to(PACKAGE).as_posix()
    assert source.count("\n") <= LONGEST_FILE or name in LONGER, "split it"
    tree = ast.parse(source)
    if path.name not in ("__main__.py",):
        assert ast.get_docstring(tree), "a module says what it is about"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "no bare except"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            assert (node.end_lineno or 0) - body[0].lineno < LONGEST_BODY, node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and len(node.body) > 6:
            assert ast.get_docstring(node), node.name


def test_only_tables_keep_a_form_of_their_own():
    for path in [*MODULES, *TESTS, *(ROOT / "scripts").glob("*.py")]:
        lines = path.read_text("utf-8").splitlines()
        assert all(re.match(r"\s*[}\]]", line) for line in lines if line.endswith("# fmt: skip")), path


def test_only_the_command_line_exits_or_prints():
    for path in MODULES:
        if "cli" in path.relative_to(PACKAGE).parts or path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.exit", "exit", "click.echo"), path


def test_tests_mirror_the_rooms_and_none_imports_another():
    folders = {path.parent.name for path in TESTS} - {"tests"}
    assert folders == {room for room in rooms() if "/" not in room} - {"errors"}
    for path in (ROOT / "tests").rglob("*.py"):
        for module in re.findall(
            r"^\s*(?:from|import) (tests\.[\w.]+)", path.read_text("utf-8"), re.MULTILINE
        ):
            assert module.startswith("tests.helpers"), (path, module)
