from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facesearch.report.curves import write_comparison, write_curves
from facesearch.report.lines import epoch_line
from facesearch.training.advice import about_data, duration, least_scale, not_rising, surest, unusual, waited
from facesearch.training.photos import Photos
from facesearch.training.recipe_files import find_recipe, load_recipe
from facesearch.training.run_folder import EpochResult, save_history


def photos(*counts: int, nameless: int = 0) -> Photos:
    labels = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(nameless, -1)]).astype(
        np.int64
    )
    zeros = np.zeros(len(labels), np.int64)
    return Photos((), zeros, zeros, labels)


def advice(recipe: str, *settings: str, val: int = 9) -> str:
    config = load_recipe(find_recipe(recipe)).changed(settings)
    return "\n".join(unusual(config, photos(*[20] * 500), photos(val), 500))


def epoch(number: int, *, best: bool, tpr: float = 0.5, accuracy: float = 0.5) -> EpochResult:
    return EpochResult(number, 1e-3, 0.1, 64, 1.0, 0.5, 1.0, accuracy, tpr, 100.0, 60.0, best)


def test_the_data_in_one_line():
    line = about_data(photos(2, 4, 30, nameless=7), photos(5))
    assert (
        "36 photos of 3 people" in line and "2 to 30 a person, median 4" in line and "5 to check on" in line
    )
    assert "7 without a name" in line and "2 people have under 5 photos" in line


def test_the_seeds_scale_is_called_low_for_500_people_and_30_is_not():
    assert "scale 5 is low for 500 people" in advice("seed-arcface")
    assert "23%" in advice("seed-arcface")
    assert "scale" not in advice("default")


@pytest.mark.parametrize("classes", [3, 50, 500])
def test_surest_is_what_softmax_gives_to_a_photo_on_its_centre(classes: int):
    """Centres of a simplex, built here: cosines of -1 / (c - 1) between any two."""
    centres = F.normalize(torch.eye(classes, dtype=torch.float64) - 1 / classes)
    logits = 7 * centres @ centres.T
    assert float(logits.softmax(1)[0, 0]) == pytest.approx(surest(7, classes))


def test_the_least_scale_makes_just_sure_enough():
    for classes in (2, 10, 500, 100_000):
        assert surest(least_scale(classes), classes) == pytest.approx(0.9)


def test_each_warning_comes_with_its_cause_and_not_without():
    assert "no pretraining" in advice("default") and "no pretraining" not in advice(
        "distil", "teacher=t.onnx"
    )
    assert "margin of 0.3 from the first step" in advice("default", "margin_ramp_epochs=0")
    assert "margin of" not in advice("default")
    assert "zero_init_residual" in advice(
        "default", "zero_init_residual=false"
    ) and "zero_init" not in advice("default")
    assert "zero_init" not in advice("seed-arcface")  # batches of 16: it learned from its first epoch on
    assert "lr 0.1 is outside" in advice("default", "lr=0.1") and "lr 0.1" not in advice(
        "default", "lr=0.1", 'optimizer="sgd"'
    )
    assert "constant learning rate" in advice("default", "schedule=constant")
    assert "nothing to check on" in advice("default", val=0) and "nothing to check" not in advice("default")
    assert "32 versions" in advice("seed-ce", "colour_compose=true")
    assert "batch_size 20000" in advice("default", "batch_size=20000")
    assert "scale 100 is above" in advice("default", "scale=100")


def test_a_run_that_stopped_improving_is_told_every_five_epochs():
    history = [epoch(1, best=True), epoch(2, best=True, tpr=0.7)] + [
        epoch(n, best=False) for n in range(3, 13)
    ]
    said = [not_rising(history[:n]) for n in range(1, 13)]
    assert [bool(line) for line in said] == [False] * 6 + [True] + [False] * 4 + [True]
    assert "5 epochs" in said[6] and "epoch 2, verification 0.7000" in said[6]
    assert waited(history) == 10 and waited([]) == 0


def test_durations_are_words():
    assert [duration(s) for s in (40, 420, 7500)] == ["40 s", "7 min", "2 h 05 min"]


def test_plot_compares_runs(run, tmp_path: Path):
    for name, top in (("a", 0.4), ("b", 0.6)):
        (tmp_path / name).mkdir()
        save_history(
            tmp_path / name,
            [epoch(1, best=True, tpr=0.1), epoch(2, best=True, tpr=top), epoch(3, best=False, accuracy=0.9)],
        )
    result = run("plot", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "new" / "compared.svg")
    lines = result.stdout.splitlines()
    assert len(lines) == 3 and "0.6000" in lines[2] and "0.9000 (    3)" in lines[2]
    drawn = ElementTree.parse(tmp_path / "new" / "compared.svg").getroot()
    words = "".join(drawn.itertext())
    assert words.count(str(tmp_path / "a")) == words.count(str(tmp_path / "b")) == 3  # a legend a chart
    refused = run("plot", tmp_path / "a", "--out", tmp_path / "compared.png", code=2)
    assert "ends in .svg" in refused.stderr and not (tmp_path / "compared.png").exists()


def test_curves_are_drawn_whatever_a_run_is_called_and_however_it_went(tmp_path: Path):
    broken = replace(epoch(1, best=False), train_loss=math.nan, val_loss=math.inf)
    write_curves([broken], tmp_path / "c.svg")
    write_comparison({'<b>"&\x01': [broken], "b": [epoch(1, best=True)]}, tmp_path / "d.svg")
    for name in ("c.svg", "d.svg"):
        assert ElementTree.parse(tmp_path / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert '<b>"&\ufffd' in "".join(ElementTree.parse(tmp_path / "d.svg").getroot().itertext())


def test_plot_says_what_is_no_run(run, tmp_path: Path):
    (tmp_path / "a").mkdir()
    missing = run("plot", tmp_path / "a", code=1)
    assert "log of a training run" in missing.stderr
    (tmp_path / "a" / "metrics.jsonl").write_text('{"epoch": 1}\n')
    broken = run("plot", tmp_path / "a", code=1)
    assert "not the log" in broken.stderr


def test_a_taught_run_shows_the_teacher(tmp_path: Path):
    taught = replace(epoch(1, best=True), val_teacher=0.75)
    assert "teacher 0.7500" in epoch_line(taught, 3) and "teacher" not in epoch_line(epoch(1, best=True), 3)
    write_curves([taught, replace(epoch(2, best=False), val_teacher=0.8)], tmp_path / "c.svg")
    words = "".join(ElementTree.parse(tmp_path / "c.svg").getroot().itertext())
    assert "val cosine to the teacher" in words and "best" in words


@pytest.mark.slow
def test_patience_ends_a_run_early(toy_dataset, tmp_path: Path):
    from tests.helpers.training import SMALL, go

    config = SMALL.changed(["epochs=9", "patience=1", "lr=1e-9", "ema_decay=0"])
    result = go(config, toy_dataset, tmp_path / "run")
    assert len(result.history) < 9 and waited(result.history) == 1
    again = go(config, toy_dataset, tmp_path / "run", resume=True)
    assert len(again.history) == len(result.history)


def test_advice_changes_nothing_in_the_run(toy_dataset, tmp_path: Path):
    """The trial steps before a run leave no trace: the first step starts from the same weights."""
    from facesearch.encoder.device import choose_device
    from facesearch.training.trainer import Training
    from tests.helpers.training import SMALL

    training = Training(SMALL, [toy_dataset], [], choose_device("cpu"), tmp_path, lambda done, total: None)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    assert 0 < training.seconds_left() < math.inf
    after = training.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not training.optimizer.state and training.epoch == training.step == 0
