"""Fixtures of all rooms: drawn people, a small encoder, the command line; and which tests are left out."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # A process a core: threads beside them would only be in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from click.testing import CliRunner, Result

from facesearch.cli.main import main
from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.datasets.toy import draw_people
from tests.helpers.places import SHARED


@cache
def has_gpu() -> bool:
    """Some tests run where there is no torch: see .ci/wheel."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="needs ../shared/data, which is not here")
    no_gpu = pytest.mark.skip(reason="needs a CUDA device, which is not here")
    for item in items:
        if "gpu" in item.keywords and not has_gpu():
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


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn people, eight photos each."""
    folder = tmp_path_factory.mktemp("album")
    draw_people(folder, people=6, photos=8, seed=3)
    return folder


@pytest.fixture(scope="session")
def toy_dataset(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The album prepared as it is, without detection, dealt into train and val."""
    from facesearch.datasets.sources import with_random_split

    out = tmp_path_factory.mktemp("prepared") / "toy"
    source = with_random_split(read_source(album), val=0.25, test=0.0, seed=1)
    prepare(source, None, PrepareConfig(out=out, aligned=True), lambda done, total: None)
    return open_dataset(out)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder that was never trained: a fixed function of the pixels, which is all that most tests
    need.
    """
    torch = pytest.importorskip("torch", reason="needs torch")

    from facesearch.encoder.checkpoint import save_encoder
    from facesearch.encoder.config import EncoderConfig
    from facesearch.encoder.network import Encoder

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
