"""The enrolled photos that draw strangers are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facesearch.answers import Hub
from facesearch.faces.align import TEMPLATE
from facesearch.faces.found_by import SHIPPED
from facesearch.gallery.hubs import hubs
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.records import F32, Seen

D = 16
SEEN = Seen((0.0, 0.0, 90.0, 110.0), tuple((float(x), float(y)) for x, y in TEMPLATE), 0.93, 300.0)


def unit(*parts: tuple[int, float]) -> F32:
    vector = np.zeros(D, np.float32)
    for place, size in parts:
        vector[place] = size
    unit: F32 = vector / np.linalg.norm(vector)
    return unit


def test_the_photos_by_which_strangers_get_a_name_come_with_their_quality(tmp_path: Path):
    """Five strangers are nearest to Ana's second photo, three of them above the threshold; two to Ben's; one
    to Eva's, who is not named.
    """
    faces = [
        NewFace("Ana", f"{1:064x}", "a1.jpg", unit((0, 1)), SHIPPED, SEEN),
        NewFace("Ana", f"{2:064x}", "a2.jpg", unit((1, 1)), SHIPPED, replace(SEEN, score=0.75)),
        NewFace("Ben", f"{3:064x}", "b.jpg", unit((2, 1)), "", None),
        NewFace("Eva", f"{4:064x}", "e.jpg", unit((3, 1)), SHIPPED, SEEN),
    ]
    asked = [unit((1, 1), (5 + i, 0.5)) for i in range(3)] + [unit((1, 1), (9 + i, 2)) for i in range(2)]
    asked += [unit((2, 1), (5, 0.3)), unit((2, 1), (6, 0.3)), unit((3, 1), (7, 3))]
    with Store.create(tmp_path / "g", "e" * 64, D, "drawn", None, encoder_file="") as gallery:
        gallery.faces.add(faces)
        limit = Threshold(0.8, 0.01, "by hand", 8, 4)
        found = hubs(gallery, np.stack(asked), limit, {})
        assert hubs(gallery, np.stack(asked), limit, {}, most=1) == found[:1]
        assert hubs(gallery, np.stack(asked)[:0], limit, {}) == ()
        templates = hubs(gallery, np.stack(asked), replace(limit, by="mean-template"), {})
    assert [(hub.person, hub.photo, hub.strangers, hub.named) for hub in found] == [
        ("Ana", "a2.jpg", 5, 3),
        ("Ben", "b.jpg", 2, 2),
    ]
    assert [(hub.person, hub.named) for hub in templates] == [("Ben", 2)]  # Ana's two photos have a mean
    assert isinstance(found[0], Hub) and found[0].quality is not None and found[0].quality < 0.01
    assert found[1].quality is None
