"""An evaluation as one HTML file that needs nothing else: no script, no font, no request. The words and
numbers are chosen here; `templates/evaluation.html` lays them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesearch.errors import counted
from facesearch.files import make_folder, replace_file
from facesearch.report.charts import Chart, interval_places
from facesearch.report.evaluation_charts import (
    closed_charts,
    open_charts,
    pairs_charts,
    roc_chart,
    write_plots,
)
from facesearch.report.evaluation_json import SCHEMA, evaluation_json
from facesearch.report.pages import data_url, rendered
from facesearch.report.words import INTERVALS, NO_PROOF, SECTION_WORDS, meaning

if TYPE_CHECKING:
    from facesearch.evaluation.pairs import PairsResult
    from facesearch.evaluation.results import Evaluation, Figure, WorstError
    from facesearch.metrics.bootstrap import Rate
    from facesearch.records import U8

PAGE, DATA = "index.html", "evaluation.json"
SHOWN_ROWS = 20
MOST_ROWS = 200
BAR_WIDTH = 110
HEADLINES = (
    "rank-1",
    "rank-1 of the worst 5% of people",
    "FNIR at FPIR 1.0%",
    "TPR at FPR 0.01",
    "accuracy, mean over folds",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure in its section's table; value is empty where there were too few trials."""

    name: str
    words: str
    note: str
    value: str
    between: str
    bar: tuple[float, float, float] | None
    trials: str
    threshold: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of at most MOST_ROWS rows, those past SHOWN_ROWS folded away; the first cell of a row is its
    heading.

    numbers: which columns hold numbers, counted from 0; title, words: what stands above it.
    """

    title: str
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    words: str = ""

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        return self.rows[:SHOWN_ROWS]

    @property
    def folded(self) -> Sequence[Sequence[str]]:
        return self.rows[SHOWN_ROWS:MOST_ROWS]

    @property
    def more(self) -> int:
        """So many rows are in the JSON only."""
        return max(0, len(self.rows) - MOST_ROWS)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: its figures, then its charts, then its tables."""

    anchor: str
    name: str
    words: str
    figures: Sequence[Row]
    charts: Sequence[Chart]
    tables: Sequence[Table]

    @property
    def title(self) -> str:
        return self.name[0].upper() + self.name[1:]


def write_report(result: Evaluation, folder: Path) -> list[Path]:
    """Put index.html, evaluation.json and the charts into folder, readable by their owner only. Raises
    CannotWrite.
    """
    make_folder(folder)
    data, page = folder / DATA, folder / PAGE
    replace_file(data, (evaluation_json(result) + "\n").encode())
    replace_file(page, evaluation_page(result).encode())
    return [page, data, *write_plots(result, folder)]


def evaluation_page(result: Evaluation) -> str:
    """The whole page. It holds photos only when the result does."""
    sections = _sections(result)
    return rendered(
        "evaluation.html",
        result=result,
        of_split="closed set" in {section.name for section in sections},
        tiles=_tiles(result.figures),
        sections=sections,
        errors=_errors(result.errors) if result.errors else None,
        faces=[_faces(error) for error in result.errors if error.crops is not None],
        reading=(INTERVALS, NO_PROOF),
        bar_width=BAR_WIDTH,
        data=DATA,
        schema=SCHEMA,
    )


def _sections(result: Evaluation) -> list[Section]:
    roc, found = roc_chart(result), result.pairs
    bodies: dict[str, tuple[Sequence[Chart], Sequence[Table]]] = {
        "closed set": (closed_charts(result), [_people(result), _confusions(result)]),
        "open set 1:N": (open_charts(result), [_strangers(result)]),
        "the gallery at its own threshold": ([], []),
        "identification rate (pairs)": ([roc] if roc else [], []),
        "pairs, LFW protocol": (pairs_charts(found), _pairs(found)) if found else ([], []),
    }
    present = {figure.section for figure in result.figures}
    return [
        Section(_anchor(name), name, SECTION_WORDS[name], _figures(result, name), charts, tables)
        for name, (charts, tables) in bodies.items()
        if name in present
    ]


def _tiles(figures: Sequence[Figure]) -> list[tuple[str, str, str, str]]:
    """The headlines: name, section, value, interval."""
    named = {figure.name: figure for figure in figures}
    shown = [named[name] for name in HEADLINES if name in named and math.isfinite(named[name].rate.value)]
    return [(f.name, f.section, f"{f.rate.value:.3f}", _brackets(f.rate, 3)) for f in shown]


def _figures(result: Evaluation, section: str) -> list[Row]:
    rows, said = [], ""
    for figure in (figure for figure in result.figures if figure.section == section):
        rate, words = figure.rate, meaning(figure.name)
        limit = figure.threshold
        rows.append(
            Row(
                figure.name,
                "" if words == said else words,  # the same figure at another rate: said just above
                figure.note,
                "" if math.isnan(rate.value) else f"{rate.value:.4f}",
                _brackets(rate, 4),
                interval_places(rate.value, rate.low, rate.high, BAR_WIDTH),
                f"{rate.trials:,}",
                "" if limit is None or not math.isfinite(limit) else f"{limit:.4f}",
            )
        )
        said = words
    return rows


def _people(result: Evaluation) -> Table:
    rows = [
        (
            person.person,
            f"{round(person.rank1.value * person.rank1.trials)} of {person.rank1.trials}",
            _brackets(person.rank1, 2),
            str(person.enrolled),
            ", ".join(f"{other.person} ({other.times})" for other in person.taken_for),
        )
        for person in result.people
    ]
    heads = ("person", "found first", "95 %, over their photos", "photos enrolled", "taken for (times)")
    caption = "People, the worst first: how many of their photos find them first"
    return Table("Who it works worst for", caption, heads, rows, (1, 2, 3))


def _confusions(result: Evaluation) -> Table:
    rows = [
        (
            c.person,
            c.taken_for,
            f"{c.times} of {c.probes}",
            str(c.back),
            *(f"{score:.3f}" for score in (c.mean_score, c.highest_score, c.mean_own_score)),
        )
        for c in result.confusions
    ]
    scores = ("mean score", "highest", "own score then")
    caption = (
        "Pairs of people that are mistaken for each other, most often first; many both ways may be one person"
        " under two names"
    )
    heads = ("person", "taken for", "photos", "the other way round", *scores)
    return Table("Who is taken for which other person", caption, heads, rows, (2, 3, 4, 5, 6))


def _strangers(result: Evaluation) -> Table:
    rows = [
        (s.person, s.resembles, f"{s.highest_score:.3f}", f"{s.mean_score:.3f}", f"{s.searches} of {s.of}")
        for s in result.strangers
    ]
    heads = ("stranger", "resembles", "highest score", "mean score", "searches")
    caption = "Strangers that reach the highest scores, and who they resemble"
    return Table("Strangers that could get a name", caption, heads, rows, (2, 3, 4))


def _pairs(found: PairsResult) -> list[Table]:
    measured = found.measured
    folds = zip(
        measured.fold.tolist(), measured.fold_accuracy.tolist(), measured.fold_threshold.tolist(), strict=True
    )
    rows = [(str(number + 1), f"{accuracy:.4f}", f"{at:.4f}") for number, accuracy, at in folds]
    caption = "Each fold by the threshold that serves the others best"
    tables = [Table("By fold", caption, ("fold", "accuracy", "threshold"), rows, (1, 2))]
    if found.left_out:
        skips = [(skip.path.name, skip.reason) for skip in found.left_out]
        words = f"{counted(found.pairs_left_out, 'pair was', 'pairs were')} left out with them."
        title = "Photos that could not be used"
        tables.append(Table(title, "Photos left out", ("file", "reason"), skips, words=words))
    return tables


def _errors(errors: Sequence[WorstError]) -> Table:
    rows = [
        (
            error.kind,
            error.person,
            error.taken_for,
            f"{error.score:.3f}",
            "" if error.own_score is None else f"{error.own_score:.3f}",
            error.photo,
            error.nearest,
        )
        for error in errors
    ]
    heads = ("kind", "person", "taken for", "score", "own score", "photo", "nearest photo")
    caption = "The highest scores that a wrong person got; files as the datasets name them"
    return Table("", caption, heads, rows, (3, 4))


def _faces(error: WorstError) -> tuple[list[tuple[str, str]], str]:
    """The two crops with what they show, and what went wrong."""
    assert error.crops is not None
    shown = (f"{error.person}, asked for", f"{error.taken_for}, the nearest photo")
    own = "" if error.own_score is None else f"; own score {error.own_score:.3f}"
    words = f"{error.kind}: {error.person} taken for {error.taken_for}, score {error.score:.3f}{own}"
    return [(_png(crop), who) for crop, who in zip(error.crops, shown, strict=True)], words


def _png(crop: U8) -> str:
    import cv2

    done, data = cv2.imencode(".png", np.ascontiguousarray(crop[:, :, ::-1]))
    assert done, "a crop is a picture"
    return data_url(data.tobytes(), "png")


def _brackets(rate: Rate, digits: int) -> str:
    return "" if math.isnan(rate.low) else f"[{rate.low:.{digits}f}, {rate.high:.{digits}f}]"


def _anchor(name: str) -> str:
    return name.split(",")[0].split(" (")[0].replace(" ", "-").replace(":", "")
