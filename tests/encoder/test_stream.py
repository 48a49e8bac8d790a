"""Photos go through threads and batches and come out as if one had been done after the other."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from facesearch.api.encoder import Encoder
from facesearch.api.opening import open_gallery
from facesearch.cli.main import main
from facesearch.encoder import stream
from facesearch.encoder.stream import detected, embedded, read_faces
from facesearch.faces.watch import arriving
from facesearch.gallery.enroll import enroll
from facesearch.gallery.store.store import Store
from facesearch.records import F32, U8, Skipped
from tests.helpers.drawn import ColourEncoder, save_colour


class CountingDetector:
    """Belongs to one thread, and notices when another one uses it."""

    name = "counting"

    def __init__(self) -> None:
        self.thread: int | None = None

    def another(self) -> CountingDetector:
        return CountingDetector()

    def detect(self, pixels: np.ndarray) -> list[object]:
        assert self.thread in (None, threading.get_ident())
        self.thread = threading.get_ident()
        return []


def test_results_come_in_the_order_of_asking_whatever_takes_how_long():
    def slow(item: int, _: object) -> int:
        time.sleep(0.002 * (item % 5))
        return item * 10

    assert list(detected(slow, range(50), None, workers=4)) == [10 * i for i in range(50)]


def test_every_thread_has_a_detector_of_its_own():
    def use(_: int, detector: CountingDetector | None) -> object:
        assert detector is not None
        return detector.detect(np.zeros((1, 1, 3), np.uint8))

    assert list(detected(use, range(40), CountingDetector(), workers=3)) == [[]] * 40  # type: ignore[arg-type]


def test_only_a_few_photos_are_ahead_of_whoever_reads():
    asked: list[int] = []

    def items() -> Iterator[int]:
        for i in range(1000):
            asked.append(i)
            yield i

    reading = detected(lambda item, _: item, items(), None, workers=2)
    for _ in range(10):
        next(reading)
    assert len(asked) <= 10 + stream.AHEAD * 2 + 1
    reading.close()


def test_a_failure_in_a_thread_reaches_the_reader():
    def fail(item: int, _: object) -> int:
        if item == 7:
            raise RuntimeError("seven")
        return item

    reading = detected(fail, range(20), None, workers=2)
    with pytest.raises(RuntimeError, match="seven"):
        list(reading)


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 9))
def test_each_item_gets_the_vectors_of_its_own_crops(counts: list[int], batch: int):
    encoder = ColourEncoder()
    rng = np.random.default_rng(len(counts))
    items = [(i, list(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8))) for i, n in enumerate(counts)]
    before, stream.BATCH = stream.BATCH, batch
    try:
        found = list(embedded(items, encoder))
    finally:
        stream.BATCH = before
    assert [item for item, _, _ in found] == list(range(len(counts)))
    for (_, crops), (_, vectors, lengths) in zip(items, found, strict=True):
        assert vectors.shape == (len(crops), 12) and lengths.tolist() == [0.0] * len(crops)
        if crops:
            assert np.array_equal(vectors, encoder.embed(np.stack(crops)))


def test_each_item_gets_the_lengths_of_its_own_crops_where_the_runtime_tells_them():
    class Measures(ColourEncoder):
        def measure(self, crops: U8) -> tuple[F32, F32]:
            return self.embed(crops), crops.reshape(len(crops), -1)[:, 0].astype(np.float32)

    items = [(n, [np.full((8, 8, 3), 10 * n + i, np.uint8) for i in range(n % 4)]) for n in range(20)]
    for number, _, lengths in embedded(items, Measures()):
        assert lengths.tolist() == [10.0 * number + i for i in range(number % 4)]


def test_the_network_never_gets_many_more_crops_than_a_batch(monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []

    class Noting(ColourEncoder):
        def embed(self, crops):  # type: ignore[no-untyped-def]
            sizes.append(len(crops))
            return super().embed(crops)

    crop = np.zeros((8, 8, 3), np.uint8)
    list(embedded(((i, [crop] * 3) for i in range(500)), Noting()))
    assert sum(sizes) == 1500 and max(sizes) <= stream.BATCH + 2


# ---- asking as photos come


@pytest.fixture
def two(tmp_path: Path) -> Path:
    photos = [
        ("red", save_colour(tmp_path / "red.png", "red")),
        ("blue", save_colour(tmp_path / "blue.png", "blue")),
    ]
    enroll(
        photos,
        tmp_path / "g",
        ColourEncoder(),
        None,
        largest=False,
        fpir=0.01,
        progress=lambda done, total: None,
    )
    return tmp_path


def test_an_open_gallery_sees_whom_others_enroll_and_forget_meanwhile(two: Path):
    green = save_colour(two / "green.png", "green")
    gallery = open_gallery(two / "g", encoder=Encoder.of(ColourEncoder()), detector="aligned")
    assert gallery.search(green, threshold=0.99)[0].decision == "unknown"
    enroll(
        [("green", green)],
        two / "g",
        ColourEncoder(),
        None,
        largest=False,
        fpir=None,
        progress=lambda done, total: None,
    )
    second = gallery.search(green, threshold=0.99)[0]
    assert second.decision == "match" and second.matches[0].person == "green"
    with Store.open(two / "g") as other:
        other.eraser.delete("green")
    assert gallery.search(green, threshold=0.99)[0].matches[0].person != "green"


def test_a_broken_photo_of_a_stream_is_a_value(two: Path):
    (two / "bad.jpg").write_bytes(b"no picture")
    gallery = open_gallery(two / "g", encoder=Encoder.of(ColourEncoder()), detector="aligned")
    bad, none, good = gallery.search_each([two / "bad.jpg", two / "none.jpg", two / "red.png"])
    assert (
        "not a picture" in (bad.skipped or "")
        and "No such file" in (none.skipped or "")
        and not bad.faces
        and not none.faces
    )
    assert good.skipped is None and good[0].matches[0].person == "red"
    assert isinstance(read_faces(two, None), Skipped)


def test_paths_on_stdin_are_answered_a_line_each(two: Path, weights: Path, run):  # type: ignore[no-untyped-def]
    run("enroll", "red", two / "red.png", "--aligned", "--weights", weights, "--gallery", two / "real")
    words = ["query", "-", "--json", "--aligned", "--weights", str(weights), "--gallery", str(two / "real")]
    lines = f"{two / 'red.png'}\n\n{two / 'nobody.png'}\n{two / 'blue.png'}\n"
    result = CliRunner().invoke(main, words, input=lines)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and [Path(row["photo"]).name for row in rows] == [
        "red.png",
        "nobody.png",
        "blue.png",
    ]
    assert [bool(row["skipped"]) for row in rows] == [False, True, False]
    assert rows[0]["faces"][0]["matches"][0]["person"] == "red"
    strict = CliRunner().invoke(main, [*words, "--strict"], input=lines)
    assert strict.exit_code == 1 and len(strict.stdout.splitlines()) == 3 and "1 left out" in strict.stderr


def test_what_to_ask_for_is_given_once(two: Path, run):  # type: ignore[no-untyped-def]
    for words in ([], ["-", "x.jpg"], ["x.jpg", "--watch", str(two)]):
        assert "give PHOTOS" in run("query", *words, code=2).output


# ---- a folder that is watched


def test_photos_are_asked_for_once_when_they_have_come_to_rest(tmp_path: Path):
    save_colour(tmp_path / "a.png", "red")
    steps: Iterator[object] = iter(
        [
            lambda: None,
            lambda: (tmp_path / "b.png").write_bytes(b"half"),
            lambda: (tmp_path / "b.png").write_bytes(b"half and half"),
            lambda: None,
            lambda: (tmp_path / "a.png").write_bytes(b"changed"),
            lambda: None,
            lambda: (tmp_path / "b.png").unlink(),
            lambda: None,
        ]
    )
    slept: list[float] = []

    class Over(Exception):
        pass

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        try:
            next(steps)()  # type: ignore[operator]
        except StopIteration:
            raise Over from None

    seen: list[tuple[str, int]] = []
    with pytest.raises(Over):
        for path in arriving(tmp_path, sleep=sleep):
            seen.append((path.name, path.stat().st_size if path.name == "b.png" or seen else -1))
    assert [name for name, _ in seen] == ["a.png", "b.png", "a.png"]
    assert dict(seen)["b.png"] == len(b"half and half")


def test_a_watched_folder_is_answered_until_the_user_ends_it(
    two: Path, weights: Path, run, monkeypatch: pytest.MonkeyPatch
):  # type: ignore[no-untyped-def]
    from facesearch.faces import watch

    run("enroll", "red", two / "red.png", "--aligned", "--weights", weights, "--gallery", two / "real")
    save_colour(two / "in" / "1.png", "red")
    looks = iter(range(3))

    def sleep(_: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(watch.arriving, "__kwdefaults__", {"sleep": sleep})
    how = ("--aligned", "--weights", weights, "--gallery", two / "real")
    result = run("query", "--watch", two / "in", *how, code=130)
    assert "1.png" in result.stdout and "red" in result.stdout
