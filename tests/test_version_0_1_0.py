"""What version 0.1.0 wrote opens for ever: galleries in every state, an export, an album, a dataset, a run.

tests/data/facesearch-0.1.0.tar.xz was written at commit 5d519fa by the script beside it. The weights of its
run are zeros, so that the archive is small; their names, shapes, types and headers are as that version left
them.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pytest

import facesearch
from facesearch.album.album import Album
from facesearch.album.review import apply
from facesearch.album.sort import sort_album
from facesearch.datasets.table import open_dataset
from facesearch.encoder.device import choose_device
from facesearch.errors import StillProjected, UnknownPerson
from facesearch.evaluation.confirmed import confirmed
from facesearch.gallery.receipts import read_receipt
from facesearch.gallery.store.store import Store
from facesearch.training.run_folder import config_of_run, load_history
from facesearch.training.run_weights import load_classifier
from facesearch.training.state import read_state
from facesearch.training.train import train
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet

ARCHIVE = Path(__file__).parent / "data" / "facesearch-0.1.0.tar.xz"
PEOPLE = ["Ada Lovelace", "Mary Somerville", "Zoë 张伟"]


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("version")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")
    return place / "0.1.0"


@pytest.fixture
def there(unpacked: Path, tmp_path: Path) -> Path:
    """A copy of all but the run, to be changed."""
    shutil.copytree(unpacked, tmp_path / "0.1.0", ignore=shutil.ignore_patterns("run"))
    return tmp_path / "0.1.0"


def opened(folder: Path, **more: Any) -> facesearch.Gallery:
    encoder = facesearch.Encoder.of(ColourEncoder())
    return facesearch.open_gallery(folder, encoder=encoder, detector="aligned", **more)


def names(gallery: facesearch.Gallery) -> list[str]:
    return [person.person for person in gallery.people()]


def test_a_plain_gallery(there: Path):
    gallery = opened(there / "plain")
    assert names(gallery) == ["Ada Lovelace", "Mary Fairfax", "Zoë 张伟"]
    answer = gallery.search(there / "photos" / "Ada Lovelace" / "1.png")
    assert (answer.faces[0].decision, answer.faces[0].matches[0].person) == ("match", "Ada Lovelace")
    facts = gallery.info()
    assert (facts.faces, facts.stale, facts.index.choice) == (9, False, "bits1")
    threshold = gallery.threshold()
    assert threshold is not None and threshold.on_strangers and threshold.score == 0.9
    assert confirmed(there / "plain", ["a" * 64]) == {"a" * 64}
    (receipt,) = (there / "plain" / "receipts").iterdir()
    assert (read_receipt(receipt).action, read_receipt(receipt).photos) == ("forget", 3)
    found = gallery.verify()
    assert (found.problems, found.index) == ((), "")
    gallery.forget("Mary Fairfax")
    assert names(gallery) == ["Ada Lovelace", "Zoë 张伟"]


@pytest.mark.parametrize(
    ("folder", "people"), [("encrypted", PEOPLE), ("encrypted-later", sorted([*PEOPLE, "Nobody Known"]))]
)
def test_an_encrypted_gallery(there: Path, folder: str, people: list[str]):
    pytest.importorskip("cryptography")
    gallery = opened(there / folder, key=there / "key")
    assert names(gallery) == people and gallery.verify().problems == ()
    photo = there / "photos" / "Zoë 张伟" / "2.png"
    assert gallery.search(photo).faces[0].matches[0].person == "Zoë 张伟"
    (receipt,) = (there / folder / "receipts").iterdir()
    assert read_receipt(receipt).action == ("forget" if folder == "encrypted" else "encrypt")
    assert not gallery.decrypt().already and names(gallery) == people


def test_an_erasure_that_was_killed_is_carried_to_its_end(there: Path):
    gallery = opened(there / "unfinished")
    with Store.open(there / "unfinished") as store:
        note = store.notes.unfinished()
    assert note is not None and (note.action, note.faces) == ("forget", 3)
    assert gallery.verify().mended[0] == "carried an interrupted erasure to its end"
    assert names(gallery) == PEOPLE
    with pytest.raises(UnknownPerson):
        gallery.forget("Nobody Known")


def test_an_erasure_that_an_engine_has_not_carried_out_is_still_pending(there: Path):
    pytest.importorskip("pymilvus")
    gallery = opened(there / "projected", store_wait_s=1.0)
    with Store.open(there / "projected") as store:
        (pending,) = store.notes.pending_erasures()
        (place,) = store.notes.projections()
    assert pending.is_of("Nobody Known") and len(pending.face_ids) == 3
    assert place.store == "milvus:http://127.0.0.1:9"
    assert [engine.pending for engine in gallery.info().projections] == [1]
    with pytest.raises(StillProjected):
        gallery.forget("Nobody Known")


def test_a_gallery_of_before_detectors_were_noted_and_an_export(there: Path):
    before = opened(there / "before-detectors")
    assert len(before) == 9 and before.verify().problems == ()
    new = opened(there / "new")
    assert new.import_from(there / "people.facesearch").added == 9
    threshold = new.threshold()
    assert names(new) == names(before) and threshold is not None and threshold.score == 0.9
    assert new.import_from(there / "plain").known == 9


def test_an_album_its_review_and_its_sorting(there: Path):
    scan, photos = there / "holiday.scan", there / "holiday"
    with sqlite3.connect(scan / "scan.sqlite") as db:  # it lies elsewhere now
        db.execute("UPDATE meta SET value = ? WHERE key = 'root'", (str(photos),))
    with Album.open(scan) as album:
        faces = album.faces()
        assert len(faces) == 9 and len({face.group for face in faces}) >= 2
        done = apply(album, there / "named", there / "reviewed.csv", None)
        assert list(done.enrolled) == ["Ada Lovelace"]
        made = sort_album(album, there / "sorted", quiet)
        assert made.folders["Ada Lovelace"] == done.enrolled["Ada Lovelace"]
    assert names(opened(there / "named")) == ["Ada Lovelace"]


@pytest.mark.slow
def test_a_dataset_and_a_run(unpacked: Path, tmp_path: Path):
    pytest.importorskip("torch")
    run = tmp_path / "run"
    shutil.copytree(unpacked / "run", run)
    dataset, config = open_dataset(unpacked / "dataset"), config_of_run(run)
    assert len(dataset) == 48 and (config.backbone, config.epochs) == ("resnet18", 2)
    history = load_history(run)
    assert [result.epoch for result in history] == [1, 2]
    head, classes, encoder_id = load_classifier(run / "classifier.safetensors")
    assert len(classes) == 6 and sum(parameter.numel() for parameter in head.parameters()) == 6 * 16
    encoder = facesearch.load_encoder(run)
    assert encoder.id == encoder_id and encoder.dimension == 16
    tensors, meta = read_state(run / "last.safetensors")
    assert meta["kind"] == "training state" and any(name.startswith("optimizer.") for name in tensors)
    done = train(
        config,
        [dataset],
        [],
        choose_device("cpu"),
        run,
        resume=True,
        on_step=lambda step: None,
        on_epoch=lambda result, folder: None,
        on_teacher=quiet,
        tell=lambda line: None,
    )
    assert done.already_done and len(done.history) == 2
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["epoch"] == 1
