"""An evaluation as one HTML file that needs nothing else: no script, no font, no request. Everything is escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesearch.files import make_folder, replace_file
from facesearch.report import can_plot, write_plots
from facesearch.report_charts import Axis, Line, decades, interval_bar, line_chart, rates, score_chart
from facesearch.report_json import SCHEMA, evaluation_json, thinned
from facesearch.report_words import INTERVALS, NO_PROOF, SECTION_WORDS, meaning
from facesearch.version import __version__

if TYPE_CHECKING:
    from facesearch.jobs.evaluate import Evaluation, Figure, WorstError
    from facesearch.jobs.pairs import PairsResult
    from facesearch.metrics.bootstrap import Rate
    from facesearch.records import F32, F64, U8

STYLE = Path(__file__).with_suffix(".css")
PAGE, DATA = "index.html", "evaluation.json"
SHOWN_ROWS = 20
MOST_ROWS = 200
HEADLINES = (
    "rank-1", "rank-1 of the worst 5% of people", "FNIR at FPIR 1.0%", "TPR at FPR 0.01", "accuracy, mean over folds",
)  # fmt: skip
Cell = str | tuple[str, str]
"""The words of a table's cell, or (class, HTML that is escaped already)."""


def write_report(result: Evaluation, folder: Path) -> list[Path]:
    """Put index.html, evaluation.json and the plots into folder, readable by their owner only. Raises CannotWrite."""
    make_folder(folder)
    data, page = folder / DATA, folder / PAGE
    replace_file(data, (evaluation_json(result) + "\n").encode())
    replace_file(page, evaluation_page(result).encode())
    return [page, data, *(write_plots(result, folder) if can_plot() else ())]


def evaluation_page(result: Evaluation) -> str:
    """The whole page. It holds photos only when the result does."""
    bodies = {
        "closed set": _closed(result),
        "open set 1:N": _open(result),
        "identification rate (pairs)": _identification(result),
        "pairs, LFW protocol": _pairs(result.pairs) if result.pairs else "",
    }
    present = [name for name in bodies if any(figure.section == name for figure in result.figures)]
    sections = [
        (_anchor(name), name[0].upper() + name[1:], f"<p>{escape(SECTION_WORDS[name])}</p>{_figures(result, name)}{bodies[name]}")
        for name in present
    ]
    if result.errors:
        sections.append(("errors", "The worst single errors", _errors(result.errors)))
    sections.append(("left-out", "What was left out", _left_out(result.skipped)))
    sections.append(("reading", "How to read this", f"<p>{escape(INTERVALS)}</p><p>{escape(NO_PROOF)}</p>{_no_photos(result.errors)}"))
    links = "".join(f'<li><a href="#{anchor}">{escape(title)}</a></li>' for anchor, title, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(title)}</h2>{inside}</section>'
        for anchor, title, inside in sections
    )
    split = f", photos of the split <b>{escape(result.split)}</b> as probes" if "closed set" in present else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="robots" content="noindex">\n<title>facesearch evaluation</title>\n'
        f"<style>\n{STYLE.read_text('utf-8')}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the figures</a>\n'
        f"<header><h1>How good is this face encoder?</h1><p>{escape(result.encoder)}{split}.<br>"
        f'<span class="soft">Encoder id <code>{escape(result.encoder_id)}</code></span></p>{_tiles(result.figures)}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n'
        f'<main id="content">{body}</main>\n'
        f"<footer><p>Written by facesearch {escape(__version__)} evaluate. The same numbers, and the curves, are in "
        f"<code>{DATA}</code> beside this page (schema {SCHEMA}).</p></footer>\n</body>\n</html>\n"
    )


def _tiles(figures: Sequence[Figure]) -> str:
    named = {figure.name: figure for figure in figures}
    shown = [named[name] for name in HEADLINES if name in named and math.isfinite(named[name].rate.value)]
    tiles = "".join(
        f"<div><dt>{escape(f.name)}<br>{escape(f.section)}</dt><dd>{f.rate.value:.3f}<small>{_brackets(f.rate, 3)}</small></dd></div>"
        for f in shown
    )
    return f'<dl class="tiles">{tiles}</dl>' if tiles else ""


def _figures(result: Evaluation, section: str) -> str:
    rows, said = [], ""
    for figure in (figure for figure in result.figures if figure.section == section):
        rate, words = figure.rate, meaning(figure.name)
        what = "" if words == said else f"<small>{escape(words)}</small>"  # the same figure at another rate: said just above
        said = words
        value = (
            "too few trials"
            if math.isnan(rate.value)
            else f"<b>{rate.value:.4f}</b> <span>{_brackets(rate, 4)}</span>{interval_bar(rate.value, rate.low, rate.high)}"
        )
        note = f'<small class="note">{escape(figure.note)}</small>' if figure.note else ""
        limit = "" if figure.threshold is None or not math.isfinite(figure.threshold) else f"{figure.threshold:.4f}"
        rows.append(
            f'<tr><th scope="row">{escape(figure.name)}{what}{note}</th><td class="v">{value}</td>'
            f'<td class="n" data-label="trials">{rate.trials:,}</td><td class="n" data-label="threshold">{limit}</td></tr>'
        )
    head = '<tr><th scope="col">figure</th><th scope="col">value [95 % interval]</th><th scope="col" class="n">trials</th>'
    return (
        f'<div class="scroll"><table class="figures"><caption>{escape(section)}: each figure, what it is, its interval</caption>'
        f'<thead>{head}<th scope="col" class="n">threshold</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _closed(result: Evaluation) -> str:
    charts = []
    if result.cmc is not None and result.cmc_template is not None:
        ranks = np.arange(1, len(result.cmc) + 1, dtype=np.float64)
        lines = [Line("best photo", ranks, result.cmc), Line("mean template", ranks, result.cmc_template)]
        says = f"Share of probes found within rank 1 to {len(ranks)}: {result.cmc[0]:.3f} at rank 1, {result.cmc[-1]:.3f} at the last."
        axis = _ranks(len(ranks))
        low = float(min(result.cmc.min(), result.cmc_template.min()))
        charts.append(_chart("CMC", says, line_chart(lines, axis, rates("share of probes found", low), says=says)))
    kinds = _kinds(result, "same person", "different people")
    if kinds:
        says = _spread(kinds)
        charts.append(_chart("Scores of probe and gallery photo", says, score_chart(kinds, says=says)))
    people = [
        (
            person.person, _of(person.rank1), ("n", _brackets(person.rank1, 2)), ("n", str(person.enrolled)),
            ", ".join(f"{other.person} ({other.times})" for other in person.taken_for),
        )
        for person in result.people
    ]  # fmt: skip
    heads = ("person", "found first", "95 %, over their photos", "photos enrolled", "taken for (times)")
    table = _table("People, the worst first: how many of their photos find them first", heads, people)
    return f'<div class="charts">{"".join(charts)}</div><h3>For whom it works worst</h3>{table}{_confusions(result)}'


def _confusions(result: Evaluation) -> str:
    rows = [
        (
            c.person, c.taken_for, ("n", f"{c.times} of {c.probes}"), ("n", str(c.back)), ("n", f"{c.mean_score:.3f}"),
            ("n", f"{c.highest_score:.3f}"), ("n", f"{c.mean_own_score:.3f}"),
        )
        for c in result.confusions
    ]  # fmt: skip
    heads = ("person", "taken for", "photos", "the other way round", "mean score", "highest", "own score then")
    caption = "Pairs of people that are mistaken for each other, most often first; many both ways may be one person under two names"
    return f"<h3>Who is taken for whom</h3>{_table(caption, heads, rows)}"


def _open(result: Evaluation) -> str:
    charts = []
    if result.det is not None and result.det_template is not None:
        lines = [Line("best photo", *_thin(result.det)), Line("mean template", *_thin(result.det_template))]
        says = "FNIR against FPIR, both by their logarithm: the lower the line, the fewer enrolled people are missed."
        x = decades("FPIR: strangers' searches that get a name", 1e-3)
        lowest = min(float(line.y[line.y > 0].min(initial=1.0)) for line in lines)
        y = decades("FNIR", 0.1 if lowest >= 0.1 else 0.01)
        charts.append(_chart("DET", says, line_chart(lines, x, y, says=says)))
    kinds = _kinds(result, "mated, best score", "strangers, best score")
    if kinds:
        says = _spread(kinds)
        at = next((f.threshold for f in result.figures if f.name == "FNIR at FPIR 1.0%" and not math.isnan(f.rate.value)), None)
        marks = [(at, "FPIR 1 %")] if at is not None and math.isfinite(at) else []
        charts.append(_chart("Best score of each search", says, score_chart(kinds, says=says, marks=marks)))
    rows = [
        (s.person, s.resembles, ("n", f"{s.highest_score:.3f}"), ("n", f"{s.mean_score:.3f}"), ("n", f"{s.searches} of {s.of}"))
        for s in result.strangers
    ]
    heads = ("stranger", "resembles", "highest score", "mean score", "searches")
    table = _table("Strangers that reach the highest scores, and whom they resemble", heads, rows)
    return f'<div class="charts">{"".join(charts)}</div><h3>Strangers that could get a name</h3>{table}'


def _identification(result: Evaluation) -> str:
    if result.roc is None:
        return ""
    says = "True-positive rate against false-positive rate over pairs: the higher the line, the better."
    lines = [Line("pairs", *_thin(result.roc))]
    chart = line_chart(lines, decades("false-positive rate", 1e-4), rates("true-positive rate"), says=says)
    return f'<div class="charts">{_chart("ROC", says, chart)}</div>'


def _pairs(found: PairsResult) -> str:
    measured = found.measured
    says = "Pairs of one person accepted (TAR) against pairs of two people accepted (FAR): the higher the line, the better."
    lines = [Line("pairs", *_thin((measured.curve.fpr, measured.curve.tpr)))]
    roc = line_chart(lines, decades("FAR", 1e-3), rates("TAR"), says=says)
    kinds = {"same person": found.scores[found.is_same], "different people": found.scores[~found.is_same]}
    spread = _spread(kinds)
    charts = _chart("ROC", says, roc) + _chart("Scores of the pairs", spread, score_chart(kinds, says=spread))
    folds = zip(measured.fold.tolist(), measured.fold_accuracy.tolist(), measured.fold_threshold.tolist(), strict=True)
    rows = [(str(number + 1), ("n", f"{accuracy:.4f}"), ("n", f"{at:.4f}")) for number, accuracy, at in folds]
    table = _table("Each fold by the threshold that serves the others best", ("fold", "accuracy", "threshold"), rows)
    left = ""
    if found.left_out:
        skips = [(skip.path.name, skip.reason) for skip in found.left_out]
        left = f"<h3>Photos that could not be used</h3><p>{found.pairs_left_out} pairs were left out with them.</p>" + _table(
            "Photos left out", ("file", "reason"), skips
        )
    return f'<div class="charts">{charts}</div><h3>By fold</h3>{table}{left}'


def _errors(errors: Sequence[WorstError]) -> str:
    rows = [
        (
            error.kind, error.person, error.taken_for, ("n", f"{error.score:.3f}"),
            ("n", "" if error.own_score is None else f"{error.own_score:.3f}"), error.photo, error.nearest,
        )
        for error in errors
    ]  # fmt: skip
    heads = ("kind", "person", "taken for", "score", "own score", "photo", "nearest photo")
    table = _table("The highest scores that a wrong person got; files as the datasets name them", heads, rows)
    faces = "".join(_faces(error) for error in errors)
    if not faces:
        return table
    warning = "This page holds faces: biometric data. Only you can read the file; do not pass it on."
    return f'<p class="warning">{warning}</p><ul class="faces">{faces}</ul>{table}'


def _faces(error: WorstError) -> str:
    if error.crops is None:
        return ""
    crops = zip(error.crops, (f"{error.person}, asked for", f"{error.taken_for}, the nearest photo"), strict=True)
    images = " ".join(f'<img src="{_png(crop)}" width="112" height="112" alt="{escape(who)}">' for crop, who in crops)
    own = "" if error.own_score is None else f"; own score {error.own_score:.3f}"
    words = f"{escape(error.kind)}: {escape(error.person)} taken for {escape(error.taken_for)}, score {error.score:.3f}{own}"
    return f"<li>{images}<br>{words}</li>"


def _png(crop: U8) -> str:
    import cv2

    done, data = cv2.imencode(".png", np.ascontiguousarray(crop[:, :, ::-1]))
    assert done, "a crop is a picture"
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()


def _no_photos(errors: Sequence[WorstError]) -> str:
    return (
        "" if any(error.crops is not None for error in errors) else "<p>No photo is on this page; people appear by name or number only.</p>"
    )


def _left_out(skipped: Sequence[str]) -> str:
    if not skipped:
        return "<p>Nothing.</p>"
    return "<ul>" + "".join(f"<li>{escape(reason)}</li>" for reason in skipped) + "</ul>"


def _chart(title: str, says: str, svg: str) -> str:
    return f"<figure>{svg}<figcaption><b>{escape(title)}.</b> {escape(says)}</figcaption></figure>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table of at most MOST_ROWS rows, those past SHOWN_ROWS folded away; the first cell of a row is its heading."""
    if not rows:
        return "<p>Nobody.</p>"
    shown, rest = rows[:SHOWN_ROWS], rows[SHOWN_ROWS:MOST_ROWS]
    out = _one_table(caption, heads, shown)
    if rest:
        more = f"; {len(rows) - MOST_ROWS:,} more are in {DATA}" if len(rows) > MOST_ROWS else ""
        out += f"<details><summary>{len(rest):,} more{more}</summary>{_one_table(f'{caption} (continued)', heads, rest)}</details>"
    return out


def _one_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    rows = list(rows)
    kinds = ["" if isinstance(cell, str) else f' class="{cell[0]}"' for cell in rows[0]]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(heads, kinds, strict=True))
    lines = []
    for row in rows:
        words = [escape(cell) if isinstance(cell, str) else cell[1] for cell in row]
        cells = "".join(f"<td{kind}>{word}</td>" for kind, word in zip(kinds[1:], words[1:], strict=True))
        lines.append(f'<tr><th scope="row">{words[0]}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _brackets(rate: Rate, digits: int) -> str:
    return "" if math.isnan(rate.low) else f"[{rate.low:.{digits}f}, {rate.high:.{digits}f}]"


def _of(rate: Rate) -> Cell:
    return "n", f"{round(rate.value * rate.trials)} of {rate.trials}"


def _thin(curve: tuple[F64, F64]) -> tuple[F64, F64]:
    points = thinned(curve, "x", "y")
    assert points is not None
    return np.array(points["x"]), np.array(points["y"])


def _ranks(last: int) -> Axis:
    return Axis("rank", 1.0, float(last), tuple(float(rank) for rank in (1, 5, 10, 15, 20) if rank <= last))


def _kinds(result: Evaluation, *names: str) -> dict[str, F32]:
    return {name: result.histograms[name] for name in names if len(result.histograms.get(name, ()))}


def _spread(kinds: dict[str, F32]) -> str:
    parts = [f"{name} median {float(np.median(scores)):.2f} over {len(scores):,}" for name, scores in kinds.items() if len(scores)]
    return "How the scores are spread, every kind drawn with the same area: " + "; ".join(parts) + "."


def _anchor(name: str) -> str:
    return name.split(",")[0].split(" (")[0].replace(" ", "-").replace(":", "")
