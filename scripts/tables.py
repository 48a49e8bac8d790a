"""The rows of the tables marked `<!-- table: NAME -->` in README.md and docs/, read from scripts/results.

scripts/readme.py fills them in. A row function yields one list of cells per row; the head of the table is in
the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def interval(rate: Sequence[float], bold: bool = False) -> str:
    """A figure with its interval, three digits; without one where there is none to speak of."""
    value, low, high = rate
    words = f"{value:.3f} [{low:.3f}, {high:.3f}]" if high - low >= 0.0005 else f"{value:.3f}"
    return f"**{words}**" if bold else words


def grouping_rows() -> Iterator[list[str]]:
    """scripts/clustering.py's table: a row a heap, a mixture and a way; what repeats is left blank."""
    before = ("", "")
    for row in json.loads((RESULTS / "clustering" / "mixtures.json").read_text())["rows"]:
        if row["way"] not in ("before", "sure", "groups", "answered", "hdbscan"):
            continue
        named = (row["where"], row["mixture"])
        heap = row["where"] if named[0] != before[0] else ""
        mixture = row["mixture"] if named != before else ""
        rates = [
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in (row[f"bcubed_{of}"] for of in ("precision", "recall", "f"))
        ]
        way = f"**{row['way']}**" if row["way"] == "sure" else row["way"]
        wrong = f"{row['wrong']:,} of {row['grouped']:,} ({row['wrong_share']:.1%})"
        mixed = f"{row['mixed']} of {row['groups']}"
        whole = f"{row['whole']} of {row['people_of_5']}"
        yield [heap, mixture, way, *rates, mixed, whole, wrong]
        before = named


def promise_rows() -> Iterator[list[str]]:
    """scripts/calibration_promise.py's rows at 3 and 1 %."""

    def percent(share: float) -> str:
        return f"{share:.2%}".replace("%", " %")

    for row in json.loads((RESULTS / "calibration" / "shipped.json").read_text())["rows"]:
        if row["fpir"] < 0.05:
            reached = (
                f"{percent(row['reached'])} [{100 * row['reached_5']:.2f}, {100 * row['reached_95']:.2f}]"
            )
            yield [
                str(row["people"]),
                f"{row['faces']:,}",
                f"{row['fpir']:.0%}".replace("%", " %"),
                f"{percent(row['low'])} to {percent(row['high'])}",
                reached,
                f"{row['kept']:.0%}".replace("%", " %"),
                percent(row["within_reached"]),
            ]


def planted_rows() -> Iterator[list[str]]:
    """scripts/audit_bench.py's means over seeds."""
    planted = {
        "wrong_names": ("wrong names", "240 labels dealt again (2 %)"),
        "same_people": ("two names", "10 people split"),
        "two_clusters": ("two clusters", "10 pairs of people merged"),
        "copies": ("copies", "50: JPEG 50 to 80, half resized and relit, a fifth mirrored"),
        "bad_crops": ("unusable crops", "40: black, dark, blurred, noisy"),
    }
    means = json.loads((RESULTS / "audit" / "planted.json").read_text())["means"]
    for name, words in planted.items():
        yield [
            *words,
            *(f"{means[name][figure]:.3f}" for figure in ("recall", "precision_new", "precision_planted")),
        ]


def way_rows() -> Iterator[list[str]]:
    """scripts/ways_to_score.py's table."""
    for row in json.loads((RESULTS / "ways_to_score.json").read_text())["rows"]:
        figures = zip(*(row[key][:-1] for key in ("best", "template", "difference", "error")), strict=True)
        missed = [
            f"{best:.3f}, {template:.3f} ({less:+.4f} ± {error:.4f})"
            for best, template, less, error in figures
        ]
        rank1 = f"{1 - row['best'][-1]:.3f}, {1 - row['template'][-1]:.3f}"
        yield [str(row["enrolled"] or "all, 2 to 22"), *missed, rank1, f"{100 * row['other']:.2f} %"]


TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    "grouping": grouping_rows,
    "promise": promise_rows,
    "planted": planted_rows,
    "ways": way_rows,
}
