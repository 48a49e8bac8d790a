"""The photos that training takes: of nobody in particular, held out, and in packs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pack import packs

from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_unlabelled
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.device import choose_device
from facesearch.errors import BadDataset
from facesearch.ranks import ALONE
from facesearch.records import Face
from facesearch.training.batches import Batches
from facesearch.training.photos import training_photos
from tests.helpers.saying import quiet
from tests.helpers.training import SMALL, go

CPU = choose_device("cpu")


# ---- photos of nobody in particular


class TwoFaces:
    """Finds two faces in every photo, left and right."""

    name = "two"

    def another(self) -> TwoFaces:
        return self

    def detect(self, photo: np.ndarray) -> list[Face]:
        points = np.array([[20, 30], [50, 30], [35, 50], [25, 70], [45, 70]], np.float32)
        box = np.array([10, 10, 50, 80], np.float32)
        shifts = [np.array([right, 0, 0, 0], np.float32) for right in (0, 60)]
        return [Face(box + shift, points + shift[:2], 1.0, self.name) for shift in shifts]


def test_every_face_of_every_photo_without_person_folders(tmp_path: Path):
    from PIL import Image

    for name in ("a.png", "deep/er/b.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (130, 100), "red")
        image.paste((0, 0, 255), (70, 0, 130, 100))
        image.save(tmp_path / "photos" / name)
    (tmp_path / "photos/broken.jpg").write_text("no picture")
    source = read_unlabelled(tmp_path / "photos")
    result = prepare(source, TwoFaces(), PrepareConfig(out=tmp_path / "out", several="all"), quiet)  # type: ignore[arg-type]
    dataset = open_dataset(tmp_path / "out")
    assert (result.photos, result.people, result.crowded, len(result.skipped)) == (4, 0, 2, 1)
    assert [row.file for row in dataset.rows] == ["a.png", "a.png", "deep/er/b.png", "deep/er/b.png"]
    assert {(row.person, row.split) for row in dataset.rows} == {("", "train")}
    reds = dataset.crops[:, 40:60, 40:60, 0].mean(axis=(1, 2))
    assert reds[0] > 200 and reds[1] < 60 and reds[2] > 200 and reds[3] < 60


def test_an_interrupted_look_at_photos_of_nobody_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from facesearch.datasets import prepare as preparing
    from tests.helpers.drawn import save_colour

    for i in range(6):
        save_colour(tmp_path / "photos" / f"{i}.png", (40 * i, 9, 9), (130, 100))
    (tmp_path / "photos/2.png").write_text("broken")
    monkeypatch.setattr(preparing, "BATCH", 2)

    def go_on(out: str, progress: Any = quiet) -> Any:
        config = PrepareConfig(out=tmp_path / out, several="all", workers=2)
        return prepare(read_unlabelled(tmp_path / "photos"), TwoFaces(), config, progress)  # type: ignore[arg-type]

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    go_on("whole")
    with pytest.raises(KeyboardInterrupt):
        go_on("cut", stop)
    with (tmp_path / "cut.partial/crops.npy").open("ab") as file:
        file.write(b"half a crop that the journal knows nothing of")
    assert go_on("cut").resumed == 4
    for name in ("crops.npy", "faces.csv", "manifest.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_some_are_held_out_and_named_photos_weigh_more(toy_dataset: Dataset):
    chosen = training_photos([toy_dataset], [toy_dataset], held_out=0.25, seed=3)
    nameless = chosen.train.label < 0
    assert (len(chosen.held), int(nameless.sum())) == (9, 27)
    held = set(chosen.held.row.tolist())
    assert not held & set(chosen.train.row[nameless].tolist()) and chosen.held.label.max() == -1
    assert held == set(training_photos([toy_dataset], [toy_dataset], held_out=0.25, seed=3).held.row.tolist())
    shown = np.bincount(chosen.train.repeated((3,)))
    assert (shown[nameless] == 1).all() and (shown[~nameless] == 3).all()
    two = training_photos([toy_dataset, toy_dataset]).train
    assert np.bincount(two.dataset[two.repeated((2, 5))]).tolist() == [72, 180]
    batches = Batches(
        SMALL.changed(["repeat=2", "colour_mode=off"]),
        training_photos([toy_dataset]).train,
        CPU.torch,
        None,
        ALONE,
    )
    assert batches.drawn == 72 and batches.steps == 6


# ---- packs


def test_a_pack_is_the_dataset_in_a_tenth_of_the_size(toy_dataset: Dataset, tmp_path: Path):
    found = [
        path for path, _ in packs(toy_dataset, np.arange(len(toy_dataset)), tmp_path / "toy", 90, 60_000)
    ]
    assert len(found) > 1 and max(path.stat().st_size for path in found) <= 60_000
    parts = [open_dataset(path) for path in found]
    assert [row for part in parts for row in part.rows] == list(toy_dataset.rows)
    crops = np.concatenate([part.crops[:] for part in parts])
    assert crops.shape == toy_dataset.crops.shape and np.abs(crops.astype(int) - toy_dataset.crops).mean() < 6
    numbers = np.array([3, 0])
    assert (parts[0].crops[numbers] == crops[numbers]).all() and (parts[0].crops[1] == crops[1]).all()
    assert found[0].stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_run_learns_from_packs_as_from_the_folder(toy_dataset: Dataset, tmp_path: Path):
    ((path, _),) = packs(toy_dataset, np.arange(len(toy_dataset)), tmp_path / "toy", 100, 10**9)
    packed = open_dataset(path)
    pixels = np.abs(np.stack(packed.crops[:]).astype(int) - np.stack(toy_dataset.crops[:]).astype(int))
    assert pixels.mean() < 3  # of 255: what the packing costs
    still = SMALL.changed(["epochs=1", "lr=1e-7"])  # else the few changed pixels lead to another loss
    result, whole = go(still, packed, tmp_path / "run"), go(still, toy_dataset, tmp_path / "other")
    assert result.history[0].train_loss == pytest.approx(whole.history[0].train_loss, rel=0.1)


def test_a_damaged_pack_is_named(toy_dataset: Dataset, tmp_path: Path):
    from zipfile import ZipFile

    ((path, _),) = packs(toy_dataset, np.arange(4), tmp_path / "toy", 90, 10**9)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadDataset, match=r"toy-1\.zip"):
        open_dataset(path)
    with ZipFile(tmp_path / "empty.zip", "w") as pack:
        pack.writestr("readme", "nothing")
    with pytest.raises(BadDataset, match=r"manifest\.json"):
        open_dataset(tmp_path / "empty.zip")
