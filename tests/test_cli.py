"""Every command through CliRunner: exit code, stdout, stderr. The network here is small and untrained, yet a real one."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch.cli import main
from facesearch.files import sha256_of
from tests.conftest import MOBILEFACENET, SHARED, save_colour


def own(album: Path, person: int, shot: int) -> Path:
    return album / f"p{person:03d}" / f"{shot:02d}.png"


@pytest.fixture
def gallery(run, album: Path, weights: Path, tmp_path: Path) -> Path:
    """Three drawn people enrolled in index/, aligned."""
    for person in range(3):
        photos = [own(album, person, shot) for shot in range(4)]
        run("enroll", f"Person {person}", *photos, "--aligned", "--weights", weights)
    return tmp_path / "index"


# ---- the whole way, bare commands


def test_the_whole_way_with_bare_commands(run, tmp_path: Path):
    """toy, prepare, train, build-index, query, evaluate: no option that a newcomer would have to know."""
    assert run("toy", "people", "--people", 4, "--photos", 6).stdout == "people: 24 drawn photos of 4 people\n"
    made = run("prepare", "people", "--out", "data/celeba500", "--aligned", "--split", "random")
    assert made.stdout == "data/celeba500: 24 photos of 4 people (train 19, val 5)\n"
    settings = ["backbone=resnet18", "embedding_size=16", "size_px=32", "epochs=1", "batch_size=8", "size_steps=[]", "ema_decay=0"]
    trained = run("train", *(word for setting in settings for word in ("--set", setting)))
    assert trained.stdout.startswith("runs/default-") and "best.safetensors: epoch 1, val verification" in trained.stdout
    assert "training on CPU" in trained.stderr and "data/celeba500 (the default)" in trained.stderr
    assert "epoch   1/1  train loss" in trained.stderr and "new galleries are made with it" in trained.stderr
    out = Path(trained.stdout.split("/best")[0])
    assert {p.name for p in out.iterdir()} == {
        "best.safetensors", "classifier.safetensors", "config.toml", "curves.png", "last.safetensors", "metrics.jsonl",
    }  # fmt: skip
    built = run("build-index")
    assert "24 vectors added" in built.stdout and "24 vectors of 4 people" in built.stdout
    assert "the run that train last finished, runs/finished.json" in built.stderr
    found = run("query", "people/p000/00.png", "--aligned", "--threshold", 0.99)
    assert "match: p000" in found.stdout and "1.000  p000  6 photos" in found.stdout
    measured = run("evaluate")
    assert "rank-1 " in measured.stdout and "[" in measured.stdout and "classifier top-1" in measured.stdout
    assert {p.name for p in Path("report").iterdir()} == {"cmc.png", "evaluation.json", "index.html", "scores.png"}
    assert json.loads(Path("report/evaluation.json").read_text())["figures"][0]["name"] == "rank-1"


def test_missing_data_and_missing_weights_give_the_command_that_makes_them(run, album: Path, monkeypatch: pytest.MonkeyPatch):
    assert "facesearch prepare" in run("train", code=1).stderr
    assert "facesearch prepare" in run("evaluate", code=1).stderr
    run("prepare", album, "--out", "data/celeba500", "--aligned")
    monkeypatch.setattr("facesearch.jobs.find_weights.SHIPPED", Path("nowhere.safetensors"))  # a package built without them
    refused = run("build-index", code=1)
    assert "There is no encoder yet" in refused.stderr and "facesearch train" in refused.stderr


def test_before_any_training_the_shipped_encoder_is_used_and_named(run, album: Path):
    run("prepare", album, "--out", "data/celeba500", "--aligned")
    built = run("build-index")
    assert "vectors added" in built.stdout and "shipped with facesearch" in built.stderr


def test_weights_that_the_pointer_names_but_that_are_gone(run, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/finished.json").write_text('{"weights": "/nowhere/best.safetensors"}')
    assert "runs/finished.json points there" in run("enroll", "x", save_colour(tmp_path / "a.png", "red"), "--aligned", code=1).stderr


# ---- enroll, query, forget, list, info


def test_a_person_is_found_after_enrolling_and_not_after_forgetting(run, gallery: Path, album: Path, weights: Path):
    photo = own(album, 5, 0)
    ask = ("query", photo, "--aligned", "--weights", weights, "--threshold", 0.999)
    assert "unknown" in run(*ask).stdout
    enrolled = run("enroll", "Zoé", photo, "--aligned", "--weights", weights)
    assert enrolled.stdout == "Zoé: 1 photo enrolled\n"
    assert "match: Zoé" in run(*ask).stdout
    assert run("forget", "Zoé").stdout == "1 photo forgotten; no byte of their vectors is left in index\n"
    assert "unknown" in run(*ask).stdout and "Zoé" not in run(*ask).stdout


def test_the_json_of_a_query_holds_all_that_the_lines_say(run, gallery: Path, album: Path, weights: Path):
    whole = json.loads(run("query", own(album, 1, 0), "--aligned", "--weights", weights, "--json", "--top", 2).stdout)
    assert set(whole) == {"photos", "enrolled", "stale", "notes"} and whole["enrolled"] == 12
    (photo,) = whole["photos"]
    assert photo["sha256"] == sha256_of(own(album, 1, 0)) and (photo["width"], photo["height"], photo["skipped"]) == (178, 218, None)
    (answer,) = photo["faces"]
    assert set(answer) == {
        "face", "of", "box", "matches", "gap", "threshold", "decision", "expected_fpir", "stranger_share", "scored_by",
    }  # fmt: skip
    assert answer["decision"] == "match" and len(answer["matches"]) == 2
    first = answer["matches"][0]
    assert (
        first["person"] == "Person 1"
        and first["photos"] == 4
        and first["support"][0] == {"source": "00.png", "score": pytest.approx(1, abs=1e-3), "sha256": sha256_of(own(album, 1, 0))}
    )
    assert answer["gap"] == pytest.approx(first["score"] - answer["matches"][1]["score"])


def test_folders_are_asked_photo_by_photo_and_broken_ones_are_listed(run, gallery: Path, album: Path, weights: Path, tmp_path: Path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.png").write_bytes(own(album, 0, 0).read_bytes())
    (mixed / "b.png").write_text("not a picture")
    (mixed / "c.png").write_bytes(own(album, 2, 0).read_bytes())
    ask = ("query", mixed, "--aligned", "--weights", weights, "--json")
    result = run(*ask)
    photos = json.loads(result.stdout)["photos"]
    assert [(Path(p["photo"]).name, [face["matches"][0]["person"] for face in p["faces"]]) for p in photos] == [
        ("a.png", ["Person 0"]),
        ("b.png", []),
        ("c.png", ["Person 2"]),
    ]
    assert [p["skipped"] is None for p in photos] == [True, False, True] and photos[1]["skipped"].startswith("not a picture")
    assert "skipped mixed" not in result.stdout and "b.png: not a picture" in result.stderr and "1 skipped" in result.stderr
    assert "--strict was given" in run(*ask, "--strict", code=1).stderr


def test_list_and_info_tell_what_is_there(run, gallery: Path, weights: Path):
    assert run("list").stdout == "4  Person 0\n4  Person 1\n4  Person 2\n"
    assert json.loads(run("list", "--json").stdout)[0] == {"person": "Person 0", "photos": 4}
    facts = json.loads(run("info", "--json").stdout)
    assert (facts["people"], facts["faces"], facts["dimension"]) == (3, 12, 32) and "resnet18" in facts["encoder"]
    assert "the encoder's table of impostor scores" in facts["calibration"]["method"]
    assert facts["threshold"] == facts["calibration"]["score"] and facts["index"]["state"]
    assert "threshold" in run("info").stdout


def test_enroll_from_a_folder_takes_its_people_and_says_who_was_known(run, album: Path, weights: Path):
    first = run("enroll", "--from", album, "--aligned", "--weights", weights)
    assert first.stdout.splitlines()[0] == "p000: 8 photos enrolled" and len(first.stdout.splitlines()) == 6
    second = run("enroll", "--from", album, "--aligned", "--weights", weights)
    assert second.stdout == "" and "48 photos were enrolled already" in second.stderr


def test_a_photo_with_several_faces_is_refused_unless_the_largest_is_wanted(run, album: Path, weights: Path, tmp_path: Path):
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


def test_photos_without_a_face_say_so(run, gallery: Path, weights: Path, tmp_path: Path):
    wall = save_colour(tmp_path / "wall.png", "grey", (300, 300))
    assert "No face found" in run("query", wall, "--weights", weights, code=1).stderr
    assert "No face was found" in run("enroll", "Nobody", wall, "--weights", weights, code=1).stderr
    (photo,) = json.loads(run("query", wall, "--weights", weights, "--json", code=1).stdout)["photos"]
    assert photo["skipped"] == "no face found" and photo["faces"] == [] and photo["sha256"] == sha256_of(wall)
    assert "Nobody" not in run("list").stdout
    run("enroll", "Nobody", wall, "--weights", weights, "--gallery", "fresh", code=1)
    assert not (tmp_path / "fresh").exists()


# ---- bad input: each with its message and exit code


@pytest.mark.parametrize(
    "words",
    [
        ("query",), ("query", "x.png", "--top", 0), ("query", "x.png", "--threshold", 3), ("enroll",), ("enroll", "Ana"),
        ("enroll", "Ana", "x.png", "--from", "y"), ("nonsense",), ("train", "--resume"), ("prepare", "x"), ("query", "x.png", "--no-such"),
        ("prepare", "x", "--out", "y", "--split", "random", "--val", 0.8, "--test", 0.5), ("build-index", "--fpir", 2),
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_2(run, words: tuple[object, ...]):
    assert "Usage:" in run(*words, code=2).stderr


def test_no_gallery_an_empty_one_and_one_of_another_encoder(run, gallery: Path, album: Path, weights: Path, tmp_path: Path):
    photo = own(album, 0, 0)
    assert "no gallery there" in run("query", photo, "--aligned", "--gallery", "nowhere", code=1).stderr
    for number in range(3):
        run("forget", f"Person {number}")
    assert "Nobody is enrolled yet" in run("query", photo, "--aligned", "--weights", weights, code=1).stderr
    import torch

    from facesearch.model.checkpoint import save_encoder
    from facesearch.model.encoder import Encoder
    from facesearch.model.encoder_config import EncoderConfig

    torch.manual_seed(6)
    save_encoder(tmp_path / "other.safetensors", Encoder(EncoderConfig(backbone="resnet18", embedding_size=32, size_px=64)), {})
    for words in (("query", photo), ("enroll", "Eva", photo)):
        assert "scores cannot be compared" in run(*words, "--aligned", "--weights", "other.safetensors", code=1).stderr


def test_checkpoints_that_are_pickles_or_rubbish(run, gallery: Path, album: Path, tmp_path: Path):
    import torch

    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"rubbish" * 99)
    ask = ("query", own(album, 0, 0), "--aligned", "--weights")
    assert "is a pickle" in run(*ask, "model.pth", code=1).stderr
    assert "not a whole safetensors file" in run(*ask, "bad.safetensors", code=1).stderr
    assert "no encoder there" in run(*ask, "none.safetensors", code=1).stderr


def test_a_flipped_byte_in_the_index_is_noticed_and_mended(run, gallery: Path, album: Path, weights: Path):
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
    ("name", "reason"), [("x" * 10_000, "10,000 characters"), (" ", "it is empty"), ("a\x07b", "control character U+0007")]
)
def test_odd_names_are_refused_with_the_reason(run, album: Path, weights: Path, name: str, reason: str):
    assert reason in run("enroll", name, own(album, 0, 0), "--aligned", "--weights", weights, code=1).stderr


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
    assert "no GPU" in run("train", "--device", "cuda", code=1).stderr or __import__("torch").cuda.is_available()


def test_empty_folders_and_places_that_are_not_there(run, gallery: Path, weights: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "There is no photo" in run("query", "empty", "--aligned", "--weights", weights, code=1).stderr
    assert "no file or folder there" in run("query", "gone.jpg", "--aligned", "--weights", weights, code=1).stderr
    assert "No photo source is recognised" in run("prepare", "empty", "--out", "d", code=1).stderr
    assert "one folder a person" in run("enroll", "--from", "empty", "--aligned", "--weights", weights, code=1).stderr


def test_a_full_disk_and_a_read_only_target_leave_what_was_there(
    run, gallery: Path, album: Path, weights: Path, monkeypatch, tmp_path: Path
):
    enroll = ("enroll", "Eva", own(album, 4, 0), "--aligned", "--weights", weights)
    from facesearch.gallery import store

    real = store.connect

    def small(path: Path) -> sqlite3.Connection:
        db = real(path)
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to have no room: SQLITE_FULL
        return db

    monkeypatch.setattr(store, "connect", small)
    for shot in range(8):
        result = run("enroll", "Eva", *(own(album, p, shot) for p in (3, 4, 5)), "--aligned", "--weights", weights, code=None)
        if result.exit_code == 1:
            break
    assert result.exit_code == 1 and "the disk is full. What was there before is unchanged" in result.stderr
    monkeypatch.setattr(store, "connect", real)
    run("list")
    (tmp_path / "file").write_text("")
    assert "a file of that name is in the way" in run(*enroll, "--gallery", "file/index", code=1).stderr
    assert "cannot be written" in run("prepare", album, "--out", "file/data", "--aligned", code=1).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_that_cannot_be_printed_are_no_success(album: Path, tmp_path: Path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "facesearch", "toy", str(tmp_path / "t"), "--people", "2", "--photos", "1"], stdout=full
        )
    assert done.returncode != 0


# ---- real processes


def test_help_is_quick_because_it_loads_neither_torch_nor_faiss_nor_numpy():
    code = "import sys, facesearch.cli; sys.exit(bool({'torch', 'faiss', 'numpy', 'cv2', 'matplotlib'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_says_of_every_command_what_it_does_in_one_whole_line(run):
    lines = run("--help").stdout.splitlines()
    for name, command in main.commands.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(line) <= 80 and line.split(maxsplit=1)[1] == command.short_help


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_with_an_example(run, command: str):
    text = run(command, "--help").stdout
    assert f"Example:  facesearch {command}" in text


@pytest.mark.slow
def test_every_command_runs_as_a_process(album: Path, weights: Path, tmp_path: Path):
    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "facesearch", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    assert call("--version").stdout.startswith("facesearch, version")
    assert call("toy", "t", "--people", 3, "--photos", 4).returncode == 0
    assert call("prepare", "t", "--out", "d", "--aligned", "--split", "random").returncode == 0
    assert call("build-index", "--data", "d", "--weights", weights).stdout.startswith("index: 12 vectors added")
    assert call("enroll", "Ana", own(album, 0, 0), "--aligned", "--weights", weights).stdout == "Ana: 1 photo enrolled\n"
    assert "match: Ana" in call("query", own(album, 0, 0), "--aligned", "--weights", weights, "--threshold", 0.99).stdout
    assert call("forget", "Ana").returncode == 0
    assert len(call("list").stdout.splitlines()) == 3
    assert "threshold" in call("info").stdout
    assert "rank-1" in call("evaluate", "--data", "d", "--weights", weights).stdout
    failed = call("forget", "Ana")
    assert (failed.returncode, failed.stdout) == (1, "") and "Nobody called 'Ana'" in failed.stderr and "Traceback" not in failed.stderr
    for path in (tmp_path / "index").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.slow
def test_build_index_survives_a_kill_and_ends_whole(album: Path, weights: Path, tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "facesearch", "toy", "t", "--people", "30", "--photos", "20"], cwd=tmp_path, check=True, capture_output=True
    )
    subprocess.run(
        [sys.executable, "-m", "facesearch", "prepare", "t", "--out", "d", "--aligned"], cwd=tmp_path, check=True, capture_output=True
    )
    command = [sys.executable, "-m", "facesearch", "build-index", "--data", "d", "--weights", str(weights)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(3000):  # until the first commit is in the store
            try:
                with sqlite3.connect(tmp_path / "index/gallery.sqlite", timeout=1) as db:
                    if db.execute("SELECT count(*) FROM faces").fetchone()[0]:
                        break
            except sqlite3.Error:
                pass
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and "600 vectors of 30 people" in again.stdout
    known = int(again.stdout.split(" known already")[0].split()[-1])
    assert known >= 256


@pytest.mark.data
def test_a_photograph_is_asked_with_yunet_and_a_foreign_encoder(run, tmp_path: Path):
    wild = SHARED / "data" / "wild"
    people = sorted(p for p in wild.iterdir() if p.is_dir())[:3]
    common = ("--weights", MOBILEFACENET, "--engine", "auto")
    for person in people:
        run("enroll", person.name, *sorted(person.iterdir())[:4], "--largest", *common)
    answered = json.loads(run("query", *(sorted(p.iterdir())[5] for p in people), "--largest", "--json", *common).stdout)
    found = [face for photo in answered["photos"] for face in photo["faces"]]
    assert [a["matches"][0]["person"] for a in found] == [p.name for p in people]
    assert all(np.isfinite(m["score"]) for a in found for m in a["matches"])
