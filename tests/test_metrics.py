"""Each measure against a slow, obvious twin, against scikit-learn, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from facesearch.metrics.bootstrap import draw_people, mean_over_people
from facesearch.metrics.openset import (
    Searches,
    best_candidates,
    det_curve,
    fnir_at,
    fpir_at,
    open_set_point,
    threshold_at_fpir,
)
from facesearch.metrics.retrieval import closed_set
from facesearch.metrics.verification import identification_pairs, pair_scores, roc


def unit(rng: np.random.Generator, n: int, d: int = 6) -> np.ndarray:
    v = rng.normal(size=(n, d)).astype(np.float32)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


# ---- closed set


def straight_closed_set(probe, person, own, gallery, people, ids):
    """One probe by loops: (rank, template rank, R-precision, AP@R) or None without a mate."""
    rows = [j for j in range(len(gallery)) if ids[j] != own]
    mates = [j for j in rows if people[j] == person]
    if not mates:
        return None
    order = sorted(rows, key=lambda j: (-float(probe @ gallery[j]), j))
    seen: list[str] = []
    for j in order:
        if people[j] not in seen:
            seen.append(people[j])
    r = len(mates)
    hits = [people[j] == person for j in order[:r]]
    ap = sum(sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]) / r
    template = {}
    for name in sorted(set(people)):
        mean = np.sum([gallery[j] for j in rows if people[j] == name] or [np.zeros(len(probe))], axis=0)
        length = np.linalg.norm(mean)
        template[name] = float(probe @ mean / length) if length > 1e-9 else -np.inf
    t_rank = 1 + sum(score > template[person] for score in template.values())
    return seen.index(person) + 1, t_rank, sum(hits) / r, ap


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_closed_set_agrees_with_the_obvious_way(seed: int):
    rng = np.random.default_rng(seed)
    gallery, probes = unit(rng, 17), unit(rng, 9)
    people = np.array([f"p{i}" for i in rng.integers(0, 5, 17)])
    probe_people = np.array([f"p{i}" for i in rng.integers(0, 7, 9)])  # p5 and p6 are nobody
    ids = np.array([f"photo{i}" for i in range(17)])
    probe_ids = np.array([f"photo{i}" if i < 4 else f"other{i}" for i in range(9)])  # some probes are in the gallery
    probes[:4], probe_people[:4] = gallery[:4], people[:4]
    found = closed_set(probes, probe_people, probe_ids, gallery, people, ids)
    expected = [straight_closed_set(probes[i], probe_people[i], probe_ids[i], gallery, people, ids) for i in range(9)]
    assert found.left_out == expected.count(None)
    rows = [e for e in expected if e is not None]
    got = zip(found.rank, found.template_rank, found.r_precision, found.map_at_r, strict=True)
    assert np.array(list(got)).ravel() == pytest.approx(np.array(rows).ravel())
    assert found.probe.tolist() == [i for i, e in enumerate(expected) if e is not None]


def test_r_precision_and_map_at_r_by_hand():
    # The gallery at falling cosines to the probe: a b a a b. Of the R = 3 nearest, a is first and third:
    # R-precision 2/3; MAP@R = (1/1 + 2/3) / 3 = 5/9; the nearest is a: rank 1.
    angles = np.deg2rad([5, 10, 15, 40, 50])
    gallery = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = closed_set(
        np.array([[1, 0]], np.float32), np.array(["a"]), np.array(["q"]), gallery, np.array(list("abaab")), np.arange(5).astype(str)
    )
    assert found.rank.tolist() == [1]
    assert found.r_precision[0] == pytest.approx(2 / 3) and found.map_at_r[0] == pytest.approx(5 / 9)


def test_a_probe_never_matches_its_own_content():
    gallery = np.eye(3, dtype=np.float32)
    found = closed_set(gallery, np.array(list("aab")), np.array(["1", "2", "3"]), gallery, np.array(list("aab")), np.array(["1", "2", "3"]))
    # Photo 3 is b's only one: nothing to find. Photos 1 and 2 are at right angles to all: the lower row wins the tie.
    assert found.left_out == 1 and found.probe.tolist() == [0, 1]
    assert found.rank.tolist() == [1, 1]


def test_ties_go_to_the_lower_row():
    same = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    people, ids = np.array(["b", "a", "b"]), np.array(["1", "2", "3"])
    found = closed_set(same[:2], np.array(["a", "b"]), np.array(["x", "y"]), same, people, ids)
    assert found.rank.tolist() == [2, 1]


# ---- pairs


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_roc_auc_and_eer_agree_with_scikit_learn(seed: int, ties: bool):
    rng = np.random.default_rng(seed)
    same = np.concatenate([[True, False], rng.random(58) < 0.4])
    scores = rng.normal(size=60) + same
    if ties:
        scores = np.round(scores)
    curve = roc(scores, same)
    fpr, tpr, _ = sklearn_metrics.roc_curve(same, scores, drop_intermediate=False)
    assert curve.fpr == pytest.approx(fpr) and curve.tpr == pytest.approx(tpr)
    assert curve.auc == pytest.approx(sklearn_metrics.roc_auc_score(same, scores))
    for rate in (0.0, 0.05, 0.3, 1.0):
        value, threshold = curve.at_fpr(rate)
        assert (scores[~same] >= threshold).mean() <= rate
        assert value == pytest.approx((scores[same] >= threshold).mean())
        lower = [t for t in np.unique(scores) if t < threshold]
        if lower:  # the next lower threshold lets too many through: ours is the smallest that serves
            assert (scores[~same] >= max(lower)).mean() > rate


def test_weights_count_pairs_several_times():
    rng = np.random.default_rng(0)
    same, scores, weights = rng.random(50) < 0.5, rng.normal(size=50), rng.integers(0, 4, 50)
    once, repeated = roc(scores, same, weights.astype(float)), roc(np.repeat(scores, weights), np.repeat(same, weights))
    for rate in (0.1, 0.5):
        assert once.at_fpr(rate)[0] == pytest.approx(repeated.at_fpr(rate)[0])
    assert once.auc == pytest.approx(repeated.auc)


def test_equal_error_rate_by_hand():
    # Mated 0.9 0.8 0.3, non-mated 0.7 0.2 0.1: at threshold 0.7 one of three on either side is wrong.
    curve = roc(np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1]), np.array([1, 1, 1, 0, 0, 0], bool))
    assert curve.eer == pytest.approx(1 / 3)


def test_a_roc_without_both_kinds_of_pairs_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        roc(np.array([0.5, 0.2]), np.array([True, True]))


def test_every_pair_is_scored_once():
    rng = np.random.default_rng(1)
    vectors, people = unit(rng, 5), np.array(list("aabbc"))
    scores, same = pair_scores(vectors, people)
    expected = [(vectors[i] @ vectors[j], people[i] == people[j]) for i in range(5) for j in range(i + 1, 5)]
    assert scores == pytest.approx([e[0] for e in expected]) and same.tolist() == [e[1] for e in expected]


def test_identification_pairs_are_query_pairs_and_query_by_distractor():
    rng = np.random.default_rng(2)
    queries, distractors, people = unit(rng, 4), unit(rng, 3), np.array(list("aabb"))
    pairs = identification_pairs(queries, people, distractors)
    assert len(pairs.scores) == 6 + 12 and pairs.same.sum() == 2
    assert (np.diff(pairs.scores) <= 0).all()
    assert (pairs.second == -1).sum() == 12
    assert sorted(pairs.scores[pairs.second == -1].tolist()) == pytest.approx(sorted((queries @ distractors.T).ravel().tolist()))
    assert (pairs.first[pairs.same] == pairs.second[pairs.same]).all()


# ---- open set


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=40), st.floats(0, 0.99))
def test_the_threshold_is_the_smallest_that_keeps_the_promise(scores: list[float], fpir: float):
    strangers = np.array(scores, np.float32)
    threshold = threshold_at_fpir(strangers, fpir)
    assert fpir_at(strangers, threshold) <= fpir + 1e-9
    lower = strangers[strangers < threshold]
    if len(lower):
        assert fpir_at(strangers, float(lower.max())) > fpir - 1e-9


def test_fnir_counts_wrong_names_and_low_scores():
    searches = Searches(
        np.array([0.9, 0.8, 0.4, 0.7], np.float32), np.array([True, False, True, True]), np.array(list("aabb")),
        np.array([0.5, 0.3, 0.2, 0.1], np.float32), np.array(list("xxyy")),
    )  # fmt: skip
    assert fnir_at(searches, 0.0) == 0.25  # one wrong name
    assert fnir_at(searches, 0.5) == 0.5  # and one too low
    assert threshold_at_fpir(searches.stranger_score, 0.25) == pytest.approx(0.3, abs=1e-6)
    point = open_set_point(searches, 0.8)
    assert point.enough and point.fnir.low <= point.fnir.value <= point.fnir.high


def test_a_rate_that_the_data_cannot_support_is_not_spoken_of():
    rng = np.random.default_rng(0)
    s = Searches(rng.random(50).astype(np.float32), np.ones(50, bool), np.repeat(np.arange(10), 5), rng.random(99).astype(np.float32),
                 np.arange(99))  # fmt: skip
    assert not open_set_point(s, 0.03).enough and np.isnan(open_set_point(s, 0.03).fnir.value)
    assert open_set_point(s, 0.04).enough


def test_adding_a_stranger_never_raises_a_genuine_score():
    rng = np.random.default_rng(3)
    gallery, probe, people = unit(rng, 10), unit(rng, 1), np.array(list("abcdefghij"))
    before, who = best_candidates(probe, gallery, people)
    after, _ = best_candidates(probe, np.vstack([gallery, unit(rng, 1)]), np.append(people, "z"))
    assert before[0] == pytest.approx((probe @ gallery.T).max()) and who[0] == people[(probe @ gallery.T).argmax()]
    assert after[0] >= before[0]


def test_the_det_curve_is_what_each_threshold_gives():
    rng = np.random.default_rng(4)
    s = Searches(rng.random(30).astype(np.float32), rng.random(30) < 0.8, np.arange(30), rng.random(20).astype(np.float32), np.arange(20))
    fpir, fnir = det_curve(s)
    thresholds = np.unique(np.concatenate([s.mated_score, s.stranger_score]))[::-1]
    assert fpir == pytest.approx([fpir_at(s.stranger_score, t) for t in thresholds])
    assert fnir == pytest.approx([fnir_at(s, t) for t in thresholds])


# ---- intervals


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        skill = rng.beta(6, 3, 40)  # people differ; the mean over people is 2/3
        people = np.repeat(np.arange(40), 8)
        right = rng.random(320) < skill[people]
        rate = mean_over_people(right.astype(float), people, seed=trial)
        covered += rate.low <= 2 / 3 <= rate.high
    assert 87 <= covered <= 100


def test_photos_of_one_person_widen_the_interval():
    right = np.repeat([1.0, 0.0] * 10, 20)
    by_person = mean_over_people(right, np.repeat(np.arange(20), 20))
    by_photo = mean_over_people(right, np.arange(400))
    assert by_person.high - by_person.low > 2.5 * (by_photo.high - by_photo.low)
    assert by_person.value == by_photo.value == 0.5


def test_averaged_over_people_every_person_weighs_the_same():
    rate = mean_over_people(np.array([1.0, 1.0, 1.0, 0.0]), np.array(["a", "a", "a", "b"]), macro=True)
    assert rate.value == 0.5 and rate.trials == 4
    assert draw_people(3, 5, 0).sum(axis=1).tolist() == [3] * 5
