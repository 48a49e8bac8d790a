"""The teacher as a torch module, the device's data path photo by photo, packs, runs by the clock: what a GPU
needs, tried without one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facesearch.encoder.device import Device, choose_device
from facesearch.training.augment import Augmenter, Draws, _blurred
from facesearch.training.onnx_module import UnreadOperator, read_network
from facesearch.training.recipe import TrainConfig
from facesearch.training.teacher import Teacher
from tests.helpers.onnx_files import network, of_all_kinds
from tests.helpers.places import SHARED

CPU = torch.device("cpu")
W600K = SHARED / "models" / "w600k_mbf.onnx"
onnx = pytest.importorskip("onnx")


def drawn(n: int, seed: int = 0, device: torch.device = CPU) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), n, device)


# ---- the teacher as a torch module


def by_onnxruntime(path: Path, pixels: torch.Tensor) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {entry: one[None].numpy()})[0] for one in pixels])


def test_a_network_read_as_a_torch_module_gives_what_onnxruntime_gives(tmp_path: Path):
    path = of_all_kinds(tmp_path / "t.onnx")
    pixels = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    module = read_network(path, ["e"])
    vectors, sums = module(pixels)
    assert np.allclose(vectors.numpy(), by_onnxruntime(path, pixels), atol=1e-5)
    assert sums.shape == (4, 8, 8, 8)
    functions = [node.target for node in module.graph.nodes]
    assert functions.count(F.batch_norm) == 1  # behind a sum it stays; behind Conv and Gemm it is folded


def test_an_operator_that_is_not_read_is_named(tmp_path: Path):
    nodes = [
        onnx.helper.make_node("HardSwish", ["photo"], ["a"]),
        onnx.helper.make_node("ReduceMean", ["a"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    with pytest.raises(UnreadOperator, match="HardSwish"):
        read_network(network(tmp_path / "t.onnx", nodes, {}, 3, opset=14), [])


@pytest.mark.data
def test_the_real_teachers_are_read_to_the_fourth_decimal_and_are_near_in_bfloat16():
    pixels = torch.randn(8, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    for path in (W600K, SHARED / "models" / "mobilefacenet.onnx"):
        module = read_network(path, [])
        expected = torch.from_numpy(by_onnxruntime(path, pixels))
        assert torch.allclose(module(pixels)[0], expected, atol=1e-4 * float(expected.abs().max()))
        rounded = module.to(torch.bfloat16, memory_format=torch.channels_last)(pixels.bfloat16())[0].float()
        assert F.cosine_similarity(rounded, expected).min() > 0.998


@pytest.mark.gpu
def test_on_a_gpu_the_teacher_is_the_one_of_the_cpu(tmp_path: Path):
    path = of_all_kinds(tmp_path / "t.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (9, 112, 112, 3), np.uint8)
    for compiled in (False, True):
        there = Teacher(path, "imagenet", choose_device("cuda"), sides=[8], compiled=compiled)
        here = Teacher(path, "imagenet", choose_device("cpu"), sides=[8])
        assert (there.embed(crops) * here.embed(crops)).sum(1).min() > 0.99
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
        seen = there.look(pixels.cuda(), often=True)[0].cpu()
        assert F.cosine_similarity(seen, here.look(pixels)[0]).min() > 0.99


def test_a_gpu_without_a_module_for_the_teacher_says_so_and_uses_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a Device says decides; that it is none here shows in the engine that is taken instead."""
    path, said = of_all_kinds(tmp_path / "t.onnx"), []
    monkeypatch.setattr(
        "facesearch.training.teacher.read_network",
        lambda model, names: (_ for _ in ()).throw(UnreadOperator("Loop")),
    )
    claimed = Device(torch.device("cpu"), torch.float32, "a GPU")
    monkeypatch.setattr(Teacher, "_on_gpu", property(lambda self: True))
    teacher = Teacher(path, "imagenet", claimed, tell=said.append)
    assert "Loop is not read" in said[0] and "CPU" in teacher.words
    assert teacher.look(torch.zeros(2, 3, 16, 16))[0].shape == (2, 5)


# ---- the data path on the device


def one_by_one(x: torch.Tensor, share: float, draws: Draws) -> torch.Tensor:
    """Shrunk and enlarged photo by photo, by the library's own resizing."""
    n, size = len(x), x.shape[-1]
    chosen, factor = draws.chosen(n, share), 1.5 * (4 / 1.5) ** draws.uniform((n,))
    out = x.clone()
    for i in range(n):
        if chosen[i]:
            small = max(8, round(size / float(factor[i])))
            out[i : i + 1] = F.interpolate(
                F.interpolate(x[i : i + 1], (small, small), mode="area"), (size, size), mode="bilinear"
            )
    return out


@pytest.mark.parametrize("size", [32, 96, 112])
def test_low_resolution_by_matrices_is_resizing_photo_by_photo(size: int):
    x = torch.rand((24, 3, size, size), generator=torch.Generator().manual_seed(size)) * 255
    expected = one_by_one(x, 0.6, drawn(24))
    changed = (expected != x).flatten(1).any(1).sum()
    assert 8 < changed < 24
    assert torch.allclose(_blurred(x.clone(), 0.6, drawn(24)), expected, atol=1e-3)


ALL = TrainConfig(
    flip=True, shift=0.1, zoom=0.1, rotate_deg=9, border=0.5, light=0.3, grey=0.2, low_res=0.5, erase=0.5
)


def test_a_batch_takes_no_more_random_numbers_than_are_sent():
    crops = torch.zeros(40, 112, 112, 3, dtype=torch.uint8)
    augment, draws = Augmenter(ALL), drawn(40)
    from facesearch.training.augment import mixed

    mixed(crops, draws)
    augment(crops, None, augment.views(40, draws), 96, draws)
    assert 0 < draws._used <= draws._block.numel()


@pytest.mark.gpu
def test_the_same_seed_gives_the_same_photos_on_cpu_and_gpu():
    cuda, made = torch.device("cuda"), []
    crops = torch.randint(
        0, 256, (64, 112, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    for device in (CPU, cuda):
        augment, draws = Augmenter(ALL), drawn(64, 5, device)
        made.append(augment(crops.to(device), None, augment.views(64, draws), 112, draws).cpu())
    assert (made[0] - made[1]).abs().mean() < 0.1 and torch.isclose(*made, atol=2.0).float().mean() > 0.995
