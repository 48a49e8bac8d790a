"""BCubed and pairs against brute force, average linkage against scikit-learn's, and groups that stay what
they were.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facesearch.album import group as grouping
from facesearch.album.group import (
    average_linkage,
    group,
    in_order,
    join_by_person,
    keep_apart,
    pair_spread,
    settle,
    usual_threshold,
)
from facesearch.album.linkage import in_one_photo
from facesearch.album.promise import find_groups
from facesearch.errors import PackageMissing, TooManyFaces
from facesearch.metrics.bootstrap import REPLICATES, draw_people
from facesearch.metrics.clustering import bcubed_of_photos, judge, singled_out
from tests.helpers.saying import refused

AT_RANDOM = range(12)
OTHER_PHOTOS = np.arange(20).astype(str)
"""Each face in one of its own."""


def made_up(
    seed: int, n: int | None = None, people: int | None = None, noise: float | None = None, d: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about some centres, and whose they are."""
    r = np.random.default_rng(seed)
    n = n or int(r.integers(2, 300))
    centres = r.normal(size=(people or max(1, n // 8), d))
    who = r.integers(0, len(centres), n)
    vectors = centres[who] + r.normal(size=(n, d)) * (noise or r.uniform(0.2, 1.2))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def random_grouping(seed: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    n = int(r.integers(1, 40))
    return r.integers(0, 6, n).astype(str), r.integers(-1, 7, n)


def slow_figures(people: np.ndarray, groups: np.ndarray) -> list[float]:
    """The definitions, photo by photo and pair by pair."""
    found = [("alone", i) if g < 0 else ("group", int(g)) for i, g in enumerate(groups)]
    everyone = range(len(people))
    precisions, recalls = [], []
    for i in everyone:
        group_mates = [j for j in everyone if found[j] == found[i]]
        own = [j for j in everyone if people[j] == people[i]]
        both = [j for j in group_mates if people[j] == people[i]]
        precisions.append(len(both) / len(group_mates))
        recalls.append(len(both) / len(own))
    pairs = list(itertools.combinations(everyone, 2))
    together = [pair for pair in pairs if found[pair[0]] == found[pair[1]]]
    same = [pair for pair in pairs if people[pair[0]] == people[pair[1]]]
    right = [pair for pair in together if people[pair[0]] == people[pair[1]]]
    p, r = float(np.mean(precisions)), float(np.mean(recalls))

    def share(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return [
        p,
        r,
        2 * p * r / (p + r),
        share(len(right), len(together)),
        share(len(right), len(same)),
        share(2 * len(right), len(together) + len(same)),
    ]


def figures(people: np.ndarray, groups: np.ndarray) -> list[float]:
    j = judge(people, groups)
    return [
        rate.value
        for rate in (
            j.bcubed_precision,
            j.bcubed_recall,
            j.bcubed_f,
            j.pair_precision,
            j.pair_recall,
            j.pair_f,
        )
    ]


@pytest.mark.parametrize("seed", AT_RANDOM)
def test_figures_are_what_counting_photo_by_photo_and_pair_by_pair_gives(seed: int):
    people, groups = random_grouping(seed)
    assert figures(people, groups) == pytest.approx(slow_figures(people, groups), nan_ok=True)


def test_a_case_worked_by_hand():
    # a a a b | groups 0 0 1 1. Precision: 1, 1, 1/2, 1/2 -> 3/4. Recall: 2/3, 2/3, 1/3, 1 -> 2/3. Pairs: 1
    # right of 2 together, 3 own.
    people, groups = np.array(["a", "a", "a", "b"]), np.array([0, 0, 1, 1])
    assert figures(people, groups) == pytest.approx(
        [3 / 4, 2 / 3, 2 * 0.75 * (2 / 3) / (0.75 + 2 / 3), 1 / 2, 1 / 3, 2 / 5]
    )
    precision, recall = bcubed_of_photos(people, groups)
    assert precision.tolist() == [1, 1, 0.5, 0.5] and recall == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1])


def test_perfect_groups_and_nobody_grouped():
    people = np.repeat(["a", "b", "c"], 4)
    assert figures(people, np.repeat([2, 0, 1], 4)) == pytest.approx([1] * 6)
    alone = judge(people, np.full(12, -1))
    assert (
        alone.bcubed_precision.value == 1
        and alone.bcubed_recall.value == pytest.approx(1 / 4)
        and alone.groups == 0
        and alone.alone == 1
    )
    assert np.isnan(alone.pair_precision.value) and alone.pair_recall.value == 0


def test_whoever_is_alone_is_a_group_of_their_own():
    assert len(set(singled_out(np.array([-1, 3, -1, 3, -1])).tolist())) == 4


def test_the_interval_is_that_of_albums_with_people_drawn_anew():
    """Against the slow figures of the drawn album itself: a person drawn twice is two people, of whom neither
    is in the other's group.
    """
    people, groups = np.array(list("aaabbbccdd")), np.array([0, 0, 1, 1, 1, 1, 2, -1, 2, 2])
    drawn = draw_people(4, REPLICATES, 0)
    slow = []
    for times in drawn[:60]:
        assert times.sum() == 4
        # the pieces of one group with every other person, once for each time those were drawn; own copies
        # never meet
        value = recall = 0.0
        total = 0
        for i, person in enumerate(people):
            code = ord(person) - ord("a")
            mates = [j for j in range(10) if groups[j] == groups[i] >= 0 or j == i]
            own = sum(people[j] == person for j in mates)
            others = sum(times[ord(people[j]) - ord("a")] for j in mates if people[j] != person)
            value += times[code] * own / (own + others)
            recall += times[code] * own / (people == person).sum()
            total += times[code]
        slow.append((value / total, recall / total))
    from facesearch.metrics.clustering import _Cells

    cells = _Cells.of(people, singled_out(groups))
    fast = [cells.figures(times.astype(float))[:2] for times in drawn[:60]]
    assert np.array(fast) == pytest.approx(np.array(slow))


@pytest.mark.parametrize("seed", AT_RANDOM)
@pytest.mark.parametrize("limit", [0.2, 0.5, 0.8])
def test_average_linkage_is_scikit_learns(seed: int, limit: float):
    from sklearn.cluster import AgglomerativeClustering

    vectors, _ = made_up(seed)
    exact = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1 - limit
    )
    assert (
        in_order(average_linkage(vectors, limit)) == in_order(exact.fit_predict(vectors.astype(np.float64)))
    ).all()


def test_average_linkage_ends_where_all_are_equal():
    same = np.tile(made_up(1, n=2)[0][:1], (9, 1))
    assert group(same, "average", 0.9).tolist() == [0] * 9


@pytest.mark.parametrize("method", grouping.METHODS)
def test_every_method_finds_people_far_apart(method: str):
    vectors, who = made_up(4, n=300, people=15, noise=0.4, d=256)
    limit = 0.5 if method == "average" else usual_threshold(vectors)
    found = group(vectors, method, limit)
    assert judge(who, found).bcubed_f.value > 0.98


@pytest.mark.parametrize("method", grouping.METHODS)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_albums_of_no_face_and_of_few(method: str, n: int):
    vectors = made_up(2, n=5)[0][:n]
    assert len(group(vectors, method, 0.99)) == n


def test_the_order_of_photos_changes_no_group():
    vectors, _ = made_up(7, n=200)
    order = np.random.default_rng(1).permutation(200)
    one, other = (
        singled_out(group(vectors, "average", 0.5)),
        singled_out(group(vectors[order], "average", 0.5)),
    )
    assert (
        len(set(zip(one[order].tolist(), other.tolist(), strict=True)))
        == len(set(one.tolist()))
        == len(set(other.tolist()))
    )


def test_the_cut_lies_in_the_tail_of_strangers_and_is_stricter_in_larger_albums():
    vectors, who = made_up(9, n=600, people=60, noise=0.4)
    middle, spread = pair_spread(vectors)
    a, b = np.triu_indices(600, 1)
    strangers = (vectors @ vectors.T)[a, b][who[a] != who[b]]
    assert middle == pytest.approx(strangers.mean(), abs=0.03) and spread == pytest.approx(
        strangers.std(), rel=0.15
    )
    assert usual_threshold(vectors, 1) > usual_threshold(vectors, 8) > middle
    assert usual_threshold(np.concatenate([vectors] * 3)) > usual_threshold(vectors)


def test_groups_number_by_first_appearance_and_nobody_alone_has_one():
    assert in_order(np.array([9, 4, 9, 7, 4, -1, -1])).tolist() == [0, 1, 0, -1, 1, -1, -1]


def test_old_groups_stay_and_newcomers_join_the_nearest():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 0, 1, 2, 2, 3]]
    old = np.array([5, 5, 6, 6, 0, 0, 0, 0, 0])
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, -1])  # a fresh grouping that throws 5 and 6 together
    assert settle(old, labels, vectors, OTHER_PHOTOS[:9], 10).tolist() == [5, 5, 6, 6, 5, 6, 10, 10, 0]


def test_a_newcomer_joins_no_old_group_that_has_a_face_of_its_photo():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 0, 0, 0]]
    old, labels = np.array([5, 5, 6, 6, 0, 0, 0]), np.zeros(7, np.int64)
    photos = np.array(["a", "b", "c", "d", "b", "e", "e"])
    assert settle(old, labels, vectors, photos, 10).tolist() == [5, 5, 6, 6, 6, 5, 6]
    assert (
        settle(old[:2].repeat(2), labels[:4], vectors[[0, 0, 0, 0]], photos[[0, 0, 1, 1]], 9).tolist()
        == [5] * 4
    )


def test_groups_of_one_recognised_person_are_joined():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, -1, -1])
    known = ["Ada", "", "", "Ada", "", "", "", "Ada", ""]
    assert join_by_person(labels, known, OTHER_PHOTOS[:9]).tolist() == [0, 0, 0, 0, 0, 1, 1, 0, -1]
    few = ["Ada"] + [""] * 8  # one of nine is too little to call the group hers
    nine = np.array([0] * 9 + [1, 1])
    assert join_by_person(nine, [*few, "Ada", "Ada"], OTHER_PHOTOS[:11]).tolist() == [0] * 9 + [1, 1]
    photos = np.array(["a", "b", "c", "a", "d", "e", "f", "c", "g"])  # of the one with two faces, one stays
    assert join_by_person(labels, known, photos).tolist() == [0, 0, 0, 1, 1, 2, 2, -1, -1]


@pytest.mark.parametrize("seed", AT_RANDOM)
def test_two_faces_of_one_photo_are_never_in_one_group(seed: int):
    vectors, _ = made_up(seed)
    photos = np.random.default_rng(seed).integers(0, max(1, len(vectors) // 3), len(vectors)).astype(str)
    apart = in_one_photo(photos)
    slow = {(i, j) for i, j in itertools.combinations(range(len(photos)), 2) if photos[i] == photos[j]}
    assert {tuple(sorted(pair)) for pair in apart.tolist()} == slow
    found = find_groups(vectors, apart, None)
    by_hand = keep_apart(average_linkage(vectors, 0.2), vectors, photos)
    for labels in (average_linkage(vectors, 0.2, apart), found.labels, by_hand):
        for one in np.unique(labels[labels >= 0]):
            assert len(set(photos[labels == one])) == (labels == one).sum()


def test_what_cannot_be_done_is_refused(monkeypatch: pytest.MonkeyPatch):
    vectors, _ = made_up(3, n=30)
    monkeypatch.setattr(grouping, "MOST_BY_HDBSCAN", 20)
    with refused(TooManyFaces, "--method average"):
        group(vectors, "hdbscan", 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refused(PackageMissing, r"facesearch\[album\]"):
        group(vectors, "dbscan", 0.5)
