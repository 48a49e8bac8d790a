from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from facesearch.encoder.checkpoint import encoder_id, load_encoder, save_encoder, write_tensors
from facesearch.encoder.config import EncoderConfig
from facesearch.encoder.network import Encoder
from facesearch.encoder.runtime import load_runtime
from facesearch.encoder.torch_runtime import TorchRuntime
from facesearch.encoder.weights_file import read_meta
from facesearch.errors import BadCheckpoint, NotFound, PickleRefused
from tests.helpers.places import MOBILEFACENET


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderConfig(backbone="resnet18", embedding_size=16, size_px=64)).eval()


def test_an_encoder_comes_back_bit_for_bit_with_its_notes(encoder: Encoder, tmp_path: Path):
    identity = save_encoder(tmp_path / "a.safetensors", encoder, {"epoch": 3})
    again, meta = load_encoder(tmp_path / "a.safetensors")
    assert meta["notes"] == {"epoch": 3} and meta["encoder_id"] == identity and again.config == encoder.config
    for name, value in encoder.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_id_changes_with_one_weight_and_with_one_setting(encoder: Encoder):
    tensors = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = encoder_id(tensors, encoder.config)
    assert first == encoder_id({n: v.clone() for n, v in reversed(tensors.items())}, encoder.config)
    assert first != encoder_id(
        tensors, EncoderConfig(backbone="resnet18", embedding_size=16, size_px=64, flip_average=False)
    )
    tensors["backbone.fc.bias"][0] += 1e-6
    assert first != encoder_id(tensors, encoder.config)


def test_half_precision_is_half_the_size_and_another_encoder(encoder: Encoder, tmp_path: Path):
    whole = save_encoder(tmp_path / "a.safetensors", encoder, {})
    half = save_encoder(tmp_path / "b.safetensors", encoder, {}, half=True)
    assert whole != half
    assert (tmp_path / "b.safetensors").stat().st_size < 0.51 * (tmp_path / "a.safetensors").stat().st_size
    load_encoder(tmp_path / "b.safetensors")


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/facesearch-pickle-was-run"),))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_unread(tmp_path: Path, zipped: bool):
    path = tmp_path / "model.safetensors"
    torch.save({"weights": Evil()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PickleRefused, match="safetensors"):
        load_encoder(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(PickleRefused):
        load_encoder(path)
    assert not Path("/tmp/facesearch-pickle-was-run").exists()


def test_foreign_cut_and_damaged_files_are_refused_with_a_reason(encoder: Encoder, tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_encoder(path, encoder, {})
    good = path.read_bytes()
    for data, reason in (
        (b"", "safetensors"),
        (b"hello world" * 9, "safetensors"),
        (good[: len(good) // 2], "safetensors"),
        (good[:-200] + bytes([good[-200] ^ 1]) + good[-199:], "damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(BadCheckpoint, match=reason):
            load_encoder(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(BadCheckpoint, match="not one that facesearch wrote"):
        load_encoder(path)
    write_tensors(path, {"x": torch.zeros(2)}, {"kind": "training state"})
    with pytest.raises(BadCheckpoint, match=r"best\.safetensors"):
        load_encoder(path)
    with pytest.raises(NotFound):
        read_meta(tmp_path / "none.safetensors")


def test_a_failed_write_leaves_the_old_file(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import os

    from facesearch.errors import CannotWrite

    path = tmp_path / "a.safetensors"
    save_encoder(path, encoder, {"n": 1})
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="the disk is full"):
        save_encoder(path, encoder, {"n": 2})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ---- running it


def test_vectors_are_unit_rows_that_do_not_depend_on_the_batch(weights: Path):
    crops = np.random.default_rng(0).integers(0, 256, (70, 112, 112, 3), dtype=np.uint8)
    runtime = load_runtime(weights, device="cpu")
    together = runtime.embed(crops)
    assert together.dtype == np.float32 and together.shape == (70, 32)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.vstack([runtime.embed(crops[i : i + 1]) for i in (0, 40, 69)])
    assert (alone * together[[0, 40, 69]]).sum(1).min() > 0.9999


def test_a_mirrored_crop_has_the_same_vector(weights: Path):
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    runtime = TorchRuntime(weights, "cpu")
    assert (runtime.embed(crops) * runtime.embed(crops[:, :, ::-1])).sum(1).min() > 0.99999


def test_bfloat16_agrees_with_float32(weights: Path):
    crops = np.random.default_rng(0).integers(0, 256, (16, 112, 112, 3), dtype=np.uint8)
    exact = TorchRuntime(weights, "cpu", "float32").embed(crops)
    assert (exact * TorchRuntime(weights, "cpu", "bfloat16").embed(crops)).sum(1).min() > 0.999


@pytest.mark.data
def test_a_foreign_onnx_encoder_of_another_size_works():
    runtime = load_runtime(MOBILEFACENET, device="cpu")
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    vectors = runtime.embed(crops)
    assert vectors.shape == (3, 128) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert runtime.encoder_id != load_runtime(MOBILEFACENET, device="cpu", preprocess="arcface").encoder_id


def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(BadCheckpoint, match="cannot load"):
            load_runtime(tmp_path / "bad.onnx", device="cpu", engine=engine)
