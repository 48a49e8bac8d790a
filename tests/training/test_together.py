"""Several processes, one run: on the CPU over gloo, two of them. The oracle is what one process does
alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facesearch.datasets.table import Dataset
from facesearch.encoder.checkpoint import read_meta, read_tensors
from facesearch.encoder.device import choose_device
from facesearch.encoder.weights import BEST
from facesearch.errors import BadConfig, DeviceMissing
from facesearch.gallery.build import build_index
from facesearch.gallery.store.checks import problems
from facesearch.gallery.store.store import Store
from facesearch.ranks import ALONE, Ranks, from_environment, own_device
from facesearch.training.batches import Batches, ahead
from facesearch.training.photos import training_photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import CLASSIFIER, CONFIG, STATE, load_history
from facesearch.training.run_weights import load_classifier
from facesearch.training.sharded_head import ShardedArcFace
from facesearch.training.trainer import Training
from tests.helpers.drawn import ColourEncoder
from tests.helpers.ranks import ROOT, in_ranks
from tests.helpers.training import SMALL, assert_same, go

PLAIN = TrainConfig(
    backbone="resnet18",
    embedding_size=16,
    embedding_batchnorm=True,
    scale=10.0,
    margin_rad=0.1,
    lr=1e-3,
    epochs=1,
    batch_size=12,
    size_px=64,
    ema_decay=0.5,
    grad_clip=1.0,
    optimizer="sgd",
    schedule="constant",
    label_smoothing=0.1,
    freeze=(1,),
)
"""Nothing drawn at random, and all else: what two processes learn can be held against what one learns."""


def written(config: TrainConfig, folder: Path, name: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(config.as_toml())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2])
def test_processes_agree_and_what_they_work_out_together_is_what_one_would(world: int):
    """Words, batch norm, sharded ArcFace with and without a sample: see tests/rank_work.py."""
    in_ranks(world, "oracles")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["taught", "sharded"])
def test_two_processes_train_as_one(how: str, teacher_file: Path, toy_dataset: Dataset, tmp_path: Path):
    """With average, frozen layers and smoothing: all weights, and what the optimiser knows, move alike.

    taught: one step that is not clipped, which would hide a gradient that is too long; of the student, what
    foretells maps is not needed yet. sharded: three steps, clipped.
    """
    teacher = [
        "grad_clip=0",
        "batch_size=36",
        f'teacher="{teacher_file}"',
        "distill_live=1",
        "distill_live_start_epoch=1",
        "distill_maps=1",
    ]
    config = PLAIN.changed(teacher if how == "taught" else ["shard_classes=true"])
    whole = config.changed(["shard_classes=false"])
    in_ranks(2, "training", written(config, tmp_path, "recipe"), toy_dataset.folder, tmp_path / "two")
    alone = go(whole, toy_dataset, tmp_path / "one", precision="float32")
    start = Training(
        whole, [toy_dataset], [], choose_device("cpu", "float32"), tmp_path, lambda done, total: None
    ).model.state_dict()
    one, two = (read_tensors(tmp_path / run / STATE)[0] for run in ("one", "two"))
    assert one.keys() == two.keys()
    names = [name for name in start if start[name].is_floating_point()]
    moved_one, moved_two = (
        torch.cat(
            [
                (t[f"model.{n}"] - start[n].contiguous()).double().flatten()
                for n in names
                if "running" not in n
            ]
        )
        for t in (one, two)
    )
    assert moved_one.norm() > 0.01
    # torch's own batch norm is what is inexact here: its float32 gradients are up to 1 % from those of
    # float64, ours 3e-6.
    assert float((moved_one - moved_two).norm() / moved_one.norm()) < 0.02
    for name, value in one.items():
        apart, size = (two[name].double() - value.double()).norm(), value.double().norm()
        assert apart <= 0.04 * size + 1e-6, (name, float(apart), float(size))
    (result,), (together,) = alone.history, load_history(tmp_path / "two")
    assert together.train_loss == pytest.approx(result.train_loss, rel=1e-4)
    assert together.train_accuracy == result.train_accuracy and together.val_accuracy == result.val_accuracy
    assert together.val_loss == pytest.approx(
        result.val_loss, rel=1e-3
    ) and together.val_tpr == pytest.approx(result.val_tpr, abs=0.06)
    head, classes, identity = load_classifier(tmp_path / "two" / CLASSIFIER)
    assert identity == read_meta(tmp_path / "two" / BEST)["encoder_id"] and head(torch.ones(1, 16)).shape == (
        1,
        len(classes),
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["blended", "sharded"])
def test_two_processes_go_on_bit_for_bit_after_a_signal_to_one(
    how: str, teacher_file: Path, toy_dataset: Dataset, tmp_path: Path
):
    blended = ["freeze=[1, 0]", "mixup=0.5", "size_steps=[[0, 32], [1, 48]]"]
    taught = [
        f'teacher="{teacher_file}"',
        "distill_live=0.5",
        "distill_mixed=0.5",
        "distill_maps=2",
        "distill_relations=1",
    ]
    changes = blended if how == "blended" else [*taught, "shard_classes=true", "class_sample=0.6"]
    recipe = written(SMALL.changed(changes), tmp_path, "recipe")
    how = (recipe, toy_dataset.folder)
    in_ranks(2, "trainings", *how, tmp_path / "whole", "then", *how, tmp_path / "cut", "stop", 0, 2)
    (_, told), (_, also) = in_ranks(2, "training", recipe, toy_dataset.folder, tmp_path / "cut", "resume")
    assert "resuming at epoch 1, step 2 of 3" in told and "resuming at epoch 1, step 2 of 3" in also
    for name in (STATE, BEST, CLASSIFIER):
        assert_same(tmp_path / "whole" / name, tmp_path / "cut" / name)
    assert not [path.name for path in (tmp_path / "cut").iterdir() if path.name.endswith(".new")]
    assert len(load_history(tmp_path / "cut")) == 2 and read_meta(tmp_path / "cut" / STATE)["processes"] == 2


@pytest.mark.slow
def test_a_run_of_two_goes_on_alone_and_says_so(toy_dataset: Dataset, tmp_path: Path):
    config = SMALL.changed(["shard_classes=true"])
    recipe = written(config, tmp_path, "recipe")
    in_ranks(2, "training", recipe, toy_dataset.folder, tmp_path / "run", "stop", 0, 2)
    (tmp_path / "run" / CONFIG).unlink()  # a state alone is enough
    ((_, told),) = in_ranks(1, "training", recipe, toy_dataset.folder, tmp_path / "run", "resume")
    assert "saved by 2 processes, going on with 1" in told
    assert len(load_history(tmp_path / "run")) == 2


@pytest.mark.slow
def test_a_dead_process_ends_the_run_and_the_last_state_stands(toy_dataset: Dataset, tmp_path: Path):
    recipe = written(SMALL, tmp_path, "recipe")
    how = ("training", recipe, toy_dataset.folder, tmp_path / "run")
    (_, told), _ = in_ranks(2, *how, "kill", 1, 1, expect=(1, -signal.SIGKILL))
    assert "PeerLost: process 1 of 2" in told and "torchrun --nproc-per-node 2 -m facesearch train" in told
    assert len(load_history(tmp_path / "run")) == 1
    in_ranks(2, "trainings", *how[1:], "resume", "then", *how[1:-1], tmp_path / "whole")
    assert_same(tmp_path / "run" / STATE, tmp_path / "whole" / STATE)


def test_a_batch_must_be_shared_evenly_and_people_suffice(toy_dataset: Dataset, tmp_path: Path):
    for settings, world, name in (
        (["batch_size=13"], 2, "batch_size"),
        (["batch_size=4"], 4, "batch_size"),
        (["batch_size=40"], 2, "batch_size"),
    ):
        config = SMALL.changed([*settings, "colour_mode=off"])
        photos = training_photos([toy_dataset]).train
        with pytest.raises(BadConfig, match=name):
            Batches(config, photos, torch.device("cpu"), None, Ranks(0, world))
    for setting in ("shard_classes=true", "class_sample=0.5"):
        with pytest.raises(BadConfig, match=setting.split("=")[0]):
            TrainConfig(loss="ce").changed([setting])


def test_the_shares_of_a_batch_are_the_batch(toy_dataset: Dataset):
    photos = training_photos([toy_dataset]).train
    config = PLAIN.changed(["size_px=112"])
    whole = next(Batches(config, photos, torch.device("cpu"), None, ALONE).of_epoch(3, 1))
    parts = [
        next(Batches(config, photos, torch.device("cpu"), None, Ranks(rank, 3)).of_epoch(3, 1))
        for rank in range(3)
    ]
    assert torch.equal(torch.cat([part.pixels for part in parts]), whole.pixels)
    assert torch.equal(torch.cat([part.names.labels for part in parts]), whole.names.labels)
    light = [
        next(
            Batches(config.changed(["light=0.5"]), photos, torch.device("cpu"), None, Ranks(r, 2)).of_epoch(0)
        )
        for r in (0, 1)
    ]
    assert not torch.equal(
        light[0].pixels[0] / light[0].pixels[0].mean(), light[1].pixels[0] / light[1].pixels[0].mean()
    )


def test_batches_made_ahead_are_the_same_batches(toy_dataset: Dataset):
    """The thread that works ahead on a GPU, here on the CPU: same batches in the same order, also when left
    in the middle.
    """
    photos = training_photos([toy_dataset]).train
    batches = Batches(SMALL.changed(["dropout=0", "mixup=0.3"]), photos, torch.device("cpu"), None, ALONE)
    plain = list(batches.of_epoch(1))
    order = np.random.default_rng([0, 1]).permutation(len(photos))

    def make(step: int):
        return batches.make(order[step * 12 : step * 12 + 12], 1, step)

    early = ahead(make, range(1, 3), torch.device("cpu"))
    for one, other in zip(plain[1:], early, strict=True):
        assert [torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True)] == [True] * 5
    left = ahead(make, range(3), torch.device("cpu"))
    next(left)
    left.close()
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda step: 1 // 0, range(2), torch.device("cpu")))


def test_what_torchrun_says_is_understood(monkeypatch: pytest.MonkeyPatch):
    assert (
        from_environment() is ALONE
        and own_device("auto", ALONE) == "auto"
        and own_device("cuda:1", ALONE) == "cuda:1"
    )
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    ranks = from_environment()
    assert ranks == Ranks(3, 4, 1) and not ranks.is_first
    assert own_device("cpu", ranks) == "cpu" and own_device("cuda", ranks) == "cuda:1"
    with pytest.raises(DeviceMissing, match="4 processes"):
        own_device("cuda:0", ranks)


def test_a_sharded_head_draws_the_centres_of_an_unsharded_one():
    """However many share them; more than are drawn at a time."""
    torch.manual_seed(0)
    whole = torch.randn(9000, 16) / 4
    for world in (1, 3):
        parts = []
        for rank in range(world):
            torch.manual_seed(0)
            parts.append(ShardedArcFace(16, 9000, 30.0, Ranks(rank, world)).centres)
        assert torch.allclose(torch.cat(parts), whole)


def rows_of(folder: Path) -> set[tuple[object, ...]]:
    with Store.open(folder) as gallery:
        return {tuple(row[1:]) for rows in gallery.faces.batches() for row in rows}


@pytest.mark.slow
def test_two_processes_build_the_gallery_that_one_builds_also_after_one_was_killed(
    toy_dataset: Dataset, tmp_path: Path
):
    one = build_index(
        [toy_dataset],
        tmp_path / "one",
        ColourEncoder(),
        splits=(),
        fpir=None,
        progress=lambda done, total: None,
    )
    (_, told), _ = in_ranks(
        2, "building", tmp_path / "two", 9, toy_dataset.folder, expect=(1, -signal.SIGKILL)
    )
    assert "PeerLost" in told and "build-index" in told
    kept = rows_of(tmp_path / "two")
    assert 8 < len(kept) < one.added and kept < rows_of(tmp_path / "one")
    (first, _), (second, _) = in_ranks(2, "building", tmp_path / "two", -1, toy_dataset.folder)
    (added, known, seen), (_, _, also) = (tuple(map(int, text.split())) for text in (first, second))
    assert (
        (added, known) == (one.added - len(kept), len(kept)) and seen + also == added and min(seen, also) > 0
    )
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")
    with Store.open(tmp_path / "two") as gallery, Store.open(tmp_path / "one") as other:
        assert not problems(gallery) and gallery.notes.threshold() == other.notes.threshold()
    again = in_ranks(2, "building", tmp_path / "two", -1, toy_dataset.folder)
    assert [answer.split()[0] for answer, _ in again] == ["0", "0"]


@pytest.mark.slow
def test_torchrun_trains_builds_and_reports(toy_dataset: Dataset, weights: Path, tmp_path: Path):
    """The commands as they are typed: one voice, files of one writer, a killed process named, the run taken
    up again.
    """
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "facesearch",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

    def call(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*torchrun, *map(str, words)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == code, done.stderr
        return done

    recipe = written(SMALL, tmp_path, "recipe")
    told = call("train", "--data", toy_dataset.folder, "--recipe", recipe, "--out", "run", "--device", "cpu")
    assert told.stdout.count("run/best.safetensors: epoch") == 1 and told.stdout.count("\n") == 1
    assert told.stderr.count("training on 2 processes") == 1 and told.stderr.count("epoch   2/2") == 1
    assert (
        call(
            "train", "--data", toy_dataset.folder, "--out", "run", "--resume", "--device", "cpu"
        ).stderr.count("had finished already")
        == 1
    )
    refused = call(
        "train", "--data", toy_dataset.folder, "--recipe", recipe, "--out", "run", "--device", "cpu", code=1
    )
    assert (
        "Error: run: This exists already" in refused.stderr
        and "Error: process 2 of 2: run: This exists already" in refused.stderr
    )
    built = call(
        "build-index",
        "--data",
        toy_dataset.folder,
        "--weights",
        weights,
        "--gallery",
        "shared",
        "--device",
        "cpu",
    )
    assert re.fullmatch(
        r"shared: 48 vectors added at \d+ img/s, 0 known already; 48 vectors of 6 people\n", built.stdout
    )
    alone = [
        sys.executable,
        "-m",
        "facesearch",
        "build-index",
        "--data",
        toy_dataset.folder,
        "--weights",
        weights,
        "--gallery",
        "own",
    ]
    subprocess.run(
        [*alone, "--device", "cpu"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    with Store.open(tmp_path / "shared") as two, Store.open(tmp_path / "own") as one:
        vectors = [
            {(f.person, f.sha256, f.source): v for f, v in zip(*gallery.faces.enrolled(), strict=True)}
            for gallery in (one, two)
        ]
        assert vectors[0].keys() == vectors[1].keys()
        assert min(float(vector @ vectors[1][key]) for key, vector in vectors[0].items()) > 0.999


@pytest.mark.slow
def test_torchrun_passes_on_the_end_of_one_process(toy_dataset: Dataset, tmp_path: Path):
    recipe = written(SMALL.changed(["epochs=200"]), tmp_path, "recipe")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "facesearch",
        "train",
    ]
    command += ["--data", str(toy_dataset.folder), "--recipe", str(recipe), "--out", "run", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch   1/200"):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        rest = process.stderr.read()
    assert process.returncode == 1 and len(children) == 2
    assert "connection to another process of this run has broken" in rest and "--resume" in rest
    assert (tmp_path / "run" / STATE).is_file() and len(load_history(tmp_path / "run")) >= 1


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor:UserWarning"
)  # dynamo looks at every attribute
def test_a_compiled_backbone_learns_as_the_plain_one_and_leaves_no_trace(
    toy_dataset: Dataset, tmp_path: Path
):
    """Traced as `compile = true` has it on a GPU, here without making machine code of it, which many
    compilers for CPUs fail at.
    """
    config = PLAIN.changed(["size_px=32"])
    device = choose_device("cpu")
    plain, other = (
        Training(config, [toy_dataset], [], device, tmp_path / name, lambda done, total: None)
        for name in "ab"
    )
    other.model.encoder.backbone.compile(backend="aot_eager")
    batch = plain.batches.make(np.arange(12), 0, 0)
    assert other.seconds_left() > 0
    plain.model.train(), other.model.train()
    for _ in range(2):
        assert float(other.learn(batch)[0]) == pytest.approx(float(plain.learn(batch)[0]), rel=0.02)
    assert other.model.state_dict().keys() == plain.model.state_dict().keys()
    (tmp_path / "b").mkdir()
    other.save()
    again = Training(config, [toy_dataset], [], device, tmp_path / "b", lambda done, total: None)
    again.resume()
    assert all(
        torch.equal(value, again.model.state_dict()[name]) for name, value in other.model.state_dict().items()
    )
    told: list[str] = []
    Training(
        config.changed(["compile=true"]),
        [toy_dataset],
        [],
        device,
        tmp_path,
        lambda done, total: None,
        tell=told.append,
    )
    assert ["compile is for GPUs" in line for line in told] == [True]


@pytest.mark.gpu
def test_a_gpu_makes_batches_ahead_as_it_would_in_turn_and_compiles(toy_dataset: Dataset, tmp_path: Path):
    device = choose_device("cuda")
    photos = training_photos([toy_dataset]).train
    batches = Batches(SMALL.changed(["dropout=0"]), photos, device.torch, None, ALONE)
    assert batches.is_ahead
    order = np.random.default_rng([0, 1]).permutation(len(photos))
    for step, early in enumerate(batches.of_epoch(1)):
        late = batches.make(order[step * 12 : step * 12 + 12], 1, step)
        assert all(torch.equal(a, b) for a, b in zip(early.tensors(), late.tensors(), strict=True))
    training = Training(
        PLAIN.changed(["compile=true"]), [toy_dataset], [], device, tmp_path, lambda done, total: None
    )
    assert training.run_epoch(lambda step: None, lambda: False) and training.check()[0].train_loss > 0


@pytest.mark.gpu
def test_two_gpus_train_and_build_together(toy_dataset: Dataset, weights: Path, tmp_path: Path):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "facesearch",
    ]
    for settings in ([], ["--set", "shard_classes=true"]):
        out, recipe = f"run{len(settings)}", str(written(SMALL, tmp_path, "recipe"))
        words = ["train", "--data", str(toy_dataset.folder), "--recipe", recipe, "--out", out, *settings]
        subprocess.run(
            [*torchrun, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
        )
        assert len(load_history(tmp_path / out)) == 2
    words = ["build-index", "--data", str(toy_dataset.folder), "--weights", str(weights), "--gallery", "two"]
    subprocess.run([*torchrun, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert len(rows_of(tmp_path / "two")) == 48
