"""Every `--json` of the command line follows the schema that comes with the package, and the schemas are as
the classes are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from facesearch.cli.main import main
from tests.helpers.drawn import save_colour

FOLDER = Path(__file__).parents[2] / "facesearch" / "schema"
FACE = Path(__file__).parents[2] / "scripts" / "demo_photos.py"


def follows(name: str, value: Any) -> Any:
    """value, when it follows the schema; and a key more would not."""
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(value)
    if isinstance(value, dict) and name != "evaluation":
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**value, "more": 1})
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(dict(list(value.items())[1:]))
    return value


def test_the_schemas_are_as_the_classes_are():
    schemas = pytest.importorskip("schemas")
    made = schemas.schemas()
    assert {path.name.removesuffix(".schema.json") for path in FOLDER.iterdir()} == {*made, "evaluation"}
    for name, schema in made.items():
        assert json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8")) == schema, (
            f"run: python scripts/schemas.py ({name})"
        )


def test_every_command_with_json_has_a_schema():
    """A new --json comes with a schema: its place in scripts/schemas.py names the command."""
    printed = " ".join(json.loads(path.read_text("utf-8")).get("$comment", "") for path in FOLDER.iterdir())
    for name, command in main.commands.items():
        if any("--json" in parameter.opts for parameter in command.params) and name != "evaluate":
            assert f"{name} " in printed, name


@pytest.fixture
def people(run: Any, album: Path, weights: Path) -> tuple[object, ...]:
    """A gallery of three drawn people; the options that ask it."""
    with_weights = ("--aligned", "--weights", weights)
    for number in range(3):
        photos = [album / f"p{number:03d}" / f"{shot:02d}.png" for shot in range(4)]
        enrolled = run("enroll", f"Person {number}", *photos, *with_weights, "--json")
        follows("enroll", json.loads(enrolled.stdout))
    return with_weights


def test_asking(run: Any, people: tuple[object, ...], album: Path, tmp_path: Path):
    (tmp_path / "broken.png").write_text("no picture")
    asked = run("query", album / "p000", tmp_path / "broken.png", "--json", *people)
    whole = follows("search", json.loads(asked.stdout))
    assert len(whole["photos"]) == 9 and whole["photos"][-1]["skipped"]
    streamed = CliRunner().invoke(
        main,
        ["query", "-", "--json", *map(str, people)],
        input=f"{album / 'p000' / '00.png'}\n{tmp_path / 'broken.png'}\n",
    )
    lines = [follows("photo", json.loads(line)) for line in streamed.stdout.splitlines()]
    assert (
        lines[0]["faces"] == whole["photos"][0]["faces"] and lines[1]["faces"] == [] and lines[1]["skipped"]
    )
    assert follows("people", json.loads(run("list", "--json").stdout))
    assert follows("person", json.loads(run("list", "Person 1", "--json").stdout))
    info = follows("info", json.loads(run("info", "--json").stdout))
    assert (
        isinstance(info["threshold"], float)
        and info["detectors"] == {"aligned": 12}
        and info["encoder_file"].endswith("tiny.safetensors")
    )


def test_keeping(run: Any, people: tuple[object, ...], album: Path):
    assert follows("verify", json.loads(run("verify", "--json").stdout))["problems"] == []
    rebuilt = json.loads(run("verify", "--rebuild", "--index", "flat", "--json").stdout)
    assert "flat" in follows("verify", rebuilt)["mended"][0]
    set_by = run("calibrate", "--strangers", album, "--fpir", "0.3", "--json", *people)
    done = follows("calibrate", json.loads(set_by.stdout))
    assert done["threshold"]["on_strangers"] and done["skipped"]
    assert follows("forget", json.loads(run("forget", "Person 0", "--json").stdout))["photos"] == 4
    assert follows("audit", json.loads(run("audit", "--gallery", "index", "--json").stdout))["photos"] == 8


def test_a_dataset_is_audited_and_evaluated(run: Any, toy_dataset: Any, weights: Path):
    audited = run("audit", "--data", toy_dataset.folder, "--weights", weights, "--json")
    assert "bad_crops" in follows("audit", json.loads(audited.stdout))
    measured = run(
        "evaluate", "--data", toy_dataset.folder, "--weights", weights, "--only", "closed", "--json"
    )
    follows("evaluation", json.loads(measured.stdout))


def test_photos_alone(run: Any, album: Path, weights: Path, tmp_path: Path):
    a, b = album / "p000" / "00.png", album / "p000" / "01.png"
    common = ("--aligned", "--weights", weights)
    assert follows("compare", json.loads(run("compare", a, b, "--json", *common).stdout))["decision"] in (
        "same",
        "different",
    )
    wall = save_colour(tmp_path / "wall.png", "grey", (300, 300))
    found = [
        follows("detected", json.loads(line)) for line in run("detect", a, wall, "--json").stdout.splitlines()
    ]
    assert found[1]["skipped"] == "no face found" and found[1]["faces"] == []
    run("embed", a, b, "--out", "v.jsonl", *common)
    rows = [follows("embedded", json.loads(line)) for line in Path("v.jsonl").read_text().splitlines()]
    assert [len(row["faces"][0]["vector"]) for row in rows] == [32, 32]
    listed = [json.loads(line) for line in run("embed", a, b, "--out", "v.npy", *common).stdout.splitlines()]
    vectors = np.load("v.npy")
    assert [row["row"] for row in listed] == [0, 1] and vectors.shape == (2, 32)
    assert np.allclose(vectors, [row["faces"][0]["vector"] for row in rows], atol=1e-6)


def test_an_album(run: Any, album: Path, weights: Path):
    scanned = run("scan", album, "--out", "heap.scan", "--aligned", "--weights", weights, "--json")
    found = follows("scan", json.loads(scanned.stdout))
    assert found["photos"] == 48 and found["recognised"] is None
    follows(
        "review", json.loads(run("scan", "--out", "heap.scan", "--apply", found["table"], "--json").stdout)
    )


def test_a_projection(run: Any, people: tuple[object, ...]):
    pytest.importorskip("milvus_lite")
    follows("sync", json.loads(run("sync", "--store", "milvus:faces.db", "--json").stdout))
    assert (
        follows(
            "sync-check", json.loads(run("sync", "--store", "milvus:faces.db", "--check", "--json").stdout)
        )["same"]
        == 12
    )
    assert follows("info", json.loads(run("info", "--json").stdout))["projections"][0]["faces"] == 12
