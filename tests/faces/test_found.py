"""What a detector finds outside of a photo is no face of it, whatever detector it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesearch.album.scan import scan
from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.encoder.stream import read_faces
from facesearch.faces.detect import find_faces
from facesearch.records import Face, Skipped
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet
from tests.helpers.stub import Stub

POINTS = np.array([[40, 40], [70, 40], [55, 55], [45, 75], [65, 75]], np.float32)
GOOD = Face(np.array([30, 30, 50, 60], np.float32), POINTS, 0.9, "stub")


def boxed(*numbers: float) -> Face:
    return replace(GOOD, box=np.array(numbers, np.float32))


BAD = {
    "far right": boxed(5000, 30, 50, 60),
    "far above": boxed(30, -5000, 50, 60),
    "mostly out": boxed(-40, 30, 60, 60),
    "immense": boxed(-1e6, -1e6, 2e6, 2e6),
    "no width": boxed(30, 30, 0, 60),
    "less than no height": boxed(30, 90, 50, -60),
    "no number": boxed(float("nan"), 30, 50, 60),
    "endless": boxed(30, 30, float("inf"), 60),
    "one point": replace(GOOD, landmarks=np.full((5, 2), 50, np.float32)),
    "points far away": replace(GOOD, landmarks=POINTS + 10_000),
    "points that are none": replace(GOOD, landmarks=POINTS * np.nan),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_no_such_face_comes_through_any_door(tmp_path: Path, bad: Face):
    photo = save_colour(tmp_path / "people" / "Ada" / "a.png", "red", (112, 112))
    pixels = np.zeros((112, 112, 3), np.uint8)
    assert find_faces(Stub(GOOD, bad), pixels) == [GOOD] and find_faces(Stub(bad), pixels) == []
    assert isinstance(read_faces(photo, Stub(bad)), Skipped)
    found = read_faces(photo, Stub(bad, GOOD))
    assert not isinstance(found, Skipped) and [(face.number, face.of) for face in found] == [(1, 1)]
    done = scan(tmp_path / "people", tmp_path / "scan", ColourEncoder(), Stub(bad, GOOD), quiet)
    assert done.faces == 1
    prepared = prepare(
        read_source(tmp_path / "people"), Stub(bad, GOOD), PrepareConfig(out=tmp_path / "out"), quiet
    )
    assert prepared.photos == 1


@pytest.mark.parametrize("box", [(-20, -20, 100, 100), (30, 30, 50, 60), (60, 60, 60, 60)])
def test_a_face_at_the_edge_is_one(box: tuple[float, ...]):
    assert len(find_faces(Stub(boxed(*box)), np.zeros((112, 112, 3), np.uint8))) == 1
