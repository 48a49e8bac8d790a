"""Another encoder for the same photos: the old vectors serve until all new ones are there, then all change at
once.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facesearch.datasets.table import Dataset
from facesearch.encoder import stream
from facesearch.errors import GalleryChanged, PhotosMissing
from facesearch.gallery import reindex as job
from facesearch.gallery.build import build_index
from facesearch.gallery.enroll import enroll
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import is_current, open_index
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.reindex import reindex
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import NEXT, Store
from facesearch.gallery.verify import verify
from facesearch.records import F32, U8
from tests.helpers.drawn import ColourEncoder, WideEncoder, save_colour
from tests.helpers.saying import quiet, refused


@pytest.fixture
def folder(toy_dataset: Dataset, tmp_path: Path) -> Path:
    build_index([toy_dataset], tmp_path / "g", ColourEncoder(), splits=(), fpir=None, progress=quiet)
    with Store.open(tmp_path / "g") as gallery:
        gallery.notes.set_threshold(Threshold(0.5, 0.01, "of the old encoder", 300, 48))
    return tmp_path / "g"


def go(
    folder: Path,
    datasets: list[Dataset],
    roots: list[Path] | None = None,
    drop_missing: bool = False,
    encoder: ColourEncoder | None = None,
):
    return reindex(
        folder,
        encoder or WideEncoder(),
        datasets,
        roots or [],
        None,
        drop_missing=drop_missing,
        progress=quiet,
    )


def test_all_vectors_are_those_of_the_new_encoder_and_everything_else_stays(
    folder: Path, toy_dataset: Dataset
):
    with Store.open(folder) as gallery:
        before, old_ids = gallery.faces.known_photos(), gallery.faces.vectors()[0]
    result = go(folder, [toy_dataset])
    assert (result.embedded, result.known, result.dropped, result.faces) == (48, 0, 0, 48)
    with Store.open(folder) as gallery:
        assert (
            gallery.faces.known_photos() == before
            and gallery.encoder_id == WideEncoder().encoder_id
            and gallery.dimension == 24
        )
        ids, vectors, _ = gallery.faces.vectors()
        assert np.array_equal(ids, old_ids) and is_current(gallery)[0]
        number = {sha256: row for row, sha256 in enumerate(toy_dataset.sha256)}
        for face_id, vector in zip(ids.tolist(), vectors, strict=True):
            crop = toy_dataset.crops[number[gallery.faces.by_id([face_id])[face_id].sha256]]
            assert vector @ WideEncoder().embed(crop[None])[0] > 0.999
        assert gallery.notes.threshold() is None or gallery.notes.threshold().method != "of the old encoder"
    assert not (folder / NEXT).exists() and verify(folder, repair=False).problems == ()
    assert go(folder, [toy_dataset]).already


def test_photos_that_are_not_found_are_named_and_nothing_changes_until_they_are(
    folder: Path, toy_dataset: Dataset, tmp_path: Path
):
    photo = save_colour(tmp_path / "more/x.png", "red")
    enroll([("Eva", photo)], folder, ColourEncoder(), None, largest=False, fpir=None, progress=quiet)
    with refused(PhotosMissing, r"1 enrolled photo was.*\nNot found:\n  Eva: x.png") as error:
        go(folder, [toy_dataset])
    assert error.value.missing == ("Eva: x.png",)
    with Store.open(folder) as gallery:
        assert gallery.encoder_id == ColourEncoder().encoder_id
        assert (
            nearest_people(gallery, open_index(gallery), ColourEncoder().embed(toy_dataset.crops[:1])[0], 1)[
                0
            ].score
            > 0.99
        )
    photo.rename(tmp_path / "more/called something else.png")
    result = go(folder, [], [tmp_path / "more"])  # what the first run embedded is kept
    assert (result.embedded, result.known, result.faces) == (1, 48, 49)


def test_what_is_missing_can_be_let_go(folder: Path, toy_dataset: Dataset, tmp_path: Path):
    enroll(
        [("Eva", save_colour(tmp_path / "x.png", "red"))],
        folder,
        ColourEncoder(),
        None,
        largest=False,
        fpir=None,
        progress=quiet,
    )
    result = go(folder, [toy_dataset], drop_missing=True)
    assert (result.dropped, result.faces) == (1, 48)
    with Store.open(folder) as gallery:
        assert "Eva" not in {person.name for person in gallery.faces.people()}
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotosMissing):  # all missing is a wrong folder, not a wish
        go(folder, [], [tmp_path / "empty"], drop_missing=True, encoder=ColourEncoder("third"))


def test_a_killed_run_goes_on_and_the_old_encoder_serves_meanwhile(
    folder: Path, toy_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "COMMIT", 16)
    monkeypatch.setattr(stream, "BATCH", 16)
    child = os.fork()
    if child == 0:
        seen: list[int] = []

        class Dying(WideEncoder):
            def embed(self, crops: U8) -> F32:
                seen.append(len(crops))
                if len(seen) == 3:
                    os._exit(9)
                return super().embed(crops)

        go(folder, [toy_dataset], encoder=Dying())
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with Store.open(folder) as gallery:
        assert gallery.encoder_id == ColourEncoder().encoder_id and len(open_index(gallery)) == 48
    result = go(folder, [toy_dataset])
    assert (result.known + result.embedded, result.faces) == (48, 48)
    assert result.known in (16, 32), (
        "the second batch may or may not have been committed when the third was in the network"
    )


def test_a_run_with_a_third_encoder_does_not_take_over_what_a_second_began(
    folder: Path, toy_dataset: Dataset, tmp_path: Path
):
    enroll(
        [("Eva", save_colour(tmp_path / "x.png", "red"))],
        folder,
        ColourEncoder(),
        None,
        largest=False,
        fpir=None,
        progress=quiet,
    )
    with pytest.raises(PhotosMissing):
        go(folder, [toy_dataset])
    assert go(folder, [toy_dataset], [tmp_path], encoder=ColourEncoder("third")).embedded == 49
    with Store.open(folder) as gallery:
        assert gallery.encoder_id == ColourEncoder("third").encoder_id and gallery.dimension == 12


def test_a_reader_that_was_open_meanwhile_is_told_and_never_mixes(folder: Path, toy_dataset: Dataset):
    with Store.open(folder) as reader:
        index = open_index(reader)
        asked = ColourEncoder().embed(toy_dataset.crops[:1])[0]
        go(folder, [toy_dataset])
        with pytest.raises(GalleryChanged):  # rows of one encoder are not compared with those of another
            nearest_people(reader, index, asked, 1)
        with refused(GalleryChanged, "Run the command again"):
            open_index(reader)


def test_forgetting_reaches_what_a_reindex_has_begun(folder: Path, toy_dataset: Dataset, tmp_path: Path):
    name = "Zanzibar Quetzalcoatl"
    photo = save_colour(tmp_path / "x.png", "red")
    enroll(
        [(name, photo), ("Eva", save_colour(tmp_path / "y.png", "blue"))],
        folder,
        ColourEncoder(),
        None,
        largest=False,
        fpir=None,
        progress=quiet,
    )
    with pytest.raises(PhotosMissing):
        go(folder, [], [photo])
    assert any(name.encode() in path.read_bytes() for path in (folder / NEXT).iterdir())
    forget(name, folder, (), lambda line: None)
    assert not any(name.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_command_says_that_the_threshold_is_gone(run, folder: Path, toy_dataset: Dataset, weights: Path):
    with Store.open(folder) as gallery:
        gallery.notes.set_threshold(Threshold(0.512, 0.01, "on strangers", 300, 48, on_strangers=True))
    said = run("reindex", "--weights", weights, "--data", toy_dataset.folder, "--gallery", folder).stderr
    assert "the threshold 0.512 is gone" in said and "facesearch calibrate" in said
    with Store.open(folder) as gallery:
        now = gallery.notes.threshold()
    assert ("there is no threshold now" in said) if now is None else (f"is {now.score:.3f} now" in said)


@pytest.mark.slow
def test_the_command(run, folder: Path, toy_dataset: Dataset, weights: Path):
    refused = run(
        "query",
        save_colour(Path("a.png"), "red"),
        "--aligned",
        "--weights",
        weights,
        "--gallery",
        folder,
        code=1,
    )
    assert "facesearch reindex --weights NEW --photos FOLDER" in refused.stderr
    run("reindex", "--weights", weights, "--gallery", folder, code=2)
    done = run("reindex", "--weights", weights, "--data", toy_dataset.folder, "--gallery", folder)
    assert "48 photos embedded again; 48 faces of resnet18" in done.stdout
    assert (
        "threshold" in done.stderr
        and f"facesearch calibrate --strangers FOLDER --gallery {folder}" in done.stderr
    )
    again = run("reindex", "--weights", weights, "--data", toy_dataset.folder, "--gallery", folder)
    assert "nothing was done" in again.stderr and "threshold" not in again.stderr
    assert (
        "unknown"
        in run(
            "query", Path("a.png"), "--aligned", "--weights", weights, "--gallery", folder, "--threshold", "1"
        ).stdout
    )
