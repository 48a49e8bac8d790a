"""Galleries that several files of this room ask: each file calls the one it means `gallery` or `folder`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import pytest

from facesearch.errors import StoreUnreachable
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.milvus import index as milvus_index
from facesearch.gallery.milvus import sync as job
from facesearch.gallery.milvus.engine import Engine, connected
from facesearch.gallery.milvus.projections import Place, place_of, projection_at
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from tests.helpers import index
from tests.helpers.encrypted import FACES, KEY
from tests.helpers.milvus import ACCESS, NAME, SERVER, SOURCE
from tests.helpers.rows import D, face, unit


@pytest.fixture
def sixty_faces(tmp_path: Path) -> Path:
    """A gallery of nine people with a threshold and its index."""
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder in words") as gallery:
        gallery.faces.add([face(f"person {i % 9}", i, f"{i}.jpg") for i in range(60)])
        gallery.notes.set_threshold(
            Threshold(0.5, 0.01, "by hand", 300, 60, True, 20, 0.0, 0.02, ((0.4, 0.1), (0.5, 0.01)))
        )
        refresh(gallery, "test")
    return tmp_path / "g"


@pytest.fixture
def forty_people(tmp_path: Path) -> Iterator[Store]:
    """Forty people with five photos each that lie near each other, and one whose name is easily found
    again."""
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as opened:
        faces = []
        for person in range(40):
            near = unit(person)[0] + 0.2 * unit(1000 + person, 5)
            near /= np.linalg.norm(near, axis=1, keepdims=True)
            faces += [
                NewFace(f"person {person:02d}", f"{person * 10 + i:064x}", f"{i}.jpg", near[i])
                for i in range(5)
            ]
        opened.faces.add(faces)
        opened.faces.add([face(NAME, 99_001, SOURCE), face(NAME, 99_002, "second-zanzibar.jpg")])
        yield opened


@pytest.fixture
def place(tmp_path: Path, forty_people: Store) -> Iterator[Place]:
    """Where those forty are projected to."""
    found = place_of(SERVER or f"milvus:{tmp_path / 'faces.db'}", ACCESS)
    yield found
    if SERVER and (known := projection_at(forty_people, found)):
        with connected(found) as engine:
            for name in (known.collection, *known.former):
                engine.drop(name)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Take Milvus away, or give it back."""

    @contextmanager
    def nothing(place: Place) -> Iterator[Engine]:
        raise StoreUnreachable(place.text, "no connection within 1 s")
        yield

    def switch(down: bool) -> None:
        for module in (job, milvus_index):
            monkeypatch.setattr(module, "connected", nothing if down else connected)

    return switch


@pytest.fixture
def key() -> Key:
    """Of the encrypted gallery."""
    return KEY


@pytest.fixture
def sealed(tmp_path: Path, key: Key) -> Path:
    """An encrypted gallery of four people with a threshold."""
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder in words", key) as gallery:
        gallery.faces.add(FACES)
        gallery.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 40))
    return tmp_path / "g"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The same in plain, with its index."""
    with Store.create(tmp_path / "p", "e" * 64, D, "encoder in words") as gallery:
        gallery.faces.add(FACES)
        gallery.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 40))
        refresh(gallery, "test")
    return tmp_path / "p"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Processes are forked in the tests of indexes, and FAISS's threads do not survive that."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def three_hundred_people(tmp_path: Path) -> Iterator[Store]:
    """1,500 photos of them."""
    with Store.create(tmp_path / "g", "e" * 64, index.D, "encoder") as opened:
        opened.faces.add(index.people(300))
        yield opened
