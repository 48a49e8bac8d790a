from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch.datasets import prepare as module
from facesearch.datasets.prepare import PrepareConfig, Prepared, prepare
from facesearch.datasets.sources import Source, read_source
from facesearch.datasets.table import open_dataset
from facesearch.errors import BadDataset, NotFound, NothingToDo, OutputExists
from facesearch.faces.detect import load_detector
from tests.helpers.drawn import save_colour
from tests.helpers.saying import quiet, refused


def people(root: Path) -> Source:
    for i, (name, colour) in enumerate([("ana", "red"), ("ben", "green"), ("eva", "blue")]):
        for shot in range(2):
            save_colour(root / name / f"{shot}.png", colour, shade=10 * (i * 2 + shot) + 1)
    return read_source(root)


def made(source: Source, out: Path, **settings: object) -> Prepared:
    return prepare(source, None, PrepareConfig(out=out, aligned=True, **settings), quiet)


def test_a_broken_photo_is_named_and_its_neighbours_keep_their_own_people(tmp_path: Path):
    source = people(tmp_path / "photos")
    (tmp_path / "photos/ben/0.png").write_text("not a picture")
    result = made(source, tmp_path / "out")
    assert [(s.path.name, s.path.parent.name) for s in result.skipped] == [("0.png", "ben")]
    dataset = open_dataset(tmp_path / "out")
    assert [row.file for row in dataset.rows] == [
        "ana/0.png",
        "ana/1.png",
        "ben/1.png",
        "eva/0.png",
        "eva/1.png",
    ]
    means = dataset.crops[:, :80].mean(axis=(1, 2))  # the shade lies below
    assert means[2, 1] > 100 and means[2, 0] < 50  # ben is green
    assert means[3, 2] > 200 and means[1, 0] > 200
    assert (tmp_path / "out/skipped.csv").read_text().count("\n") == 2


def test_order_and_number_of_threads_change_nothing(tmp_path: Path):
    source = people(tmp_path / "photos")
    made(source, tmp_path / "one", workers=1)
    made(source, tmp_path / "four", workers=4)
    assert (tmp_path / "one/faces.csv").read_bytes() == (tmp_path / "four/faces.csv").read_bytes()
    assert (tmp_path / "one/crops.npy").read_bytes() == (tmp_path / "four/crops.npy").read_bytes()


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = people(tmp_path / "photos")
    monkeypatch.setattr(module, "BATCH", 2)
    made(source, tmp_path / "whole")

    def stop_after_four(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, None, PrepareConfig(out=tmp_path / "cut", aligned=True), stop_after_four)
    assert not (tmp_path / "cut").exists()
    assert made(source, tmp_path / "cut").resumed == 4
    for name in ("crops.npy", "faces.csv", "manifest.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_second_run_does_nothing_and_another_source_is_refused(tmp_path: Path):
    source = people(tmp_path / "photos")
    made(source, tmp_path / "out")
    before = (tmp_path / "out/manifest.json").stat().st_mtime_ns
    assert made(source, tmp_path / "out").already_there
    assert (tmp_path / "out/manifest.json").stat().st_mtime_ns == before
    save_colour(tmp_path / "photos/ana/9.png", "red")
    with pytest.raises(OutputExists, match="other photos"):
        made(read_source(tmp_path / "photos"), tmp_path / "out")


def test_a_photo_of_another_size_than_its_landmarks_hold_for_is_skipped(tmp_path: Path):
    for name, size in (("1.jpg", (178, 218)), ("2.jpg", (100, 100))):
        save_colour(tmp_path / "img_align_celeba" / name, "red", size)
    (tmp_path / "identity_CelebA.txt").write_text("1.jpg 1\n2.jpg 1\n")
    result = prepare(read_source(tmp_path), None, PrepareConfig(out=tmp_path / "out"), quiet)
    assert result.photos == 1 and "is 100 x 100 pixels" in result.skipped[0].reason


def test_photos_without_a_face_are_skipped_with_the_detector(tmp_path: Path, album: Path):
    (tmp_path / "p").mkdir()
    Image.open(album / "p001/00.png").save(tmp_path / "p/face.png")
    save_colour(tmp_path / "p/wall.png", "grey", (178, 218))
    result = prepare(read_source(tmp_path), load_detector(None), PrepareConfig(out=tmp_path / "out"), quiet)
    assert result.photos == 1 and [s.reason for s in result.skipped] == ["no face found"]
    assert open_dataset(tmp_path / "out").rows[0].found_by == "yunet 2026may"


@pytest.mark.slow
def test_detection_in_several_threads_changes_nothing(tmp_path: Path, album: Path):
    for workers in (1, 4):
        prepare(
            read_source(album),
            load_detector(None),
            PrepareConfig(out=tmp_path / f"out{workers}", workers=workers),
            quiet,
        )
    assert (tmp_path / "out1/crops.npy").read_bytes() == (tmp_path / "out4/crops.npy").read_bytes()
    assert (tmp_path / "out1/faces.csv").read_bytes() == (tmp_path / "out4/faces.csv").read_bytes()


def test_when_nothing_can_be_used_no_dataset_appears(tmp_path: Path):
    (tmp_path / "photos/ana").mkdir(parents=True)
    (tmp_path / "photos/ana/1.png").write_text("no")
    with pytest.raises(NothingToDo, match="None of 1 photo "):
        made(read_source(tmp_path / "photos"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dataset_that_is_not_whole_is_refused_with_the_part_that_is_wrong(tmp_path: Path):
    source = people(tmp_path / "photos")
    with refused(NotFound, "facesearch prepare"):
        open_dataset(tmp_path / "nowhere")
    for number, (name, damage, reason) in enumerate(
        [
            ("faces.csv", lambda b: b[: b.rindex(b"eva")], "columns|lines"),
            ("faces.csv", lambda b: b"a,b\n" + b, "columns"),
            ("crops.npy", lambda b: b[:100], "crops.npy|mmap|reshape|header"),
            ("manifest.json", lambda b: b.replace(b"arcface-112", b"other-112"), "geometry"),
            ("manifest.json", lambda b: b"{", "JSON"),
            ("manifest.json", lambda b: b.replace(b'"photos": 6', b'"photos": 5'), "says 5"),
        ]
    ):
        out = tmp_path / f"out{number}"
        made(source, out)
        (out / name).write_bytes(damage((out / name).read_bytes()))
        with pytest.raises(BadDataset, match=reason):
            open_dataset(out)


def test_the_crops_are_readable_by_their_owner_only(tmp_path: Path):
    made(people(tmp_path / "photos"), tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_rows_are_found_by_split(toy_dataset):
    train, val = toy_dataset.where("train"), toy_dataset.where("val")
    assert len(train) == 36 and len(val) == 12
    assert not set(train) & set(val)
    assert np.array_equal(np.sort(np.concatenate([train, val])), toy_dataset.where("train", "val"))
