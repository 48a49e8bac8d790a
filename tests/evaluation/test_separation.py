"""How far apart people stand: block by block the same as at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesearch.evaluation import separation
from facesearch.evaluation.audit import labelled_gallery
from facesearch.evaluation.separation import measure, separations
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.metrics.audit import fit

D = 16


def drawn(folder: Path, people: int, seed: int) -> Store:
    """People of one to four photos, some of them copies of one file."""
    rng = np.random.default_rng(seed)
    faces = []
    for person in range(people):
        middle = rng.standard_normal(D)
        for photo in range(1 + person % 4):
            vector = (middle + rng.standard_normal(D)).astype(np.float32)
            sha256 = f"{person * 10 + (0 if photo == 3 else photo):064x}"
            vector /= np.linalg.norm(vector)
            faces.append(NewFace(f"Person {person * 7 % people:03}", sha256, f"{photo}.png", vector))
    store = Store.create(folder, "e" * 64, D, "made up")
    store.faces.add([faces[i] for i in rng.permutation(len(faces))])
    return store


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_blocks_give_what_the_audits_formula_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    for name in ("PHOTOS_AT_ONCE", "PHOTOS", "PEOPLE"):
        monkeypatch.setattr(separation, name, at_once)
    with drawn(tmp_path / "gallery", 23, seed=at_once) as store:
        data = labelled_gallery(store)
        names, codes = np.unique(data.people, return_inverse=True)
        contents = np.unique(data.sha256, return_inverse=True)[1]
        fitted = fit(data.vectors, codes, contents, np.ones(len(data), np.bool_))
        told = {person.name: person for person in separations(store)}
    assert sorted(told) == names.tolist()
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        margins = (fitted.own - fitted.other)[rows]
        margins = margins[np.isfinite(margins)]
        person = told[name]
        assert person.photos == len(rows)
        if not len(margins):
            assert person.separation is None
        else:
            assert person.separation == pytest.approx(float(margins.mean()), abs=1e-5)
        votes = np.bincount(fitted.who[rows], minlength=len(names))
        assert votes[names.tolist().index(person.nearest)] == votes.max()


def test_the_worst_come_first_and_a_single_photo_last(tmp_path: Path):
    with drawn(tmp_path / "gallery", 23, seed=1) as store:
        told = [person.separation for person in separations(store)]
    known = [value for value in told if value is not None]
    assert known == sorted(known) and told[len(known) :] == [None] * (len(told) - len(known))


def test_nobody_and_one_person_stand_apart_from_nobody(tmp_path: Path):
    with Store.create(tmp_path / "gallery", "e" * 64, D, "made up") as store:
        assert separations(store) == []
        vector = np.eye(D, dtype=np.float32)
        store.faces.add([NewFace("Ada", f"{i:064x}", "a.png", vector[i]) for i in range(2)])
        (told,) = separations(store)
        assert (told.name, told.photos, told.separation, told.nearest) == ("Ada", 2, None, None)


def test_people_who_come_and_go_meanwhile_do_no_harm(tmp_path: Path):
    with drawn(tmp_path / "gallery", 9, seed=2) as store, Store.open(tmp_path / "gallery") as other:
        calls = []

        def change() -> None:
            calls.append(1)
            if len(calls) == 1:  # between the first reading and the second
                other.eraser.delete("Person 003")
                other.faces.add([NewFace("New", "f" * 64, "n.png", np.eye(D, dtype=np.float32)[0])])

        gone = other.faces.person_id("Person 003")
        apart = measure(store, change)
    place = apart.people.tolist().index(gone)
    assert np.isnan(apart.separation[place]) and len(apart.people) == 9 and len(calls) > 2


def test_what_ends_the_work_ends_it_at_once(tmp_path: Path):
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with drawn(tmp_path / "gallery", 9, seed=2) as store, pytest.raises(Stop):
        measure(store, stop)
