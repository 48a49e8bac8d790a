"""The rows of the README's marked table, read from what was measured of the shipped encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tables import card, interval

FEW_MISSES, SOME_MISSES = 0.05, 0.15
"""Up to these shares of wrong answers a result is called good, and fair."""


def verdict(wrong: float) -> str:
    """A word for a share of wrong answers."""
    return "good" if wrong <= FEW_MISSES else "fair" if wrong <= SOME_MISSES else "**weak**"


def good_and_bad_rows() -> Iterator[list[str]]:
    """What is asked, the measured share with its interval, and a word for it."""
    named = {figure["name"]: figure["rate"] for figure in card()["metrics"]["shipped"]["val"]}
    for figure in card()["gallery"]["measured"]:  # of the gallery that comes with facesearch
        named.setdefault(figure["name"], figure["rate"])
    named |= card()["wild"]["shipped"]["rates"]
    rows = (
        ("known people: the right one is named first", "rank-1", True),
        ("the same, for the 5 % of people with the worst results", "rank-1 of the worst 5% of people", True),
        ("people never seen in training: the right one is named first", "rank-1 of mated searches", True),
        (
            "strangers: a wrong name is given, where 1 % is allowed",
            "FPIR of further strangers, 1.0% promised",
            False,
        ),
        (
            "people never seen in training: *not* named, where 1 % of strangers may be",
            "FNIR at FPIR 1.0% by mean template",
            False,
        ),
        ("the same, with `calibrate --by best-photo`", "FNIR at FPIR 1.0%", False),
        ("photographs from anywhere, 40 people: found and named", "match after", True),
        ("two photos of one person: recognised, at 1 false match in 1,000", "TPR at FPR 0.001", True),
    )
    for words, name, right in rows:
        rate = named[name]
        value, low, high = rate["value"], rate["low"], rate["high"]
        yield [words, interval((value, low, high)), verdict(1 - value if right else value)]


README_TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {"good_and_bad": good_and_bad_rows}
