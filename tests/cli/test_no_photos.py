"""A pipe, a socket or a device is never opened, whatever option or folder it stands in: nothing waits for it,
and nothing is read from it without an end.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.drawn import save_colour

WAITS_S = 60
COMMANDS = {
    "query": ("query", "{}", "--aligned"),
    "query a folder": ("query", "people", "--aligned"),
    "query --among-file": ("query", "people/ana/1.png", "--aligned", "--among-file", "{}"),
    "enroll": ("enroll", "Ana", "{}", "--aligned"),
    "enroll --from": ("enroll", "--from", "people", "--gallery", "g", "--aligned"),
    "enroll --vectors": ("enroll", "--vectors", "{}", "--names", "names.csv", "--encoder-id", "0" * 64),
    "enroll --names": ("enroll", "--vectors", "v.npy", "--names", "{}", "--encoder-id", "0" * 64),
    "enroll --weights": ("enroll", "Eva", "people/ana/1.png", "--weights", "{}", "--gallery", "new"),
    "detect": ("detect", "{}"),
    "detect --detector-model": ("detect", "people", "--detector-model", "{}"),
    "embed": ("embed", "{}", "--out", "out.npy"),
    "compare": ("compare", "people/ana/1.png", "{}", "--aligned"),
    "scan": ("scan", "people", "--aligned"),
    "scan --apply": ("scan", "people", "--apply", "{}"),
    "prepare": ("prepare", "people", "--out", "d", "--aligned"),
    "prepare a list": ("prepare", "celeba", "--out", "d2"),
    "train --recipe": ("train", "--recipe", "{}", "--data", "data"),
    "train --data": ("train", "--data", "{}"),
    "calibrate --strangers": ("calibrate", "--strangers", "people"),
    "import": ("import", "{}"),
    "restore": ("restore", "{}", "--gallery", "again"),
    "plot": ("plot", "{}"),
    "sort": ("sort", "{}", "--into", "sorted"),
    "audit": ("audit", "--data", "{}"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A folder with a gallery of one person, whose folder holds a pipe, a socket and a device as well."""
    folder = tmp_path_factory.mktemp("place")
    good = [save_colour(folder / "people" / "ana" / f"{i}.png", "red", shade=i) for i in range(3)]
    process = call(folder, "enroll", "Ana", *good, "--aligned", "--weights", weights)
    assert process.returncode == 0, process.stderr
    os.mkfifo(folder / "people/ana/pipe.png")
    (folder / "people/ana/zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "people/ana/socket.png"))
    (folder / "celeba/img_align_celeba").mkdir(parents=True)
    os.mkfifo(folder / "celeba/identity_CelebA.txt.pipe")
    for name in ("pipe.png", "pipe.toml", "pipe.onnx", "pipe.csv", "pipe.npy", "pipe.zip"):
        os.mkfifo(folder / name)
        (folder / name.replace("pipe", "zero")).symlink_to("/dev/zero")
    (folder / "names.csv").write_text("name\nana\n")
    shutil.copy(Path(__file__).parents[1] / "data/make_0_1_0.py.txt", folder / "v.npy")
    return folder


def call(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facesearch", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=WAITS_S,
        stdin=subprocess.DEVNULL,
    )


ENDS = {"--vectors": "npy", "--names": "csv", "--recipe": "toml", "--apply": "csv", "--weights": "onnx"}


@pytest.mark.slow
@pytest.mark.parametrize("thing", ["pipe", "zero"])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_waits_for_what_is_no_file(place: Path, name: str, thing: str):
    end = next((end for option, end in ENDS.items() if option in name), "png")
    done = call(place, *(word.format(f"{thing}.{end}") for word in COMMANDS[name]))
    assert done.returncode in (0, 1), done
    assert "Traceback" not in done.stderr and done.stderr
    assert (done.returncode == 0) == (name in ("query a folder", "enroll --from", "scan", "prepare")), done
