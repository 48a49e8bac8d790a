"""What the README says is what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from facesearch.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_is_in_the_readme(command: str):
    assert f"facesearch {command}" in README


def test_every_command_line_in_the_readme_has_words_that_exist():
    lines = [line[2:] for line in README.splitlines() if line.startswith("$ facesearch ")]
    assert len(lines) >= 10
    for line in lines:
        words = line.split()
        command = main.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in words[2:]:
            if word.startswith("--"):
                assert word in known, line


def test_every_file_that_the_readme_names_is_there():
    for name in set(re.findall(r"\(((?:scripts|docs|index|tests|facesearch)/[^)#\s]+)\)", README)):
        assert (ROOT / name).exists(), name


def test_no_photo_and_no_machine_path_is_tracked():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    shipped = "facesearch/faces/yunet/face_detection_yunet_2026may.onnx"  # MIT
    assert [
        name for name in tracked if name.endswith((".jpg", ".jpeg", ".onnx", ".npy")) and name != shipped
    ] == []
    results = [
        name
        for name in tracked
        if name.startswith("scripts/results/") and name.endswith((".toml", ".json", ".jsonl"))
    ]
    assert len(results) > 10
    assert [
        name
        for name in results
        if re.search(r'"/(work|home|root|tmp|Users)/', (ROOT / name).read_text("utf-8"))
    ] == []
