"""Who was probably meant by a misspelt name."""

from __future__ import annotations

import difflib
import random
from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import UnknownPerson
from facesearch.gallery.store import close_names, faces
from facesearch.gallery.store.close_names import closest
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store

LETTERS = "abcdefghijklmnopqrstuvwxyzåéжあ"


def made_up(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [
        " ".join("".join(rng.choices(LETTERS, k=rng.randint(2, 8))).title() for _ in range(rng.randint(1, 3)))
        for _ in range(n)
    ]


def misspelt(name: str, rng: random.Random) -> str:
    place = rng.randrange(len(name))
    return rng.choice(
        [
            name[:place] + name[place + 1 :],
            name[:place] + rng.choice(LETTERS) + name[place:],
            name[:place] + name[place : place + 2][::-1] + name[place + 2 :],
        ]
    )


def test_few_are_compared_of_many_and_the_one_meant_is_still_found():
    names, rng = made_up(3000, 1), random.Random(2)
    for name in rng.sample([name for name in names if len(name) > 5], 60):
        asked = misspelt(name, rng)
        (found,) = closest(asked, names)
        ratio = difflib.SequenceMatcher(None, found, asked).ratio()
        assert ratio >= difflib.SequenceMatcher(None, name, asked).ratio(), (name, asked, found)


def test_names_that_are_all_alike_cost_no_more(monkeypatch: pytest.MonkeyPatch):
    names = [f"Person {number:06} of the same many" for number in range(5000)]
    compared = []
    real = difflib.get_close_matches

    def counted(word: str, names: list[str], **given: int) -> list[str]:
        compared.append(len(names))
        return real(word, names, **given)

    monkeypatch.setattr(close_names.difflib, "get_close_matches", counted)
    (found,) = closest("Person 001234 of the same mny", names)
    assert "1234" in found and compared == [close_names.COMPARED]


def test_nothing_is_like_nothing():
    assert closest("x", []) == () and closest("", ["Ada"]) == () and closest("Zzz", ["Ada"] * 500) == ()
    assert closest("Ada\ud800", ["Ada"] * 500) == ("Ada",)


@pytest.mark.parametrize("key", [None, Key(b"k" * 32, "made up")])
def test_a_gallery_looks_through_so_many_names_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Key | None
):
    with Store.create(tmp_path / "gallery", "e" * 64, 8, "made up", key) as store:
        vector = np.eye(8, dtype=np.float32)[0]
        store.faces.add([NewFace(name, "0" * 64, "a.png", vector) for name in ("Ada", "Ben", "Cleo")])
        with pytest.raises(UnknownPerson, match="Did you mean"):
            store.faces.person_id("Bem")
        for limit in ("HINTED", "HINTED_DECRYPTED"):
            monkeypatch.setattr(faces, limit, 0)
        with pytest.raises(UnknownPerson) as told:
            store.faces.person_id("Bem")
        assert told.value.close == ()
