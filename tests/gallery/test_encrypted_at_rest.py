"""An encrypted gallery answers as a plain one does, and its files hold nothing that a plain one's hold."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facesearch.errors import NameTaken, UnknownPerson, UnknownPhoto
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import is_current, open_index, refresh
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.rename import rename
from facesearch.gallery.store.checks import problems
from facesearch.gallery.store.rows import vector_bytes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export
from facesearch.gallery.verify import verify
from tests.helpers.encrypted import FACES, KEY, NAMES, face, traces
from tests.helpers.rows import D, contents, unit
from tests.helpers.saying import tell


@pytest.fixture
def folder(sealed: Path) -> Path:
    return sealed


def test_it_answers_as_a_plain_one_does(folder: Path, plain: Path):
    with Store.open(folder, KEY) as one, Store.open(plain, KEY, either=True) as two:
        assert (
            one.encrypted
            and not two.encrypted
            and is_current(one) == (True, "in memory only, since the gallery is encrypted")
        )
        assert (
            one.faces.people() == two.faces.people()
            and one.faces.known_photos() == two.faces.known_photos()
            and one.notes.threshold() == two.notes.threshold()
        )
        assert [one.faces.photos_of(name) for name in NAMES] == [two.faces.photos_of(name) for name in NAMES]
        assert one.faces.enrolled()[0] == two.faces.enrolled()[0] and np.array_equal(
            one.faces.enrolled()[1], two.faces.enrolled()[1]
        )
        assert np.array_equal(
            one.faces.vectors_of(NAMES[2]), two.faces.vectors_of(NAMES[2])
        ) and one.faces.vectors_of("nobody").shape == (0, D)
        assert one.faces.has_photo(NAMES[0], FACES[0].sha256) and not one.faces.has_photo(
            NAMES[1], FACES[0].sha256
        )
        assert one.faces.photo_counts(NAMES) == two.faces.photo_counts(NAMES)
        for seed in (3, 77):
            asked = unit(seed)[0]
            assert nearest_people(one, open_index(one), asked, 4) == nearest_people(
                two, open_index(two), asked, 4
            )
        with pytest.raises(UnknownPerson, match="Did you mean 'Ada Lovelace'"):
            one.eraser.delete("Ada Lovelac")
    assert contents(folder, KEY) == {(f.person, f.sha256, f.source, vector_bytes(f.vector, D)) for f in FACES}


def test_no_file_holds_a_name_a_source_a_hash_or_a_vector(folder: Path, plain: Path):
    assert len(traces(plain)) >= 2  # what is searched for is what a plain gallery holds
    with Store.open(folder, KEY) as gallery:  # the log is there as long as it is open
        gallery.faces.add([face("Eva Luna", 1000)])
        assert (folder / f"{FILE}-wal").stat().st_size
        nearest_people(gallery, open_index(gallery), unit(1)[0], 3)
        refresh(gallery, "test")
        every = [*FACES, face("Eva Luna", 1000), face("Eva Luna's new name", 1000)]
        assert traces(folder, every) == []
        rename("Eva Luna", "Eva Luna's new name", folder, join=False, key=KEY)
        assert traces(folder, every) == []
    forget("Ada Lovelace", folder, (), tell, key=KEY)
    export(folder, folder / "out", key=KEY)
    verify(folder, repair=True, key=KEY)
    assert (
        traces(folder, every) == []
        and not list(folder.glob("vectors*"))
        and not (folder / "vectors.json").exists()
    )


ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.store.store import Store
from facesearch.gallery.rename import rename
from tests.helpers.encrypted import KEY, face
with Store.open(Path({folder!r}), KEY) as gallery:
    i = {start}
    while True:
        gallery.faces.add([face("Person of the moment", i), face("Another of the moment", i + 500_000)])
        rename("Another of the moment", "Another of the moment", gallery.folder, join=False, key=KEY)
        print(i, flush=True)
        open_index(gallery)
        i += 1
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_in_plain_and_loses_nothing(folder: Path):
    confirmed = 999
    for round_no in range(4):
        code = ENDLESS.format(root=str(Path(__file__).parents[2]), folder=str(folder), start=confirmed + 1)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(2 + 3 * round_no):
                confirmed = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            confirmed = int(rest[-1]) if rest else confirmed
        numbers = range(1000, confirmed + 2)
        both = [
            *(face("Person of the moment", i) for i in numbers),
            *(face("Another of the moment", i + 500_000) for i in numbers),
        ]
        assert traces(folder, [*FACES, *both]) == []
        with Store.open(folder, KEY) as opened:
            people = opened.faces.vectors()[2]
            assert (
                people.count("Person of the moment")
                == people.count("Another of the moment")
                >= confirmed - 999
            )
        confirmed = 999 + people.count("Person of the moment")
    assert verify(folder, repair=False, key=KEY).problems == ()


FEW = st.sampled_from(NAMES)


ACTIONS = st.one_of(
    st.tuples(st.just("add"), FEW, st.integers(0, 9), st.integers(0, 2)),
    st.tuples(st.just("rename"), FEW, FEW, st.booleans()),
    st.tuples(st.just("forget"), FEW, st.none() | st.integers(0, 9), st.just(0)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=12))
def test_whatever_is_done_a_plain_twin_comes_out_the_same(
    tmp_path: Path, actions: list[tuple[str, str, object, object]]
):
    for old in tmp_path.iterdir():
        shutil.rmtree(old)
    with (
        Store.create(tmp_path / "sealed", "e" * 64, D, "", KEY) as sealed,
        Store.create(tmp_path / "plain", "e" * 64, D, "") as twin,
    ):
        for verb, name, what, how in actions:
            outcomes = []
            for gallery in (sealed, twin):
                try:
                    if verb == "add":
                        outcomes.append(
                            gallery.faces.add([face(name, int(str(what)), f"source number {how}")])
                        )
                    elif verb == "rename":
                        outcomes.append(gallery.faces.rename(name, str(what), join=bool(how)))
                    else:
                        chosen = (
                            None
                            if what is None
                            else (lambda sha256, source, what=what: sha256.endswith(str(what)))
                        )
                        outcomes.append(gallery.eraser.delete(name, chosen).note.faces)
                except (UnknownPerson, UnknownPhoto, NameTaken) as error:
                    outcomes.append(type(error))
            assert outcomes[0] == outcomes[1], (verb, name, what, how)
            assert (
                sealed.faces.known_photos() == twin.faces.known_photos()
                and sealed.faces.people() == twin.faces.people()
            )
            assert sealed.faces.vectors()[0].tolist() == twin.faces.vectors()[0].tolist()
        assert [row[:-1] for rows in sealed.faces.batches() for row in rows] == [
            row[:-1] for rows in twin.faces.batches() for row in rows
        ]
        assert problems(sealed) == problems(twin) == []
        assert (
            traces(
                tmp_path / "sealed",
                [face(name, i, f"source number {k}") for name in NAMES for i in range(10) for k in range(3)],
            )
            == []
        )
