"""Photos compared without a gallery, and the encoder that a gallery is asked with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facesearch
from facesearch import errors
from facesearch.encoder.weights_file import encoder_meta
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import refused

ROOT = Path(__file__).resolve().parents[2]


# ---- photos alone


@pytest.mark.slow
def test_faces_are_found_embedded_and_compared(tmp_path: Path):
    data = pytest.importorskip("skimage.data", reason="needs the extra [demo]")
    face = data.astronaut()
    found = facesearch.detect(face)
    assert (
        len(found) == 1
        and found[0].crop.shape == (112, 112, 3)
        and found[0].score > 0.8
        and len(found[0].landmarks) == 5
    )
    x, y, w, h = found[0].box
    assert 0 < x < x + w < 512 and 0 < y < y + h < 512
    embedded = facesearch.embed(face)
    assert embedded.vectors.shape == (1, 512) and np.linalg.norm(embedded[0].vector) == pytest.approx(
        1, abs=1e-5
    )
    encoder = facesearch.load_encoder()
    assert (
        embedded.encoder_id == encoder.id
        and encoder.embed(found[0].crop[None])[0] @ embedded[0].vector > 0.9999
    )
    smaller = np.asarray(Image.fromarray(face).resize((300, 300)))
    same = facesearch.compare(face, smaller)
    assert same.decision == "same" and same.score > 0.9 and same.threshold is not None and same.fmr == 0.001
    strict, lax = (facesearch.compare(face, smaller, fmr=fmr).threshold for fmr in (1e-4, 0.1))
    assert strict is not None and lax is not None and strict > same.threshold > lax
    pair = np.concatenate([face, face[:, ::-1]], axis=1)
    with pytest.raises(errors.SeveralFaces):
        facesearch.compare(pair, face)
    assert facesearch.compare(pair, face, largest=True).decision == "same"
    with pytest.raises(errors.NoFace):
        facesearch.compare(face, np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(ValueError, match="fmr"):
        facesearch.compare(face, face, fmr=0)


def test_an_encoder_without_a_table_of_rates_decides_nothing(tmp_path: Path):
    a, b = save_colour(tmp_path / "a.png", "red"), save_colour(tmp_path / "b.png", "red", shade=9)
    told = facesearch.compare(a, b, encoder=facesearch.Encoder.of(ColourEncoder()), detector="aligned")
    assert told.decision == "undecided" and told.threshold is None and told.fmr is None and told.score > 0.9


def test_an_encoder_takes_crops_of_one_shape_only(weights: Path):
    encoder = facesearch.load_encoder(weights)
    assert encoder.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 32) and encoder.dimension == 32
    for wrong in (
        np.zeros((112, 112, 3), np.uint8),
        np.zeros((1, 96, 96, 3), np.uint8),
        np.zeros((1, 112, 112, 3)),
    ):
        with pytest.raises(ValueError, match="expected"):
            encoder.embed(wrong)
    with pytest.raises(facesearch.EncoderError):
        facesearch.load_encoder(ROOT / "README.md")
    with pytest.raises(facesearch.DataError):
        facesearch.load_encoder("nowhere")


# ---- the encoder follows the gallery


@pytest.fixture
def run_folder(tmp_path: Path, weights: Path) -> Path:
    """What train leaves behind, below runs/, and the pointer to it."""
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    shutil.copy(weights, run / "best.safetensors")
    (tmp_path / "runs" / "finished.json").write_text(json.dumps({"weights": str(run / "best.safetensors")}))
    return run


@pytest.mark.slow
def test_a_gallery_is_asked_with_the_encoder_that_made_it(tmp_path: Path, run_folder: Path, album: Path):
    """One of the shipped encoder and one of a run, side by side; what train finished last is for new
    galleries alone.
    """
    photo = album / "p000" / "00.png"
    facesearch.open_gallery(tmp_path / "old", detector="aligned").enroll("Ada", photo)
    facesearch.open_gallery(tmp_path / "new", detector="aligned", runs=tmp_path / "runs").enroll("Ada", photo)
    ids = {name: facesearch.open_gallery(tmp_path / name).info().encoder_id for name in ("old", "new")}
    assert (
        ids["new"]
        == encoder_meta(run_folder / "best.safetensors")["encoder_id"]
        != ids["old"]
        == facesearch.load_encoder().id
    )
    for name in ("old", "new"):
        gallery = facesearch.open_gallery(tmp_path / name, detector="aligned", runs=tmp_path / "runs")
        assert gallery.search(photo)[0].matches[0].score > 0.999 and gallery.encoder.id == ids[name]
    alone = facesearch.open_gallery(
        tmp_path / "new", detector="aligned"
    )  # it remembers where its encoder lay
    assert alone.search(photo)[0].matches[0].score > 0.999
    shutil.move(run_folder, tmp_path / "runs" / "renamed")
    found = facesearch.open_gallery(tmp_path / "new", detector="aligned", runs=tmp_path / "runs")
    assert found.search(photo)[0].matches[0].score > 0.999  # found again by what it is, not by where it lies
    with refused(errors.EncoderNotFound, f"{run_folder / 'best.safetensors'}") as caught:
        facesearch.open_gallery(tmp_path / "new", detector="aligned").search(photo)
    assert str(run_folder) not in caught.value.what and "best.safetensors" in caught.value.what
    with pytest.raises(errors.EncoderMismatch):
        facesearch.open_gallery(
            tmp_path / "old", encoder=tmp_path / "runs" / "renamed", detector="aligned"
        ).search(photo)


def test_an_exported_gallery_tells_no_folder_of_this_machine(tmp_path: Path, run_folder: Path, album: Path):
    gallery = facesearch.open_gallery(tmp_path / "g", encoder=run_folder, detector="aligned")
    gallery.enroll("Ada", album / "p000" / "00.png")
    gallery.export(tmp_path / "out.facesearch")
    assert str(tmp_path).encode() not in (tmp_path / "out.facesearch").read_bytes()
    other = facesearch.open_gallery(tmp_path / "other", detector="aligned")
    other.import_from(tmp_path / "out.facesearch")
    assert other.info().encoder_file == "best.safetensors"


@pytest.mark.slow
def test_a_foreign_encoder_is_followed_with_its_preprocessing(tmp_path: Path, weights: Path, album: Path):
    pytest.importorskip("torch")
    from facesearch.encoder.onnx_export import write_onnx

    write_onnx(weights, tmp_path / "foreign.onnx")
    photo = album / "p000" / "00.png"
    made = facesearch.open_gallery(
        tmp_path / "g", encoder=tmp_path / "foreign.onnx", preprocess="arcface", detector="aligned"
    )
    made.enroll("Ada", photo)
    again = facesearch.open_gallery(tmp_path / "g", detector="aligned")
    assert again.search(photo)[0].matches[0].score > 0.999 and again.encoder.preprocess == "arcface"
    with pytest.raises(errors.EncoderMismatch):
        facesearch.open_gallery(tmp_path / "g", encoder=tmp_path / "foreign.onnx", detector="aligned").search(
            photo
        )
