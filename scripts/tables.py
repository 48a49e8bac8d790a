"""The rows of the tables marked `<!-- table: NAME -->` in README.md and docs/, read from scripts/results.

scripts/examples.py fills them in. A row function yields one list of cells per row; the head of the table is
in the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CARD = Path(__file__).parents[1] / "facesearch" / "weights" / "facesearch-r34.json"


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
        less, errors = row["less"]["template"], row["errors"]["template"]
        figures = zip(row["best"][:-1], row["template"][:-1], less[:-1], errors[:-1], strict=True)
        missed = [
            f"{best:.3f}, {template:.3f} ({change:+.4f} ± {error:.4f})"
            for best, template, change, error in figures
        ]
        two = f"{row['two'][-2]:.3f}, {row['two of a third'][-2]:.3f}"
        rank1 = f"{1 - row['best'][-1]:.3f}, {1 - row['template'][-1]:.3f}"
        yield [str(row["enrolled"] or "all, 2 to 22"), *missed, two, rank1, f"{100 * row['other']:.2f} %"]


def read(name: str) -> Any:
    """A file of results."""
    return json.loads((RESULTS / name).read_text())


def card() -> Any:
    """What scripts/ship.py measured of the shipped encoder and of its teacher."""
    return json.loads(CARD.read_text())


def figures(of: str, split: str) -> dict[str, list[float]]:
    """The card's figures of "shipped" or "teacher" by name: value, low, high."""
    found = {}
    for figure in card()["metrics"][of][split]:
        rate = figure["rate"]
        found[figure["name"]] = [rate["value"], rate["low"], rate["high"]]
    return found


SHOWN = (
    "rank-1",
    "rank-1 of the worst 5% of people",
    "rank-1 of mated searches",
    "FNIR at FPIR 10.0%",
    "FNIR at FPIR 3.0%",
    "FNIR at FPIR 1.0%",
    "FNIR at FPIR 0.3%",
    "FNIR at FPIR 1.0% by mean template",
    "TPR at FPR 0.05",
    "TPR at FPR 0.01",
    "TPR at FPR 0.001",
    "equal error rate",
)


WILD = {
    "unknown before": "wild: a stranger stays unknown",
    "match after": "wild: found and named",
    "wrong name after": "wild: a wrong name",
}


def shipped_rows() -> Iterator[list[str]]:
    """The shipped encoder, the one that shipped before, its teacher and MobileFaceNet, figure by figure."""
    encoders = ("shipped", "before", "teacher", "mobilefacenet")
    val = [figures(of, "val") for of in encoders]
    for name in SHOWN:
        if all(name in own for own in val):
            words = "rank-1, val" if name == "rank-1" else name.replace("%", " %")
            yield [words, *(interval(own[name]) for own in val)]
        if name == "rank-1":
            yield ["rank-1, test", *(interval(figures(of, "test")[name]) for of in encoders)]
    for fact, words in WILD.items():
        rates = [card()["wild"][of]["rates"][fact] for of in encoders]
        yield [words, *(interval([rate["value"], rate["low"], rate["high"]]) for rate in rates)]


def encoder_rows() -> Iterator[list[str]]:
    """Encoders that were trained here, and the teacher: the five figures that tell most."""
    alone = read("without_teacher.json")["encoders"].values()
    yield _encoder("the shipped encoder", figures("shipped", "val"), figures("shipped", "test"))
    yield from (_encoder(each["words"], each["val"], each["test"]) for each in alone)
    yield _encoder("the teacher, trained by others", figures("teacher", "val"), figures("teacher", "test"))


def _encoder(words: str, val: dict[str, list[float]], test: dict[str, list[float]]) -> list[str]:
    names = ("classifier top-1, no margin", "rank-1", "TPR at FPR 0.05", "FNIR at FPIR 1.0%")
    accuracy, rank1, tpr, fnir = (interval(val[name]) if name in val else "–" for name in names)
    return [words, accuracy, rank1, interval(test["rank-1"]), tpr, fnir]


def gallery_rows() -> Iterator[list[str]]:
    """The gallery that comes with facesearch, at the threshold that it has."""
    for figure in card()["gallery"]["measured"]:
        rate = figure["rate"]
        trials = f"{rate['trials']:,}"
        value = interval([rate["value"], rate["low"], rate["high"]])
        yield [figure["name"].replace("%", " %"), value, trials, figure["note"]]


def claim_rows() -> Iterator[list[str]]:
    """What the student project found, tried again by scripts/experiments.py."""
    for claim, (verdict, difference) in read("without_teacher.json")["claims"].items():
        yield [claim, verdict, "–" if difference is None else f"{difference:+.3f}"]


def engine_rows() -> Iterator[list[str]]:
    """scripts/bench.py: the encoder on its engines."""
    for row in read("bench.json")["parts"]["embedding"]["engines"]:
        speed, times = f"{row['img_per_s']:.0f}", f"{row['ratio']:.2f}"
        yield [row["engine"], speed, times, f"{row['lowest_cosine']:.5f}"]


def search_rows() -> Iterator[list[str]]:
    """scripts/bench_search.py: what `auto` takes and how long a search is, by size of the gallery."""
    for row in read("bench.json")["parts"]["search"]["runs"] + read("search/ten-million.json")["runs"]:
        auto = row["indexes"]["auto"]
        search, change = auto["search"], auto["change"]
        (part,) = auto["build"]["index"]
        index = part["kind"] + (f", {part['rerank']} compared" if part["rerank"] else "")
        recall = [f"{share:.4f}" for share in search["recall"].values()]
        yield [
            "face-like" if row["vectors"] == "face" else row["vectors"],
            f"{row['faces']:,}",
            index,
            ", ".join(recall),
            f"{search['answer_p50_ms']:.1f}, {search['answer_p95_ms']:.1f}",
            f"{search['open_ms']:,.0f}",
            f"{change['enroll_p50_ms']:.1f}",
            f"{change['forget_s']:.1f}",
        ]


def template_rows() -> Iterator[list[str]]:
    """scripts/bench_search.py: a search by template beside one by photo, in the same run."""
    for row in read("bench.json")["parts"]["search"]["runs"]:
        if row["vectors"] != "face":
            continue
        index = row["indexes"]["auto"]
        found, changed = index["search"], index["change"]
        yield [
            f"{row['faces']:,}",
            f"{row['faces'] // 10:,}",
            *(
                f"{found[f'{way}_p50_ms']:.2f}, {found[f'{way}_p95_ms']:.2f}"
                for way in ("answer", "template")
            ),
            f"{found['template_p50_ms'] / found['answer_p50_ms']:.2f}",
            f"{found['open_ms']:.0f}, {found['template_open_ms']:.0f}",
            f"{changed['enroll_p50_ms']:.1f}, {changed['enroll_p95_ms']:.1f}",
            f"{found['template_first_right']:.4f}",
        ]


def rival_rows() -> Iterator[list[str]]:
    """How many times as long the same search takes elsewhere, in the same run."""
    for row in read("bench.json")["parts"]["search"]["runs"]:
        for name, peer in row["peers"].items():
            kind = "face-like" if row["vectors"] == "face" else row["vectors"]
            yield [kind, f"{row['faces']:,}", name, f"{peer['times_ours']:,.1f}", f"{peer['recall']:.4f}"]


def service_rows() -> Iterator[list[str]]:
    """scripts/bench.py: the service under load."""
    for row in read("bench.json")["parts"]["service"]["rows"]:
        sent = "aligned crops" if row["what"] == "crops" else "whole photos"
        batched = "together" if row["batched"] else "one by one"
        yield [sent, batched, str(row["clients"]), f"{row['per_s']:.0f}", f"{row['p95_ms']:.0f}"]


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


TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    "grouping": grouping_rows,
    "promise": promise_rows,
    "planted": planted_rows,
    "ways": way_rows,
    "shipped": shipped_rows,
    "encoders": encoder_rows,
    "gallery": gallery_rows,
    "claims": claim_rows,
    "engines": engine_rows,
    "searches": search_rows,
    "templates": template_rows,
    "rivals": rival_rows,
    "service": service_rows,
    "good_and_bad": good_and_bad_rows,
}
