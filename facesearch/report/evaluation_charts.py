"""The charts of an evaluation: on its page, and as SVG files beside it. Nothing here computes a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesearch.files import replace_file
from facesearch.report.charts import Axis, Chart, Line, decades, rates, score_chart, svg_file
from facesearch.report.evaluation_json import thinned

if TYPE_CHECKING:
    from facesearch.evaluation.pairs import PairsResult
    from facesearch.evaluation.results import Evaluation
    from facesearch.records import F32, F64


def write_plots(result: Evaluation, folder: Path) -> list[Path]:
    """Put the charts into folder as SVG files. Raises CannotWrite."""
    charts = {
        "cmc.svg": cmc_chart(result),
        "roc.svg": roc_chart(result),
        "det.svg": det_chart(result),
        "scores.svg": _spread_chart("Scores", result.histograms),
    }
    written = {folder / name: chart for name, chart in charts.items() if chart is not None}
    for path, chart in written.items():
        replace_file(path, svg_file([chart]))
    return list(written)


def closed_charts(result: Evaluation) -> list[Chart]:
    """Who is found at which rank, and how the scores of the gallery's photos are spread."""
    kinds = _kinds(result, "same person", "different people")
    return _there(cmc_chart(result), _spread_chart("Scores of probe and gallery photo", kinds))


def open_charts(result: Evaluation) -> list[Chart]:
    """The trade between strangers named and people missed, and the best scores of both."""
    kinds = _kinds(result, "mated, best score", "strangers, best score")
    told = (f for f in result.figures if f.name == "FNIR at FPIR 1.0%" and not math.isnan(f.rate.value))
    at = next((figure.threshold for figure in told), None)
    marks = [(at, "FPIR 1 %")] if at is not None and math.isfinite(at) else []
    return _there(det_chart(result), _spread_chart("Best score of each search", kinds, marks))


def pairs_charts(found: PairsResult) -> list[Chart]:
    """Of a list of pairs: the ROC, and how the scores are spread."""
    says = (
        "Pairs of one person accepted (TAR) against pairs of two people accepted (FAR): the higher the line,"
        " the better."
    )
    lines = [Line("pairs", *_thin((found.measured.curve.fpr, found.measured.curve.tpr)))]
    roc = Chart("ROC", says, decades("FAR", 1e-3), rates("TAR"), lines)
    kinds = {"same person": found.scores[found.is_same], "different people": found.scores[~found.is_same]}
    return _there(roc, _spread_chart("Scores of the pairs", kinds))


def cmc_chart(result: Evaluation) -> Chart | None:
    """The share of probes found within each rank; None where it was not measured."""
    if result.cmc is None or result.cmc_template is None:
        return None
    last = len(result.cmc)
    ranks = np.arange(1, last + 1, dtype=np.float64)
    lines = [Line("best photo", ranks, result.cmc), Line("mean template", ranks, result.cmc_template)]
    says = (
        f"Share of probes found within rank 1 to {last}: {result.cmc[0]:.3f} at rank 1,"
        f" {result.cmc[-1]:.3f} at the last."
    )
    x = Axis("rank", 1.0, float(last), tuple(float(rank) for rank in (1, 5, 10, 15, 20) if rank <= last))
    low = float(min(result.cmc.min(), result.cmc_template.min()))
    return Chart("CMC", says, x, rates("share of probes found", low), lines)


def roc_chart(result: Evaluation) -> Chart | None:
    """The identification rate's pairs at every threshold; None where it was not measured."""
    if result.roc is None:
        return None
    says = "True-positive rate against false-positive rate over pairs: the higher the line, the better."
    x, y = decades("false-positive rate", 1e-4), rates("true-positive rate")
    return Chart("ROC", says, x, y, [Line("pairs", *_thin(result.roc))])


def det_chart(result: Evaluation) -> Chart | None:
    """The trade of an open set, by both ways to score; None where it was not measured."""
    if result.det is None or result.det_template is None:
        return None
    lines = [Line("best photo", *_thin(result.det)), Line("mean template", *_thin(result.det_template))]
    says = "FNIR against FPIR, both by their logarithm: the lower the line, the fewer people are missed."
    lowest = min(float(line.y[line.y > 0].min(initial=1.0)) for line in lines)
    x = decades("FPIR: strangers' searches that get a name", 1e-3)
    y = decades("FNIR", 0.1 if lowest >= 0.1 else 0.01)
    return Chart("DET", says, x, y, lines)


def _spread_chart(
    title: str, kinds: Mapping[str, F32], marks: list[tuple[float, str]] | None = None
) -> Chart | None:
    kinds = {name: scores for name, scores in kinds.items() if len(scores)}
    if not kinds:
        return None
    parts = [
        f"{name} median {float(np.median(scores)):.2f} over {len(scores):,}" for name, scores in kinds.items()
    ]
    says = "How the scores are spread, every kind drawn with the same area: " + "; ".join(parts) + "."
    return score_chart(title, says, kinds, marks or ())


def _kinds(result: Evaluation, *names: str) -> dict[str, F32]:
    return {name: result.histograms[name] for name in names if name in result.histograms}


def _there(*charts: Chart | None) -> list[Chart]:
    return [chart for chart in charts if chart is not None]


def _thin(curve: tuple[F64, F64]) -> tuple[F64, F64]:
    points = thinned(curve, "x", "y")
    assert points is not None
    return np.array(points["x"]), np.array(points["y"])
