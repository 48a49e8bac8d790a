"""What is shipped belongs together: weights, card and gallery, in a checkout and in a wheel."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facesearch.api.opening import open_gallery
from facesearch.datasets.sources import read_source
from facesearch.encoder.checkpoint import load_encoder, read_tensors
from facesearch.encoder.runtime import load_runtime
from facesearch.encoder.weights import SHIPPED
from facesearch.faces.align import crop_face
from facesearch.faces.detect import YUNET
from facesearch.faces.photos import read_photo
from facesearch.files import sha256_of
from facesearch.gallery.describe import CARD
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.places import SHARED

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "index"


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads(CARD.read_text())


def test_weights_card_and_gallery_are_of_one_encoder(card: dict):
    encoder, meta = load_encoder(SHIPPED)  # it checks that the id is that of the weights
    assert card["weights_sha256"] == sha256_of(SHIPPED) and card["encoder_id"] == meta["encoder_id"]
    assert encoder.config.backbone == "resnet34" and encoder.config.embedding_size == 512
    assert type(encoder.backbone.fc).__name__ in ("Linear", "Sequential")
    with sqlite3.connect(f"file:{INDEX / FILE}?mode=ro&immutable=1", uri=True) as db:
        stored = dict(db.execute("SELECT key, value FROM meta"))
    assert stored["encoder_id"] == meta["encoder_id"]


def test_the_shipped_files_are_small_and_in_half_precision():
    assert SHIPPED.stat().st_size <= 45_000_000 and (INDEX / FILE).stat().st_size <= 50_000_000
    tensors, _ = read_tensors(SHIPPED)
    assert all(value.dtype.itemsize == 2 for value in tensors.values() if value.is_floating_point())


def test_the_card_tells_what_it_must(card: dict):
    notes = card["notes"]
    assert notes["teacher"]["licence"] and len(notes["teacher"]["sha256"]) == 64
    assert all(entry["plan"] for entry in notes["data"])  # hashes of the data
    assert card["seed"] == 0 and len(card["commit"]) == 40 and card["machine"]["cores"]
    for row in ("shipped", "before", "teacher", "mobilefacenet"):
        for split in ("val", "test"):
            rank1 = next(f["rate"] for f in card["metrics"][row][split] if f["name"] == "rank-1")
            assert rank1["low"] < rank1["value"] < rank1["high"] and rank1["trials"] > 1000
        assert card["wild"][row]["asked"] == 40
    text = SHIPPED.with_name("MODEL_CARD.md").read_text()
    assert card["encoder_id"][:16] in text and "Not to be used for" in text
    assert card["from"]["teacher"]["sha256"] == notes["teacher"]["sha256"] and card["from"]["not_known"]


def test_the_encoders_lengths_are_worth_what_the_card_says(card: dict):
    """Photos are judged by them: then refusing the shortest must have lowered what is missed."""
    for shares in card["lengths"]["shipped"].values():
        none, five = (sum(shares[share]) for share in ("none", "5 %"))
        assert len(shares["none"]) == 8 and ("lengths" in card["notes"]) <= (five < none)


def test_the_shipped_gallery_holds_everyone_and_no_photo(tmp_path: Path, card: dict):
    shutil.copytree(INDEX, tmp_path / "index")
    facts = open_gallery(tmp_path / "index").info()
    assert (
        facts.people == 500 == card["gallery"]["people"] and facts.faces == 12011 == card["gallery"]["faces"]
    )
    assert any((figure.split, figure.name) == ("val", "FNIR of enrolled people") for figure in facts.measured)
    with Store.open(tmp_path / "index") as gallery:
        _, vectors, _ = gallery.faces.vectors()
    assert vectors.shape == (12011, 512) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    raw = (INDEX / FILE).read_bytes()
    assert b"JFIF" not in raw and b"\x89PNG" not in raw


@pytest.mark.slow
def test_the_weights_and_the_detector_with_its_licence_are_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hatchling = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(ROOT)
    wheel = hatchling.build_wheel(str(tmp_path))
    names = zipfile.ZipFile(tmp_path / wheel).namelist()
    for name in ("facesearch-r34.safetensors", "facesearch-r34.json", "MODEL_CARD.md"):
        assert f"facesearch/weights/{name}" in names
    assert "facesearch/recipes/distil.toml" in names
    assert f"facesearch/faces/yunet/{YUNET.name}" in names
    licence = zipfile.ZipFile(tmp_path / wheel).read("facesearch/faces/yunet/LICENSE").decode()
    assert licence.startswith("MIT License") and "Shiqi Yu" in licence


@pytest.mark.data
def test_the_shipped_gallery_finds_the_photos_it_was_made_of():
    """Vectors computed now from the data are those in the shipped gallery, up to half precision."""
    entries = read_source(SHARED / "data" / "celebA_train_500").entries[:8]
    crops = np.stack([crop_face(read_photo(entry.path).pixels, entry.landmarks) for entry in entries])
    vectors = load_runtime(SHIPPED, device="cpu").embed(crops)
    with sqlite3.connect(f"file:{INDEX / FILE}?mode=ro&immutable=1", uri=True) as db:
        stored = dict(db.execute("SELECT source, vector FROM faces"))
    for entry, vector in zip(entries, vectors, strict=True):
        assert float(np.frombuffer(stored[entry.name], np.float16).astype(np.float32) @ vector) > 0.999
