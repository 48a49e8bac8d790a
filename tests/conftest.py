"""Drawn people, a colour-reading stand-in for the network, and the real data where it is present."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: threads beside them would only be in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from facesearch.cli import main
from facesearch.errors import FacesearchError
from facesearch.faces.datasets import read_source
from facesearch.faces.table import Dataset, open_dataset
from facesearch.faces.toy import draw_people
from facesearch.jobs.prepare import PrepareConfig, prepare
from facesearch.records import F32, U8

SHARED = Path(__file__).resolve().parents[2] / "shared"
MOBILEFACENET = SHARED / "models" / "mobilefacenet.onnx"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="needs ../shared/data, which is not here")
    import torch

    no_gpu = pytest.mark.skip(reason="needs a CUDA device, which is not here")
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if "data" in item.keywords and not (SHARED / "data").is_dir():
            item.add_marker(missing)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, or is swayed by the user's environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in (
        "FACESEARCH_ENGINE",
        "FACESEARCH_PRECISION",
        "FACESEARCH_GALLERY",
        "FACESEARCH_YUNET",
        "FACESEARCH_KEY_FILE",
        "FACESEARCH_KEY",
        "FACESEARCH_STORE",
    ):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def refused(error: type[FacesearchError], words: str) -> Iterator[pytest.ExceptionInfo[FacesearchError]]:
    """What the command line prints of an error of this class, fact and advice, has a place that fits the pattern `words`."""
    with pytest.raises(error) as caught:
        yield caught
    assert re.search(words, caught.value.message()), caught.value.message()


class ColourEncoder:
    """Reads the mean colour of a crop's four quarters: 12 numbers about 127.5, brought to length 1."""

    def __init__(self, name: str = "colours") -> None:
        self.encoder_id = name.ljust(64, "0")
        self.dimension = 12
        self.words = f"{name} for tests"
        self.notes: dict[str, Any] = {}
        self.seen = 0

    def embed(self, crops: U8) -> F32:
        self.seen += len(crops)
        h, w = crops.shape[1] // 2, crops.shape[2] // 2
        quarters = [crops[:, y : y + h, x : x + w].mean(axis=(1, 2)) for y in (0, h) for x in (0, w)]
        vectors = np.concatenate(quarters, axis=1).astype(np.float32) - 127.4
        unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


def save_colour(path: Path, colour: str | tuple[int, int, int], size: tuple[int, int] = (112, 112), shade: int = 0) -> Path:
    """Write a picture of one colour; shade changes its lower half, so that photos of one person differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    if shade:
        image.paste((shade, shade, shade), (0, size[1] * 3 // 4, size[0], size[1]))
    image.save(path)
    return path


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn people, eight photos each."""
    folder = tmp_path_factory.mktemp("album")
    draw_people(folder, people=6, photos=8, seed=3)
    return folder


@pytest.fixture(scope="session")
def toy_dataset(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The album prepared as it is, without detection, dealt into train and val."""
    from facesearch.faces.datasets import with_random_split

    out = tmp_path_factory.mktemp("prepared") / "toy"
    source = with_random_split(read_source(album), val=0.25, test=0.0, seed=1)
    prepare(source, None, PrepareConfig(out=out, aligned=True), lambda done, total: None)
    return open_dataset(out)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder that was never trained: a fixed function of the pixels, which is all that most tests need."""
    import torch

    from facesearch.model.checkpoint import save_encoder
    from facesearch.model.encoder import Encoder
    from facesearch.model.encoder_config import EncoderConfig

    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    config = EncoderConfig(backbone="resnet18", embedding_size=32, size_px=64)
    save_encoder(path, Encoder(config).eval(), {"impostors": [[0.1, 0.5], [0.01, 0.7], [0.001, 0.8]]})
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in tmp_path and return click's Result."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object, code: int | None = 0) -> Result:
        before = os.umask(0o022)
        try:
            result = CliRunner().invoke(main, [str(word) for word in words])
        finally:
            os.umask(before)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, result.output
        return result

    return call
