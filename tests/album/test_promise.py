"""Groups that are called sure, at any mixture of people: made-up vectors that are as far apart as real ones
are."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from facesearch.album import linkage
from facesearch.album.group import average_linkage, in_order
from facesearch.album.linkage import average_joins, near_pairs
from facesearch.album.promise import PROMISED, Believed, Found, add_groups, find_groups
from facesearch.album.strangers import known_strangers, strangers_of
from facesearch.records import F32, I64

NOBODY_TOGETHER = np.empty((0, 2), np.int64)
MIXTURES = {
    "singles": [1] * 1500,
    "pairs": [2] * 400,
    "power law": [max(1, 400 // rank) for rank in range(1, 900)],
    "ten of a hundred": [100] * 10,
    "ten and five": [10, 5],
    "one person": [10],
    "two faces": [1, 1],
}


def heap(counts: list[int], seed: int = 0, d: int = 512, alike: float = 0.55) -> tuple[F32, I64]:
    """Unit vectors of people with so many photos each, two of one person at a cosine of about `alike`,
    strangers about 0 with a tail as that of faces: some of all people look like each other."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(counts)), counts)
    kind = rng.normal(size=(400, d))  # people of one kind look somewhat alike
    own = rng.normal(size=(len(counts), d)) + 0.7 * kind[rng.integers(0, 400, len(counts))]
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    noise = rng.normal(size=(len(who), d))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = np.sqrt(alike) * own[who] + np.sqrt(1 - alike) * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def wrong_of(found: Found, who: I64) -> tuple[int, int]:
    """Faces in sure groups that are not of the person with most of them, and faces in sure groups."""
    wrong = count = 0
    for label in np.flatnonzero(found.sure).tolist():
        people = np.bincount(who[found.labels == label])
        wrong, count = wrong + int(people.sum() - people.max()), count + int(people.sum())
    return wrong, count


@pytest.mark.slow
@pytest.mark.parametrize("mixture", MIXTURES)
def test_what_is_called_sure_is_pure_at_any_mixture(mixture: str):
    wrong = count = 0
    for seed in range(3):
        vectors, who = heap(MIXTURES[mixture], seed)
        one = wrong_of(find_groups(vectors, NOBODY_TOGETHER, None), who)
        wrong, count = wrong + one[0], count + one[1]
    assert wrong <= PROMISED * count
    if mixture in ("power law", "ten of a hundred", "ten and five", "one person"):
        assert count > 0.5 * 3 * sum(n for n in MIXTURES[mixture] if n > 1)


def test_a_fixed_cut_keeps_no_such_promise():
    """The cut that is right for ten people with a hundred photos makes groups of people with one each."""
    together = average_linkage(heap(MIXTURES["ten of a hundred"])[0], 0.2)
    assert len(np.unique(together)) == 10
    vectors, _ = heap(MIXTURES["singles"])
    assert in_order(average_linkage(vectors, 0.2)).max() > 20
    assert not find_groups(vectors, NOBODY_TOGETHER, None).sure.any()


def test_larger_groups_may_be_less_alike():
    vectors, _ = heap([40, 40, 2, 2, 2, 2, *[1] * 300], alike=0.42)
    found = find_groups(vectors, NOBODY_TOGETHER, None)
    sizes = np.bincount(found.labels[found.labels >= 0])
    assert found.sure[sizes >= 20].all() and (sizes >= 20).any() and not found.sure[sizes == 2].any()


def test_how_likely_a_group_is_right_is_said_as_often_as_it_is():
    told, right = [], []
    for seed in range(4):
        vectors, who = heap([*[2] * 250, *[1] * 800], seed, alike=0.5)
        found = find_groups(vectors, NOBODY_TOGETHER, None)
        for label, chance in enumerate(found.right.tolist()):
            told.append(chance)
            right.append(len(set(who[found.labels == label].tolist())) == 1)
    assert len(told) > 200 and np.mean(told) - 0.05 <= np.mean(right) <= np.mean(told) + 0.2


def test_the_order_of_faces_changes_no_group():
    vectors, _ = heap([*[5] * 40, *[1] * 100])
    order = np.random.default_rng(1).permutation(len(vectors))
    one, other = (find_groups(v, NOBODY_TOGETHER, None).labels for v in (vectors, vectors[order]))
    pairs = set(zip(one[order].tolist(), other.tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_new_faces_come_to_the_groups_there_are_as_if_all_were_grouped_anew():
    vectors, who = heap([*[12] * 40, *[1] * 100])
    new = np.arange(len(who)) % 12 == 0
    first = find_groups(vectors[~new], NOBODY_TOGETHER, None)
    groups = np.full(len(who), -1)
    groups[~new] = first.labels + 1
    found, leaf = add_groups(vectors, groups, NOBODY_TOGETHER, Believed.read(asdict(first.by)))
    labels = found.of_faces(leaf).labels
    for number in range(1, groups.max() + 1):  # what was together stays, and two groups never become one
        assert len(set(labels[groups == number].tolist())) == 1
    assert len(set(labels[groups > 0].tolist())) == groups.max()
    joined = new & (labels >= 0)
    assert joined.sum() > 0.8 * (new & (who < 40)).sum()
    for number in range(1, groups.max() + 1):
        label = labels[groups == number][0]
        assert np.bincount(who[labels == label]).max() >= 0.9 * (labels == label).sum()


def test_strangers_are_found_where_they_are_and_the_table_bounds_them():
    vectors, _ = heap([1] * 2000)
    found = strangers_of(vectors, np.full(2000, -1), None)
    assert found.at == pytest.approx(0.242 - 0.02, abs=0.003)  # they lie below what the table allows
    crowd = (vectors + 0.45 * vectors[0]) / np.linalg.norm(vectors + 0.45 * vectors[0], axis=1, keepdims=True)
    cosines = (crowd @ crowd.T)[np.triu_indices(2000, 1)]
    blurred = strangers_of(crowd.astype(np.float32), np.full(2000, -1), None)
    assert blurred.at > 0.25 and blurred.at == pytest.approx(np.quantile(cosines, 0.99), abs=0.005)
    one, _ = heap([300])  # all pairs are of one person, who is no stranger
    alone = strangers_of(one, np.arange(300), [[0.01, 0.24], [0.001, 0.35], [0.0001, 0.45]])
    assert alone.at <= 0.24 + 0.08 + 1e-6 and alone.decade <= 1.5 * 0.106
    assert strangers_of(one, np.zeros(300, int), None) == known_strangers(None)


def test_of_a_crowd_the_nearest_are_kept_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch):
    vectors, _ = heap([60] * 6, alike=0.9)
    ones = np.ones(len(vectors), np.int64)
    whole = average_joins(near_pairs(vectors, 0.4), vectors, ones, NOBODY_TOGETHER, 0.4).tops()
    monkeypatch.setattr(linkage, "MOST_NEAR", 5)
    near = near_pairs(vectors, 0.4)
    few = average_joins(near, vectors, ones, NOBODY_TOGETHER, 0.4).tops()
    assert not near.whole and len(near.a) < 6 * len(vectors)
    assert len(set(zip(whole.tolist(), few.tolist(), strict=True))) == len(set(whole.tolist())) == 6


def test_no_face_and_one():
    for n in (0, 1):
        found = find_groups(heap([1] * 2)[0][:n], NOBODY_TOGETHER, None)
        assert found.labels.tolist() == [-1] * n and not len(found.sure)
