"""The threshold is set on strangers, for a rate, at the gallery's size; and what it promises is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesearch.cli.commands.calibrate import calibrate as command
from facesearch.datasets.table import Dataset
from facesearch.errors import CorruptGallery, NothingToDo, TooFewSearches
from facesearch.gallery.build import build_index
from facesearch.gallery.calibrate import Strangers, calibrate, calibrate_within, strangers_in, strangers_of
from facesearch.gallery.calibration import from_strangers, is_stale, share_curve, within_gallery
from facesearch.gallery.describe import threshold_info
from facesearch.gallery.enroll import _Guard
from facesearch.gallery.index.faiss_index import open_for, open_index
from facesearch.gallery.nearest import nearest_people, nearest_to_each
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.gallery.transfer import export, import_into
from facesearch.records import WAYS_TO_SCORE
from facesearch.report.lines import calibration_lines, threshold_words
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet, refused

D = 16


def units(
    rng: np.random.Generator, n: int, around: np.ndarray | None = None, spread: float = 0.3
) -> np.ndarray:
    v = rng.normal(size=(n, D)) if around is None else around + spread * rng.normal(size=(n, D))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def gallery(tmp_path: Path):
    """30 people, 10 photos each."""
    rng = np.random.default_rng(0)
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as opened:
        centres = units(rng, 30)
        vectors = [units(rng, 10, centre) for centre in centres]
        opened.faces.add(
            [
                NewFace(f"p{i}", f"{i:032x}{k:032x}", f"{k}.jpg", v)
                for i, own in enumerate(vectors)
                for k, v in enumerate(own)
            ]
        )
        yield opened


def crowd(seed: int, people: int = 60, photos: int = 10) -> Strangers:
    rng = np.random.default_rng(seed)
    vectors = np.concatenate([units(rng, photos, centre) for centre in units(rng, people)])
    return Strangers(vectors, np.repeat([f"s{i}" for i in range(people)], photos), ())


def test_at_most_the_rate_asked_of_these_strangers_gets_a_name_and_no_lower_threshold_would_do(
    gallery: Store,
):
    strangers = crowd(1)
    threshold = calibrate(gallery, strangers, 0.05, seed=0, by="best-photo", progress=quiet)
    best = np.array(
        [
            score
            for _, score in nearest_to_each(gallery, open_index(gallery), strangers.vectors, "best-photo")
        ],
        np.float32,
    )
    assert (best >= threshold.score).mean() == pytest.approx(0.05)  # 30 of 600, and not one more
    assert (best >= np.nextafter(np.float32(threshold.score), np.float32(-1))).mean() > 0.05
    assert (
        threshold.on_strangers
        and threshold.people == 60
        and threshold.searches == 600
        and threshold.faces == 300
    )
    assert np.allclose(
        best, (strangers.vectors @ gallery.faces.vectors()[1].T).max(axis=1), atol=2e-3
    )  # the slow, obvious twin
    with Store.open(gallery.folder) as again:
        assert again.notes.threshold() == threshold


def test_too_few_searches_are_refused_with_the_number_needed_and_nothing_changes(gallery: Store):
    with pytest.raises(TooFewSearches, match=r"600 searches.* 3,000 are needed"):
        calibrate(gallery, crowd(1), 0.001, seed=0, progress=quiet)
    assert gallery.notes.threshold() is None


def test_the_promise_covers_other_strangers(gallery: Store):
    """Of 40 further crowds, drawn as the first one was, nearly all reach a rate within the interval
    promised."""
    vectors = gallery.faces.vectors()[1]
    threshold = calibrate(gallery, crowd(1), 0.05, seed=0, by="best-photo", progress=quiet)
    assert (
        threshold.low is not None
        and threshold.high is not None
        and 0 <= threshold.low < 0.05 < threshold.high < 0.25
    )
    reached = [
        ((crowd(seed).vectors @ vectors.T).max(axis=1) >= threshold.score).mean() for seed in range(100, 140)
    ]
    inside = [threshold.low <= share <= threshold.high for share in reached]
    assert np.mean(inside) >= 0.8


def test_an_interval_of_version_0_1_0_is_read_and_called_what_it_is(gallery: Store):
    threshold = calibrate(gallery, crowd(1), 0.05, seed=0, progress=quiet)
    assert threshold.to_come == 60 and "for 60 other strangers]" in threshold_words(threshold)
    (text,) = gallery.database.all("SELECT value FROM meta WHERE key = 'threshold'")[0]
    noted = {name: value for name, value in json.loads(text).items() if name != "to_come"}
    gallery.database.run("UPDATE meta SET value = ? WHERE key = 'threshold'", json.dumps(noted))
    former = gallery.notes.threshold()
    assert former is not None and former == replace(threshold, to_come=0)
    assert "these strangers drawn again, not others]" in threshold_words(former)
    info = threshold_info(former)
    assert info is not None and "these strangers drawn again, not others: " in "".join(
        calibration_lines(gallery.folder, info, None)
    )


def test_shares_above_a_score_by_hand():
    curve = ((0.5, 0.1), (0.7, 0.001))
    threshold = Threshold(0.6, 0.01, "by hand", 3000, 1000, True, 50, 0.0, 0.02, curve)
    assert threshold.share_above(0.6, 1000) == pytest.approx(0.01)  # halfway between the logarithms
    assert threshold.share_above(0.6, 2000) == pytest.approx(0.02)  # twice as many to be mistaken for
    assert (
        threshold.share_above(0.9, 1000) == pytest.approx(0.001) and threshold.share_above(0.1, 10**9) == 1.0
    )
    assert threshold.expected_fpir(0.6, 500) == pytest.approx(0.005)
    assert Threshold(0.6, 0.01, "", 0, 10).share_above(0.6, 10) is None


def test_past_the_ends_of_what_was_measured_a_share_is_a_bound():
    threshold = Threshold(0.6, 0.01, "", 3000, 1000, curve=((0.5, 0.1), (0.7, 0.001)))
    scores = (0.3, 0.5, 0.6, 0.7, 0.9)
    assert [threshold.bound(score, 1000) for score in scores] == ["more", "about", "about", "about", "less"]
    assert threshold.bound(0.3, 10**6) == "about"  # everybody, and more than that are not
    assert Threshold(0.6, 0.01, "", 0, 10).bound(0.3, 10) == "about"


def test_the_curve_tells_shares_that_so_many_searches_can_speak_of():
    best = np.random.default_rng(0).permutation(np.linspace(0, 1, 1000)).astype(np.float32)
    curve = share_curve(best)
    assert [share for _, share in curve] == [0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003]
    assert all((best >= score).mean() == pytest.approx(share, abs=2e-3) for score, share in curve)


def test_enrolling_more_does_not_replace_a_threshold_that_was_set_on_strangers(gallery: Store):
    threshold = calibrate(gallery, crowd(1), 0.05, seed=0, progress=quiet)
    rng = np.random.default_rng(9)
    gallery.faces.add([NewFace(f"n{i}", f"{i:064x}", "n.jpg", v) for i, v in enumerate(units(rng, 400))])
    tidy(gallery, {}, None)
    assert gallery.notes.threshold() == threshold and is_stale(threshold, len(gallery))
    gallery.notes.set_threshold(Threshold(0.5, 0.05, "within", 100, 300))
    tidy(gallery, {}, None)
    assert gallery.notes.threshold() != Threshold(
        0.5, 0.05, "within", 100, 300
    )  # what rests on less is set again


def test_without_strangers_the_own_people_play_them_and_it_says_so(gallery: Store):
    threshold = calibrate_within(gallery, 0.05, seed=0, by="best-photo")
    assert "extrapolation" in threshold.method and not threshold.on_strangers and threshold.low is None
    assert threshold == within_gallery(gallery.faces.vectors()[1], np.array(gallery.faces.vectors()[2]), 0.05)
    with pytest.raises(NothingToDo, match="too few"):
        calibrate_within(gallery, 0.0001, seed=0)


def test_whoever_is_enrolled_is_no_stranger(toy_dataset: Dataset, tmp_path: Path):
    """One of p001's photos is enrolled under another name, and somebody is called p002: both are left out
    whole.
    """
    encoder = ColourEncoder()
    with Store.create(tmp_path / "g", encoder.encoder_id, 12, "colours") as gallery:
        rows = [row for row in toy_dataset.rows if row.person == "p001"][:1]
        vector = encoder.embed(toy_dataset.crops[:1])[0]
        gallery.faces.add(
            [NewFace("somebody", rows[0].sha256, "x", vector), NewFace("p002", "0" * 64, "y", vector)]
        )
        found = strangers_of(toy_dataset, "", gallery, encoder, quiet)
        assert set(found.people) == set(toy_dataset.people) - {"p001", "p002"} and len(found.vectors) == len(
            found.people
        )
        assert np.allclose(
            found.vectors,
            encoder.embed(toy_dataset.crops[np.isin(toy_dataset.people, found.people)]),
            atol=1e-6,
        )
        reasons = {skip.reason for skip in found.left_out}
        assert (
            len(found.left_out) == 16
            and len(reasons) == 2
            and any("'p002' is enrolled" in reason for reason in reasons)
        )
        with pytest.raises(NothingToDo):
            strangers_of(toy_dataset, "no such split", gallery, encoder, quiet)


def test_strangers_from_a_folder_with_a_broken_photo(tmp_path: Path):
    encoder = ColourEncoder()
    for who, colour in (("a", "red"), ("b", "blue")):
        for k in range(3):
            save_colour(tmp_path / "album" / who / f"{k}.png", colour, shade=10 * k + 5)
    (tmp_path / "album/b/1.png").write_text("no picture")
    with Store.create(tmp_path / "g", encoder.encoder_id, 12, "colours") as gallery:
        found = strangers_in(tmp_path / "album", gallery, encoder, None, largest=False, progress=quiet)
    assert found.people.tolist() == ["a", "a", "a", "b", "b"] and [s.path.name for s in found.left_out] == [
        "1.png"
    ]


@pytest.mark.slow
def test_the_command(run, toy_dataset: Dataset, weights: Path, tmp_path: Path):
    run("toy", "strangers", "--people", "12", "--photos", "8", "--seed", "77")
    run("prepare", "strangers", "--out", "prepared", "--aligned")
    with_weights = ("--weights", weights)
    run("build-index", "--data", toy_dataset.folder, *with_weights)
    (Path("strangers")).rename("others")
    names = {path.name: path.rename(path.with_name("s" + path.name)) for path in Path("others").iterdir()}
    assert len(names) == 12
    asked = run("calibrate", "--strangers", "others", "--aligned", "--fpir", "0.1", *with_weights)
    assert (
        "10.00% of strangers' searches may get a name" in asked.stdout
        and "12 other strangers, with as many photos each as these: " in asked.stdout
    )
    assert "set on searches of 12 strangers: 96 searches, 48 faces enrolled" in asked.stdout
    shown = run("query", next(Path("others").rglob("*.png")), "--aligned", *with_weights).stdout
    assert "of strangers' searches are expected to get a name" in shown
    facts = json.loads(run("info", "--json").stdout)
    assert facts["stale"] is False and facts["calibration"]["fpir"] == 0.1 and "10.0% [" in run("info").stdout
    assert facts["calibration"]["low"] < 0.1 < facts["calibration"]["high"]
    refused = run("calibrate", "--strangers", "others", "--aligned", "--fpir", "0.001", *with_weights, code=1)
    assert "3,000 are needed" in refused.stderr
    everyone = run("calibrate", "--strangers", "prepared", "--split", "", "--fpir", "0.1", *with_weights)
    assert "6 strangers: 48 searches" in everyone.stdout and "is enrolled: no stranger" in everyone.stderr
    stored = json.loads(
        run(
            "calibrate", "--strangers", "others", "--aligned", "--fpir", "0.1", "--json", *with_weights
        ).stdout
    )
    assert (
        stored["threshold"]["on_strangers"] is True
        and stored["threshold"]["people"] == 12
        and stored["skipped"] == []
    )


def test_query_says_when_the_threshold_is_stale(run, toy_dataset: Dataset, weights: Path):
    run("build-index", "--data", toy_dataset.folder, "--weights", weights)
    with Store.open(Path("index")) as gallery:
        gallery.notes.set_threshold(
            from_strangers(np.linspace(0, 1, 100).astype(np.float32), np.arange(100), 20, 0.1)
        )
    photo = Path("photo.png")
    save_colour(photo, "red")
    told = run("query", photo, "--aligned", "--weights", weights).stderr
    assert "The threshold is stale: it was set for 20 faces" in told and "facesearch calibrate" in told


def test_building_with_the_same_data_keeps_the_calibration(toy_dataset: Dataset, tmp_path: Path):
    encoder = ColourEncoder()
    build_index([toy_dataset], tmp_path / "g", encoder, splits=(), fpir=None, progress=quiet)
    with Store.open(tmp_path / "g") as gallery:
        threshold = from_strangers(np.linspace(0, 1, 100).astype(np.float32), np.arange(100), 48, 0.1)
        gallery.notes.set_threshold(threshold)
    built = build_index([toy_dataset], tmp_path / "g", encoder, splits=(), fpir=0.02, progress=quiet)
    assert built.threshold == threshold


# ---- by mean templates


def templates_by_hand(gallery: Store, vectors: np.ndarray) -> np.ndarray:
    """The slow, obvious twin: the cosine of each vector (n, d) with the normalised mean of each person's
    vectors, in half precision as it is kept.
    """
    scores = []
    for person in gallery.faces.people():
        mean = np.mean(gallery.faces.vectors_of(person.name).astype(np.float64), axis=0)
        scores.append(vectors @ (mean / np.linalg.norm(mean)).astype(np.float16).astype(np.float64))
    return np.stack(scores, axis=1)


def test_a_gallery_set_by_mean_templates_scores_by_them_from_then_on_and_names_the_rate_it_promised(
    gallery: Store,
):
    strangers = crowd(1)
    assert gallery.notes.scored_by == "mean-template"  # while nobody has said otherwise
    by_photo = calibrate(gallery, strangers, 0.05, seed=0, by="best-photo", progress=quiet)
    threshold = calibrate(gallery, strangers, 0.05, seed=0, by="mean-template", progress=quiet)
    scores = templates_by_hand(gallery, strangers.vectors)
    assert (threshold.by, by_photo.by) == (
        "mean-template",
        "best-photo",
    ) and threshold.score != by_photo.score
    assert (scores.max(axis=1) >= threshold.score).mean() == pytest.approx(0.05)
    assert gallery.notes.scored_by == "mean-template" and "mean templates, 600 searches" in threshold_words(
        threshold
    )
    for vector, own in zip(strangers.vectors[:20], scores, strict=False):
        for top in (1, 5):
            found = nearest_people(gallery, open_for(gallery, threshold.by), vector, top, by=threshold.by)
            order = np.argsort(-own, kind="stable")[:top]
            assert [m.person for m in found] == [gallery.faces.people()[i].name for i in order]
            assert [m.score for m in found] == pytest.approx(own[order].tolist(), abs=1e-5)
            nearest = gallery.faces.vectors_of(found[0].person) @ vector
            assert found[0].support[0].score == pytest.approx(
                nearest.max(), abs=1e-5
            )  # a photo keeps its own cosine
    again = calibrate(gallery, strangers, 0.03, seed=0, progress=quiet)  # what is not said stays
    assert (
        again.by == "mean-template"
        and calibrate(gallery, strangers, 0.05, seed=0, by="best-photo", progress=quiet) == by_photo
    )


def test_the_gallerys_own_people_play_strangers_by_templates_without_their_own(gallery: Store):
    threshold = calibrate_within(gallery, 0.05, seed=0, by="mean-template")
    _, vectors, people = gallery.faces.vectors()
    scores = templates_by_hand(gallery, vectors)
    names = [person.name for person in gallery.faces.people()]
    scores[np.arange(len(people)), [names.index(person) for person in people]] = -1
    best = scores.max(axis=1)
    assert (best >= threshold.score + 1e-3).mean() <= 0.05 and threshold.by == "mean-template"
    assert (best >= threshold.score - 1e-3).mean() > 0.05


def test_a_gallery_that_grows_keeps_its_way_to_score(toy_dataset: Dataset, tmp_path: Path):
    encoder = ColourEncoder()
    build_index([toy_dataset], tmp_path / "g", encoder, splits=("train",), fpir=None, progress=quiet)
    with Store.open(tmp_path / "g") as opened:
        stored = opened.notes.threshold() or Threshold(0.5, 0.01, "drawn", 0, 1)
        opened.notes.set_threshold(
            replace(stored, by="mean-template", faces=1)
        )  # so stale that the next command sets it again
        tidy(opened, {"impostors": [(0.1, 0.2), (0.001, 0.5)]}, None)
        threshold = opened.notes.threshold()
        assert threshold is not None and threshold.faces == len(opened) and threshold.by == "mean-template"
        exported = tmp_path / "out.facesearch"
        export(tmp_path / "g", exported)
        import_into(exported, tmp_path / "h", quiet)
    with Store.open(tmp_path / "h") as opened:
        assert opened.notes.scored_by == "mean-template"


def test_a_way_to_score_that_nobody_knows_is_damage_and_not_a_guess(gallery: Store):
    stored = calibrate(gallery, crowd(1), 0.05, seed=0, by="best-photo", progress=quiet)
    (text,) = gallery.database.all("SELECT value FROM meta WHERE key = 'threshold'")[0]
    noted, write = json.loads(text), "UPDATE meta SET value = ? WHERE key = 'threshold'"
    gallery.database.run(write, json.dumps({**noted, "by": "worst-photo"}))
    with pytest.raises(CorruptGallery, match="threshold"):
        gallery.notes.threshold()
    del noted["by"]  # as galleries had it before there was a choice
    gallery.database.run(write, json.dumps(noted))
    assert gallery.notes.threshold() == stored


def test_the_command_line_offers_the_ways_there_are():
    option = next(option for option in command.params if option.name == "by")
    assert tuple(option.type.choices) == WAYS_TO_SCORE


def test_strict_enrolment_judges_by_the_gallerys_way_to_score(tmp_path: Path):
    e0, e1, e2 = np.eye(D, dtype=np.float32)[:3]
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:

        def why_not(person: str) -> str:
            refusal = _Guard(gallery).refusal(person, Path("new.png"), e0)
            return refusal.reason if refusal else ""

        gallery.faces.add(
            [
                NewFace("ana", "1" * 64, "a1", e0),
                NewFace("ana", "2" * 64, "a2", e1),
                NewFace("ben", "3" * 64, "b1", 0.8 * e0 + 0.6 * e2),
            ]
        )
        for by, reason in (
            ("best-photo", ""),
            ("mean-template", "closer to ben, 0.800 with b1; 0.707 with ana; threshold 0.750"),
        ):
            gallery.notes.set_threshold(Threshold(0.75, 0.01, "drawn", 0, 3, by=by))
            assert why_not("ana") == reason
        assert why_not("cy") == "closer to ben, 0.800 with b1; cy has no photo yet; threshold 0.750"
        assert why_not("ben") == ""


def test_a_dataset_without_the_split_says_which_it_has_and_which_option_takes_them(
    gallery: Store, toy_dataset: Dataset
):
    with refused(NothingToDo, "--split NAME") as error:
        strangers_of(toy_dataset, "open", gallery, ColourEncoder(), quiet)
    said = str(error.value)
    assert "It has no photo in the split 'open'; its splits are: train (36 photos), val (12 photos)" in said
