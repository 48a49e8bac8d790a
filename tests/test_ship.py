"""scripts/ship.py: what is refused before anything is written, and when an encoder's lengths are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import ship_rows
from ship import write_weights
from ship_rows import LENGTH_SHARES, lengths_that_sort

from facesearch.encoder.weights import SHIPPED
from facesearch.files import sha256_of


def test_the_provenance_of_another_encoder_is_refused_and_nothing_is_written():
    before = sha256_of(SHIPPED)
    with pytest.raises(click.ClickException, match="belong together"):
        write_weights(SHIPPED, {"encoder_id": "f" * 64, "notes": {}, "from": {"teacher": {}}})
    assert sha256_of(SHIPPED) == before


def worth(photo: float, template: float) -> dict[str, dict[str, list[float]]]:
    """What is left of 0.2 missed when the shortest vectors are refused."""
    return {
        "by photo": {"none": [0.1, 0.3], "5 %": [photo - 0.1, photo + 0.1]},
        "by template": {"none": [0.2, 0.2], "5 %": [template, template]},
    }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """lengths_that_sort of an encoder whose lengths of open photos are 1 to 1001."""
    monkeypatch.setattr(ship_rows, "dataset_lengths", lambda *_: np.arange(1, 1002, dtype=np.float32))
    row: Any = SimpleNamespace(name="drawn", runtime=None)
    world: Any = SimpleNamespace(extra=SimpleNamespace(where=lambda split: np.arange(1001)))
    return lambda measured: lengths_that_sort(measured, row, world)


def test_lengths_are_told_where_refusing_the_shortest_lowers_both_ways(told: Any):
    table = told(worth(0.17, 0.18))["lengths"]
    assert [share for share, _ in table] == list(LENGTH_SHARES)
    assert [length for _, length in table] == pytest.approx([1 + 1000 * share for share in LENGTH_SHARES])


@pytest.mark.parametrize(("photo", "template"), [(0.17, 0.195), (0.195, 0.17), (0.22, 0.22)])
def test_and_are_not_where_one_way_gains_nothing(told: Any, photo: float, template: float):
    assert told(worth(photo, template)) == {}
