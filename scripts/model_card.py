"""The model card for people, made of the JSON card that scripts/ship.py measured: model_card.md.jinja and its
tables, which the README and the lab book share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from jinja2 import Environment, StrictUndefined

TEXT = Path(__file__).with_name("model_card.md.jinja")
ROWS = {
    "shipped": "this encoder",
    "before": "shipped before",
    "teacher": "its teacher, w600k_mbf",
    "mobilefacenet": "MobileFaceNet",
}
SHOWN = (
    ("val", "rank-1"),
    ("test", "rank-1"),
    ("val", "MAP@R"),
    ("val", "TPR at FPR 0.05"),
    ("val", "TPR at FPR 0.01"),
    ("val", "TPR at FPR 0.001"),
    ("val", "rank-1 of mated searches"),
    ("val", "FNIR at FPIR 10.0%"),
    ("val", "FNIR at FPIR 3.0%"),
    ("val", "FNIR at FPIR 1.0%"),
    ("val", "FNIR at FPIR 1.0% by mean template"),
)
"""(split, figure), see facesearch/evaluation."""
WILD = {
    "unknown before": "wild: a stranger stays unknown",
    "match after": "wild: found and named",
    "wrong name after": "wild: a wrong name",
}
COMPARED = (
    "rank-1",
    "FNIR at FPIR 10.0%",
    "FNIR at FPIR 3.0%",
    "FNIR at FPIR 1.0%",
    "FNIR at FPIR 1.0% by mean template",
    "TPR at FPR 0.05",
    "TPR at FPR 0.01",
    "TPR at FPR 0.001",
)
"""What the candidates are compared by: val, the open set, the IR set."""
CLEAN = "without contaminated photos"
SETS = {
    "rank-1": ", val",
    "MAP@R": ", val",
    "TPR": ", IR set",
    "FNIR": ", open set",
    "rank-1 of": ", open set",
}
"""On what a figure is measured, by how its name begins."""


def model_card(card: Mapping[str, Any]) -> str:
    """The whole card as Markdown. Raises UndefinedError where the card lacks what its text tells."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # Markdown, not HTML
    worth = card["lengths"]
    return environment.from_string(TEXT.read_text("utf-8")).render(
        card=card,
        sources_table=sources_table(card["from"]["unlabelled"]["sources"]),
        encoders_table=encoders_table(card),
        candidates_table=candidates_table(card["candidates"]),
        lengths_table=lengths_table(worth),
        halvings=len(next(iter(worth["shipped"]["by photo"].values()))),
    )


def sources_table(sources: Iterable[Mapping[str, Any]]) -> str:
    """The collections of faces without names, a line each."""
    head = ("source", "faces", "what it is", "terms, as far as known")
    return _rows(head, ((row["name"], f"{row['faces']:,}", row["what"], row["terms"]) for row in sources))


def encoders_table(card: Mapping[str, Any]) -> str:
    """The rows' figures with intervals, side by side: a line a figure, a column an encoder."""
    there = [name for name in ROWS if name in card["metrics"]]
    lines = [
        (
            figure + (", test" if split == "test" else _where(figure)),
            *(cell(_rate(card["metrics"][name].get(split, ()), figure)) for name in there),
        )
        for split, figure in SHOWN
    ]
    lines += [
        (words, *(cell(card["wild"][name]["rates"][fact]) for name in there)) for fact, words in WILD.items()
    ]
    return _rows(("figure", *(ROWS[name] for name in there)), lines)


def candidates_table(candidates: Mapping[str, Any]) -> str:
    """The three candidates side by side; of the trial's encoder without contaminated photos as well, as its
    makers measured it.
    """
    each = candidates["candidates"]
    clean = each["c"]["without_contaminated_photos"]
    told = dict(zip(COMPARED[1:4], clean["open FNIR at FPIR 10/3/1 %"], strict=True))
    told |= dict(zip(COMPARED[5:], clean["IR TPR at FPR 0.05/0.01/0.001"], strict=True))
    told[COMPARED[4]] = clean["by template at 1 %"]
    titles = {
        "a": "(a) this trainer, one GPU",
        "b": "(b) this trainer, two CPU cores",
        "c": "(c) the trial, one GPU",
    }
    chosen = {
        name: f"**{words}**" if name == candidates["chosen"] else words for name, words in titles.items()
    }
    lines = [
        (
            figure + _where(figure),
            *(cell(_rate(each[name]["figures"], figure)) for name in titles),
            f"{told[figure]:.3f}" if figure in told else "–",
        )
        for figure in COMPARED
    ]
    return _rows(("figure", *chosen.values(), f"(c) {CLEAN}"), lines)


def lengths_table(worth: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> str:
    """Means over the halvings: a line an encoder and way, a column a share refused."""
    names = ROWS | {"trial": "the trial's"}
    shares = list(next(iter(next(iter(worth.values())).values())))
    lines = [
        (f"{names[name]}, {way}", *(f"{mean(by[share]):.3f}" for share in shares))
        for name, ways in worth.items()
        for way, by in ways.items()
    ]
    return _rows(("encoder", *(f"{share} refused" for share in shares)), lines)


def cell(rate: Mapping[str, float] | None) -> str:
    """A rate with its interval, to three digits; a dash where there is none."""
    if rate is None or rate["value"] != rate["value"]:
        return "–"
    return f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"


def _rate(figures: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, float] | None:
    return next((figure["rate"] for figure in figures if figure["name"] == name), None)


def _where(figure: str) -> str:
    return SETS[max((start for start in SETS if figure.startswith(start)), key=len)]


def _rows(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    shown = ["| " + " | ".join(cells) + " |" for cells in (head, *lines)]
    return "\n".join([shown[0], "|" + "---|" * len(head), *shown[1:]])
