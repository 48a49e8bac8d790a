"""Every engine gives the vectors that the network in torch, float32, gives; and the fast way needs no torch."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch

from facesearch.errors import BadCheckpoint, DeviceMissing, EngineUnfit, PackageMissing
from facesearch.faces.datasets import read_source
from facesearch.faces.table import open_dataset
from facesearch.jobs.find_weights import SHIPPED
from facesearch.jobs.prepare import PrepareConfig, prepare
from facesearch.model.checkpoint import load_encoder, save_encoder
from facesearch.model.encoder import LAST_LAYER, Encoder, EncoderConfig, UnitVectors
from facesearch.model.openvino_runtime import OpenVinoRuntime
from facesearch.model.runtime import load_runtime
from facesearch.records import F32, U8
from tests.conftest import SHARED, refused

pytest.importorskip("openvino")


def crops_for(n: int) -> U8:
    """Smooth pictures: what a face is nearer to than noise."""
    small = np.random.default_rng(0).integers(0, 256, (n, 7, 7, 3), dtype=np.uint8)
    return np.repeat(np.repeat(small, 16, 1), 16, 2)


def reference(weights: Path, crops: U8) -> F32:
    """The network as it is in the file: float32, nothing folded, nothing exported."""
    encoder, _ = load_encoder(weights)
    with torch.inference_mode():
        parts = [UnitVectors(encoder)(torch.from_numpy(crops[i : i + 50])) for i in range(0, len(crops), 50)]
    return torch.cat(parts).numpy()


def cosines(a: F32, b: F32) -> F32:
    return np.asarray((a * b).sum(1), np.float32)


HEAVY = pytest.mark.slow


@pytest.mark.parametrize("backbone", ["resnet18", *(pytest.param(name, marks=HEAVY) for name in LAST_LAYER if name != "resnet18")])
def test_folding_and_exporting_change_no_vector(backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    encoder = Encoder(
        EncoderConfig(
            backbone=backbone,
            encoder_last_layer_name=LAST_LAYER[backbone],
            embedding_size=32,
            size_px=64,
            head=(48,),
            embedding_batchnorm=True,
        )
    )
    encoder.train()(torch.rand(8, 3, 64, 64) * 255)  # batch norms that have seen something, so that folding them matters
    save_encoder(tmp_path / "w.safetensors", encoder.eval(), {})
    monkeypatch.setenv("FACESEARCH_BF16", "0")
    exact = reference(tmp_path / "w.safetensors", crops_for(5))
    for engine in ("torch", "openvino"):
        vectors = load_runtime(tmp_path / "w.safetensors", device="cpu", engine=engine).embed(crops_for(5))
        assert vectors.dtype == np.float32 and cosines(vectors, exact).min() > 0.9999, engine


def test_any_number_of_crops_goes_through_openvino(weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FACESEARCH_BF16", "0")
    runtime = load_runtime(weights, engine="openvino")
    exact = reference(weights, crops_for(130))
    for n in (0, 1, 2, 3, 64, 65, 130):
        vectors = runtime.embed(crops_for(130)[:n])
        assert vectors.shape == (n, 32) and (cosines(vectors, exact[:n]) > 0.9999).all()


def test_the_second_time_nothing_is_exported_and_torch_is_not_imported(weights: Path):
    said: list[str] = []
    first = load_runtime(weights, tell=said.append)
    assert isinstance(first, OpenVinoRuntime) and len(said) == 1 and "once" in said[0]
    code = (
        "import sys; from pathlib import Path; from facesearch.model.runtime import load_runtime; import numpy as np\n"
        f"r = load_runtime(Path({str(weights)!r}), tell=lambda line: sys.exit(line))\n"
        "print(r.embed(np.zeros((1, 112, 112, 3), np.uint8)).shape)\n"
        "assert 'torch' not in sys.modules and not any(m.startswith('openvino_telemetry') for m in sys.modules if sys.modules[m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0 and done.stdout == "(1, 32)\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "cut", "rubbish under its own hash"])
def test_what_is_kept_is_for_the_owner_alone_and_damage_is_mended(weights: Path, damage: str):
    load_runtime(weights, engine="openvino")
    folder = platformdirs.user_cache_path("facesearch") / "engines"
    (kept,) = folder.iterdir()
    assert {path.stat().st_mode & 0o077 for path in (folder, kept)} == {0}
    whole = kept.read_bytes()
    if damage == "flipped":
        kept.write_bytes(whole[:-5000] + bytes([whole[-5000] ^ 255]) + whole[-4999:])
    elif damage == "cut":
        kept.write_bytes(whole[: len(whole) // 2])
    else:
        rubbish = os.urandom(5000)
        kept.rename(kept.with_name(f"{kept.name.rpartition('-')[0]}-{hashlib.sha256(rubbish).hexdigest()}.compiled"))
        (kept,) = folder.iterdir()
        kept.write_bytes(rubbish)
    said: list[str] = []
    mended = load_runtime(weights, engine="openvino", tell=said.append)
    assert said and cosines(mended.embed(crops_for(3)), reference(weights, crops_for(3))).min() > 0.999
    (kept,) = folder.iterdir()
    assert kept.stem.endswith(hashlib.sha256(kept.read_bytes()).hexdigest())


@pytest.mark.slow
def test_another_version_of_openvino_takes_the_place_of_the_old_one(weights: Path):
    load_runtime(weights, engine="openvino")
    folder = platformdirs.user_cache_path("facesearch") / "engines"
    (kept,) = folder.iterdir()
    encoder, processor, version, checksum = kept.name.split("-")
    kept.rename(kept.with_name(f"{encoder}-{processor}-{version[::-1]}-{checksum}"))
    kept.with_name(f"{encoder}-{processor[::-1]}-{version}-{checksum}").touch()
    load_runtime(weights, engine="openvino")
    assert {path.name.rpartition("-")[0] for path in folder.iterdir()} == {
        f"{encoder}-{processor}-{version}",
        f"{encoder}-{processor[::-1]}-{version}",  # another processor's is left to it
    }


@pytest.mark.slow
def test_as_it_is_kept_the_network_gives_the_same_vectors_to_the_bit(weights: Path):
    made = load_runtime(weights, engine="openvino").embed(crops_for(9))
    said: list[str] = []
    assert np.array_equal(load_runtime(weights, engine="openvino", tell=said.append).embed(crops_for(9)), made) and not said


def test_without_a_place_to_keep_it_the_network_is_used_from_memory(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made below a file
    runtime = load_runtime(weights, engine="openvino")
    assert cosines(runtime.embed(crops_for(3)), reference(weights, crops_for(3))).min() > 0.999


def test_an_engine_that_does_not_fit_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with refused(EngineUnfit, "--engine torch or openvino"):
        load_runtime(weights, engine="onnxruntime")
    with refused(EngineUnfit, "--engine onnxruntime"):
        load_runtime(tmp_path / "x.onnx", engine="openvino")
    with refused(DeviceMissing, "--engine torch"):
        load_runtime(weights, engine="openvino", device="cuda")
    shutil.copy(weights, tmp_path / "cut.safetensors")
    os.truncate(tmp_path / "cut.safetensors", 1000)
    with pytest.raises(BadCheckpoint):
        load_runtime(tmp_path / "cut.safetensors", engine="openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with refused(PackageMissing, r"facesearch\[fast\]"):
        load_runtime(weights, engine="openvino")


def test_a_gpu_is_asked_of_torch_alone(weights: Path):
    with pytest.raises(DeviceMissing, match="asked for"):
        load_runtime(weights, device="cuda:7")


@pytest.mark.data
@pytest.mark.slow
def test_a_thousand_photos_have_the_same_vectors_on_every_engine(tmp_path: Path):
    prepare(
        read_source(SHARED / "data" / "celebA_train_500", people=45), None, PrepareConfig(out=tmp_path / "data"), lambda done, total: None
    )
    dataset = open_dataset(tmp_path / "data")
    crops, person = np.asarray(dataset.crops[:1000]), dataset.people[:1000]
    assert len(crops) == 1000
    exact = reference(SHIPPED, crops)
    for engine in ("openvino", "torch"):
        vectors = load_runtime(SHIPPED, engine=engine, device="cpu").embed(crops)
        assert cosines(vectors, exact).min() > 0.999, engine
        assert abs(leave_one_out(vectors, person) - leave_one_out(exact, person)) < 0.002, engine


def leave_one_out(vectors: F32, person: np.ndarray) -> float:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -1)
    return float((person[scores.argmax(1)] == person).mean())
