"""A gallery is measured as it stands: its faces, its way to score, its threshold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesearch.datasets.table import Dataset
from facesearch.errors import NothingToDo
from facesearch.evaluation.evaluate import evaluate
from facesearch.evaluation.given import Embedder
from facesearch.gallery.build import build_index
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.metrics.openset import mean_templates
from facesearch.report.evaluation_json import evaluation_dict
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet

LIMIT = Threshold(0.995, 0.1, "set on searches of 3 strangers", 24, 48, True, 3, 0.0, 0.3)


@pytest.fixture
def gallery(toy_dataset: Dataset, tmp_path: Path):
    build_index([toy_dataset], tmp_path / "g", ColourEncoder(), splits=(), fpir=None, progress=quiet)
    with Store.open(tmp_path / "g") as opened:
        opened.notes.set_threshold(LIMIT)
        yield opened


def measured(gallery: Store | None, data: Dataset, split: str = "val"):
    embed = Embedder(ColourEncoder(), {}, quiet)
    return evaluate(
        data,
        None,
        None,
        embed,
        split=split,
        weights=Path("x"),
        seed=0,
        fpir=0.01,
        sections=["gallery"],
        gallery=gallery,
    )


@pytest.mark.parametrize("by", ["best-photo", "mean-template"])
def test_each_photo_is_searched_without_its_own_file_by_the_gallerys_way_to_score(
    gallery: Store, toy_dataset: Dataset, by: str
):
    """Against the slow, obvious twin."""
    gallery.notes.set_threshold(replace(LIMIT, by=by))
    result = measured(gallery, toy_dataset)
    faces, vectors = gallery.faces.enrolled()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, missed = toy_dataset.where("val"), []
    for row, probe in zip(rows, ColourEncoder().embed(toy_dataset.crops[rows]), strict=True):
        keep = np.array([face.sha256 != toy_dataset.sha256[row] for face in faces])
        people = np.array([face.person for face in faces])[keep]
        own, names = (vectors[keep], people) if by == "best-photo" else mean_templates(vectors[keep], people)
        scores = own @ probe
        missed.append(names[scores.argmax()] != toy_dataset.people[row] or scores.max() < LIMIT.score)
    (figure,) = result.figures
    assert figure.name == "FNIR of enrolled people" and figure.threshold == LIMIT.score
    assert (figure.rate.value, figure.rate.trials) == (pytest.approx(np.mean(missed)), len(rows))
    told = evaluation_dict(result)["gallery"]
    assert (told["by"], told["threshold"], told["faces"]) == (by, LIMIT.score, len(gallery))
    assert (told["generation"], told["mark"]) == gallery.notes.moment
    json.dumps(told)


def test_another_split_is_measured_as_that_split(gallery: Store, toy_dataset: Dataset):
    result = measured(gallery, toy_dataset, "train")
    assert result.split == "train" and result.figures[0].rate.trials == len(toy_dataset.where("train"))
    assert ", train;" in result.figures[0].note


def test_what_cannot_be_measured_is_named(gallery: Store, toy_dataset: Dataset, tmp_path: Path):
    def why(of: Store | None) -> str:
        with pytest.raises(NothingToDo) as error:
            measured(of, toy_dataset)
        return repr(error.value)

    assert "there is no gallery here" in why(None)
    with Store.create(tmp_path / "other", "f" * 64, 12, "another") as other:
        assert "the gallery has no threshold" in why(other)
        other.notes.set_threshold(LIMIT)
        assert "made by another encoder" in why(other)
