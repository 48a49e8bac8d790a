"""scripts/on_gpu.sh from a folder that holds nothing but a checkout and what is carried, here on the CPU at
small size.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pack import packs

from facesearch.datasets.table import Dataset
from facesearch.encoder.checkpoint import load_encoder
from tests.helpers.onnx_files import of_all_kinds

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_bare_folder_and_what_is_carried_are_enough(toy_dataset: Dataset, tmp_path: Path):
    bare, carried = tmp_path / "bare", tmp_path / "carried"
    for name in ("facesearch", "scripts", "tests"):
        shutil.copytree(
            ROOT / name, bare / name, ignore=shutil.ignore_patterns("weights", "results", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", bare)
    carried.mkdir()
    for name in ("celeba500", "faces"):
        list(packs(toy_dataset, np.arange(len(toy_dataset)), carried / name, 90, 10**9))
    of_all_kinds(carried / "teacher.onnx")
    settings = (
        "--set backbone=resnet18 --set batch_size=12 --set size_px=32 --set embedding_size=5 --set"
        " held_out=0.3"
    )
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PACKS": str(carried),
        "OUT": str(tmp_path / "out"),
        "DEVICE": "cpu",
        "MINUTES": "1",
        "TRAIN_MINUTES": "0.2",
        "SETTINGS": settings,
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "scripts/on_gpu.sh", "bench", "train", "alone"],
        cwd=bare,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "student" in done.stdout and "0.2 min:" in done.stdout and "no time for default" in done.stdout
    home = tmp_path / "out" / "home"
    assert {path.name for path in home.iterdir()} >= {
        "encoder.json",
        "metrics.jsonl",
        "config.toml",
        "encoder.safetensors.00",
    }
    whole = tmp_path / "encoder.safetensors"
    whole.write_bytes(b"".join(path.read_bytes() for path in sorted(home.glob("encoder.safetensors.*"))))
    encoder, meta = load_encoder(whole)
    assert encoder.config.pooling == "weighted" and meta["notes"] == {}
    assert str(tmp_path) not in (home / "encoder.json").read_text()
    assert (tmp_path / "out" / "bench.json").is_file() and "training for 0.2 min" in (
        tmp_path / "out" / "log"
    ).read_text()
