"""Building, enrolling, asking, forgetting, calibrating: the verbs, with a stand-in for the network."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from facesearch.answers import FaceAnswer
from facesearch.api.encoder import Encoder
from facesearch.api.opening import open_gallery
from facesearch.datasets.table import Dataset
from facesearch.encoder import stream
from facesearch.errors import EncoderMismatch, NotErasedYet, NothingToDo, UnusablePhoto
from facesearch.evaluation.evaluate import evaluate
from facesearch.evaluation.given import Embedder
from facesearch.faces.people_folders import people_folders
from facesearch.gallery import build as build_module
from facesearch.gallery.build import build_index
from facesearch.gallery.calibration import from_impostors, is_stale, within_gallery
from facesearch.gallery.enroll import enroll
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import load
from facesearch.gallery.store import schema
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.metrics.openset import fpir_at
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet, refused


def build(dataset: Dataset, folder: Path, encoder: ColourEncoder, splits: tuple[str, ...] = ()):
    return build_index([dataset], folder, encoder, splits=splits, fpir=0.01, progress=quiet)


def ask(
    folder: Path, encoder: ColourEncoder, *photos: Path, threshold: float | None = 0.9, top: int = 3
) -> list[FaceAnswer]:
    gallery = open_gallery(folder, encoder=Encoder.of(encoder), detector="aligned")
    return [
        face for photo in gallery.search_all(photos, top=top, threshold=threshold).photos for face in photo
    ]


def add(folder: Path, encoder: ColourEncoder, *photos: tuple[str, Path]):
    return enroll(photos, folder, encoder, None, largest=False, fpir=0.01, progress=quiet)


# ---- build-index


def test_every_photo_is_embedded_once_and_a_second_run_embeds_none(toy_dataset: Dataset, tmp_path: Path):
    encoder = ColourEncoder()
    first = build(toy_dataset, tmp_path / "g", encoder)
    assert (first.added, first.faces, first.people, encoder.seen) == (48, 48, 6, 48)
    second = build(toy_dataset, tmp_path / "g", encoder)
    assert (second.added, second.known, encoder.seen) == (0, 48, 48)


def test_an_interrupted_build_goes_on_where_it_was(
    toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(build_module, "COMMIT", 10)
    monkeypatch.setattr(stream, "BATCH", 10)
    encoder = ColourEncoder()

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index([toy_dataset], tmp_path / "g", encoder, splits=(), fpir=0.01, progress=stop)
    result = build(toy_dataset, tmp_path / "g", encoder)
    assert (result.added, result.known) == (28, 20)
    assert encoder.seen <= 48 + 2 * 10, "only batches that were under way are embedded twice"


def test_only_the_splits_asked_for(toy_dataset: Dataset, tmp_path: Path):
    assert build(toy_dataset, tmp_path / "g", ColourEncoder(), ("val",)).added == 12
    with pytest.raises(NothingToDo, match="query"):
        build(toy_dataset, tmp_path / "h", ColourEncoder(), ("query",))


def test_another_encoder_is_refused_and_nothing_is_mixed(toy_dataset: Dataset, tmp_path: Path):
    build(toy_dataset, tmp_path / "g", ColourEncoder(), ("val",))
    with pytest.raises(EncoderMismatch):
        build(toy_dataset, tmp_path / "g", ColourEncoder("other"))
    with pytest.raises(EncoderMismatch):
        ask(tmp_path / "g", ColourEncoder("other"), save_colour(tmp_path / "x.png", "red"))
    with Store.open(tmp_path / "g") as gallery:
        assert len(gallery) == 12


def tell(line: str) -> None:
    pass


# ---- enroll, query, forget


def test_enrolled_then_found_then_forgotten(tmp_path: Path):
    encoder, g = ColourEncoder(), tmp_path / "g"
    save_colour(tmp_path / "red1.png", (220, 10, 10), shade=10)
    save_colour(tmp_path / "red2.png", (200, 20, 20), shade=30)
    save_colour(tmp_path / "blue.png", (10, 10, 220))
    add(g, encoder, ("Ben", tmp_path / "blue.png"))
    assert [a.decision for a in ask(g, encoder, tmp_path / "red2.png")] == ["unknown"]
    assert add(g, encoder, ("Ana", tmp_path / "red1.png")).added == {"Ana": 1}
    answer = ask(g, encoder, tmp_path / "red2.png")[0]
    assert (
        answer.decision == "match"
        and answer.matches[0].person == "Ana"
        and answer.matches[0].support[0].source == "red1.png"
    )
    assert answer.gap == pytest.approx(answer.matches[0].score - answer.matches[1].score)
    assert forget("Ana", g, (), tell)[0].photos == 1
    answer = ask(g, encoder, tmp_path / "red2.png")[0]
    assert (
        answer.decision == "unknown" and [m.person for m in answer.matches] == ["Ben"] and answer.gap is None
    )


def test_forgetting_beside_a_reader_says_that_bytes_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("facesearch.gallery.store.database.WAIT_S", 0.1)
    add(
        tmp_path / "g",
        ColourEncoder(),
        ("Ana", save_colour(tmp_path / "a.png", "red")),
        ("Ben", save_colour(tmp_path / "b.png", "blue")),
    )
    reader = sqlite3.connect(tmp_path / "g" / schema.FILE, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM faces").fetchone()
    with pytest.raises(NotErasedYet, match="still holds the bytes"):
        forget("Ana", tmp_path / "g", (), tell)
    reader.execute("COMMIT")
    reader.close()
    assert forget("Ben", tmp_path / "g", (), tell)[0].photos == 1
    assert all(b"Ana" not in path.read_bytes() for path in (tmp_path / "g").iterdir() if path.is_file())


def test_a_photo_enrolled_twice_is_known_and_a_copy_under_another_name_too(tmp_path: Path):
    encoder = ColourEncoder()
    photo = save_colour(tmp_path / "a.png", "red")
    (tmp_path / "copy.png").write_bytes(photo.read_bytes())
    add(tmp_path / "g", encoder, ("Ana", photo))
    again = add(tmp_path / "g", encoder, ("Ana", photo), ("Ana", tmp_path / "copy.png"))
    assert again.added == {} and again.known == 2


def test_the_rate_that_a_gallery_was_made_for_stays_until_another_is_asked_for(
    toy_dataset: Dataset, tmp_path: Path
):
    encoder = ColourEncoder()
    encoder.notes = {"impostors": [[0.1, 0.5], [0.01, 0.7], [0.001, 0.8]]}
    build_index([toy_dataset], tmp_path / "g", encoder, splits=("val",), fpir=0.05, progress=quiet)
    photo = save_colour(tmp_path / "a.png", "red")
    for fpir, expected in ((None, 0.05), (0.002, 0.002)):
        enroll(
            [(f"p{expected}", photo)], tmp_path / "g", encoder, None, largest=False, fpir=fpir, progress=quiet
        )
        with Store.open(tmp_path / "g") as gallery:
            threshold = gallery.notes.threshold()
            assert threshold is not None and threshold.fpir == expected


def test_one_bad_photo_of_three_is_skipped_and_three_of_three_is_an_error(tmp_path: Path):
    encoder = ColourEncoder()
    good = save_colour(tmp_path / "a.png", "red")
    (tmp_path / "bad.png").write_text("no")
    result = add(tmp_path / "g", encoder, ("Ana", tmp_path / "bad.png"), ("Ana", good))
    assert result.added == {"Ana": 1} and [s.path.name for s in result.skipped] == ["bad.png"]
    with pytest.raises(UnusablePhoto, match="not a picture"):
        add(tmp_path / "g", encoder, ("Eva", tmp_path / "bad.png"))
    with pytest.raises(NothingToDo, match="None of 2 photos could be enrolled; the first: not a picture"):
        add(tmp_path / "g", encoder, ("Eva", tmp_path / "bad.png"), ("Eva", tmp_path / "bad.png"))


def test_the_order_of_photos_does_not_change_scores(tmp_path: Path):
    photos = [
        (f"p{i}", save_colour(tmp_path / f"{i}.png", (40 * i, 255 - 40 * i, 90), shade=i * 7 + 1))
        for i in range(6)
    ]
    probe = save_colour(tmp_path / "probe.png", (100, 120, 90))
    answers = []
    for number, order in enumerate((photos, photos[::-1])):
        add(tmp_path / f"g{number}", ColourEncoder(), *order)
        answers.append(
            {
                m.person: m.score
                for m in ask(tmp_path / f"g{number}", ColourEncoder(), probe, top=6)[0].matches
            }
        )
    assert answers[0] == pytest.approx(answers[1])


def test_folders_are_people(tmp_path: Path):
    save_colour(tmp_path / "Ana" / "1.png", "red")
    save_colour(tmp_path / "Ben" / "x" / "1.png", "red")
    save_colour(tmp_path / "loose.png", "red")
    photos, skipped = people_folders(tmp_path)
    assert [name for name, _ in photos] == ["Ana", "Ben"] and len(skipped) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDo, match="one folder a person"):
        people_folders(tmp_path / "empty")


def test_without_a_threshold_the_answer_is_undecided(tmp_path: Path):
    photo = save_colour(tmp_path / "a.png", "red")
    add(tmp_path / "g", ColourEncoder(), ("Ana", photo))
    assert ask(tmp_path / "g", ColourEncoder(), photo, threshold=None)[0].decision == "undecided"


# ---- the threshold


def test_the_gallerys_own_threshold_keeps_its_promise_on_people_like_its_own():
    rng = np.random.default_rng(0)

    def crowd(people: int, photos: int) -> tuple[np.ndarray, np.ndarray]:
        centres = rng.normal(size=(people, 32))
        vectors = np.repeat(centres, photos, 0) + 0.6 * rng.normal(size=(people * photos, 32))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), np.repeat(
            np.arange(people), photos
        )

    vectors, people = crowd(200, 6)
    strangers, _ = crowd(300, 5)
    threshold = within_gallery(vectors, people, 0.03)
    assert threshold is not None and threshold.searches == 1200
    assert 0.015 < fpir_at((strangers @ vectors.T).max(1), threshold.score) < 0.06


def test_a_rare_rate_is_read_from_as_many_searches_as_it_needs():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6500, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    usual, rare = (within_gallery(vectors, np.arange(6500) % 100, fpir) for fpir in (0.01, 0.0005))
    assert usual is not None and usual.searches == 4000
    assert rare is not None and rare.searches == 6000


def test_enrolling_reads_the_index_file_once_and_does_not_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder, photo = ColourEncoder(), save_colour(tmp_path / "a.png", "red")
    add(tmp_path / "g", encoder, ("Ana", photo))
    ask(tmp_path / "g", encoder, photo)
    read: list[Store] = []

    def counted(gallery: Store) -> object:
        read.append(gallery)
        return load(gallery)

    monkeypatch.setattr("facesearch.gallery.index.faiss_index.load", counted)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "g").glob("vectors*")}
    photos = [("Ben", save_colour(tmp_path / f"b{i}.png", "blue", shade=20 * i)) for i in range(5)]
    assert add(tmp_path / "g", encoder, *photos).added == {"Ben": 5}
    assert len(read) == 1
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "g").glob("vectors*")} == before


def test_too_little_data_gives_no_threshold():
    vectors = np.eye(12, dtype=np.float32)
    assert within_gallery(vectors, np.arange(12), 0.5) is None  # under 20 people
    many = np.tile(vectors, (25, 1))[:299]
    assert within_gallery(many, np.arange(299) % 30, 0.01) is None  # under 3 / 0.01 searches


def test_the_encoders_table_is_read_for_the_number_of_faces():
    table = [[0.1, 0.3], [0.01, 0.5], [0.001, 0.6]]
    one, ten, many = (from_impostors(table, faces, 0.01) for faces in (1, 10, 1000))
    assert one is not None and one.score == pytest.approx(0.5)
    assert ten is not None and ten.score == pytest.approx(0.6)
    assert many is not None and many.score == pytest.approx(0.8)  # two decades past the end, 0.1 a decade
    assert from_impostors([], 5, 0.01) is None


def test_a_threshold_ages_with_the_gallery():
    threshold = Threshold(0.5, 0.01, "", 300, 100)
    assert [is_stale(threshold, n) for n in (60, 70, 100, 150, 151)] == [True, False, False, False, True]
    assert is_stale(None, 5)


# ---- evaluate


def test_evaluation_measures_all_three_parts_and_names_what_is_missing(toy_dataset: Dataset, tmp_path: Path):
    encoder = ColourEncoder()
    embed = Embedder(encoder, {}, quiet)
    result = evaluate(
        toy_dataset, None, None, embed, split="val", weights=Path("none.safetensors"), seed=0, fpir=0.01
    )
    names = [figure.name for figure in result.figures]
    assert names[0] == "rank-1" and "MAP@R" in names
    assert all(f.rate.low <= f.rate.value <= f.rate.high for f in result.figures)
    assert all(
        f.rate.low >= 0 and f.rate.high <= 1 for f in result.figures if "less best photo" not in f.name
    )
    assert len(result.skipped) == 5 and any("open set" in s for s in result.skipped)
    seen = encoder.seen
    evaluate(toy_dataset, None, None, embed, split="val", weights=Path("none.safetensors"), seed=0, fpir=0.01)
    assert encoder.seen == seen  # vectors are kept beside the crops
    with refused(NothingToDo, "no photo in the split 'test'"):
        evaluate(
            toy_dataset, None, None, embed, split="test", weights=Path("none.safetensors"), seed=0, fpir=0.01
        )
