"""Bad input to commands, each with its message and exit code; and what was there before stays."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from tests.helpers.drawn import own


@pytest.mark.parametrize(
    "words",
    [
        ("query",),
        ("query", "x.png", "--top", 0),
        ("query", "x.png", "--threshold", 3),
        ("enroll",),
        ("enroll", "Ana"),
        ("enroll", "Ana", "x.png", "--from", "y"),
        ("nonsense",),
        ("train", "--resume"),
        ("prepare", "x"),
        ("query", "x.png", "--no-such"),
        ("prepare", "x", "--out", "y", "--split", "random", "--val", 0.8, "--test", 0.5),
        ("build-index", "--fpir", 2),
    ],
)
def test_wrong_usage_exits_with_2(run, words: tuple[object, ...]):
    assert "Usage:" in run(*words, code=2).stderr


@pytest.mark.slow
def test_no_gallery_an_empty_one_and_one_of_another_encoder(
    run, gallery: Path, album: Path, weights: Path, tmp_path: Path
):
    photo = own(album, 0, 0)
    assert "no gallery there" in run("query", photo, "--aligned", "--gallery", "nowhere", code=1).stderr
    for number in range(3):
        run("forget", f"Person {number}")
    assert "Nobody is enrolled yet" in run("query", photo, "--aligned", "--weights", weights, code=1).stderr
    import torch

    from facesearch.encoder.checkpoint import save_encoder
    from facesearch.encoder.config import EncoderConfig
    from facesearch.encoder.network import Encoder

    torch.manual_seed(6)
    save_encoder(
        tmp_path / "other.safetensors",
        Encoder(EncoderConfig(backbone="resnet18", embedding_size=32, size_px=64)),
        {},
    )
    for words in (("query", photo), ("enroll", "Eva", photo)):
        assert (
            "scores cannot be compared"
            in run(*words, "--aligned", "--weights", "other.safetensors", code=1).stderr
        )


def test_checkpoints_that_are_pickles_or_rubbish(run, gallery: Path, album: Path, tmp_path: Path):
    import torch

    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"rubbish" * 99)
    ask = ("query", own(album, 0, 0), "--aligned", "--weights")
    assert "is a pickle" in run(*ask, "model.pth", code=1).stderr
    assert "not a whole safetensors file" in run(*ask, "bad.safetensors", code=1).stderr
    assert "no encoder there" in run(*ask, "none.safetensors", code=1).stderr


def test_a_flipped_byte_in_the_index_is_noticed_and_mended(run, gallery: Path, album: Path, weights: Path):
    with Store.open(gallery) as store:  # by templates the photos of few people are not searched at all
        store.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 24, by="best-photo"))
    ask = ("query", own(album, 1, 0), "--aligned", "--weights", weights)
    good = run(*ask).stdout
    path = next(gallery.glob("*.faiss"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    again = run(*ask)
    assert again.stdout == good and "The index was rebuilt: the index file was damaged" in again.stderr


def test_a_damaged_store_is_said_to_be_damaged(run, gallery: Path, album: Path, weights: Path):
    with sqlite3.connect(gallery / "gallery.sqlite") as db:
        db.execute("UPDATE faces SET vector = zeroblob(64) WHERE face_id = 2")
    db.close()
    refused = run("query", own(album, 1, 0), "--aligned", "--weights", weights, code=1)
    assert "is damaged: the row of face 2" in refused.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 10_000, "10,000 characters"), (" ", "it is empty"), ("a\x07b", "control character U+0007")],
)
def test_odd_names_are_refused_with_the_reason(run, album: Path, weights: Path, name: str, reason: str):
    assert reason in run("enroll", name, own(album, 0, 0), "--aligned", "--weights", weights, code=1).stderr


@pytest.mark.slow
def test_names_with_slashes_dashes_and_other_scripts_work(run, album: Path, weights: Path):
    for i, name in enumerate(("../../etc", "李小龍", "--", "-v")):
        words = ("enroll", "--aligned", "--weights", weights, "--", name, own(album, 0, i))
        assert run(*words).stdout == f"{name}: 1 photo enrolled\n"
    assert "../../etc" in run("list").stdout
    assert run("forget", "--", "-v").stdout.startswith("1 photo")


def test_an_unknown_recipe_and_an_unknown_key(run, album: Path):
    run("prepare", album, "--out", "data/celeba500", "--aligned")
    assert "Known: default" in run("train", "--recipe", "nope", code=1).stderr
    assert "Did you mean 'margin_rad'?" in run("train", "--set", "margin_rat=1", code=1).stderr
    assert "radians" in run("train", "--set", "margin_rad=28.6", code=1).stderr
    assert (
        "no GPU" in run("train", "--device", "cuda", code=1).stderr or __import__("torch").cuda.is_available()
    )


def test_empty_folders_and_places_that_are_not_there(run, gallery: Path, weights: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "There is no photo" in run("query", "empty", "--aligned", "--weights", weights, code=1).stderr
    assert (
        "no file or folder there"
        in run("query", "gone.jpg", "--aligned", "--weights", weights, code=1).stderr
    )
    assert "No photo source is recognised" in run("prepare", "empty", "--out", "d", code=1).stderr
    assert (
        "one folder a person"
        in run("enroll", "--from", "empty", "--aligned", "--weights", weights, code=1).stderr
    )


def test_a_full_disk_and_a_read_only_target_leave_what_was_there(
    run, gallery: Path, album: Path, weights: Path, monkeypatch, tmp_path: Path
):
    enroll = ("enroll", "Eva", own(album, 4, 0), "--aligned", "--weights", weights)
    from facesearch.gallery.store import database

    real = database.connect

    def small(path: Path) -> sqlite3.Connection:
        db = real(path)
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to have no room: SQLITE_FULL
        return db

    monkeypatch.setattr(database, "connect", small)
    for shot in range(8):
        result = run(
            "enroll",
            "Eva",
            *(own(album, p, shot) for p in (3, 4, 5)),
            "--aligned",
            "--weights",
            weights,
            code=None,
        )
        if result.exit_code == 1:
            break
    assert result.exit_code == 1 and "the disk is full. What was there before is unchanged" in result.stderr
    monkeypatch.setattr(database, "connect", real)
    run("list")
    (tmp_path / "file").write_text("")
    assert "a file of that name is in the way" in run(*enroll, "--gallery", "file/index", code=1).stderr
    assert "cannot be written" in run("prepare", album, "--out", "file/data", "--aligned", code=1).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_that_cannot_be_printed_are_no_success(album: Path, tmp_path: Path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "facesearch",
                "toy",
                str(tmp_path / "t"),
                "--people",
                "2",
                "--photos",
                "1",
            ],
            stdout=full,
        )
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (("merge", "other"), "import FOLDER"),
        (("index", "bits1"), "verify --rebuild"),
        (("key", "k"), "encrypt --new-key FILE"),
        (("encrypt", "--new-key-file", "k"), "encrypt --new-key FILE"),
    ],
)
def test_an_old_spelling_says_the_new_one(run, was: tuple[str, ...], now: str):
    said = run(*was, code=2).stderr
    assert f"is now: facesearch {now}" in said and len(said.splitlines()) <= 4


@pytest.mark.parametrize(
    "words",
    [
        "query {}",
        "enroll Ana {}",
        "detect {}",
        "embed {} --out v.npy",
        "scan {}",
        "prepare {} --out d",
        "calibrate --strangers {}",
        "train --data {}",
        "import {}",
        "detect . --detector-model {}",
        "embed . --out v.npy --weights {}",
    ],
)
def test_a_url_is_called_a_url(run, gallery: Path, words: str):
    told = run(*words.format("https://example.org/a.jpg").split(), code=1).stderr
    assert "Error: https://example.org/a.jpg: That is a URL.\nNothing is fetched here: download it" in told


def test_a_url_in_the_place_of_a_recipe_is_called_one_too(run):
    told = run("train", "--recipe", "https://example.org/a.toml", code=1).stderr
    assert "it is a URL; nothing is fetched here: download it first, and give the file." in told
