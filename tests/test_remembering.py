"""scripts/remembering.py: a crop is embedded once, by encoder and content, in this run or one before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from remembering import Remembering

from facesearch.encoder.runtime import measured
from facesearch.records import F32, U8


class Counting:
    """Vectors are a crop's first pixels; it counts what it was asked."""

    dimension, words, notes = 3, "counting", {"lengths": [[0, 1], [1, 2]]}

    def __init__(self, name: str) -> None:
        self.encoder_id, self.asked = name * 64, 0

    def embed(self, crops: U8) -> F32:
        return self.measure(crops)[0]

    def measure(self, crops: U8) -> tuple[F32, F32]:
        self.asked += len(crops)
        whole = crops[:, 0, 0].astype(np.float32) + 1
        lengths = np.linalg.norm(whole, axis=1)
        return whole / lengths[:, None], lengths


@pytest.fixture
def crops() -> U8:
    return np.random.default_rng(0).integers(0, 255, (6, 4, 4, 3), np.uint8)


def test_what_is_known_is_not_asked_again_also_by_the_next_run(tmp_path: Path, crops: U8):
    once = Counting("a")
    expected = once.measure(crops)
    first = Remembering(Counting("a"), tmp_path)
    first.measure(crops[[1, 3]])
    later = Counting("a")
    again = Remembering(later, tmp_path)
    for whole, known in zip(expected, measured(again, crops), strict=True):
        np.testing.assert_array_equal(known, whole)
    assert later.asked == 4 and len(again) == 6 and again.notes == later.notes


def test_a_changed_crop_and_another_encoder_are_embedded_again(tmp_path: Path, crops: U8):
    Remembering(Counting("a"), tmp_path).measure(crops)
    changed, same, other = crops[:1].copy(), Counting("a"), Counting("b")
    changed[0, 3, 3, 2] ^= 1  # a pixel that the vector does not look at
    Remembering(same, tmp_path).measure(changed)
    Remembering(other, tmp_path).measure(crops)
    assert same.asked == 1 and other.asked == 6


def test_a_row_that_was_cut_short_is_embedded_again_and_the_others_are_not(tmp_path: Path, crops: U8):
    Remembering(Counting("a"), tmp_path).measure(crops)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    for expected in (1, 0):
        runtime = Counting("a")
        np.testing.assert_array_equal(Remembering(runtime, tmp_path).embed(crops), Counting("a").embed(crops))
        assert runtime.asked == expected
