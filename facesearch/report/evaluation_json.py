"""An evaluation as JSON, in the form that `schema/evaluation.schema.json` describes. It never holds a photo
or a vector.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesearch.records import F32, F64
from facesearch.report.lines import escaped, plain
from facesearch.version import __version__

if TYPE_CHECKING:
    from facesearch.evaluation.pairs import PairsResult
    from facesearch.evaluation.results import Evaluation

SCHEMA = 1
SCHEMA_FILE = Path(__file__).parent.parent / "schema" / "evaluation.schema.json"
CURVE_POINTS = 200
BINS = np.linspace(-1, 1, 81)
WIDTH = 140


def evaluation_json(result: Evaluation) -> str:
    """The whole result as JSON text; what fits on a line stands on one."""
    return escaped(_text(plain(evaluation_dict(result))))


def evaluation_dict(result: Evaluation) -> dict[str, Any]:
    """The whole result in what JSON has. NaN stays NaN here."""
    errors = [
        {name: value for name, value in _shallow(error).items() if name != "crops"} for error in result.errors
    ]
    return {
        "schema": SCHEMA,
        "facesearch": __version__,
        "encoder": result.encoder,
        "encoder_id": result.encoder_id,
        "split": result.split,
        "gallery": None if result.own is None else asdict(result.own),
        "figures": [asdict(figure) for figure in result.figures],
        "left_out": result.skipped,
        "people": [asdict(person) for person in result.people],
        "confusions": [asdict(confusion) for confusion in result.confusions],
        "strangers": [asdict(stranger) for stranger in result.strangers],
        "errors": errors,
        "pairs": None if result.pairs is None else _pairs(result.pairs),
        "curves": {
            "cmc": None if result.cmc is None else result.cmc.tolist(),
            "cmc_template": None if result.cmc_template is None else result.cmc_template.tolist(),
            "roc": thinned(result.roc, "fpr", "tpr"),
            "det": thinned(result.det, "fpir", "fnir"),
            "det_template": thinned(result.det_template, "fpir", "fnir"),
            "det_gallery": thinned(result.det_own, "fpir", "fnir"),
        },
        "histograms": {name: histogram(scores) for name, scores in result.histograms.items()},
    }


def thinned(curve: tuple[F64, F64] | None, x_name: str, y_name: str) -> dict[str, list[float]] | None:
    """A curve (x, y) by some 200 of its points: where x or its logarithm moves on; the ends always."""
    if curve is None:
        return None
    x, y = curve
    if len(x) > CURVE_POINTS:
        positive = x[x > 0]
        low = float(positive.min()) if len(positive) else 1e-6
        wanted = np.concatenate(
            [
                np.geomspace(low, max(x.max(), low), CURVE_POINTS // 2),
                np.linspace(0, x.max(), CURVE_POINTS // 2),
            ]
        )
        keep = np.unique(
            np.concatenate(
                [[0, len(x) - 1], np.clip(np.searchsorted(x, wanted, side="right") - 1, 0, len(x) - 1)]
            )
        )
        x, y = x[keep], y[keep]
    return {x_name: [round(float(v), 6) for v in x], y_name: [round(float(v), 6) for v in y]}


def histogram(scores: F32) -> dict[str, Any]:
    """Counts of cosines in 80 bins from -1 to 1."""
    counts, _ = np.histogram(np.clip(scores, -1, 1), BINS)
    return {"from": -1.0, "to": 1.0, "counts": counts.tolist()}


def _pairs(found: PairsResult) -> dict[str, Any]:
    measured = found.measured
    folds = zip(
        measured.fold.tolist(), measured.fold_accuracy.tolist(), measured.fold_threshold.tolist(), strict=True
    )
    return {
        "same": int(found.is_same.sum()),
        "different": int((~found.is_same).sum()),
        "people": found.people,
        "photos": found.photos,
        "pairs_left_out": found.pairs_left_out,
        "photos_left_out": [{"file": skip.path.name, "reason": skip.reason} for skip in found.left_out],
        "standard_error": measured.standard_error,
        "folds": [
            {"fold": number + 1, "accuracy": accuracy, "threshold": at} for number, accuracy, at in folds
        ],
        "roc": thinned((measured.curve.fpr, measured.curve.tpr), "far", "tar"),
        "histograms": {
            "same person": histogram(found.scores[found.is_same]),
            "different people": histogram(found.scores[~found.is_same]),
        },
    }


def _shallow(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _text(value: Any, indent: int = 0) -> str:
    line = json.dumps(value, ensure_ascii=False)
    flat = not isinstance(value, dict | list) or not value
    numbers = isinstance(value, list) and all(isinstance(item, int | float) for item in value)
    if flat or numbers or (indent and len(line) + indent <= WIDTH):
        return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        inside = [
            f"{pad}{json.dumps(key, ensure_ascii=False)}: {_text(item, indent + 1)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(inside) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + _text(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
