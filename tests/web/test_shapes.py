"""What `/v1` is described by: models of the library's own classes, each with a true example; and the web
knows the rest of the house by its API only.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

from facesearch.web.examples import EXAMPLES
from facesearch.web.shapes import model_of
from tests.helpers.service import service

WEB = Path(__file__).parents[2] / "facesearch" / "web"
OPEN_TO_IT = ("answers", "api", "errors", "files", "records", "report", "version", "web")


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_an_example_is_as_its_class_says(cls: type):
    model_of(cls).model_validate(EXAMPLES[cls])


def test_every_answer_in_json_is_a_class_of_the_librarys(tmp_path: Path):
    schema = service(tmp_path).api.openapi()
    shapes = schema["components"]["schemas"]
    answers = {
        _shape_name(operation["responses"]["200"])
        for path in schema["paths"].values()
        for operation in path.values()
        if "application/json" in operation["responses"].get("200", {}).get("content", {})
    }
    known = {cls.__name__: value for cls, value in EXAMPLES.items()}
    assert known.keys() | {"Searched", "Comparison", "Embedded", "Detected"} == answers
    for name, example in known.items():
        assert shapes[name]["examples"] == [example]


def _shape_name(response: dict[str, Any]) -> str:
    reference: str = response["content"]["application/json"]["schema"]["$ref"]
    return reference.rpartition("/")[2]


@pytest.mark.parametrize("path", sorted(WEB.rglob("*.py")), ids=lambda path: str(path.relative_to(WEB)))
def test_the_web_knows_the_rest_by_its_api_only(path: Path):
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "facesearch":
            assert (node.module or "").split(".")[1] in OPEN_TO_IT, f"line {node.lineno}: {node.module}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("store", "opened"), f"line {node.lineno}: the gallery's file"
