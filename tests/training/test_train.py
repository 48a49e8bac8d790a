from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from facesearch.cli.main import main
from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.checkpoint import load_encoder
from facesearch.encoder.device import choose_device
from facesearch.encoder.torch_runtime import TorchRuntime
from facesearch.encoder.weights import BEST
from facesearch.errors import (
    BadCheckpoint,
    BadConfig,
    Interrupted,
    LossIsNaN,
    NotFound,
    NothingToDo,
    OtherRun,
    OutputExists,
)
from facesearch.training.photos import training_photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import CLASSIFIER, STATE, load_history
from facesearch.training.run_weights import load_classifier
from facesearch.training.train import TrainResult, train
from facesearch.training.trainer import Step, Training
from tests.helpers.drawn import save_colour
from tests.helpers.saying import refused
from tests.helpers.training import SMALL, assert_same, go, tensors


@pytest.mark.alone
def test_two_epochs_are_one_and_a_resumed_one_bit_for_bit(toy_dataset: Dataset, tmp_path: Path):
    """Interrupted in the middle of the second epoch, and once more after the first: the same numbers to the
    last bit.
    """
    whole = go(SMALL, toy_dataset, tmp_path / "whole")

    def stop_at(epoch: int, at: int):
        def on_step(step: Step) -> None:
            if (step.epoch, step.step) == (epoch, at):
                os.kill(os.getpid(), signal.SIGINT)

        return on_step

    with refused(Interrupted, "--resume"):
        go(SMALL, toy_dataset, tmp_path / "cut", on_step=stop_at(0, 2))
    with pytest.raises(Interrupted):
        go(SMALL, toy_dataset, tmp_path / "cut", resume=True, on_step=stop_at(1, 1))
    resumed = go(SMALL, toy_dataset, tmp_path / "cut", resume=True)
    for name in (STATE, BEST, CLASSIFIER):
        assert_same(tmp_path / "whole" / name, tmp_path / "cut" / name)

    def settled(result: TrainResult) -> list[tuple[object, ...]]:
        return [
            (r.epoch, r.train_loss, r.val_loss, r.val_accuracy, r.val_tpr, r.best) for r in result.history
        ]

    assert settled(whole) == settled(resumed)


def test_mixup_counts_both_names(toy_dataset: Dataset, tmp_path: Path):
    """The loss of a step on blended photos is the sum over both names that this test works out itself."""
    config = SMALL.changed(["mixup=1.0", "dropout=0", "ema_decay=0", 'colour_mode="off"'])
    training = Training(config, [toy_dataset], [], choose_device("cpu"), tmp_path, lambda done, total: None)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    with_margin = training.model.head.with_margin

    def listen(logits: torch.Tensor, labels: torch.Tensor, margin_rad: float) -> torch.Tensor:
        harder = with_margin(logits, labels, margin_rad)
        seen.append(
            (labels.clone(), torch.nn.functional.cross_entropy(harder.detach(), labels, reduction="none"))
        )
        return harder

    training.model.head.with_margin = listen  # type: ignore[method-assign]
    numbers = np.arange(12)
    loss, _ = training.learn(training.batches.make(numbers, 0, 0))
    (first, own), (second, other) = seen
    assert (
        first.tolist() == training.train.label[numbers].tolist()
        and second.tolist() == np.roll(first, -1).tolist()
    )
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(b"0 0 0").digest()[:7], "big"))
    torch.rand((12 * 5,), generator=generator)  # where the photos are looked at
    share = torch.rand((12,), generator=generator)
    assert float(loss) == pytest.approx(float((share * own + (1 - share) * other).mean().detach()), rel=1e-5)


@pytest.mark.slow
def test_another_seed_is_another_run(toy_dataset: Dataset, tmp_path: Path):
    go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "a")
    go(SMALL.changed(["epochs=1", "seed=1"]), toy_dataset, tmp_path / "b")
    assert not torch.equal(
        tensors(tmp_path / "a" / BEST)["backbone.conv1.weight"],
        tensors(tmp_path / "b" / BEST)["backbone.conv1.weight"],
    )


def coloured_people(root: Path) -> Dataset:
    colours = {"ana": (200, 40, 40), "ben": (40, 200, 40), "eva": (40, 40, 200)}
    for name, colour in colours.items():
        for shot in range(12):
            shade = tuple(min(255, c + 5 * shot) for c in colour)
            save_colour(root / name / f"{shot}.png", shade, shade=shot * 9 + 1)
    from facesearch.datasets.sources import with_random_split

    prepare(
        with_random_split(read_source(root), val=0.25, test=0, seed=0),
        None,
        PrepareConfig(out=root / "data", aligned=True),
        lambda d, t: None,
    )
    return open_dataset(root / "data")


@pytest.mark.parametrize("loss", [pytest.param("ce", marks=pytest.mark.slow), "arcface"])
def test_three_coloured_people_are_learned(loss: str, tmp_path: Path):
    config = TrainConfig(
        backbone="resnet18",
        embedding_size=16,
        embedding_batchnorm=True,
        loss=loss,
        scale=8.0,
        margin_rad=0.1,
        lr=3e-3,
        epochs=8,
        batch_size=9,
        size_px=32,
        flip=True,
    )
    result = go(config, coloured_people(tmp_path), tmp_path / "run")
    losses = [
        epoch.train_loss for epoch in result.history
    ]  # four steps an epoch: single epochs jump, on every machine differently
    assert min(losses) < 0.5 * losses[0]
    assert result.best_epoch.val_accuracy == 1.0 and result.best_epoch.val_tpr > 0.9


@pytest.mark.slow
def test_a_run_leaves_whole_files_that_belong_together(toy_dataset: Dataset, tmp_path: Path):
    result = go(SMALL, toy_dataset, tmp_path / "run")
    assert load_history(tmp_path / "run") == list(result.history)
    _, meta = load_encoder(result.best)
    assert (
        meta["notes"]["epoch"]["epoch"] == result.best_epoch.epoch
        and meta["notes"]["recipe"]["loss"] == "arcface"
    )
    head, classes, identity = load_classifier(tmp_path / "run" / CLASSIFIER)
    assert identity == meta["encoder_id"] and len(classes) == 6
    rows = toy_dataset.where("val")
    with torch.inference_mode():
        names = classes[
            head(TorchRuntime(result.best, "cpu").embeddings(toy_dataset.crops[rows])).argmax(1).numpy()
        ]
    assert (names == toy_dataset.people[rows]).mean() == pytest.approx(result.best_epoch.val_accuracy)
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.name.endswith(".new")]


@pytest.mark.slow
def test_the_best_epoch_is_chosen_by_verification_at_the_size_of_use(toy_dataset: Dataset, tmp_path: Path):
    config = SMALL.changed(["epochs=4", "size_px=48", "size_steps=[[0, 32], [2, 48]]"])
    history = go(config, toy_dataset, tmp_path / "run").history
    assert [r.size_px for r in history] == [32, 32, 48, 48]
    best = [r for r in history if r.best][-1]
    at_size = [r for r in history if r.size_px == 48]
    usable = [r for r in at_size if r.usable] or at_size  # one that is no better than chance comes last
    assert best.val_tpr == max(r.val_tpr for r in usable)
    assert history[2].best


@pytest.mark.slow
def test_the_sixfold_set_makes_an_epoch_six_times_as_long(toy_dataset: Dataset, tmp_path: Path):
    steps: list[Step] = []
    five = 'colours=["grayscale", "jitter", "blur", "posterize", "equalize"]'
    go(
        SMALL.changed(["epochs=1", five, "colour_mode=multiply"]),
        toy_dataset,
        tmp_path / "run",
        on_step=steps.append,
    )
    assert steps[-1].steps == 6 * 36 // 12


def test_only_train_and_val_photos_are_touched(tmp_path: Path):
    for i in range(12):
        save_colour(tmp_path / "celebA_imgs" / f"{i}.jpg", (20 * i, 50, 90), (178, 218))
    (tmp_path / "celebA_anno.txt").write_text("".join(f"{i}.jpg {i // 2}\n" for i in range(12)))
    (tmp_path / "roles.txt").write_text("0 train\n1 train\n2 train\n3 open\n4 open\n5 val\n")
    prepare(read_source(tmp_path), None, PrepareConfig(out=tmp_path / "data"), lambda d, t: None)
    dataset = open_dataset(tmp_path / "data")
    chosen = training_photos([dataset])
    learned, checked, classes = chosen.train, chosen.val, chosen.classes
    assert (
        {dataset.people[r] for r in learned.row}
        == {"celeba_extra-0", "celeba_extra-1", "celeba_extra-2"}
        == set(classes)
    )
    assert {dataset.people[r] for r in checked.row} == {"celeba_extra-5"} and set(checked.label.tolist()) == {
        -1
    }


def test_people_of_two_datasets_are_never_one_person(toy_dataset: Dataset):
    chosen = training_photos([toy_dataset, toy_dataset])
    learned, classes = chosen.train, chosen.classes
    assert len(classes) == 12 and len(learned) == 72
    both = learned.crops(np.array([0, 36]))
    assert torch.equal(both[0], both[1])


def test_one_person_cannot_be_told_apart(tmp_path: Path):
    save_colour(tmp_path / "ana" / "1.png", "red")
    prepare(
        read_source(tmp_path), None, PrepareConfig(out=tmp_path / "data", aligned=True), lambda d, t: None
    )
    with pytest.raises(NothingToDo, match="1 person has training photos"):
        training_photos([open_dataset(tmp_path / "data")])


def test_a_loss_that_is_no_number_stops_with_step_and_settings_and_keeps_the_last_good_state(
    toy_dataset: Dataset, tmp_path: Path
):
    config = SMALL.changed(
        [
            "epochs=2",
            "optimizer=sgd",
            "lr=90.0",
            "schedule=constant",
            "loss=ce",
            "embedding_batchnorm=false",
            "ema_decay=0",
        ]
    )
    with pytest.raises(LossIsNaN, match=r"epoch \d, step \d.*sgd, ce.*batch 12") as caught:
        go(config.changed(["epochs=40", "momentum=0.99"]), toy_dataset, tmp_path / "run")
    assert caught.value.checkpoint == tmp_path / "run" / STATE
    if (tmp_path / "run" / STATE).exists():
        assert all(
            torch.isfinite(t).all()
            for n, t in tensors(tmp_path / "run" / STATE).items()
            if n.startswith("model.") and t.is_floating_point()
        )


@pytest.mark.slow
def test_runs_are_not_overwritten_and_not_resumed_as_something_else(toy_dataset: Dataset, tmp_path: Path):
    config = SMALL.changed(["epochs=1"])
    go(config, toy_dataset, tmp_path / "run")
    with refused(OutputExists, "--resume"):
        go(config, toy_dataset, tmp_path / "run")
    assert go(config, toy_dataset, tmp_path / "run", resume=True).already_done
    with pytest.raises(OtherRun, match="other settings"):
        go(config.changed(["lr=0.5"]), toy_dataset, tmp_path / "run", resume=True)
    with refused(OtherRun, "Pass the same --data"):
        go(config, coloured_people(tmp_path / "others"), tmp_path / "run", resume=True)
    with pytest.raises(NotFound, match="to resume"):
        go(config, toy_dataset, tmp_path / "nowhere", resume=True)
    (tmp_path / "run" / STATE).write_bytes(b"rubbish")
    with pytest.raises(BadCheckpoint, match="safetensors"):
        go(config, toy_dataset, tmp_path / "run", resume=True)


@pytest.mark.alone
def test_what_an_interrupted_training_says_goes_on_with_it(
    toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Typed into a shell as it is printed, from a folder without data/: the run's photos are named in it,
    blanks quoted.
    """

    def stop(step: Step) -> None:
        if step.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "a run", on_step=stop)
    program, *words = shlex.split(caught.value.advice.splitlines()[-1])
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, words)
    assert program == "facesearch" and ended.exit_code == 0, ended.stderr
    assert f"{tmp_path / 'a run' / BEST}: epoch 1" in ended.stdout


@pytest.mark.slow
def test_freezing_keeps_the_first_layers_as_they_were(toy_dataset: Dataset, tmp_path: Path):
    torch.manual_seed(SMALL.seed)
    go(SMALL.changed(["epochs=1", "freeze=[5]", "ema_decay=0"]), toy_dataset, tmp_path / "frozen")
    go(
        SMALL.changed(["epochs=1", "ema_decay=0", "lr=1e-12", "weight_decay=0.0"]),
        toy_dataset,
        tmp_path / "start",
    )
    frozen, start = tensors(tmp_path / "frozen" / BEST), tensors(tmp_path / "start" / BEST)
    assert torch.allclose(
        frozen["backbone.layer1.0.conv1.weight"], start["backbone.layer1.0.conv1.weight"], atol=1e-6
    )
    assert not torch.allclose(
        frozen["backbone.layer3.0.conv1.weight"], start["backbone.layer3.0.conv1.weight"], atol=1e-4
    )


@pytest.mark.slow
def test_an_encoder_can_be_the_start_of_another(toy_dataset: Dataset, tmp_path: Path):
    first = go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "first").best
    still = ["epochs=1", f"pretrained={first}", "lr=1e-12", "weight_decay=0.0", "ema_decay=0"]
    second = go(SMALL.changed(still), toy_dataset, tmp_path / "second").best
    for name in ("backbone.layer1.0.conv1.weight", "backbone.fc.1.weight"):
        assert torch.allclose(tensors(first)[name], tensors(second)[name], atol=1e-6)
    wider = go(
        SMALL.changed([*still, "embedding_size=24"]), toy_dataset, tmp_path / "third"
    ).best  # another last layer starts over
    name = "backbone.layer1.0.conv1.weight"
    assert (
        torch.allclose(tensors(first)[name], tensors(wider)[name], atol=1e-6)
        and len(tensors(wider)["backbone.fc.1.weight"]) == 24
    )


@pytest.mark.slow
def test_a_whole_run_can_be_the_start_of_another(toy_dataset: Dataset, tmp_path: Path):
    """Its averaged weights, and the class centres with them, are taken; a network of another shape is
    refused.
    """
    go(SMALL.changed(["epochs=1"]), toy_dataset, tmp_path / "first")
    state = tmp_path / "first" / STATE
    still = ["epochs=1", f"pretrained={state}", "lr=1e-12", "weight_decay=0.0", "ema_decay=0"]
    go(SMALL.changed(still), toy_dataset, tmp_path / "second")
    for name in ("encoder.backbone.layer1.0.conv1.weight", "encoder.backbone.fc.1.weight", "head.centres"):
        before, after = (
            tensors(state)[f"average.module.{name}"],
            tensors(tmp_path / "second" / STATE)[f"model.{name}"],
        )
        assert torch.allclose(before, after, atol=1e-6), name
    with pytest.raises(BadConfig, match="pretrained"):
        go(SMALL.changed([f"pretrained={state}", "embedding_size=8"]), toy_dataset, tmp_path / "third")


@pytest.mark.gpu
def test_a_gpu_trains_resumes_and_embeds_as_the_cpu_does(toy_dataset: Dataset, tmp_path: Path):
    device = choose_device("cuda")
    quiet = {
        "on_step": lambda step: None,
        "on_epoch": lambda result, out: None,
        "on_teacher": lambda done, total: None,
        "tell": lambda line: None,
    }

    def stop(step: Step) -> None:
        if (step.epoch, step.step) == (1, 1):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        train(SMALL, [toy_dataset], [], device, tmp_path / "run", resume=False, **{**quiet, "on_step": stop})
    best = train(SMALL, [toy_dataset], [], device, tmp_path / "run", resume=True, **quiet).best
    crops = toy_dataset.crops[:8]
    assert (TorchRuntime(best, "cuda").embed(crops) * TorchRuntime(best, "cpu").embed(crops)).sum(
        1
    ).min() > 0.999


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_epoch(toy_dataset: Dataset, tmp_path: Path):
    (tmp_path / "recipe.toml").write_text(SMALL.changed(["epochs=3", "checkpoint_minutes=0"]).as_toml())
    command = [
        sys.executable,
        "-m",
        "facesearch",
        "train",
        "--data",
        str(toy_dataset.folder),
        "--out",
        "run",
        "--device",
        "cpu",
    ]
    with subprocess.Popen(
        [*command, "--recipe", "recipe.toml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch   1/3"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    again = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "resuming at epoch" in again.stderr and "run/best.safetensors: epoch" in again.stdout
    go(SMALL.changed(["epochs=3", "checkpoint_minutes=0"]), toy_dataset, tmp_path / "whole")
    assert_same(tmp_path / "run" / STATE, tmp_path / "whole" / STATE)
