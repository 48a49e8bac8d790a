"""How good a photo is: a share of ordinary photos, and why it is poor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facesearch.faces.align import TEMPLATE
from facesearch.faces.found_by import ALIGNED, KNOWN, SHIPPED
from facesearch.faces.quality import POOR, poor_because, quality_of
from facesearch.records import Seen

AHEAD = tuple((float(x), float(y)) for x, y in TEMPLATE)
GOOD = Seen((10.0, 20.0, 90.0, 120.0), AHEAD, 0.93, 300.0)
LENGTHS = {"lengths": [[0.0, 10.0], [0.1, 12.0], [1.0, 30.0]]}


def turned(yaw: float) -> Seen:
    """The nose so far from the eyes' middle, in halves of their distance."""
    points = TEMPLATE.copy()
    points[2, 0] = TEMPLATE[:2, 0].mean() + yaw * np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) / 2
    return replace(GOOD, landmarks=tuple((float(x), float(y)) for x, y in points))


def test_an_ordinary_photo_is_not_poor():
    quality = quality_of(GOOD, SHIPPED, {})
    assert quality is not None and 0.2 < quality < 1 and poor_because(GOOD, SHIPPED, {}) == ()


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (replace(GOOD, box=(10.0, 20.0, 14.0, 18.0)), "small"),
        (replace(GOOD, sharpness=3.0), "blurred"),
        (turned(2.5), "turned away"),
        (turned(-2.5), "turned away"),
        (replace(GOOD, score=0.72), "the detector is unsure"),
    ],
)
def test_what_makes_a_photo_poor_is_said(seen: Seen, why: str):
    assert why in poor_because(seen, SHIPPED, {})


def test_the_better_a_fact_the_higher_the_quality():
    by_score = [quality_of(replace(GOOD, score=score), SHIPPED, {}) for score in (0.7, 0.8, 0.88, 0.9, 0.92)]
    by_yaw = [quality_of(turned(yaw), SHIPPED, {}) for yaw in (3.0, 1.5, 0.8, 0.5)]
    for qualities in (by_score, by_yaw):
        assert qualities == sorted(set(qualities)) and 0 <= qualities[0] < POOR and qualities[-1] < 1


def test_lengths_count_only_for_an_encoder_that_tells_those_of_ordinary_photos():
    short = replace(GOOD, length=10.02)
    assert (
        quality_of(short, SHIPPED, {}) == quality_of(GOOD, SHIPPED, {})
        and poor_because(short, SHIPPED, {}) == ()
    )
    assert "the encoder is unsure" in poor_because(short, SHIPPED, LENGTHS)
    quality = quality_of(short, SHIPPED, LENGTHS)
    assert quality is not None and quality < POOR
    for nonsense in ("long", [[1.0]], [[0.0, "a"], [1.0, "b"]], [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]):
        assert quality_of(short, SHIPPED, {"lengths": nonsense}) == quality_of(GOOD, SHIPPED, {})


def test_quality_is_the_share_of_photos_that_are_poorer():
    """Photos drawn by the very shares: two facts that have nothing to do with each other."""
    rng = np.random.default_rng(0)
    lengths = np.interp(rng.random(4000), [0.0, 0.1, 1.0], [10.0, 12.0, 30.0])
    crop = Seen((0.0, 0.0, 112.0, 112.0))
    found = [quality_of(replace(crop, length=float(length)), ALIGNED, LENGTHS) for length in lengths]
    for share in (0.05, 0.3, 0.8):
        assert abs(np.mean([quality is not None and quality < share for quality in found]) - share) < 0.02


def test_nothing_is_said_of_what_is_not_known():
    assert quality_of(None, "", LENGTHS) is None and poor_because(None, "", LENGTHS) == ()
    crop = Seen((0.0, 0.0, 112.0, 112.0))
    assert quality_of(crop, ALIGNED, {}) is None and poor_because(crop, ALIGNED, {}) == ()
    everywhere = replace(GOOD, landmarks=((5.0, 5.0),) * 5)  # no detector says that, a file may
    assert poor_because(everywhere, SHIPPED, {}) == ()


def test_scores_of_another_detector_are_not_compared_with_those_of_the_shipped_one():
    unsure, away = replace(GOOD, score=0.3), replace(turned(2.5), score=0.3)
    assert poor_because(unsure, "of mine", {}) == () and poor_because(away, "of mine", {}) == ("turned away",)
    assert quality_of(unsure, "of mine", {}) != quality_of(unsure, SHIPPED, {})
    eyes = replace(GOOD, landmarks=GOOD.landmarks[:2])
    assert poor_because(eyes, "of mine", {}) == () and quality_of(eyes, "of mine", {}) is None


@pytest.mark.parametrize("found_by", ["", ALIGNED, KNOWN])
def test_where_no_detector_took_part_landmarks_and_box_say_nothing(found_by: str):
    seen = replace(turned(2.5), box=(0.0, 0.0, 10.0, 10.0), score=1.0)
    assert quality_of(seen, found_by, {}) is None and poor_because(seen, found_by, {}) == ()
