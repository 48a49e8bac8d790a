"""Each measure against a slow, obvious twin, against scikit-learn, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from facesearch.metrics.bootstrap import draw_people, mean_over_people, pair_weights, wilson
from facesearch.metrics.openset import (
    Searches,
    best_candidates,
    det_curve,
    fnir_at,
    fnir_difference,
    fpir_at,
    mean_templates,
    open_set_point,
    threshold_at_fpir,
)
from facesearch.metrics.pairs import curve_replicates
from facesearch.metrics.people import confusions, per_person, resemblances, worst_share
from facesearch.metrics.retrieval import closed_set
from facesearch.metrics.verification import Curve, identification_pairs, impostor_table, pair_scores, roc


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
    probe_ids = np.array(
        [f"photo{i}" if i < 4 else f"other{i}" for i in range(9)]
    )  # some probes are in the gallery
    probes[:4], probe_people[:4] = gallery[:4], people[:4]
    found = closed_set(probes, probe_people, probe_ids, gallery, people, ids)
    expected = [
        straight_closed_set(probes[i], probe_people[i], probe_ids[i], gallery, people, ids) for i in range(9)
    ]
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
        np.array([[1, 0]], np.float32),
        np.array(["a"]),
        np.array(["q"]),
        gallery,
        np.array(list("abaab")),
        np.arange(5).astype(str),
    )
    assert found.rank.tolist() == [1]
    assert found.r_precision[0] == pytest.approx(2 / 3) and found.map_at_r[0] == pytest.approx(5 / 9)


def test_a_probe_never_matches_its_own_content():
    gallery = np.eye(3, dtype=np.float32)
    found = closed_set(
        gallery,
        np.array(list("aab")),
        np.array(["1", "2", "3"]),
        gallery,
        np.array(list("aab")),
        np.array(["1", "2", "3"]),
    )
    # Photo 3 is b's only one: nothing to find. Photos 1 and 2 are at right angles to all: the lower row wins
    # the tie.
    assert found.left_out == 1 and found.probe.tolist() == [0, 1]
    assert found.rank.tolist() == [1, 1]


def test_ties_go_to_the_lower_row():
    same = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    people, ids = np.array(["b", "a", "b"]), np.array(["1", "2", "3"])
    found = closed_set(same[:2], np.array(["a", "b"]), np.array(["x", "y"]), same, people, ids)
    assert found.rank.tolist() == [2, 1]


def test_the_nearest_photo_and_the_nearest_own_photo_are_told():
    # As by hand above: the nearest is row 0 (a). For a probe of b the nearest is the same, its own nearest is
    # row 1.
    angles = np.deg2rad([5, 10, 15, 40, 50])
    gallery = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    probes = np.array([[1, 0], [1, 0]], np.float32)
    found = closed_set(
        probes,
        np.array(["a", "b"]),
        np.array(["q", "r"]),
        gallery,
        np.array(list("abaab")),
        np.arange(5).astype(str),
    )
    assert found.best_row.tolist() == [0, 0] and found.own_row.tolist() == [0, 1]
    assert found.best_score == pytest.approx(np.cos(angles[[0, 0]])) and found.own_score == pytest.approx(
        np.cos(angles[[0, 1]])
    )


@pytest.mark.parametrize("seed", range(5))
def test_rank_1_r_precision_and_map_at_r_are_those_of_pytorch_metric_learning(seed: int):
    """Theirs keeps as many neighbours as the largest person has photos (k=None); a probe is not in the
    gallery.
    """
    accuracy_calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    people, probe_people = np.repeat(np.arange(12), rng.integers(1, 9, 12)), rng.integers(0, 12, 60)
    centres = unit(rng, 12, 8)

    def around(labels: np.ndarray) -> np.ndarray:
        v = centres[labels] + 0.35 * rng.normal(size=(len(labels), 8))
        return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)

    gallery, probes = around(people), around(probe_people)
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    theirs = accuracy_calculator.AccuracyCalculator(
        include=names, k=None, device=torch.device("cpu")
    ).get_accuracy(
        torch.from_numpy(probes),
        torch.from_numpy(probe_people),
        torch.from_numpy(gallery),
        torch.from_numpy(people),
    )
    found = closed_set(
        probes,
        probe_people,
        np.array([f"q{i}" for i in range(60)]),
        gallery,
        people,
        np.array([f"g{i}" for i in range(len(gallery))]),
    )
    ours = (found.within(1).mean(), found.r_precision.mean(), found.map_at_r.mean())
    assert ours == pytest.approx([theirs[name] for name in names], abs=1e-9)
    assert 0.2 < ours[2] < 0.99  # neither chance nor perfect, where everything agrees


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


def test_the_table_of_impostors_ends_where_pairs_are_too_few():
    """Thirty photos are 435 pairs, which tell of rates down to three in 435; a score at a rate lets no more
    than that through.
    """
    rng = np.random.default_rng(4)
    scores, same = rng.normal(size=435), rng.random(435) < 0.2
    table = impostor_table(roc(scores, same), 30)
    assert [rate for rate, _ in table] == pytest.approx([10**-1, 10**-1.5, 10**-2])
    for rate, score in table:
        assert np.mean(scores[~same] >= score) <= rate < np.mean(scores[~same] >= score) + 2 / np.sum(~same)


def test_weights_count_pairs_several_times():
    rng = np.random.default_rng(0)
    same, scores, weights = rng.random(50) < 0.5, rng.normal(size=50), rng.integers(0, 4, 50)
    once, repeated = (
        roc(scores, same, weights.astype(float)),
        roc(np.repeat(scores, weights), np.repeat(same, weights)),
    )
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
    assert sorted(pairs.scores[pairs.second == -1].tolist()) == pytest.approx(
        sorted((queries @ distractors.T).ravel().tolist())
    )
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
        np.array([0.9, 0.8, 0.4, 0.7], np.float32),
        np.array([True, False, True, True]),
        np.array(list("aabb")),
        np.array([0.5, 0.3, 0.2, 0.1], np.float32),
        np.array(list("xxyy")),
    )
    assert fnir_at(searches, 0.0) == 0.25  # one wrong name
    assert fnir_at(searches, 0.5) == 0.5  # and one too low
    assert threshold_at_fpir(searches.stranger_score, 0.25) == pytest.approx(0.3, abs=1e-6)
    point = open_set_point(searches, 0.8)
    assert point.enough and point.fnir.low <= point.fnir.value <= point.fnir.high


def test_a_rate_that_the_data_cannot_support_is_not_spoken_of():
    rng = np.random.default_rng(0)
    s = Searches(
        rng.random(50).astype(np.float32),
        np.ones(50, bool),
        np.repeat(np.arange(10), 5),
        rng.random(99).astype(np.float32),
        np.arange(99),
    )
    assert not open_set_point(s, 0.03).enough and np.isnan(open_set_point(s, 0.03).fnir.value)
    assert open_set_point(s, 0.04).enough


def test_adding_a_stranger_never_raises_a_genuine_score():
    rng = np.random.default_rng(3)
    gallery, probe, people = unit(rng, 10), unit(rng, 1), np.array(list("abcdefghij"))
    before, who = best_candidates(probe, gallery, people)
    after, _ = best_candidates(probe, np.vstack([gallery, unit(rng, 1)]), np.append(people, "z"))
    assert (
        before[0] == pytest.approx((probe @ gallery.T).max())
        and who[0] == people[(probe @ gallery.T).argmax()]
    )
    assert after[0] >= before[0]


def test_the_det_curve_is_what_each_threshold_gives():
    rng = np.random.default_rng(4)
    s = Searches(
        rng.random(30).astype(np.float32),
        rng.random(30) < 0.8,
        np.arange(30),
        rng.random(20).astype(np.float32),
        np.arange(20),
    )
    fpir, fnir = det_curve(s)
    thresholds = np.unique(np.concatenate([s.mated_score, s.stranger_score]))[::-1]
    assert fpir == pytest.approx([fpir_at(s.stranger_score, t) for t in thresholds])
    assert fnir == pytest.approx([fnir_at(s, t) for t in thresholds])


def test_a_template_is_the_mean_brought_to_length_one():
    rng = np.random.default_rng(5)
    vectors, people = unit(rng, 9), np.array(list("cabcabcac"))
    templates, names = mean_templates(vectors, people)
    assert names.tolist() == ["a", "b", "c"] and templates.dtype == np.float32
    for name, template in zip(names, templates, strict=True):
        mean = np.mean([v for v, p in zip(vectors, people, strict=True) if p == name], axis=0)
        assert template == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    against, _ = mean_templates(np.array([[1, 0], [-1, 0]], np.float32), np.array(["x", "x"]))
    assert against.tolist() == [[0, 0]]


def test_what_is_hard_for_both_ways_of_scoring_cancels_out():
    """People differ much, the two ways little: the paired interval is far narrower than the single ones."""
    rng = np.random.default_rng(6)
    people = np.repeat(np.arange(30), 10)
    skill = rng.uniform(0, 1, 30)[people] + 0.05 * rng.normal(size=300)
    strangers, whose = rng.uniform(-0.5, 0.5, 200).astype(np.float32), np.repeat(np.arange(20), 10)
    one, other = (
        Searches((skill + gain).astype(np.float32), np.ones(300, bool), people, strangers, whose)
        for gain in (0.05, 0.0)
    )
    better = fnir_difference(one, other, 0.05)
    single = open_set_point(one, 0.05)
    assert better.value == pytest.approx(single.fnir.value - open_set_point(other, 0.05).fnir.value)
    assert better.low <= better.value <= better.high < 0
    assert better.high - better.low < 0.5 * (single.fnir.high - single.fnir.low)
    assert np.isnan(fnir_difference(one, other, 0.001).value)  # 200 searches do not speak of it


# ---- by person


def test_people_come_worst_first_with_whom_they_are_taken_for():
    people, best = np.array(list("aaabbcccc")), np.array(list("aabbbabbb"))
    rows = per_person(people, best, np.array(list("aabbbcc")))
    assert [(r.person, r.rank1.value, r.rank1.trials, r.enrolled) for r in rows] == [
        ("c", 0, 4, 2), ("a", pytest.approx(2 / 3), 3, 2), ("b", 1, 2, 3),
    ]  # fmt: skip
    assert [(t.person, t.times) for t in rows[0].taken_for] == [("b", 3), ("a", 1)] and rows[
        2
    ].taken_for == ()


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_who_is_taken_for_whom_agrees_with_the_obvious_way(seed: int):
    rng = np.random.default_rng(seed)
    people, best = rng.choice(list("abcd"), 25), rng.choice(list("abcde"), 25)
    score, own = rng.random(25).astype(np.float32), rng.random(25).astype(np.float32)
    rows = confusions(people, best, score, own)
    assert len(rows) == len({(p, b) for p, b in zip(people, best, strict=True) if p != b})
    for row in rows:
        at = [i for i in range(25) if people[i] == row.person and best[i] == row.taken_for]
        assert row.times == len(at) and row.probes == list(people).count(row.person)
        assert row.back == sum(people[i] == row.taken_for and best[i] == row.person for i in range(25))
        assert (row.mean_score, row.highest_score, row.mean_own_score) == pytest.approx(
            (score[at].mean(), score[at].max(), own[at].mean())
        )
    assert [row.times for row in rows] == sorted((row.times for row in rows), reverse=True)
    strangers = resemblances(people, best, score)
    assert (
        strangers[0].highest_score == pytest.approx(score.max()) and sum(s.searches for s in strangers) == 25
    )
    assert all(s.of == list(people).count(s.person) for s in strangers)


def test_the_worst_share_is_the_mean_of_the_lowest():
    rates = np.array([0.9, 0.1, 1.0, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert worst_share(rates, 0.2).value == pytest.approx(0.2) and worst_share(rates, 0.2).trials == 2
    assert worst_share(rates, 0.05).value == pytest.approx(0.1)  # at least one
    straight = []
    for times in draw_people(10, 1000, 0):
        drawn = sorted(rate for rate, n in zip(sorted(rates), times, strict=True) for _ in range(n))
        straight.append((drawn[0] + drawn[1]) / 2)
    fifth = worst_share(rates, 0.2)
    assert (fifth.low, fifth.high) == pytest.approx(np.quantile(straight, [0.025, 0.975]))
    whole = worst_share(rates, 1.0)
    assert whole.value == pytest.approx(rates.mean()) and whole.low < whole.value < whole.high


def test_wilsons_interval_by_its_own_equation():
    # Its ends p solve (share - p)^2 = z^2 p (1 - p) / n.
    for hits, trials in ((0, 2), (1, 3), (7, 9), (4, 4)):
        rate = wilson(hits, trials)
        for end in (rate.low, rate.high):
            if 1e-9 < end < 1 - 1e-9:
                assert (rate.value - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / trials)
        assert rate.low <= rate.value <= rate.high


# ---- intervals


def test_pairs_count_as_often_as_their_people_are_drawn():
    drawn = np.array([2.0, 0.0, 3.0])
    first, second, same = (
        np.array([0, 0, 2, 2, 0]),
        np.array([0, 2, 1, 2, -1]),
        np.array([True, False, False, True, False]),
    )
    assert pair_weights(drawn, first, second, same).tolist() == [2, 6, 0, 3, 2]  # -1: always there


def test_replicates_of_a_curve_are_those_of_repeated_pairs():
    rng = np.random.default_rng(7)
    scores, same = np.sort(rng.normal(size=40))[::-1], rng.random(40) < 0.5
    first = rng.integers(0, 6, 40)
    second = np.where(same, first, (first + 1) % 6)
    got = curve_replicates(
        Curve(scores, same), same, first, second, 6, lambda c: [c.auc, c.eer], replicates=5, seed=3
    )
    for row, drawn in zip(got, draw_people(6, 5, 3), strict=True):
        times = [drawn[a] if s else drawn[a] * drawn[b] for a, b, s in zip(first, second, same, strict=True)]
        again = roc(np.repeat(scores, times), np.repeat(same, times))
        assert row == pytest.approx([again.auc, again.eer])


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
