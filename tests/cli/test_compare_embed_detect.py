"""compare, embed, detect and export --onnx on the command line, and what is said where an extra is
missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facesearch.encoder.runtime import load_runtime
from tests.helpers.drawn import save_colour

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pair(album: Path, weights: Path) -> tuple[Path, Path, tuple[object, ...]]:
    return album / "p000" / "00.png", album / "p000" / "01.png", ("--aligned", "--weights", weights)


def without(absent: tuple[str, ...], words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in which these packages are not installed."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r})); sys.argv = ['facesearch', *{words!r}]\n"
        "from facesearch.cli.main import run; run()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment
    )


def test_two_photos_are_compared_at_a_rate_of_false_matches(
    run: Any, pair: tuple[Path, Path, tuple[object, ...]]
):
    a, b, common = pair
    told = run("compare", a, a, *common).stdout
    assert (
        "the same person" in told and "score 1.000" in told and "0.10% of pairs of different people" in told
    )
    limits = [
        float(run("compare", a, b, "--fmr", fmr, *common).stdout.split("threshold ")[1].split(",")[0])
        for fmr in (0.1, 0.001)
    ]
    assert limits == [0.5, 0.8]  # the table of the encoder in conftest
    assert "no file there" in run("compare", a, "gone.png", *common, code=1).stderr.replace(
        "No such file", "no file there"
    )
    assert "Usage" in run("compare", a, code=2).stderr
    assert "0.001" in run("compare", "--help").stdout and run("compare", a, b, "--fmr", 0, *common, code=2)


def test_vectors_are_written_as_an_array_or_line_by_line(
    run: Any, pair: tuple[Path, Path, tuple[object, ...]], weights: Path, tmp_path: Path
):
    a, b, common = pair
    (tmp_path / "bad.png").write_text("no picture")
    told = run("embed", a, tmp_path / "bad.png", b, "--out", "v.npy", *common)
    assert (
        len(told.stdout.splitlines()) == 2
        and "bad.png: not a picture" in told.stderr
        and "1 skipped" in told.stderr
    )
    crops = np.stack(
        [
            np.asarray(Image.fromarray(np.asarray(Image.open(path).convert("RGB"))).resize((112, 112)))
            for path in (a, b)
        ]
    )
    own = load_runtime(weights, device="cpu").embed(crops)
    assert ((np.load("v.npy") * own).sum(1) > 0.99).all()  # those were scaled by another rule
    assert Path("v.npy").stat().st_mode & 0o077 == 0
    assert "exists already" in run("embed", a, "--out", "v.npy", *common, code=1).stderr
    assert (
        "--strict was given"
        in run("embed", a, tmp_path / "bad.png", "--out", "w.npy", "--strict", *common, code=1).stderr
    )
    assert "ends in .npy or .jsonl" in run("embed", a, "--out", "v.txt", *common, code=2).stderr
    run("embed", tmp_path / "bad.png", "--out", "x.jsonl", *common, code=1)
    assert not Path("x.jsonl").exists()


def test_faces_are_listed_and_their_crops_written(run: Any, album: Path, tmp_path: Path):
    wall = save_colour(tmp_path / "wall.png", "grey", (300, 300))
    photos = [album / f"p{i:03d}" / "00.png" for i in range(4)]
    told = run("detect", *photos, wall, "--crops", "crops")
    faces = told.stdout.splitlines()
    assert len(faces) >= 1 and "score 0." in faces[0] and "wall.png: no face found" in told.stderr
    crops = sorted(Path("crops").iterdir())
    assert len(crops) == len(faces)
    for crop in crops:
        with Image.open(crop) as picture:
            assert picture.size == (112, 112) and crop.stat().st_mode & 0o077 == 0
    assert "no face in any of them" in run("detect", wall, code=1).stderr.lower()


@pytest.mark.slow
def test_a_run_is_exported_as_onnx_that_facesearch_reads_too(
    run: Any, weights: Path, album: Path, tmp_path: Path
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "best.safetensors").write_bytes(weights.read_bytes())
    told = run("export", "mine", "--onnx")
    assert (
        told.stdout.startswith("mine/best.onnx: ")
        and "[n, 3, 64x64]" in told.stdout
        and "lowest cosine to torch 1.0" in told.stderr
    )
    photo = album / "p000" / "00.png"
    run("enroll", "Ada", photo, "--aligned", "--weights", "mine/best.onnx", "--gallery", "foreign")
    assert (
        "match: Ada" in run("query", photo, "--aligned", "--gallery", "foreign", "--threshold", 0.99).stdout
    )
    assert "exists already" in run("export", "mine", "--onnx", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "missing", "extra"),
    [
        (("train", "--data", "DATA"), ("torch", "torchvision"), "train"),
        (("export", "RUN", "--onnx"), ("torch",), "train"),
        (("serve", "--port", "0"), ("fastapi",), "web"),
        (("enroll", "x", "PHOTO", "--aligned", "--engine", "torch"), ("torch", "torchvision"), "train"),
        (("enroll", "x", "PHOTO", "--aligned", "--key-file", "KEY"), ("cryptography",), "crypt"),
        (("sync", "--store", "milvus:x.db"), ("pymilvus",), "milvus"),
        (("scan", "PEOPLE", "--aligned", "--method", "hdbscan"), ("sklearn",), "album"),
    ],
)
def test_a_command_that_lacks_its_extra_says_which_one(
    words: tuple[str, ...],
    missing: tuple[str, ...],
    extra: str,
    album: Path,
    toy_dataset: Any,
    weights: Path,
    tmp_path: Path,
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_bytes(weights.read_bytes())
    line = dict.fromkeys(
        (
            "epoch",
            "lr",
            "margin_rad",
            "size_px",
            "train_loss",
            "train_accuracy",
            "val_loss",
            "val_accuracy",
            "val_tpr",
        ),
        1,
    )
    (tmp_path / "run" / "metrics.jsonl").write_text(
        json.dumps({**line, "img_per_s": 1, "seconds": 1, "best": True}) + "\n"
    )
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    photo = album / "p000" / "00.png"
    places = {
        "DATA": toy_dataset.folder,
        "RUN": tmp_path / "run",
        "PHOTO": photo,
        "KEY": tmp_path / "key",
        "PEOPLE": album,
    }
    given = [str(places.get(word, word)) for word in words]
    if words[0] == "sync":
        assert without((), ["enroll", "x", str(photo), "--aligned"], tmp_path).returncode == 0
    done = without(missing, given, tmp_path)
    assert (
        done.returncode == 1
        and f"pip install 'facesearch[{extra}]'" in done.stderr
        and "Traceback" not in done.stderr
    ), done.stderr


@pytest.mark.slow
def test_evaluate_does_without_torch_and_draws_its_charts(toy_dataset: Any, weights: Path, tmp_path: Path):
    given = ["evaluate", "--data", str(toy_dataset.folder), "--weights", str(weights), "--only", "closed"]
    absent = ("torch", "torchvision", "onnxruntime", "onnx", "sklearn")
    done = without(absent, given, tmp_path)
    assert done.returncode == 0 and "rank-1" in done.stdout, done.stderr
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert written == {"index.html", "evaluation.json", "cmc.svg", "scores.svg"}
    assert "pip install" not in done.stderr
