"""How far an open gallery's answers can be trusted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facesearch.api.gallery import Gallery
from facesearch.api.measured import CurvePoint, DetPoint, calibration, evaluation
from facesearch.encoder.weights import SHIPPED
from facesearch.errors import CannotRead
from facesearch.gallery.store.rows import Threshold

THRESHOLD = Threshold(0.9, 0.01, "made up", 300, 3, True, 30, 0.0, 0.03, ((0.5, 0.3), (0.9, 0.01)))
RATE = {"value": 0.9, "low": 0.8, "high": 1.0, "trials": 10}


def written(folder: Path, **given: Any) -> Path:
    """The folder of a report with these values."""
    folder.mkdir(exist_ok=True)
    figure = {"section": "closed set", "name": "rank-1", "rate": RATE, "threshold": None, "note": "x"}
    data = {
        "encoder": "colours",
        "encoder_id": "colours".ljust(64, "0"),
        "split": "val",
        "figures": [figure],
        "left_out": ["pairs"],
        "curves": {"det": {"fpir": [0.1, 0.01], "fnir": [0.2, 0.5]}},
    }
    (folder / "evaluation.json").write_text(json.dumps(data | given))
    return folder


def test_a_gallery_without_a_threshold_has_no_curve(nobody: Gallery, colours: Gallery, tmp_path: Path):
    for gallery, faces in ((nobody, 0), (colours, 6)):
        told = calibration(gallery, tmp_path)
        assert told.threshold is None and (told.stale, told.faces, told.growth) == (False, faces, 1.0)
        assert (told.curve, told.det, told.det_split) == ((), (), None)


def test_the_threshold_comes_with_its_curve_and_how_far_the_gallery_has_outgrown_it(
    colours: Gallery, tmp_path: Path
):
    with colours.opened() as store:
        store.notes.set_threshold(THRESHOLD)
    told = calibration(colours, tmp_path)
    assert told.threshold == colours.threshold() and told.threshold is not None
    assert (told.stale, told.faces, told.growth) == (True, 6, 2.0)
    assert told.curve == (CurvePoint(0.5, 0.3), CurvePoint(0.9, 0.01))


def test_misses_are_told_of_this_encoder_and_this_way_to_score_only(colours: Gallery, tmp_path: Path):
    report = written(tmp_path / "report")
    told = calibration(colours, report)
    assert (told.det, told.det_split) == ((DetPoint(0.01, 0.5), DetPoint(0.1, 0.2)), "val")
    with colours.opened() as store:
        store.notes.set_threshold(replace(THRESHOLD, by="mean-template"))
    assert calibration(colours, report).det == ()
    assert calibration(colours, written(report, encoder_id="f" * 64)).det == ()


def test_figures_are_the_reports_else_the_cards_else_there_are_none(tmp_path: Path):
    card = json.loads(SHIPPED.with_suffix(".json").read_text())["encoder_id"]
    told = evaluation(tmp_path, card, str.upper)
    assert told is not None and (told.source, told.encoder, told.page) == ("card", card[:12], False)
    assert told.figures and all(figure.meaning == figure.name.upper() for figure in told.figures)
    assert evaluation(tmp_path, "0" * 64, str.upper) is None
    told = evaluation(written(tmp_path / "report"), card, str.upper)
    assert told is not None and (told.source, told.same_encoder, told.page) == ("report", False, False)
    assert (told.figures[0].value, told.figures[0].meaning, told.left_out) == (0.9, "RANK-1", ("pairs",))
    (tmp_path / "report" / "evaluation.json").write_text("[]")
    with pytest.raises(CannotRead, match="no evaluation"):
        evaluation(tmp_path / "report", card, str.upper)
