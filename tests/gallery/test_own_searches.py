"""calibrate tells what a gallery's own photos miss, with and without the poorest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesearch.faces.align import TEMPLATE
from facesearch.faces.found_by import SHIPPED
from facesearch.gallery import own_searches as job
from facesearch.gallery.own_searches import own_searches
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.records import F32, Seen
from facesearch.report.lines import own_lines

D = 64
SEEN = Seen((0.0, 0.0, 90.0, 110.0), tuple((float(x), float(y)) for x, y in TEMPLATE), 0.93, 300.0)
LIMIT = Threshold(0.6, 0.01, "by hand", 300, 200)


def photos(people: int, *, known: bool = True) -> list[NewFace]:
    """Ten photos a person, nine about their own direction and one, of a low score, about another one."""
    rng = np.random.default_rng(0)
    out = []
    for person in range(people):
        for shot in range(10):
            own = np.zeros(D)
            own[person if shot else 40 + person % 20] = 1
            vector: F32 = (own + 0.05 * rng.standard_normal(D)).astype(np.float32)
            seen = replace(SEEN, score=0.91 + shot / 1000 if shot else 0.8 + person / 1000)
            unit = vector / np.linalg.norm(vector)
            name = f"{person}-{shot}.jpg"
            sha256 = f"{10 * person + shot:064x}"
            out.append(NewFace(f"p{person}", sha256, name, unit, SHIPPED, seen if known else None))
    return out


def gallery_of(folder: Path, faces: list[NewFace]) -> Store:
    store = Store.create(folder, "e" * 64, D, "drawn", None, encoder_file="")
    with store as gallery:
        gallery.faces.add(faces)
    return Store.open(folder)


def test_what_own_photos_miss_falls_without_the_poorest(tmp_path: Path):
    """20 of 200 miss their person, and are the poorest: half of them are the poorest 5 %."""
    with gallery_of(tmp_path / "g", photos(20)) as gallery:
        found = own_searches(gallery, LIMIT, {})
        assert found is not None and found.searches == 200
        assert found.fnir == pytest.approx(0.1) and found.without_poorest == pytest.approx(10 / 190)
        assert own_lines(found, 0.01)[0].startswith("  FNIR at FPIR 1.0%: 10.0% of 200 own photos")
    assert own_lines(None, 0.01) == []


def test_by_templates_a_photo_is_left_out_of_its_own(tmp_path: Path):
    """The slow, obvious twin: every photo against the means of all others."""
    with gallery_of(tmp_path / "g", photos(20)) as gallery:
        _, vectors, people = gallery.faces.vectors()
        found = own_searches(gallery, replace(LIMIT, by="mean-template"), {})
    missed = []
    for i, vector in enumerate(vectors):
        scores = {}
        for name in set(people):
            own = [v for j, v in enumerate(vectors) if people[j] == name and j != i]
            scores[name] = float(np.mean(own, axis=0) @ vector / np.linalg.norm(np.mean(own, axis=0)))
        best = max(scores, key=lambda name: scores[name])
        missed.append(best != people[i] or scores[best] < LIMIT.score)
    assert found is not None and found.fnir == pytest.approx(np.mean(missed)) and 0 < np.mean(missed) < 1
    assert found.without_poorest < found.fnir


def test_nothing_is_said_of_few_photos_or_unknown_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with gallery_of(tmp_path / "few", photos(9)) as gallery:
        assert own_searches(gallery, LIMIT, {}) is None
    with gallery_of(tmp_path / "unknown", photos(20, known=False)) as gallery:
        assert own_searches(gallery, LIMIT, {}) is None
    with gallery_of(tmp_path / "many", photos(20)) as gallery:
        monkeypatch.setattr(job, "MOST_FACES", 100)
        assert own_searches(gallery, LIMIT, {}) is None
