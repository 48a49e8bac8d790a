"""How good the answers are: the gallery's threshold with its curve, and what `facesearch evaluate` or the encoder's card measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from facesearch.errors import CannotRead
from facesearch.files import read_json
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.rows import Threshold, way_of
from facesearch.jobs.describe import CARD
from facesearch.records import ScoredBy
from facesearch.report_words import meaning
from facesearch.web import models
from facesearch.web.problems import Problem

DATA, PAGE = "evaluation.json", "index.html"
DET: dict[ScoredBy, tuple[str, re.Pattern[str]]] = {
    "best-photo": ("det", re.compile(r"FNIR at FPIR ([\d.]+)%")),
    "mean-template": ("det_template", re.compile(r"FNIR at FPIR ([\d.]+)% by mean template")),
}
"""The curve's key in evaluate's report, and the name of its points in the encoder's card."""
CARD_SPLIT = "val"


def calibration(threshold: Threshold | None, faces: int, report: Path, encoder_id: str) -> models.Calibration:
    """The threshold in use, the shares of strangers along scores, and the misses along those shares where they were measured."""
    det, split = _det(report, encoder_id, way_of(threshold))
    growth = faces / threshold.faces if threshold and threshold.faces else 1.0
    in_use = None
    if threshold is not None:
        names = models.ThresholdInUse.model_fields
        in_use = models.ThresholdInUse.model_validate({name: getattr(threshold, name) for name in names})
    curve = [models.CurvePoint(score=score, share=share) for score, share in (threshold.curve if threshold else ())]
    stale = threshold is not None and is_stale(threshold, faces)
    return models.Calibration(threshold=in_use, stale=stale, faces=faces, growth=growth, curve=curve, det=det, det_split=split)


def evaluation(report: Path, encoder_id: str) -> models.Evaluation:
    """The report's figures; without one those of the encoder's card. Raises Problem when neither is there."""
    data = _report(report)
    if data is not None:
        figures = [_figure(entry) for entry in data["figures"]]
        return models.Evaluation(
            source="report", encoder=str(data["encoder"]), split=str(data["split"]), same_encoder=data["encoder_id"] == encoder_id,
            page=(report / PAGE).is_file(), figures=figures, left_out=[str(reason) for reason in data["left_out"]],
        )  # fmt: skip
    entries = _card(encoder_id)
    if entries is None:
        raise Problem("no-evaluation", 404, "This encoder has not been measured here yet. Measure it with: facesearch evaluate")
    figures = [_figure(entry) for entry in entries]
    return models.Evaluation(
        source="card", encoder=encoder_id[:12], split=CARD_SPLIT, same_encoder=True, page=False, figures=figures, left_out=[]
    )


def _det(report: Path, encoder_id: str, by: ScoredBy) -> tuple[list[models.DetPoint], str | None]:
    """FPIR and FNIR of this very encoder by this way to score, rising by FPIR; none where nobody measured it."""
    key, name = DET[by]
    data = _report(report)
    if data is not None and data["encoder_id"] == encoder_id:
        curve = data["curves"].get(key)
        pairs = list(zip(curve["fpir"], curve["fnir"], strict=True)) if curve else []
        if pairs:
            return [models.DetPoint(fpir=x, fnir=y) for x, y in sorted(pairs, key=lambda pair: (pair[0], -pair[1]))], str(data["split"])
    measured = []
    for entry in _card(encoder_id) or ():
        match = name.fullmatch(str(entry["name"]))
        if match and entry["rate"]["value"] is not None:
            measured.append((float(match[1]) / 100, float(entry["rate"]["value"])))
    return [models.DetPoint(fpir=x, fnir=y) for x, y in sorted(measured)], CARD_SPLIT if measured else None


def _report(folder: Path) -> dict[str, Any] | None:
    path = folder / DATA
    if not path.is_file():
        return None
    data = read_json(path)
    wanted = {"figures", "encoder", "encoder_id", "split", "left_out", "curves"}
    if not isinstance(data, dict) or not wanted <= data.keys():
        raise CannotRead(path, "it is no evaluation of facesearch")
    return data


def _card(encoder_id: str) -> list[dict[str, Any]] | None:
    if not CARD.is_file():
        return None
    card = read_json(CARD)
    if not isinstance(card, dict) or card.get("encoder_id") != encoder_id:
        return None
    figures: list[dict[str, Any]] = card["metrics"]["shipped"][CARD_SPLIT]
    return figures


def _figure(entry: dict[str, Any]) -> models.Figure:
    rate = entry["rate"]
    return models.Figure(
        section=entry["section"], name=entry["name"], value=rate["value"], low=rate["low"], high=rate["high"], trials=rate["trials"],
        threshold=entry["threshold"], note=entry["note"], meaning=meaning(entry["name"]),
    )  # fmt: skip
