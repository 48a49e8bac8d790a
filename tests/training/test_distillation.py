"""A tiny ONNX teacher made here: its lessons, what is done with them, and a student that comes nearer to
it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facesearch.datasets.table import Dataset
from facesearch.encoder.config import EncoderConfig
from facesearch.encoder.device import choose_device
from facesearch.encoder.foreign import Foreign
from facesearch.encoder.network import Encoder
from facesearch.encoder.openvino_runtime import Engine
from facesearch.encoder.runtime import load_runtime
from facesearch.errors import BadCheckpoint, BadConfig, OtherRun
from facesearch.training import teacher as teaching
from facesearch.training.augment import Augmenter, Draws, mixed
from facesearch.training.distillation import Distillation, Lesson
from facesearch.training.fast_conv import FastConv2d, _MatmulConv, speed_up
from facesearch.training.losses import Student, map_distance, relation_distance, vector_distance
from facesearch.training.photos import Chosen, training_photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.teacher import Teacher
from facesearch.training.train import train
from tests.helpers.saying import quiet
from tests.helpers.training import CHANNELS, VECTOR

onnx = pytest.importorskip("onnx")
CPU = choose_device("cpu")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher computes in float32 on every machine, so that it can be compared with others."""
    monkeypatch.setattr(teaching, "Engine", partial(Engine, precision="float32"))


def recipe(teacher: Path, **changes: object) -> TrainConfig:
    settings = {
        "backbone": "resnet18",
        "embedding_size": 16,
        "scale": 10.0,
        "lr": 2e-3,
        "epochs": 2,
        "batch_size": 12,
        "size_px": 32,
        "flip": True,
        "shift": 0.05,
        "teacher": str(teacher),
        "distill_live": 0.5,
        "distill_mixed": 0.5,
        "distill_maps": 2.0,
        "distill_relations": 1.0,
        "ema_decay": 0.5,
    }
    return TrainConfig.from_dict({**settings, **changes})


def drawn(n: int, seed: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), n, CPU.torch)


def taught(config: TrainConfig, chosen: Chosen, sides: list[int]) -> Distillation:
    return Distillation(
        config, chosen.train, None, chosen.val, chosen.held, sides, CPU, quiet, lambda line: None
    )


def go(
    config: TrainConfig,
    dataset: Dataset,
    out: Path,
    nameless: list[Dataset] | None = None,
    resume: bool = False,
):
    return train(
        config,
        [dataset],
        nameless or [],
        choose_device("cpu"),
        out,
        resume=resume,
        on_step=lambda step: None,
        on_epoch=lambda result, out: None,
        on_teacher=quiet,
        tell=lambda line: None,
    )


def test_the_teacher_shows_its_vector_and_its_map(teacher_file: Path):
    teacher = Teacher(teacher_file, "imagenet", CPU, sides=[6])
    crops = torch.randint(
        0, 256, (3, 112, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    pixels = crops.permute(0, 3, 1, 2).float()
    vectors, (maps,) = teacher.look(pixels)
    assert (
        vectors.shape == (3, VECTOR) and maps.shape == (3, CHANNELS, 7, 7) and teacher.channels == (CHANNELS,)
    )
    # Flip-averaging two looks is what the runtime of an ONNX encoder gives.
    both = F.normalize(F.normalize(vectors) + F.normalize(teacher.look(pixels.flip(3))[0]))
    runtime = load_runtime(teacher_file, device="cpu", engine="onnxruntime")
    assert np.allclose(both.numpy(), runtime.embed(crops.numpy()), atol=1e-5)
    assert np.allclose(teacher.embed(crops.numpy()), runtime.embed(crops.numpy()), atol=1e-5)
    assert teacher.encoder_id == runtime.encoder_id


def test_of_several_maps_the_last_sum_of_about_that_size_is_shown(tmp_path: Path):
    """Sides 28, 28 (a sum), 28, 14: asked for 24, 13 and 3 it shows the sum, then the 14 twice."""
    node, shape = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    kernel = onnx.numpy_helper.from_array(np.ones((2, 3, 4, 4), np.float32) / 48, "kernel")
    half = onnx.numpy_helper.from_array(np.ones((4, 2, 2, 2), np.float32) / 8, "half")
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["photo", "kernel"], ["a"], strides=[4, 4]),
            node("Add", ["a", "a"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("Conv", ["c", "half"], ["d"], strides=[2, 2]),
            node("GlobalAveragePool", ["d"], ["mean"]),
            node("Flatten", ["mean"], ["vector"]),
        ],
        "steps",
        [shape("photo", onnx.TensorProto.FLOAT, [1, 3, 112, 112])],
        [shape("vector", onnx.TensorProto.FLOAT, [1, 4])],
        [kernel, half],
    )
    path = tmp_path / "t.onnx"
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )
    teacher = Teacher(path, "imagenet", CPU, sides=[24, 13, 3])
    _, maps = teacher.look(torch.full((1, 3, 112, 112), 255.0))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (2, 28, 28),
        (4, 14, 14),
        (4, 14, 14),
    ] and teacher.channels == (2, 4, 4)
    white = float(
        cast(Foreign, load_runtime(path, device="cpu"))
        .pixels(np.full((1, 112, 112, 3), 255, np.uint8))
        .mean()
    )
    assert float(maps[0].mean()) == pytest.approx(2 * white, rel=1e-5)


def test_a_file_without_a_map_is_no_teacher(tmp_path: Path):
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["photo"], ["mean"], axes=[2, 3], keepdims=0)],
        "flat",
        [shape("photo", onnx.TensorProto.FLOAT, [1, 3, 112, 112])],
        [shape("mean", onnx.TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8),
        str(tmp_path / "t.onnx"),
    )
    with pytest.raises(BadCheckpoint, match="no map of features"):
        Teacher(tmp_path / "t.onnx", "imagenet", CPU)


def test_a_lesson_keeps_known_vectors_and_unnames_mixtures(teacher_file: Path, toy_dataset: Dataset):
    config = recipe(teacher_file)
    chosen = training_photos([toy_dataset])
    photos = chosen.train
    distillation = taught(config, chosen, [6])
    numbers = np.arange(12)
    crops, labels = photos.crops(numbers), torch.from_numpy(photos.label[numbers])
    draws = drawn(12, 1)
    augment = Augmenter(config)
    views = augment.views(12, draws)
    live = distillation.live(12, 0)
    shown, left, turned = distillation.mix(crops, labels, views, live, draws)
    lesson = distillation.lesson(torch.arange(12), shown, augment(shown, None, turned, 112, draws), live)
    assert left[:3].tolist() == [-1] * 3 and torch.equal(
        left[3:], labels[3:]
    )  # half of 12 live, half of these mixed
    assert [len(each) for each in lesson.maps] == [6]
    assert np.allclose(lesson.vectors[3:], distillation.teacher.embed(crops[3:].numpy()), atol=1e-5)
    seen = distillation.teacher.look(shown[:6].permute(0, 3, 1, 2).float())[0]
    assert torch.allclose(lesson.vectors[:3], F.normalize(seen[:3]), atol=1e-5)
    assert torch.allclose(lesson.lengths, seen.norm(dim=1), rtol=1e-5)
    assert torch.equal(shown[6:], crops[6:]) and torch.equal(turned[6:], views[6:])


def test_mirroring_beforehand_shows_the_same_photo(teacher_file: Path, toy_dataset: Dataset):
    """What show() mirrors itself and then views unmirrored is, pixel by pixel, what the view alone would have
    shown.
    """
    config = recipe(teacher_file, distill_mixed=0.0, distill_live=1.0, rotate_deg=10.0, zoom=0.1)
    chosen = training_photos([toy_dataset])
    photos = chosen.train
    distillation = taught(config, chosen, [])
    augment, draws = Augmenter(config), drawn(12, 2)
    crops, views = photos.crops(np.arange(12)), augment.views(12, draws)
    assert 0 < (torch.linalg.det(views[:, :, :2]) < 0).sum() < 12
    shown, _, turned = distillation.mix(crops, torch.zeros(12, dtype=torch.int64), views, 12, draws)
    assert (torch.linalg.det(turned[:, :, :2]) > 0).all()
    before, after = augment(crops, None, views, 64, draws), augment(shown, None, turned, 64, draws)
    assert torch.allclose(before, after, atol=0.5)


def test_maps_are_compared_where_the_pupil_looked(teacher_file: Path, toy_dataset: Dataset):
    """A student that foretells the teacher's map, standardised and seen through the same view, is at distance
    0; else it is not.
    """
    config = recipe(teacher_file, distill_vectors=0.0, distill_relations=0.0, distill_maps=1.0)
    chosen = training_photos([toy_dataset])
    photos = chosen.train
    distillation = taught(config, chosen, [7])
    views = torch.tensor([[[1.0, 0, 0.3], [0, 1.0, 0]]])
    _, (maps,) = distillation.teacher.look(photos.crops(np.arange(1)).permute(0, 3, 1, 2).float())
    lesson = Lesson(torch.zeros(1, VECTOR), torch.ones(1), (maps,))
    grid = F.affine_grid(views, [1, 1, 7, 7], align_corners=False)
    seen = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    spread, mean = torch.std_mean(seen, dim=(0, 2, 3), keepdim=True, correction=0)
    student = Student(16, VECTOR, [(CHANNELS, CHANNELS)])
    torch.nn.init.dirac_(student.maps[0].weight)
    torch.nn.init.zeros_(student.maps[0].bias)
    embedding = torch.randn(1, 16)
    near, far = (
        distillation.loss(student, embedding, [(stage - mean) / spread], views, lesson).item()
        for stage in (seen, maps)
    )
    assert near == pytest.approx(0, abs=1e-5) and far > 0.01


def test_mixtures_are_made_of_both_faces():
    black, white = (
        torch.zeros(1, 112, 112, 3, dtype=torch.uint8),
        torch.full((1, 112, 112, 3), 200, dtype=torch.uint8),
    )
    crops = torch.cat([black, white] * 20)
    faces = mixed(crops, drawn(40, 3))
    assert faces.shape == crops.shape and faces.dtype == torch.uint8
    shares = faces.float().flatten(1).mean(1) / 200
    assert ((shares > 0.25) & (shares < 0.75)).all()
    blended = faces.flatten(1).float().std(1) < 1
    assert 8 < blended.sum() < 32  # about half are blended, half are cut


def test_distances_are_zero_at_the_teacher_and_known_elsewhere():
    vectors = F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(4)))
    assert float(vector_distance(3 * vectors, vectors)) == pytest.approx(0, abs=1e-6)
    assert float(vector_distance(-vectors, vectors)) == pytest.approx(2, abs=1e-6)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(5)))[0]
    assert float(relation_distance(vectors @ turn, vectors)) == pytest.approx(0, abs=1e-6)
    by_hand = np.mean(
        [(float(vectors[i] @ vectors[j]) - (i == j)) ** 2 for i in range(5) for j in range(5) if i != j]
    )
    assert float(relation_distance(torch.eye(5), vectors)) == pytest.approx(by_hand, abs=1e-6)
    maps = 3 + 2 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(6))
    standard = (maps - maps.mean((0, 2, 3), keepdim=True)) / maps.std((0, 2, 3), keepdim=True, correction=0)
    assert float(map_distance(standard, maps)) == pytest.approx(0, abs=1e-6)
    assert float(map_distance(torch.zeros_like(maps), maps)) == pytest.approx(
        1, abs=1e-5
    )  # the mean explains nothing


@pytest.mark.slow
def test_a_pupil_comes_nearer_to_its_teacher_also_on_photos_it_never_saw(
    teacher_file: Path, toy_dataset: Dataset, tmp_path: Path
):
    result = go(recipe(teacher_file, epochs=4, distill_vectors=20.0), toy_dataset, tmp_path / "run")
    cosines = [epoch.val_teacher for epoch in result.history]
    assert cosines[-1] > cosines[0] + 0.2


@pytest.mark.slow
def test_another_teacher_cannot_take_over(teacher_file: Path, toy_dataset: Dataset, tmp_path: Path):
    copy = tmp_path / "t.onnx"
    copy.write_bytes(teacher_file.read_bytes())
    go(recipe(copy, epochs=1), toy_dataset, tmp_path / "run")
    model = onnx.load(str(copy))
    model.doc_string = "another"
    onnx.save(model, str(copy))
    with pytest.raises(OtherRun, match="taught by another file"):
        go(recipe(copy, epochs=1), toy_dataset, tmp_path / "run", resume=True)


def test_nameless_photos_join_without_becoming_classes(toy_dataset: Dataset):
    alone, both = training_photos([toy_dataset]), training_photos([toy_dataset], [toy_dataset])
    named, more, val = alone.train, both.train, both.val
    assert (
        both.classes == alone.classes
        and len(more) == 2 * len(named)
        and (more.label[len(named) :] == -1).all()
    )
    assert (val.label >= 0).all()


@pytest.mark.slow
def test_a_run_on_nameless_photos_too(teacher_file: Path, toy_dataset: Dataset, tmp_path: Path):
    result = go(
        recipe(teacher_file, epochs=1, distill_mixed=1.0, distill_live=1.0),
        toy_dataset,
        tmp_path / "run",
        [toy_dataset],
    )
    assert result.history[0].train_loss > 0  # every photo a mixture: no label at all in a batch


def test_maps_and_mixtures_need_live_photos():
    for setting in ("distill_maps=1", "distill_mixed=0.5"):
        with pytest.raises(BadConfig, match="distill_live"):
            TrainConfig().changed([setting])


def test_a_stage_must_be_a_part_that_gives_maps():
    encoder = Encoder(EncoderConfig(backbone="resnet18"))
    assert encoder.map_of("layer3") == (256, 7)
    for stage in ("layer9", "fc"):
        with pytest.raises(BadConfig, match="distill_stages"):
            encoder.map_of(stage)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [4, 7])
def test_the_fast_convolution_is_a_convolution_forwards_and_backwards(stride: int, size: int):
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(2, 8, size, size, dtype=torch.float64, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    weight = torch.randn(5, 8, 3, 3, dtype=torch.float64, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    answers = []
    for convolve in (
        lambda a, b: F.conv2d(a, b, stride=stride, padding=1),
        lambda a, b: _MatmulConv.apply(a, b, stride),
    ):
        a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = convolve(a, b)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        answers.append((y, a.grad, b.grad))
    for one, two in zip(*answers, strict=True):
        assert torch.allclose(one, two, rtol=1e-10)


def test_speeding_up_changes_no_weight_and_no_name():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(backbone="resnet18"))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    x = torch.rand(2, 3, 64, 64) * 255
    plain = encoder.eval()(x)
    speed_up(encoder)
    assert any(isinstance(module, FastConv2d) for module in encoder.modules())
    assert encoder.state_dict().keys() == before.keys() and torch.equal(encoder.eval()(x), plain)
