"""What must be right on any machine before, while and after an encoder is trained: few photos, diverged runs,
much val, bad settings, runs that are moved.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.checkpoint import encoder_id, load_encoder, save_encoder
from facesearch.encoder.config import EncoderConfig
from facesearch.encoder.device import choose_device
from facesearch.encoder.network import Encoder
from facesearch.encoder.runtime import load_runtime
from facesearch.encoder.torch_runtime import TorchRuntime
from facesearch.encoder.weights import BEST, FINISHED, RUNS
from facesearch.errors import BadCheckpoint, BadConfig, NothingLearned, NotNumbers, OtherRun, UnknownSetting
from facesearch.metrics import verification
from facesearch.metrics.verification import pair_scores, roc, roc_of_all_pairs
from facesearch.training import trainer as module
from facesearch.training.advice import about_data, unusual
from facesearch.training.losses import length_distance
from facesearch.training.photos import training_photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.recipe_files import SECTIONS
from facesearch.training.run_folder import CONFIG, STATE
from facesearch.training.trainer import Training, _averaged
from facesearch.training.validate import rank_correlation
from tests.helpers.saying import quiet
from tests.helpers.training import SMALL, go

CPU = choose_device("cpu")


# ---- few photos, and the average of the weights


def test_the_average_of_few_steps_is_not_the_start():
    """After n steps its decay is at most (1 + n) / (10 + n): worked out here for one weight that a step sets
    to its number.
    """
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, -100.0)
    average, expected = _averaged(model, 0.998), 0.0  # type: ignore[arg-type]
    for step in range(41):
        nn.init.constant_(model.weight, float(step))
        average.update_parameters(model)
        decay = min(0.998, (1 + step) / (10 + step))
        expected = float(step) if step == 0 else decay * expected + (1 - decay) * step
    found = average.module.weight.item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert found > 30  # an average without this still says -100 here


def test_a_long_average_on_a_short_run_is_told(toy_dataset: Dataset):
    chosen = training_photos([toy_dataset])
    lines = "\n".join(unusual(SMALL.changed(["ema_decay=0.998"]), chosen.train, chosen.val, 6))
    assert "ema_decay 0.998 averages over some 1000 steps" in lines
    assert "ema_decay" not in "\n".join(
        unusual(SMALL.changed(["ema_decay=0.5"]), chosen.train, chosen.val, 6)
    )


# ---- runs that diverged


@pytest.mark.slow
def test_an_encoder_that_gives_no_numbers_is_never_written(
    toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The training loss may well be a number when what val is looked at with is none: batch norms that ran
    away.
    """

    def poisoned(training: Training) -> Any:
        with torch.no_grad():
            training.evaluated.encoder.backbone.layer4[0].bn1.running_var.fill_(float("inf"))
        return looked(training)

    looked = Training.check
    monkeypatch.setattr(Training, "check", poisoned)
    with pytest.raises(NothingLearned, match="not usable"):
        go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "run")
    assert not (tmp_path / "run" / BEST).exists() and (tmp_path / "run" / STATE).exists()


@pytest.mark.slow
@pytest.mark.parametrize("val", ["none", "strangers, one photo each"])
def test_a_run_that_could_not_be_validated_says_so_and_is_not_the_default(
    run: Any, album: Path, tmp_path: Path, val: str
):
    entries = []
    for entry in read_source(album).entries:
        one, first = entry.person in ("p000", "p001"), entry.name.endswith("00.png")
        split = "val" if one and first and val != "none" else "" if one else "train"
        entries += [replace(entry, split=split)] if split else []
    source = replace(read_source(album), entries=tuple(entries))
    prepare(source, None, PrepareConfig(out=tmp_path / "d", aligned=True), lambda done, total: None)
    assert len(open_dataset(tmp_path / "d").where("val")) == (0 if val == "none" else 2)
    (tmp_path / "recipe.toml").write_text(SMALL.changed(["epochs=1", "colour_mode=off"]).as_toml())
    how = ("--recipe", "recipe.toml", "--out", "r", "--device", "cpu")
    result = run("train", "--data", "d", *how)
    assert "unusual: nothing to check on: val holds no photo of anybody who is trained on" in result.stderr
    assert "not validated: val holds no photo of anybody who was trained on" in result.stderr
    assert not (tmp_path / RUNS / FINISHED).exists() and (tmp_path / "r/best.safetensors").is_file()


@pytest.mark.slow
def test_a_run_no_better_than_chance_is_not_the_default(
    run: Any, toy_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def all_alike(training: Training) -> Any:
        with torch.no_grad():
            for parameter in training.evaluated.encoder.backbone.fc.parameters():
                parameter.zero_()
            for module_ in training.evaluated.encoder.modules():
                if isinstance(module_, nn.BatchNorm1d):
                    module_.running_mean.fill_(-1.0)
        return looked(training)

    looked = Training.check
    monkeypatch.setattr(Training, "check", all_alike)
    (tmp_path / "recipe.toml").write_text(SMALL.changed(["epochs=1", "colour_mode=off"]).as_toml())
    result = run(
        "train", "--data", toy_dataset.folder, "--recipe", "recipe.toml", "--out", "bad", "--device", "cpu"
    )
    assert "not usable: on val it tells people apart no better than chance" in result.stderr
    assert not (tmp_path / RUNS / FINISHED).exists()
    monkeypatch.setattr(Training, "check", looked)
    run(
        "train",
        "--data",
        toy_dataset.folder,
        "--recipe",
        "recipe.toml",
        "--out",
        "good",
        "--device",
        "cpu",
        "--set",
        "epochs=2",
    )
    assert (tmp_path / RUNS / FINISHED).exists()


def test_an_encoder_of_no_numbers_is_refused_with_a_sentence(run: Any, toy_dataset: Dataset, tmp_path: Path):
    encoder = Encoder(EncoderConfig(backbone="resnet18", embedding_size=8, size_px=32)).eval()
    nn.init.constant_(encoder.backbone.fc.weight, float("nan"))
    save_encoder(tmp_path / "bad.safetensors", encoder, {})
    with pytest.raises(NotNumbers, match="training diverged"):
        TorchRuntime(tmp_path / "bad.safetensors", "cpu").embed(toy_dataset.crops[:2])
    result = run(
        "build-index", "--data", toy_dataset.folder, "--weights", "bad.safetensors", "--gallery", "g", code=1
    )
    assert "are no numbers" in result.stderr and "Traceback" not in result.stderr


# ---- val


def people_of(n: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    people = random.integers(0, count, n)
    vectors = random.normal(size=(count, 32))[people] + 1.2 * random.normal(size=(n, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), people


def test_pairs_counted_block_by_block_give_the_figures_of_all_pairs(monkeypatch: pytest.MonkeyPatch):
    vectors, people = people_of(700, 40)
    whole = roc(*pair_scores(vectors, people))
    monkeypatch.setattr(verification, "BLOCK", 128)
    blocks = roc_of_all_pairs(vectors, people)
    assert blocks is not None and blocks.auc == pytest.approx(whole.auc, abs=1e-7)
    for rate in (0.1, 0.01, 1e-3, 1e-4):
        assert blocks.at_fpr(rate)[0] == whole.at_fpr(rate)[0]
        assert blocks.at_fpr(rate)[1] == pytest.approx(whole.at_fpr(rate)[1], abs=1e-6)
    monkeypatch.setattr(verification, "BLOCK", 8)
    assert (
        roc_of_all_pairs(vectors[:16], np.zeros(16)) is None
        and roc_of_all_pairs(vectors[:16], np.arange(16)) is None
    )


def test_people_of_val_without_a_training_photo_are_told_and_not_counted_wrong(
    toy_dataset: Dataset, tmp_path: Path
):
    from dataclasses import replace

    strange = toy_dataset.people[toy_dataset.where("val")[0]]
    rows = tuple(
        replace(row, split="other") if row.person == strange and row.split == "train" else row
        for row in toy_dataset.rows
    )
    dataset = Dataset(toy_dataset.folder, toy_dataset.crops, rows, toy_dataset.manifest)
    chosen = training_photos([dataset])
    unknown = int((chosen.val.label < 0).sum())
    assert unknown and f"{unknown} of those to check on show people without a training photo" in about_data(
        chosen.train, chosen.val
    )
    training = Training(SMALL.changed(["epochs=1"]), [dataset], [], CPU, tmp_path, quiet)
    training.model.head.judged = lambda e, names, m, s: (torch.zeros(len(e)), names.labels >= 0)  # type: ignore[method-assign]
    training.average = None
    training.run_epoch = lambda *_: True  # type: ignore[method-assign]
    training.sums += 1
    assert training.check()[0].val_accuracy == 1.0


@pytest.mark.slow
def test_the_state_is_saved_before_val_is_looked_at(
    toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "validate", no_memory)
    with pytest.raises(MemoryError):
        go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "run")
    monkeypatch.undo()
    result = go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "run", resume=True)
    assert result.history[0].train_loss > 0


@pytest.mark.slow
def test_the_librarys_kernels_are_tried_out_in_training_steps_alone(toy_dataset: Dataset, tmp_path: Path):
    """cudnn.flags() switches cuDNN off unless it is told not to; on a GPU that costs a factor of ten."""
    flags = torch.backends.cudnn
    before, within = (flags.enabled, flags.benchmark), []
    go(
        SMALL.changed(["epochs=1"]),
        toy_dataset,
        tmp_path / "run",
        on_step=lambda step: within.append((flags.enabled, flags.benchmark)),
    )
    assert set(within) == {(True, True)} and (flags.enabled, flags.benchmark) == before == (True, False)


# ---- settings


@pytest.mark.slow
def test_what_cannot_be_trained_is_refused_before_anything_is_written(toy_dataset: Dataset, tmp_path: Path):
    with pytest.raises(BadConfig, match="freeze"):
        go(SMALL.changed(["freeze=[0, 0, 99]"]), toy_dataset, tmp_path / "run")
    assert not (tmp_path / "run" / CONFIG).exists()
    assert go(SMALL.changed(["freeze=[0]", "epochs=1"]), toy_dataset, tmp_path / "run").best.exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["warmup_epochs=2"], "warmup_epochs has no effect: schedule"),
        (["loss=ce"], "margin_rad has no effect: loss"),
        (["momentum=0.5"], "momentum has no effect: optimizer"),
        (["distill_vectors=3"], "distill_vectors has no effect: there is no teacher"),
        (["lr_min=1e-5"], "lr_min has no effect"),
        (["colour_mode=off"], "colours has no effect"),
    ],
)
def test_settings_without_effect_are_named(settings: list[str], told: str):
    assert any(line.startswith(told) for line in SMALL.changed(settings).idle())
    assert list(SMALL.idle()) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [("learning_rate", "lr"), ("margin", "margin_rad"), ("arch", "backbone"), ("epoch", "epochs")],
)
def test_other_names_of_a_setting_are_answered_with_ours(name: str, meant: str):
    with pytest.raises(UnknownSetting) as caught:
        TrainConfig().changed([f"{name}=1"])
    assert f"Did you mean {meant!r}?" in str(caught.value)


def test_every_setting_is_explained_and_the_list_is_a_recipe(run: Any):
    from dataclasses import fields

    told = run("train", "--settings").stdout
    lines = [line for line in told.splitlines() if not line.startswith("# ")]
    heads, words = lines[::2], lines[1::2]
    assert [line.split(" = ")[0] for line in heads] == [each.name for each in fields(TrainConfig)]
    assert all(line.startswith("    # ") and line.endswith((".", ";")) for line in words)
    assert "lr = 0.001   # number, above 0 and below 100" in heads and "one of ce, arcface" in "".join(heads)
    sections = [line for line in told.splitlines() if line.startswith("# ")]
    assert len(sections) == len(SECTIONS) and sections[0] == "# The network"
    assert TrainConfig.from_dict(tomllib.loads(told)) == TrainConfig()


# ---- lengths, pooling, moving


def test_lengths_are_learned_up_to_their_scale():
    theirs = torch.tensor([1.0, 2.0, 4.0, 8.0])
    own = torch.nn.functional.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    assert float(length_distance(own * 3 * theirs[:, None], theirs)) == pytest.approx(0, abs=1e-6)
    assert float(length_distance(own / theirs[:, None], theirs)) == pytest.approx(2, abs=1e-6)
    assert rank_correlation(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([2.0, 3.0, 90.0])) == pytest.approx(1)
    assert np.isnan(rank_correlation(torch.ones(1), torch.ones(1)))


def test_weighted_pooling_begins_as_the_average_and_old_encoders_keep_their_ids():
    torch.manual_seed(0)
    plain = Encoder(EncoderConfig(backbone="resnet18", embedding_size=8, size_px=64)).eval()
    weighted = Encoder(
        EncoderConfig(backbone="resnet18", embedding_size=8, size_px=64, pooling="weighted")
    ).eval()
    weighted.load_backbone(plain.backbone.state_dict())
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255
    assert torch.allclose(plain(pixels), weighted(pixels), atol=1e-4)
    assert "pooling" not in plain.config.described() and weighted.config.described()["pooling"] == "weighted"
    tensors = plain.state_dict()
    assert encoder_id(tensors, plain.config) != encoder_id(
        tensors, EncoderConfig(backbone="resnet18", embedding_size=8, size_px=32)
    )
    with pytest.raises(BadConfig, match="pooling"):
        TrainConfig(backbone="efficientnet_b0", pooling="weighted")
    with pytest.raises(BadConfig, match="size_steps"):
        TrainConfig(pooling="weighted", size_steps=((0, 64),))


def test_a_weighted_encoder_is_read_back_and_runs_on_both_engines(tmp_path: Path, toy_dataset: Dataset):
    torch.manual_seed(0)
    encoder = Encoder(
        EncoderConfig(backbone="resnet18", embedding_size=8, size_px=64, pooling="weighted")
    ).eval()
    nn.init.normal_(encoder.backbone.avgpool.weight)
    save_encoder(tmp_path / "w.safetensors", encoder, {})
    again, meta = load_encoder(tmp_path / "w.safetensors")
    assert meta["config"]["pooling"] == "weighted" and torch.equal(
        again.backbone.avgpool.weight, encoder.backbone.avgpool.weight
    )
    there = load_runtime(tmp_path / "w.safetensors", device="cpu", engine="openvino").embed(
        toy_dataset.crops[:4]
    )
    assert (there * TorchRuntime(tmp_path / "w.safetensors", "cpu").embed(toy_dataset.crops[:4])).sum(
        1
    ).min() > 0.999


@pytest.mark.slow
def test_a_run_that_was_moved_goes_on_where_files_lie_elsewhere(toy_dataset: Dataset, tmp_path: Path):
    """Another place for what it began with is no other run; other settings are. What a GPU was asked for, a
    CPU does without.
    """
    config = SMALL.changed(["epochs=2", "compile=true", "pretrained=none"])
    go(config.changed(["epochs=2"]), toy_dataset, tmp_path / "run")
    moved = config.changed([f'pretrained="{tmp_path / "elsewhere.safetensors"}"'])
    assert go(moved, toy_dataset, tmp_path / "run", resume=True).already_done
    with pytest.raises(OtherRun, match="other settings"):
        go(config.changed(["lr=1e-4"]), toy_dataset, tmp_path / "run", resume=True)


@pytest.mark.gpu
def test_a_run_moves_from_gpu_to_cpu_and_back(toy_dataset: Dataset, tmp_path: Path):
    import os
    import signal

    from facesearch.errors import Interrupted
    from facesearch.training.train import train
    from facesearch.training.trainer import Step

    def stop_in(epoch: int) -> Any:
        def on_step(step: Step) -> None:
            if (step.epoch, step.step) == (epoch, 1):
                os.kill(os.getpid(), signal.SIGINT)

        return on_step

    config = SMALL.changed(["epochs=3", "compile=true"])
    shared: Any = {"on_epoch": lambda result, out: None, "on_teacher": quiet, "tell": lambda line: None}
    for number, device in enumerate(("cuda", "cpu")):
        with pytest.raises(Interrupted):
            train(
                config,
                [toy_dataset],
                [],
                choose_device(device),
                tmp_path / "run",
                resume=number > 0,
                on_step=stop_in(number),
                **shared,
            )
    result = train(
        config,
        [toy_dataset],
        [],
        choose_device("cuda"),
        tmp_path / "run",
        resume=True,
        on_step=lambda step: None,
        **shared,
    )
    assert len(result.history) == 3 and np.isfinite(result.history[-1].train_loss)


def test_a_file_that_is_no_encoder_stays_refused(tmp_path: Path):
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(BadCheckpoint):
        load_encoder(tmp_path / "x.safetensors")
