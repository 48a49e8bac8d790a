"""Every engine gives the vectors that the network in torch, float32, gives; and the fast way needs no
torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.datasets.table import open_dataset
from facesearch.encoder.batching import BatchingRuntime
from facesearch.encoder.checkpoint import load_encoder, save_encoder
from facesearch.encoder.config import LAST_LAYER, EncoderConfig
from facesearch.encoder.network import Encoder, UnitVectors, as_pixels
from facesearch.encoder.onnx_export import write_onnx
from facesearch.encoder.runtime import load_runtime, measured
from facesearch.encoder.weights import SHIPPED
from facesearch.errors import BadCheckpoint, DeviceMissing, EngineUnfit, OutputExists, PackageMissing
from facesearch.records import F32, U8
from tests.helpers.places import MOBILEFACENET, SHARED
from tests.helpers.saying import refused


def crops_for(n: int) -> U8:
    """Smooth pictures: what a face is nearer to than noise."""
    small = np.random.default_rng(0).integers(0, 256, (n, 7, 7, 3), dtype=np.uint8)
    return np.repeat(np.repeat(small, 16, 1), 16, 2)


def reference(weights: Path, crops: U8) -> F32:
    """The network as it is in the file: float32, nothing folded, nothing exported."""
    return _referred(weights, crops)[0]


def _referred(weights: Path, crops: U8) -> tuple[F32, F32]:
    encoder, _ = load_encoder(weights)
    whole = UnitVectors(encoder)
    with torch.inference_mode():
        parts = [whole.measured(torch.from_numpy(crops[i : i + 50])) for i in range(0, len(crops), 50)]
    return torch.cat([v for v, _ in parts]).numpy(), torch.cat([n for _, n in parts]).numpy()


def cosines(a: F32, b: F32) -> F32:
    return np.asarray((a * b).sum(1), np.float32)


HEAVY = pytest.mark.slow


@pytest.mark.parametrize(
    "backbone", ["resnet18", *(pytest.param(name, marks=HEAVY) for name in LAST_LAYER if name != "resnet18")]
)
def test_folding_and_exporting_change_no_vector(backbone: str, tmp_path: Path):
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
    encoder.train()(
        torch.rand(8, 3, 64, 64) * 255
    )  # batch norms that have seen something, so that folding them matters
    save_encoder(tmp_path / "w.safetensors", encoder.eval(), {})
    exact = reference(tmp_path / "w.safetensors", crops_for(5))
    for engine in ("torch", "openvino"):
        vectors = load_runtime(
            tmp_path / "w.safetensors", device="cpu", engine=engine, precision="float32"
        ).embed(crops_for(5))
        assert vectors.dtype == np.float32 and cosines(vectors, exact).min() > 0.9999, engine


@pytest.mark.slow
def test_any_number_of_crops_goes_through_openvino(weights: Path):
    runtime = load_runtime(weights, engine="openvino", precision="float32")
    exact = reference(weights, crops_for(130))
    for n in (0, 1, 2, 3, 64, 65, 130):
        vectors = runtime.embed(crops_for(130)[:n])
        assert vectors.shape == (n, 32) and (cosines(vectors, exact[:n]) > 0.9999).all()


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["average", "weighted"])
@pytest.mark.parametrize(
    ("size_px", "flip_average", "head"), [(112, True, ()), (96, False, (24, 16)), (128, True, (24,))]
)
def test_every_kind_of_head_and_size_is_built_as_torch_builds_it(
    pooling: str, size_px: int, flip_average: bool, head: tuple[int, ...], tmp_path: Path
):
    torch.manual_seed(1)
    config = EncoderConfig(
        backbone="resnet18",
        embedding_size=20,
        size_px=size_px,
        head=head,
        flip_average=flip_average,
        pooling=pooling,
        dropout=0.1,
    )
    encoder = Encoder(config)
    if pooling == "weighted":
        torch.nn.init.normal_(encoder.backbone.avgpool.weight)
    encoder.train()(torch.rand(6, 3, size_px, size_px) * 255)
    save_encoder(tmp_path / "w.safetensors", encoder.eval(), {})
    exact, long = _referred(tmp_path / "w.safetensors", crops_for(4))
    for engine in ("torch", "openvino"):
        runtime = load_runtime(tmp_path / "w.safetensors", device="cpu", engine=engine, precision="float32")
        vectors, lengths = measured(runtime, crops_for(4))
        assert cosines(vectors, exact).min() > 0.99999, engine
        assert lengths.shape == (4,) and lengths.dtype == np.float32, engine
        assert np.allclose(lengths, long, rtol=1e-3) and long.min() > 0.1, engine


@pytest.mark.slow
def test_the_shipped_encoder_is_built_as_torch_builds_it():
    vectors = load_runtime(SHIPPED, device="cpu", precision="float32").embed(crops_for(20))
    assert cosines(vectors, reference(SHIPPED, crops_for(20))).min() > 0.9999


@pytest.mark.slow
def test_all_ways_to_run_the_shipped_encoder_tell_the_same_lengths():
    """The mean over both mirror images of how long the network's own vector is, worked out here."""
    crops = crops_for(20)
    encoder, _ = load_encoder(SHIPPED)
    with torch.inference_mode():
        pixels = as_pixels(torch.from_numpy(crops), encoder.config.size_px)
        both = [np.linalg.norm(encoder(view).numpy(), axis=1) for view in (pixels, pixels.flip(3))]
    exact = (both[0] + both[1]) / 2
    for engine in ("openvino", "torch"):
        runtime = load_runtime(SHIPPED, device="cpu", engine=engine, precision="float32")
        together = BatchingRuntime(runtime, most=64)
        for way in (runtime, together):
            assert np.allclose(measured(way, crops)[1], exact, rtol=1e-3), engine
        together.close()


@pytest.mark.slow
def test_our_encoders_need_no_torch_and_tell_nobody(weights: Path):
    """What imports them fails; and what OpenVINO asks before it sends anything has been answered with no, and
    is as it was.
    """
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'jinja2', 'onnx', 'onnxruntime']))\n"
        "from openvino_telemetry import main\n"
        "sent = []; main.Telemetry.send_event = lambda self, *words, **more: sent.append(self.consent)\n"
        "from openvino_telemetry.utils.opt_in_checker import OptInChecker; before = OptInChecker.check\n"
        "from facesearch.encoder.runtime import load_runtime\n"
        f"runtime = load_runtime(Path({str(weights)!r}))\n"
        "import openvino\n"
        "assert not any(sent) and OptInChecker.check is before and openvino.convert_model\n"
        "print(runtime.embed(np.zeros((1, 112, 112, 3), np.uint8)).shape)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=environment,
    )
    assert done.returncode == 0 and done.stdout == "(1, 32)\n", done.stderr


def test_damaged_weights_are_refused(weights: Path, tmp_path: Path):
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    (tmp_path / "w.safetensors").write_bytes(data)
    for engine in ("openvino", "torch"):
        with pytest.raises(BadCheckpoint, match="damaged"):
            load_runtime(tmp_path / "w.safetensors", engine=engine, device="cpu")


def test_the_number_of_threads_is_the_callers(weights: Path):
    assert "1 thread," in load_runtime(weights, device="cpu", threads=1).words
    assert "threads, bfloat16" in load_runtime(weights, device="cpu", precision="bfloat16").words


@pytest.mark.slow
def test_a_foreign_encoder_gives_the_same_vectors_on_both_engines(weights: Path, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    write_onnx(weights, tmp_path / "e.onnx")
    there, here = (
        load_runtime(tmp_path / "e.onnx", device="cpu", engine=e, precision="float32")
        for e in ("onnxruntime", "openvino")
    )
    assert (
        there.encoder_id == here.encoder_id
        and "OpenVINO" in load_runtime(tmp_path / "e.onnx", device="cpu").words
    )
    assert cosines(there.embed(crops_for(70)), here.embed(crops_for(70))).min() > 0.9999
    lengths = [measured(runtime, crops_for(70))[1] for runtime in (there, here)]
    ours = measured(load_runtime(weights, device="cpu", precision="float32"), crops_for(70))[1]
    assert np.allclose(lengths[0], lengths[1], rtol=1e-3)
    assert np.corrcoef(lengths[1], ours)[0, 1] > 0.98 and lengths[1].min() > 0


@pytest.mark.data
def test_the_teacher_gives_the_same_vectors_on_both_engines():
    pytest.importorskip("onnxruntime")
    exact = load_runtime(MOBILEFACENET, device="cpu", engine="onnxruntime").embed(crops_for(20))
    assert (
        cosines(
            load_runtime(MOBILEFACENET, device="cpu", precision="float32").embed(crops_for(20)), exact
        ).min()
        > 0.9999
    )
    assert cosines(load_runtime(MOBILEFACENET, device="cpu").embed(crops_for(20)), exact).min() > 0.999


@pytest.mark.slow
def test_an_encoder_is_written_as_standard_onnx(weights: Path, tmp_path: Path):
    """Of any number of photos, with the vectors that torch gives; nothing is overwritten, and what differs is
    not written.
    """
    onnx = pytest.importorskip("onnx")
    made = write_onnx(weights, tmp_path / "e.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "e.onnx"), full_check=True)
    assert made.takes == (0, 3, 64, 64) and made.gives == (0, 32) and made.lowest_cosine > 0.9999
    assert [path.name for path in tmp_path.iterdir()] == ["e.onnx"]
    crops = np.repeat(
        np.repeat(np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8), 28, 1), 28, 2
    )
    vectors = load_runtime(tmp_path / "e.onnx", device="cpu", precision="float32").embed(crops)
    assert cosines(vectors, reference(weights, crops)).min() > 0.99  # it is resized by another rule
    with pytest.raises(OutputExists):
        write_onnx(weights, tmp_path / "e.onnx")


def test_an_onnx_file_with_other_vectors_is_not_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("facesearch.encoder.onnx_export.LEAST_COSINE", 1.5)
    with pytest.raises(BadCheckpoint, match="nothing was written"):
        write_onnx(weights, tmp_path / "e.onnx")
    assert not list(tmp_path.iterdir())


def test_an_engine_that_does_not_fit_is_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with refused(EngineUnfit, "--engine torch or openvino"):
        load_runtime(weights, engine="onnxruntime")
    with refused(EngineUnfit, "--engine openvino or onnxruntime"):
        load_runtime(tmp_path / "x.onnx", engine="torch")
    with refused(DeviceMissing, "--engine torch"):
        load_runtime(weights, engine="openvino", device="cuda")
    shutil.copy(weights, tmp_path / "cut.safetensors")
    os.truncate(tmp_path / "cut.safetensors", 1000)
    with pytest.raises(BadCheckpoint):
        load_runtime(tmp_path / "cut.safetensors", engine="openvino")
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("facesearch.encoder.torch_runtime")]:
        monkeypatch.delitem(sys.modules, name)
    with refused(PackageMissing, r"facesearch\[train\]"):
        load_runtime(weights, engine="torch")


def test_a_gpu_is_asked_of_torch_alone(weights: Path):
    with pytest.raises(DeviceMissing, match="asked for"):
        load_runtime(weights, device="cuda:7")


@pytest.mark.data
@pytest.mark.slow
def test_a_thousand_photos_have_the_same_vectors_on_every_engine(tmp_path: Path):
    prepare(
        read_source(SHARED / "data" / "celebA_train_500", people=45),
        None,
        PrepareConfig(out=tmp_path / "data"),
        lambda done, total: None,
    )
    dataset = open_dataset(tmp_path / "data")
    crops, person = np.array(dataset.crops[:1000]), dataset.people[:1000]
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
