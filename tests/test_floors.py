"""The house stands as DESIGN says: one direction, no cellar of helpers, every module alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "facesearch"
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_the_import_rules_hold():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_room_is_called_utils():
    assert not {"utils", "helpers", "common", "misc"} & {path.stem for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_about_one_thing_and_functions_say_what_they_do(path: Path):
    source = path.read_text("utf-8")
    assert source.count("\n") <= 480, "split it"
    tree = ast.parse(source)
    if path.name not in ("__main__.py",):
        assert ast.get_docstring(tree), "a module says what it is about"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "no bare except"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and len(node.body) > 6:
            assert ast.get_docstring(node), node.name


def test_only_the_command_line_exits_or_prints():
    for path in MODULES:
        if path.name in ("cli.py", "terminal.py", "__main__.py") or path.parent.name == "commands":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.exit", "exit", "click.echo"), path
