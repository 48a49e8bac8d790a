"""What is promised of other strangers is kept by any other strangers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facesearch.metrics.openset import threshold_at_fpir
from facesearch.metrics.promise import promised_fpir

PEOPLE, PHOTOS = 40, 20


def world(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Best scores (PEOPLE, PHOTOS) of strangers: no two photos go together; or they do; or one stranger in 25
    is a look-alike, nearly all of whose photos score high.
    """
    photo = rng.normal(size=(PEOPLE, PHOTOS))
    if kind == "apart":
        return photo
    if kind == "together":
        return np.exp(photo + rng.normal(size=(PEOPLE, 1)))
    return photo + np.where(rng.random((PEOPLE, 1)) < 0.04, 3.0, 0.5 * rng.normal(size=(PEOPLE, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["apart", "together", "look-alikes"])
@pytest.mark.parametrize("fpir", [0.1, 0.01])
def test_it_is_kept_by_as_many_other_strangers(kind: str, fpir: float):
    """Of 60 pairs of crowds, one that sets the threshold and one that comes."""
    rng, whose, kept = np.random.default_rng(0), np.repeat(np.arange(PEOPLE), PHOTOS), []
    for number in range(60):
        here, there = world(rng, kind).ravel(), world(rng, kind).ravel()
        low, high = promised_fpir(here, whose, fpir, seed=number)
        kept.append(low <= (there >= threshold_at_fpir(here, fpir)).mean() <= high)
        assert 0 <= low <= fpir <= high < 1
    assert np.mean(kept) >= (0.9 if kind == "look-alikes" else 0.93)  # half of such crowds do not know of any


def test_of_one_photo_each_it_is_the_exact_law():
    """Of 600 strangers who come, how many score above the 31st of 600 who set it: a beta-binomial law, from
    counting orders alone.
    """
    n, named = 600, 30
    log = math.lgamma

    def choose(a: int, b: int) -> float:
        return log(a + 1) - log(b + 1) - log(a - b + 1)

    law = [
        math.exp(choose(named + k, k) + choose(2 * n - named - 1 - k, n - k) - choose(2 * n, n))
        for k in range(n + 1)
    ]
    below = np.cumsum(law)
    assert below[-1] == pytest.approx(1)
    exact = np.searchsorted(below, [0.025, 0.975]) / n
    scores = np.random.default_rng(1).random(n)
    assert promised_fpir(scores, np.arange(n), 0.05) == pytest.approx(exact, abs=0.005)


def test_scores_on_another_scale_are_promised_the_same():
    rng = np.random.default_rng(2)
    scores, whose = world(rng, "together").ravel(), np.repeat(np.arange(PEOPLE), PHOTOS)
    assert promised_fpir(scores, whose, 0.05) == promised_fpir(np.log(scores), whose, 0.05)


def test_photos_that_go_together_tell_less():
    scores = np.linspace(0, 1, 400)
    many = promised_fpir(scores, np.arange(400), 0.05)
    few = promised_fpir(scores, np.repeat(np.arange(8), 50), 0.05)
    one = promised_fpir(scores, np.zeros(400), 0.05)
    assert few[1] - few[0] > 2 * (many[1] - many[0]) and one[0] == 0 and one[1] > 0.9
