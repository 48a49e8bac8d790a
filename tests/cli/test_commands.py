"""Commands through CliRunner: exit code, stdout, stderr. The network here is small and untrained, yet a real
one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch.answers import EnrolmentWarning
from facesearch.cli.terminal import report_warnings
from facesearch.files import sha256_of
from tests.helpers.drawn import own, save_colour
from tests.helpers.places import MOBILEFACENET, SHARED

# ---- the whole way, bare commands


def test_the_whole_way_with_bare_commands(run, tmp_path: Path):
    """toy, prepare, train, build-index, query, evaluate: no option that a newcomer would have to know."""
    assert (
        run("toy", "people", "--people", 4, "--photos", 6).stdout == "people: 24 drawn photos of 4 people\n"
    )
    made = run("prepare", "people", "--out", "data/celeba500", "--aligned", "--split", "random")
    assert made.stdout == "data/celeba500: 24 photos of 4 people (train 19, val 5)\n"
    settings = [
        "backbone=resnet18",
        "embedding_size=16",
        "size_px=32",
        "epochs=1",
        "batch_size=8",
        "size_steps=[]",
        "ema_decay=0",
    ]
    trained = run("train", *(word for setting in settings for word in ("--set", setting)))
    assert (
        trained.stdout.startswith("runs/default-")
        and "best.safetensors: epoch 1, val verification" in trained.stdout
    )
    assert "training on CPU" in trained.stderr and "data/celeba500 (the default)" in trained.stderr
    assert "epoch   1/1  train loss" in trained.stderr and "new galleries are made with it" in trained.stderr
    out = Path(trained.stdout.split("/best")[0])
    assert {p.name for p in out.iterdir()} == {
        "best.safetensors",
        "classifier.safetensors",
        "config.toml",
        "curves.svg",
        "last.safetensors",
        "metrics.jsonl",
    }
    built = run("build-index")
    assert "24 vectors added" in built.stdout and "24 vectors of 4 people" in built.stdout
    assert "the run that train last finished, runs/finished.json" in built.stderr
    found = run("query", "people/p000/00.png", "--aligned", "--threshold", 0.9)
    assert "match: p000" in found.stdout and "p000  6 photos, nearest: p000/00.png (1.000)" in found.stdout
    measured = run("evaluate")
    assert "rank-1 " in measured.stdout and "[" in measured.stdout and "classifier top-1" in measured.stdout
    assert {p.name for p in Path("report").iterdir()} == {
        "cmc.svg",
        "evaluation.json",
        "index.html",
        "scores.svg",
    }
    assert json.loads(Path("report/evaluation.json").read_text())["figures"][0]["name"] == "rank-1"


def test_missing_data_and_missing_weights_give_the_command_that_makes_them(
    run, album: Path, monkeypatch: pytest.MonkeyPatch
):
    assert "facesearch prepare" in run("train", code=1).stderr
    assert "facesearch prepare" in run("evaluate", code=1).stderr
    run("prepare", album, "--out", "data/celeba500", "--aligned")
    monkeypatch.setattr(
        "facesearch.encoder.weights.SHIPPED", Path("nowhere.safetensors")
    )  # a package built without them
    refused = run("build-index", code=1)
    assert "There is no encoder yet" in refused.stderr and "facesearch train" in refused.stderr


def test_before_any_training_the_shipped_encoder_is_used_and_named(run, album: Path):
    run("prepare", album, "--out", "data/celeba500", "--aligned")
    built = run("build-index")
    assert "vectors added" in built.stdout and "shipped with facesearch" in built.stderr


def test_weights_that_the_pointer_names_but_that_are_gone(run, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/finished.json").write_text('{"weights": "/nowhere/best.safetensors"}')
    assert (
        "runs/finished.json points there"
        in run("enroll", "x", save_colour(tmp_path / "a.png", "red"), "--aligned", code=1).stderr
    )


# ---- enroll, query, forget, list, info


@pytest.mark.slow
def test_a_person_is_found_after_enrolling_and_not_after_forgetting(
    run, gallery: Path, album: Path, weights: Path
):
    photo = own(album, 5, 0)
    ask = ("query", photo, "--aligned", "--weights", weights, "--threshold", 0.999)
    assert "unknown" in run(*ask).stdout
    enrolled = run("enroll", "Zoé", photo, "--aligned", "--weights", weights)
    assert enrolled.stdout == "Zoé: 1 photo enrolled\n"
    assert "match: Zoé" in run(*ask).stdout
    assert run("forget", "Zoé").stdout == "1 photo forgotten; no byte of their vectors is left in index\n"
    assert "unknown" in run(*ask).stdout and "Zoé" not in run(*ask).stdout


def test_the_json_of_a_query_holds_all_that_the_lines_say(run, gallery: Path, album: Path, weights: Path):
    whole = json.loads(
        run("query", own(album, 1, 0), "--aligned", "--weights", weights, "--json", "--top", 2).stdout
    )
    assert set(whole) == {"photos", "enrolled", "stale", "notes"} and whole["enrolled"] == 12
    (photo,) = whole["photos"]
    assert photo["sha256"] == sha256_of(own(album, 1, 0)) and (
        photo["width"],
        photo["height"],
        photo["skipped"],
    ) == (178, 218, None)
    (answer,) = photo["faces"]
    assert set(answer) == {
        "face",
        "of",
        "box",
        "matches",
        "gap",
        "threshold",
        "decision",
        "expected_fpir",
        "expected_fpir_is",
        "stranger_share",
        "stranger_share_is",
        "ambiguous_with",
        "scored_by",
        "quality",
        "poor",
    }
    assert answer["decision"] == "match" and len(answer["matches"]) == 2
    first = answer["matches"][0]
    assert (
        first["person"] == "Person 1"
        and first["photos"] == 4
        and first["support"][0]
        == {"source": "00.png", "score": pytest.approx(1, abs=1e-3), "sha256": sha256_of(own(album, 1, 0))}
    )
    assert answer["gap"] == pytest.approx(first["score"] - answer["matches"][1]["score"])


def test_folders_are_asked_photo_by_photo_and_broken_ones_are_listed(
    run, gallery: Path, album: Path, weights: Path, tmp_path: Path
):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.png").write_bytes(own(album, 0, 0).read_bytes())
    (mixed / "b.png").write_text("not a picture")
    (mixed / "c.png").write_bytes(own(album, 2, 0).read_bytes())
    ask = ("query", mixed, "--aligned", "--weights", weights, "--json")
    result = run(*ask)
    photos = json.loads(result.stdout)["photos"]
    assert [
        (Path(p["photo"]).name, [face["matches"][0]["person"] for face in p["faces"]]) for p in photos
    ] == [("a.png", ["Person 0"]), ("b.png", []), ("c.png", ["Person 2"])]
    assert [p["skipped"] is None for p in photos] == [True, False, True] and photos[1]["skipped"].startswith(
        "not a picture"
    )
    assert (
        "skipped mixed" not in result.stdout
        and "b.png: not a picture" in result.stderr
        and "1 skipped" in result.stderr
    )
    assert "--strict was given" in run(*ask, "--strict", code=1).stderr


def test_list_and_info_tell_what_is_there(run, gallery: Path, weights: Path):
    assert run("list").stdout == "4  Person 0\n4  Person 1\n4  Person 2\n"
    assert json.loads(run("list", "--json").stdout)[0] == {"person": "Person 0", "photos": 4}
    facts = json.loads(run("info", "--json").stdout)
    assert (facts["people"], facts["faces"], facts["dimension"]) == (3, 12, 32) and "resnet18" in facts[
        "encoder"
    ]
    assert "the encoder's table of impostor scores" in facts["calibration"]["method"]
    assert facts["threshold"] == facts["calibration"]["score"] and facts["index"]["state"]
    assert "threshold" in run("info").stdout


def test_enroll_from_a_folder_takes_its_people_and_says_who_was_known(run, album: Path, weights: Path):
    first = run("enroll", "--from", album, "--aligned", "--weights", weights)
    assert first.stdout.splitlines()[0] == "p000: 8 photos enrolled" and len(first.stdout.splitlines()) == 6
    second = run("enroll", "--from", album, "--aligned", "--weights", weights)
    assert second.stdout == "" and "48 photos were enrolled already" in second.stderr


@pytest.mark.slow
def test_a_photo_with_several_faces_is_refused_unless_the_largest_is_wanted(
    run, album: Path, weights: Path, tmp_path: Path
):
    from facesearch.faces.detect import load_detector
    from facesearch.faces.photos import read_photo
    from facesearch.records import Photo

    detector = load_detector(None)
    found = []
    for path in sorted(album.rglob("*.png")):
        photo = read_photo(path)
        assert isinstance(photo, Photo)
        if len(detector.detect(photo.pixels)) == 1:
            found.append(Image.fromarray(photo.pixels))
    pair = Image.new("RGB", (178 * 2, 218))
    pair.paste(found[0], (0, 0))
    pair.paste(found[-1], (178, 0))
    pair.save(tmp_path / "two.png")
    refused = run("enroll", "Ana", "two.png", "--weights", weights, code=1)
    assert "There are 2 faces in the photo" in refused.stderr and "Pass --largest" in refused.stderr
    run("enroll", "Ana", "two.png", "--weights", weights, "--largest")
    asked = run("query", "two.png", "--weights", weights)
    assert "face 1 of 2" in asked.stdout and "face 2 of 2" in asked.stdout
    assert "face 2 of 2" not in run("query", "two.png", "--weights", weights, "--largest").stdout


@pytest.mark.slow
def test_photos_without_a_face_say_so(run, gallery: Path, weights: Path, tmp_path: Path):
    wall = save_colour(tmp_path / "wall.png", "grey", (300, 300))
    assert "No face found" in run("query", wall, "--weights", weights, code=1).stderr
    assert "No face was found" in run("enroll", "Nobody", wall, "--weights", weights, code=1).stderr
    (photo,) = json.loads(run("query", wall, "--weights", weights, "--json", code=1).stdout)["photos"]
    assert photo["skipped"] == "no face found" and photo["faces"] == [] and photo["sha256"] == sha256_of(wall)
    assert "Nobody" not in run("list").stdout
    run("enroll", "Nobody", wall, "--weights", weights, "--gallery", "fresh", code=1)
    assert not (tmp_path / "fresh").exists()


@pytest.mark.data
def test_a_photograph_is_asked_with_yunet_and_a_foreign_encoder(run, tmp_path: Path):
    wild = SHARED / "data" / "wild"
    people = sorted(p for p in wild.iterdir() if p.is_dir())[:3]
    common = ("--weights", MOBILEFACENET, "--engine", "auto")
    for person in people:
        run("enroll", person.name, *sorted(person.iterdir())[:4], "--largest", *common)
    answered = json.loads(
        run("query", *(sorted(p.iterdir())[5] for p in people), "--largest", "--json", *common).stdout
    )
    found = [face for photo in answered["photos"] for face in photo["faces"]]
    assert [a["matches"][0]["person"] for a in found] == [p.name for p in people]
    assert all(np.isfinite(m["score"]) for a in found for m in a["matches"])


# ---- encrypt, verify


def test_a_new_key_is_made_where_there_is_none_and_the_gallery_encrypted_with_it(
    run, gallery: Path, tmp_path: Path
):
    pytest.importorskip("cryptography")
    made = run("encrypt", "--new-key", "my.key", "--gallery", "none")
    assert "a new key" in made.stdout and "no gallery is in none yet" in made.stderr
    assert (tmp_path / "my.key").stat().st_mode & 0o077 == 0
    first = run("encrypt", "--new-key", "other.key", "--gallery", gallery)
    assert "a new key" in first.stdout and "faces encrypted" in first.stdout
    again = run("encrypt", "--key-file", "other.key", "--new-key", "my.key", "--gallery", gallery)
    assert "a new key" not in again.stdout and "faces encrypted" in again.stdout
    run("list", "--gallery", gallery, "--key-file", "my.key")


def test_an_index_is_rebuilt_as_another_kind(run, gallery: Path):
    done = run("verify", "--rebuild", "--index", "bits1", "--gallery", gallery).stdout
    assert "rebuilt the index: bits1" in done and "compared exactly" in done
    assert "--index needs --rebuild" in run("verify", "--index", "flat", "--gallery", gallery, code=2).stderr
    both = run("verify", "--rebuild", "--no-repair", "--gallery", gallery, code=2)
    assert "exclude each other" in both.stderr


def test_enroll_warns_about_photos_that_speak_against_their_name(run, gallery, album: Path, weights: Path):
    """A line each on stderr, and all in the JSON; they are enrolled all the same."""
    again = run("enroll", "Somebody Else", own(album, 0, 0), "--aligned", "--weights", weights)
    assert again.stdout == "Somebody Else: 1 photo enrolled\n"
    assert "warning: Somebody Else, " in again.stderr and "it is enrolled under Person 0 too" in again.stderr
    assert "1 warning; the photos are enrolled all the same" in again.stderr
    photos = [own(album, person, shot) for person in (0, 1) for shot in (1, 2)]
    told = run("enroll", "A Third", *photos, "--aligned", "--weights", weights, "--json")
    warnings = json.loads(told.stdout)["warnings"]
    assert [warning["kind"] for warning in warnings] == ["twice"] * 4
    assert {Path(warning["photo"]).name for warning in warnings} == {photo.name for photo in photos}


def test_a_long_list_of_warnings_is_cut_and_counted(capsys: pytest.CaptureFixture[str]):
    many = [EnrolmentWarning("Ana", f"{i}.jpg", "poor", "a poor photo: small") for i in range(30)]
    report_warnings([*many, EnrolmentWarning("Ben", "b\n.jpg", "twice", "it is enrolled under Ana too")])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: Ben, b\\x0a.jpg: it is enrolled under Ana too" and len(lines) == 22
    assert lines[-2:] == [
        "... and 11 more (--json tells all)",
        "31 warnings; the photos are enrolled all the same",
    ]
    report_warnings([])
    assert capsys.readouterr().err == ""
