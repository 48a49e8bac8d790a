"""scripts/model_card.py: the card and its tables say what was measured, and a card without a fact fails."""

from __future__ import annotations

import copy
import json
from typing import Any

import jinja2
import pytest
from model_card import (
    COMPARED,
    ROWS,
    SHOWN,
    WILD,
    candidates_table,
    encoders_table,
    lengths_table,
    model_card,
)
from ship import PROVENANCE


def rate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "trials": 100}


def figures(first: float) -> list[dict[str, Any]]:
    """Every figure that is shown, each a thousandth more than the one before."""
    names = dict.fromkeys([name for _, name in SHOWN] + list(COMPARED))
    return [{"name": name, "rate": rate(first + n / 1000)} for n, name in enumerate(names)]


@pytest.fixture
def card() -> dict[str, Any]:
    came = json.loads(PROVENANCE.read_text())
    clean = {
        "open FNIR at FPIR 10/3/1 %": [0.51, 0.52, 0.53],
        "by template at 1 %": 0.54,
        "IR TPR at FPR 0.05/0.01/0.001": [0.55, 0.56, 0.57],
    }
    each = {
        name: {"what": name, "figures": figures(first)}
        for name, first in (("a", 0.1), ("b", 0.2), ("c", 0.3))
    }
    each["c"]["without_contaminated_photos"] = clean
    metrics = {name: {"val": figures(n / 10), "test": figures(0.05 + n / 10)} for n, name in enumerate(ROWS)}
    worth = {"by photo": {"none": [0.2, 0.4], "5 %": [0.1, 0.2], "10 %": [0.1, 0.1]}}
    return {
        "name": "drawn",
        "encoder_id": came["encoder_id"],
        "weights_bytes": 43_000_000,
        "notes": came["notes"],
        "from": came["from"],
        "trained_on": came["machine"],
        "people": {
            "people": 491,
            "split": "test",
            "rank1_of_worst": {"5%": rate(0.61), "25%": rate(0.95)},
            "people_always_found": 0.875,
            "people_found_in_under_half": 0.021,
            "rank1_by_enrolled_photos": {"1 to 9": {"people": 27, "rank1": 0.91}},
        },
        "metrics": metrics,
        "lengths": {"shipped": worth},
        "candidates": {"chosen": "a", "why": "it is the best", "candidates": each},
        "wild": {name: {"asked": 40, "rates": {fact: rate(0.7) for fact in WILD}} for name in ROWS},
        "machine": {"cpu": "a processor", "cores": 2},
        "commit": "c" * 40,
    }


def cells(table: str, start: str) -> list[str]:
    """Of the line that starts so."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_each_encoder_stands_in_its_own_column_and_each_split_in_its_own_line(card: dict[str, Any]):
    table = encoders_table(card)
    assert cells(table, "rank-1, val") == [
        f"{n / 10:.3f} [{n / 10 - 0.01:.3f}, {n / 10 + 0.01:.3f}]" for n in range(4)
    ]
    assert [cell[:5] for cell in cells(table, "rank-1, test")] == ["0.050", "0.150", "0.250", "0.350"]
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_figure_that_could_not_be_measured_is_a_dash(card: dict[str, Any]):
    card["metrics"]["teacher"]["val"][0]["rate"]["value"] = float("nan")
    del card["metrics"]["before"]["test"]
    table = encoders_table(card)
    assert cells(table, "rank-1, val")[2] == "–" and cells(table, "rank-1, test")[1] == "–"


def test_the_candidates_stand_side_by_side_with_the_trial_cleaned(card: dict[str, Any]):
    table = candidates_table(card["candidates"])
    assert "| **(a) this trainer, one GPU** | (b)" in table
    assert [cell[:5] for cell in cells(table, "rank-1, val")] == ["0.100", "0.200", "0.300", "–"]
    cleaned = [cells(table, name)[3] for name in (f"{name}, open set" for name in COMPARED[1:5])]
    assert cleaned == ["0.510", "0.520", "0.530", "0.540"]
    assert [cells(table, f"{name}, IR set")[3] for name in COMPARED[5:]] == ["0.550", "0.560", "0.570"]


def test_what_lengths_are_worth_is_the_mean_of_the_draws(card: dict[str, Any]):
    table = lengths_table(card["lengths"])
    assert cells(table, "this encoder, by photo") == ["0.300", "0.150", "0.100"]
    assert "none refused" in table


def test_the_card_tells_where_the_encoder_comes_from(card: dict[str, Any]):
    text, came = model_card(card), card["from"]
    for fact in (
        card["encoder_id"][:16],
        came["teacher"]["licence"],
        came["started_from"]["encoder_id"][:16],
        f"{came['minutes']} minutes",
        "15,351 of 800 people",
        "113,778",
        "NVIDIA H100",
        "0.61 for the worst 5 %, 0.95 for the worst 25 %;",
        "it is the best",
        "Not to be used for",
        *came["not_known"],
    ):
        assert fact in text, fact
    sources = came["unlabelled"]["sources"]
    assert len(sources) == 18 and sum(row["faces"] for row in sources) == came["unlabelled"]["listed"]
    assert came["unlabelled"]["trained_on"] + came["unlabelled"]["held_out"] == came["unlabelled"]["listed"]
    for row in sources:
        assert cells(text, row["name"]) == [f"{row['faces']:,}", row["what"], row["terms"]]


@pytest.mark.parametrize("missing", ["teacher", "minutes", "not_known", "started_from"])
def test_a_card_without_a_fact_of_its_origin_is_not_written(card: dict[str, Any], missing: str):
    less = copy.deepcopy(card)
    del less["from"][missing]
    with pytest.raises(jinja2.UndefinedError):
        model_card(less)
