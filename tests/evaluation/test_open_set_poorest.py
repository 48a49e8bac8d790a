"""The open set says what is missed when the shortest vectors are refused, for encoders that tell lengths."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from facesearch.evaluation.given import EnrolledPhotos
from facesearch.evaluation.open_set import measure_open_set
from facesearch.evaluation.results import Evaluation
from facesearch.records import F32, I64

PEOPLE, EACH, D = 40, 30, 64


class Drawn:
    """People about their own directions, each photo the further from it the poorer it is."""

    folder = Path("drawn")

    def __init__(self, seed: int, *, first: int) -> None:
        rng = np.random.default_rng(seed)
        self.people = np.array([f"p{first + i:03d}" for i in range(PEOPLE) for _ in range(EACH)])
        self.noise = rng.uniform(0.2, 2.4, PEOPLE * EACH)
        own = np.repeat(rng.standard_normal((PEOPLE, D)), EACH, axis=0) / np.sqrt(D)
        vectors = own + self.noise[:, None] * rng.standard_normal((PEOPLE * EACH, D)) / np.sqrt(D)
        self.vectors: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        self.rows = [SimpleNamespace(file=f"{i}.jpg") for i in range(PEOPLE * EACH)]

    def __len__(self) -> int:
        return len(self.people)

    def where(self, split: str) -> I64:
        return np.arange(len(self))


def measured(lengths: Any) -> dict[str, tuple[float, int]]:
    """lengths: of a photo with so much noise. The figures by name, with how many trials each rests on."""
    here, strangers = Drawn(0, first=0), Drawn(1, first=100)

    class Embed:
        def __call__(self, data: Drawn, rows: I64) -> F32:
            return data.vectors[rows]

        def lengths(self, data: Drawn, rows: I64) -> F32:
            return np.asarray(lengths(data.noise[rows]), np.float32)

    enrolled: Any = EnrolledPhotos(here, here.where("train"), here.vectors)  # type: ignore[arg-type]
    result, embed, extra = Evaluation("drawn", "e" * 64, "val"), Embed(), strangers
    measure_open_set(enrolled, extra, embed, 0, 0.01, result, with_photos=False)  # type: ignore[arg-type]
    return {figure.name: (figure.rate.value, figure.rate.trials) for figure in result.figures}


def test_refusing_the_shortest_vectors_lowers_what_is_missed_where_lengths_tell_of_poor_photos():
    figures = measured(lambda noise: 3 - noise)
    for how in ("", " by mean template"):
        all_, trials = figures[f"FNIR at FPIR 1.0%{how}"]
        five, left = figures[f"FNIR at FPIR 1.0%{how} less 5% shortest vectors"]
        ten, fewer = figures[f"FNIR at FPIR 1.0%{how} less 10% shortest vectors"]
        assert ten < five < all_ - 0.01
        assert 0.9 * trials < left < trials and 0.85 * trials < fewer < left


def test_and_does_not_where_they_tell_nothing():
    figures = measured(lambda noise: 1 + np.random.default_rng(5).random(len(noise)))
    gain = figures["FNIR at FPIR 1.0%"][0] - figures["FNIR at FPIR 1.0% less 5% shortest vectors"][0]
    assert abs(gain) < 0.02


def test_a_runtime_without_lengths_has_no_such_figure():
    assert not [name for name in measured(np.zeros_like) if "shortest" in name]
