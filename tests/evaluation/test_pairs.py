"""LFW's protocol: its list, its folds, its figures; on arrays, on drawn people and on photographs."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from facesearch.datasets.pairs import PhotoName, read_pairs
from facesearch.encoder.runtime import load_runtime
from facesearch.errors import BadTable, CannotRead, NotFound, NothingToDo
from facesearch.evaluation.evaluate import evaluate
from facesearch.evaluation.given import Embedder
from facesearch.evaluation.pairs import PairTrial, run_pairs
from facesearch.faces.detect import load_detector
from facesearch.metrics.pairs import FoldedPairs, Folds, measure_pairs
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.places import MOBILEFACENET, SHARED
from tests.helpers.saying import quiet, refused

# ---- the measure


def straight_folds(scores, same, fold):
    """Each fold by loops: try every cut between two scores of the other folds, keep the highest of the
    best."""
    result = []
    for k in sorted(set(fold)):
        others = [i for i in range(len(scores)) if fold[i] != k]
        values = sorted({float(scores[i]) for i in others}, reverse=True)
        cuts = [np.inf] + [(a + b) / 2 for a, b in pairwise(values)] + [values[-1]]
        right = [sum((scores[i] >= cut) == same[i] for i in others) for cut in cuts]
        cut = cuts[right.index(max(right))]
        own = [i for i in range(len(scores)) if fold[i] == k]
        result.append(sum((scores[i] >= cut) == same[i] for i in own) / len(own))
    return result


def some_pairs(seed: int, folds: int = 4, each: int = 9, people: int = 12) -> FoldedPairs:
    rng = np.random.default_rng(seed)
    same = np.tile(np.repeat([True, False], each), folds)
    fold = np.repeat(np.arange(folds), 2 * each)
    first = rng.integers(0, people, len(same))
    second = np.where(same, first, (first + rng.integers(1, people, len(same))) % people)
    scores = np.round(rng.normal(size=len(same)) * 0.2 + 0.3 * same, 2).astype(np.float32)
    return FoldedPairs(scores, same, fold, first, second)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_each_fold_agrees_with_the_obvious_way(seed: int):
    pairs = some_pairs(seed)
    accuracy, _ = Folds(pairs.scores, pairs.same, pairs.fold).accuracies()
    assert accuracy == pytest.approx(straight_folds(pairs.scores.astype(float), pairs.same, pairs.fold))


def test_a_folds_own_pairs_do_not_move_its_threshold_by_hand():
    # Fold 0 says: same 0.9 0.8, different 0.2 0.1: cut at 0.5. Fold 1: same 0.45 0.4, different 0.3 0.2: cut
    # at 0.35. Fold 0 by 0.35: all right. Fold 1 by 0.5: its two same pairs are refused, 2 of 4.
    scores = np.array([0.9, 0.8, 0.2, 0.1, 0.45, 0.4, 0.3, 0.2], np.float32)
    same, fold = np.tile([True, True, False, False], 2), np.repeat([0, 1], 4)
    accuracy, threshold = Folds(scores, same, fold).accuracies()
    assert accuracy.tolist() == [1.0, 0.5] and threshold == pytest.approx([0.35, 0.5])
    found = measure_pairs(
        FoldedPairs(scores, same, fold, np.arange(8), np.where(same, np.arange(8), np.arange(8) - 1)), (0.1,)
    )
    assert found.accuracy.value == 0.75 and found.standard_error == pytest.approx(
        0.25
    )  # std 0.3536 over the root of two


def test_weights_count_pairs_several_times():
    pairs, weights = some_pairs(1), np.random.default_rng(2).integers(0, 4, 72)
    once, _ = Folds(pairs.scores, pairs.same, pairs.fold).accuracies(weights.astype(float))
    repeated, _ = Folds(*(np.repeat(a, weights) for a in (pairs.scores, pairs.same, pairs.fold))).accuracies()
    assert once == pytest.approx(repeated)


def test_auc_and_rates_agree_with_scikit_learn_and_every_rate_has_an_interval():
    pairs = some_pairs(3, folds=5, each=80, people=60)
    found = measure_pairs(pairs, (0.01, 0.001))
    assert found.auc.value == pytest.approx(sklearn_metrics.roc_auc_score(pairs.same, pairs.scores))
    fpr, tpr, _ = sklearn_metrics.roc_curve(pairs.same, pairs.scores, drop_intermediate=False)
    fnr = 1 - tpr
    crossing = int(np.argmax(fpr >= fnr))
    assert (
        min(fpr[crossing - 1], fnr[crossing]) - 1e-9
        <= found.eer.value
        <= max(fpr[crossing], fnr[crossing - 1]) + 1e-9
    )
    assert found.points[0].tar.value == pytest.approx(tpr[fpr <= 0.01].max())
    for rate in (found.accuracy, found.auc, found.eer, found.points[0].tar):
        assert rate.low <= rate.value <= rate.high and rate.high > rate.low
    assert not found.points[1].enough and np.isnan(
        found.points[1].tar.value
    )  # 400 different pairs, 3,000 needed


def test_one_fold_and_a_fold_of_one_kind_are_refused():
    pairs = some_pairs(0)
    with pytest.raises(ValueError, match="two"):
        Folds(pairs.scores, pairs.same, np.zeros(72, int))
    with pytest.raises(ValueError, match="one kind"):
        measure_pairs(
            FoldedPairs(pairs.scores, pairs.fold > 1, pairs.fold, pairs.first, pairs.second), (0.1,)
        )


# ---- the list

GOOD = "2\t1\nAda\t1\t2\nAda\t1\tBen\t3\nBen\t3\t1\nAda\t2\tBen\t1\n\n"


def test_a_list_is_read_with_each_photo_once(tmp_path: Path):
    (tmp_path / "pairs.txt").write_text(GOOD)
    pairs = read_pairs(tmp_path / "pairs.txt")
    assert pairs.photos == (
        PhotoName("Ada", 1),
        PhotoName("Ada", 2),
        PhotoName("Ben", 3),
        PhotoName("Ben", 1),
    )
    assert (pairs.folds, len(pairs)) == (2, 4)
    assert pairs.first.tolist() == [0, 0, 2, 1] and pairs.second.tolist() == [1, 2, 3, 3]
    assert pairs.same.tolist() == [True, False, True, False] and pairs.fold.tolist() == [0, 0, 1, 1]
    (tmp_path / "blanks.txt").write_text(GOOD.replace("\t", "  "))
    assert read_pairs(tmp_path / "blanks.txt").photos == pairs.photos
    assert PhotoName("Ada", 12).find(tmp_path) == tmp_path / "Ada/Ada_0012.jpg"
    save_colour(tmp_path / "Ada/Ada_0012.png", "red")
    assert PhotoName("Ada", 12).find(tmp_path) == tmp_path / "Ada/Ada_0012.png"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "expected two numbers"),
        ("1100\n", 1, "expected two numbers"),
        ("ten 300\n", 1, "'ten' is not a number"),
        ("1 2\n", 1, "two folds"),
        (
            GOOD.replace("Ben\t3\t1\n", ""),
            5,
            r"2 folds of 1 \+ 1 pairs make 4 lines after the first, this file has 3",
        ),
        (GOOD.strip() + "\nBen\t1\t2\n", 6, "this file has 5"),
        ("999999999 999999999\nAda 1 2\n", 3, "this file has 1"),
        (GOOD.replace("Ada\t1\t2", "Ada\t1\tBen\t2"), 2, "pair of one person.*found 4 words"),
        (GOOD.replace("Ada\t1\tBen\t3", "Ada\t1\t3"), 3, "pair of two people.*found 3 words"),
        (GOOD.replace("Ada\t1\tBen\t3", "Ada\t1\tAda\t3"), 3, "found 'Ada' twice"),
        (GOOD.replace("Ada\t1\t2", "Ada\t1\t1"), 2, "paired with itself"),
        (GOOD.replace("Ada\t1\t2", "Ada\t0\t2"), 2, "'0' is not a number from 1 up"),
        (GOOD.replace("Ada\t1\t2", "Ada\t1\t²"), 2, "not a number"),
        (GOOD.replace("Ada\t1\t2", "..\t1\t2"), 2, "leads out of the folder"),
        (GOOD.replace("Ada\t1\t2", "/etc/x\t1\t2"), 2, "no name of a folder"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, text: str, line: int, says: str):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(BadTable, match=rf"pairs.txt, line {line}: (?i:.*{says})"):
        read_pairs(tmp_path / "pairs.txt")


@given(st.text(alphabet="Ab./\\\t 019\n²\0", max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_text_is_anything_but_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str):
    table = tmp_path_factory.mktemp("fuzz") / "pairs.txt"
    table.write_text(text)
    try:
        pairs = read_pairs(table)
    except BadTable:
        return
    assert len(pairs) and all("/" not in photo.person and photo.person != ".." for photo in pairs.photos)


def test_a_list_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(CannotRead):
        read_pairs(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CannotRead, match="UTF-8"):
        read_pairs(tmp_path / "bytes.txt")


# ---- the photos


def lay_out(source: Path, out: Path, *, folds: int, each: int, seed: int = 0) -> Path:
    """LFW's layout over a folder of people, by links, and a drawn pairs.txt with nobody in two folds."""
    r = random.Random(seed)
    count = {}
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (out / folder.name).mkdir(parents=True)
        photos = sorted(folder.iterdir())
        for number, photo in enumerate(photos, 1):
            (out / folder.name / f"{folder.name}_{number:04d}{photo.suffix}").symlink_to(photo)
        count[folder.name] = len(photos)
    people = sorted(count)
    r.shuffle(people)
    part = len(people) // folds
    lines = [f"{folds}\t{each}"]
    for fold in range(folds):
        own = people[fold * part : (fold + 1) * part]
        for _ in range(each):
            who = r.choice(own)
            lines.append("\t".join([who, *map(str, r.sample(range(1, count[who] + 1), 2))]))
        for _ in range(each):
            a, b = r.sample(own, 2)
            lines.append(f"{a}\t{r.randint(1, count[a])}\t{b}\t{r.randint(1, count[b])}")
    (out / "pairs.txt").write_text("\n".join(lines) + "\n")
    return out / "pairs.txt"


def test_drawn_people_are_measured_each_photo_embedded_once(album: Path, tmp_path: Path):
    table = lay_out(album, tmp_path / "lfw", folds=3, each=20)
    encoder = ColourEncoder()
    pairs = read_pairs(table)
    found = run_pairs(PairTrial(pairs, tmp_path / "lfw", None), encoder, quiet, seed=0)
    assert encoder.seen == found.photos == len(pairs.photos) and found.people == 6 and not found.left_out
    vectors = {}
    for name in pairs.photos:
        pixels = cv2.cvtColor(cv2.imread(str(name.find(tmp_path / "lfw"))), cv2.COLOR_BGR2RGB)
        vectors[name] = encoder.embed(cv2.resize(pixels, (112, 112), interpolation=cv2.INTER_AREA)[None])[0]
    straight = [
        vectors[pairs.photos[a]] @ vectors[pairs.photos[b]]
        for a, b in zip(pairs.first, pairs.second, strict=True)
    ]
    assert found.scores == pytest.approx(straight, abs=1e-5)
    assert found.measured.fold_accuracy == pytest.approx(
        straight_folds(found.scores.astype(float), pairs.same, pairs.fold)
    )
    assert found.measured.accuracy.value > 0.6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lfw"]  # nothing was kept


def test_photos_that_cannot_be_used_are_named_and_their_pairs_counted(album: Path, tmp_path: Path):
    table = lay_out(album, tmp_path / "lfw", folds=3, each=20)
    pairs = read_pairs(table)
    broken, gone = (pairs.photos[i].find(tmp_path / "lfw") for i in (0, 3))
    broken.unlink()
    broken.write_text("no picture")
    gone.unlink()
    lost = sum(a in (0, 3) or b in (0, 3) for a, b in zip(pairs.first, pairs.second, strict=True))
    result = evaluate(
        None,
        None,
        None,
        Embedder(ColourEncoder(), {}, quiet),
        split="val",
        weights=Path("none"),
        seed=0,
        fpir=0.01,
        pairs=PairTrial(pairs, tmp_path / "lfw", None),
    )
    assert result.pairs is not None and [skip.path.stem for skip in result.pairs.left_out] == [
        broken.stem,
        gone.stem,
    ]
    assert result.pairs.pairs_left_out == lost and len(result.pairs.scores) == len(pairs) - lost
    assert f"{lost} pairs left out, 2 photos without a usable face" in result.figures[0].note
    assert {figure.section for figure in result.figures} == {"pairs, LFW protocol"}
    assert [reason.split(":")[0] for reason in result.skipped] == [
        "closed set",
        "open set 1",
        "the gallery at its own threshold",
        "identification rate (pairs)",
    ]


def test_nothing_usable_and_no_folder(album: Path, tmp_path: Path):
    pairs = read_pairs(lay_out(album, tmp_path / "lfw", folds=2, each=5))
    with refused(NotFound, "--pairs-photos"):
        run_pairs(PairTrial(pairs, tmp_path / "nowhere", None), ColourEncoder(), quiet, seed=0)
    (tmp_path / "empty").mkdir()
    with refused(NothingToDo, r"could not be used(.|\n)*the file is not there"):
        run_pairs(PairTrial(pairs, tmp_path / "empty", None), ColourEncoder(), quiet, seed=0)


@pytest.mark.slow
def test_the_command_measures_pairs_without_any_dataset(run, album: Path, weights: Path, tmp_path: Path):
    lay_out(album, tmp_path / "lfw", folds=3, each=40)
    words = ("--pairs", "lfw/pairs.txt", "--pairs-photos", "lfw", "--aligned", "--weights", weights)
    asked = run("evaluate", *words)
    assert "accuracy, mean over folds" in asked.stdout and "standard error over 3 folds" in asked.stdout
    assert "left out: closed set: no prepared dataset" in asked.stdout and "index.html" in asked.stderr
    only = run("evaluate", *words, "--only", "pairs")
    assert "left out" not in only.stdout
    assert "go together" in run("evaluate", *words[:2], code=2).stderr
    nothing = run("evaluate", "--only", "pairs", "--weights", weights, code=1)
    assert "Nothing can be measured" in nothing.stderr and "--pairs pairs.txt" in nothing.stderr


@pytest.mark.data
@pytest.mark.slow
def test_a_strong_encoder_on_pairs_of_photographs(tmp_path: Path):
    """Twelve people of wild/, found and aligned by YuNet, judged by MobileFaceNet."""
    few = tmp_path / "few"
    for folder in sorted((SHARED / "data/wild").iterdir())[:12]:
        (few / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:6]:
            (few / folder.name / photo.name).symlink_to(photo)
    pairs = read_pairs(lay_out(few, tmp_path / "lfw", folds=4, each=12))
    found = run_pairs(
        PairTrial(pairs, tmp_path / "lfw", load_detector(None)),
        load_runtime(MOBILEFACENET, device="cpu"),
        quiet,
        seed=0,
    )
    assert len(found.left_out) <= 3 and found.people == 12
    assert found.measured.accuracy.value > 0.93 and found.measured.auc.value > 0.97
