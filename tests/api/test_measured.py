"""How far an open gallery's answers can be trusted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facesearch.api.gallery import Gallery
from facesearch.api.measured import CurvePoint, DetPoint, calibration, evaluation
from facesearch.api.opening import open_gallery
from facesearch.errors import CannotRead
from facesearch.gallery.store.rows import Threshold
from facesearch.report.lines import info_lines
from tests.helpers.measured import measured

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


def of(gallery: Gallery, **given: Any) -> dict[str, Any]:
    """What a report says of this gallery as it is now."""
    with gallery.opened() as store:
        return measured(store, **given)


CURVE = {
    "curves": {"det_gallery": {"fpir": [0.1, 0.01], "fnir": [0.2, 0.5]}, "det": {"fpir": [1], "fnir": [0]}}
}


def test_misses_are_told_of_this_very_gallery_as_it_is_now_only(colours: Gallery, tmp_path: Path):
    with colours.opened() as store:
        store.notes.set_threshold(THRESHOLD)
    report = written(tmp_path / "report", gallery=of(colours), **CURVE)
    told = calibration(colours, report)
    assert (told.det, told.det_split) == ((DetPoint(0.01, 0.5), DetPoint(0.1, 0.2)), "open")
    assert calibration(colours, written(tmp_path / "none", gallery=None, **CURVE)).det == ()
    other = written(tmp_path / "other", gallery=of(colours), encoder_id="f" * 64, **CURVE)
    assert calibration(colours, other).det == ()
    for change in (
        {"by": "mean-template"},
        {"score": 0.8},
        {"fpir": 0.02},
    ):  # set again after it was measured
        with colours.opened() as store:
            store.notes.set_threshold(replace(THRESHOLD, **change))
        assert calibration(colours, report).det == ()
    with colours.opened() as store:
        store.notes.set_threshold(THRESHOLD)
        assert store.faces.person_count() and calibration(colours, report).det
    colours.forget(colours.people()[0].person)  # another gallery since
    assert calibration(colours, report).det == ()


def test_figures_are_the_reports_else_the_cards_else_there_are_none(colours: Gallery, tmp_path: Path):
    assert evaluation(colours, tmp_path, str.upper) is None
    told = evaluation(colours, written(tmp_path / "report"), str.upper)
    assert told is not None and (told.source, told.same_encoder, told.page) == ("report", True, False)
    assert (told.figures[0].value, told.figures[0].meaning, told.left_out) == (0.9, "RANK-1", ("pairs",))
    other = written(tmp_path / "other", encoder_id="f" * 64)
    assert evaluation(colours, other, str.upper) is None  # figures of another encoder are not told
    (tmp_path / "report" / "evaluation.json").write_text("[]")
    with pytest.raises(CannotRead, match="no evaluation"):
        evaluation(colours, tmp_path / "report", str.upper)


def test_figures_are_of_the_gallerys_own_way_to_score_and_of_no_other_gallery(
    colours: Gallery, tmp_path: Path
):
    names = ["FNIR at FPIR 1.0%", "FNIR at FPIR 1.0% by mean template", "TPR at FPR 0.05"]
    names += ["FNIR at FPIR 1.0%, template less best photo"]
    entry = {"section": "open set 1:N", "rate": RATE, "threshold": None, "note": ""}
    figures = [entry | {"name": name} for name in names]
    figures.append(entry | {"name": "FNIR of newcomers", "section": "the gallery at its own threshold"})

    def told(report: Path) -> list[str]:
        found = evaluation(colours, report, str.upper)
        assert found is not None
        return [figure.name for figure in found.figures]

    with colours.opened() as store:
        store.notes.set_threshold(THRESHOLD)
    report = written(tmp_path / "report", figures=figures, gallery=of(colours))
    assert told(report) == [names[0], names[2], "FNIR of newcomers"]
    with colours.opened() as store:
        store.notes.set_threshold(replace(THRESHOLD, by="mean-template"))
    assert told(report) == [names[1], names[2]]


def test_info_tells_figures_of_the_gallery_that_was_measured_only(tmp_path: Path):
    shutil.copytree(Path(__file__).resolve().parents[2] / "index", tmp_path / "index")
    gallery = open_gallery(tmp_path / "index")
    told = gallery.info().measured
    assert [figure.name for figure in told][:2] == ["FNIR of enrolled people", "FNIR of newcomers"]
    with gallery.opened() as store:
        threshold = store.notes.threshold()
        assert threshold is not None
        store.notes.set_threshold(replace(threshold, by="best-photo"))
        assert gallery.info().measured == ()
        store.notes.set_threshold(threshold)
    assert gallery.info().measured == told
    gallery.forget("celeba500-0")
    after = gallery.info()
    assert after.measured == () and "of 11981 faces now about 1.0%" in "\n".join(info_lines(after))


def test_the_encoders_card_is_told_by_the_gallerys_way_to_score(tmp_path: Path):
    shutil.copytree(Path(__file__).resolve().parents[2] / "index", tmp_path / "index")
    gallery = open_gallery(tmp_path / "index")
    told = evaluation(gallery, tmp_path, str.upper)
    assert told is not None and (told.source, told.page) == ("card", False)
    names = {figure.name for figure in told.figures}
    assert "FNIR at FPIR 1.0% by mean template" in names and "FNIR at FPIR 1.0%" not in names
    with gallery.opened() as store:
        threshold = store.notes.threshold()
        assert threshold is not None
        store.notes.set_threshold(replace(threshold, by="best-photo"))
    told = evaluation(gallery, tmp_path, str.upper)
    assert told is not None
    names = {figure.name for figure in told.figures}
    assert "FNIR at FPIR 1.0%" in names and not any("mean template" in name for name in names)
