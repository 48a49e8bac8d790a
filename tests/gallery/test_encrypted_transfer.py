"""Exported, imported, merged or embedded again, what is encrypted stays so on its way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facesearch.datasets.table import Dataset
from facesearch.errors import NotEncrypted, WrongKey
from facesearch.gallery import reindex as reindexing
from facesearch.gallery.build import build_index
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.reindex import reindex
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rewriting import take_vectors_of
from facesearch.gallery.store.store import NEXT, Store
from facesearch.gallery.transfer import export, import_into
from facesearch.gallery.verify import verify
from tests.helpers.drawn import ColourEncoder, WideEncoder
from tests.helpers.encrypted import FACES, KEY, NAMES, OTHER, face, traces
from tests.helpers.killing import killed
from tests.helpers.rows import D, contents
from tests.helpers.saying import quiet


@pytest.fixture
def folder(sealed: Path) -> Path:
    return sealed


# ---- export, import, merge


def test_an_export_is_encrypted_with_the_same_key(folder: Path, tmp_path: Path):
    export(folder, tmp_path / "out.fs", key=KEY)
    (tmp_path / "only").mkdir()
    shutil.copy(tmp_path / "out.fs", tmp_path / "only")
    assert traces(tmp_path / "only") == []
    import_into(tmp_path / "out.fs", tmp_path / "new", quiet, key=KEY)
    assert contents(tmp_path / "new", KEY) == contents(folder, KEY)
    with Store.open(folder, KEY) as one, Store.open(tmp_path / "new", KEY) as two:
        assert (
            two.encrypted
            and one.cipher.description != two.cipher.description
            and one.notes.threshold() == two.notes.threshold()
        )
    with pytest.raises(WrongKey):
        import_into(tmp_path / "out.fs", tmp_path / "newer", quiet, key=OTHER)
    assert import_into(tmp_path / "out.fs", tmp_path / "new", quiet, key=KEY).known == 40


def test_each_of_two_keys_opens_its_own_and_the_target_keeps_its_key(folder: Path, tmp_path: Path):
    with Store.create(tmp_path / "other", "e" * 64, D, "", OTHER) as other:
        other.faces.add([face("Eva Luna", 1000), face(NAMES[0], 0)])
    with pytest.raises(WrongKey):
        import_into(tmp_path / "other", folder, quiet, key=KEY)
    result = import_into(tmp_path / "other", folder, quiet, OTHER, key=KEY)
    assert (result.added, result.known, result.new_people) == (1, 1, 1)
    with Store.open(folder, KEY) as gallery:
        assert gallery.faces.has_photo("Eva Luna", face("Eva Luna", 1000).sha256)
    assert traces(folder, [*FACES, face("Eva Luna", 1000)]) == []


def test_what_is_plain_comes_into_an_encrypted_gallery_and_is_encrypted_there(
    folder: Path, plain: Path, tmp_path: Path
):
    import_into(plain, tmp_path / "new", quiet, key=KEY)
    assert contents(tmp_path / "new", KEY) == contents(folder, KEY) and traces(tmp_path / "new") == []


def test_nothing_encrypted_becomes_plain_on_its_way(tmp_path: Path, plain: Path):
    with Store.create(tmp_path / "secret", "e" * 64, D, "", KEY) as gallery:
        gallery.faces.add(FACES)
    import_into(
        tmp_path / "secret", tmp_path / "new", quiet, KEY
    )  # a gallery made on the way takes over the key
    assert traces(tmp_path / "new") == []
    with pytest.raises(NotEncrypted):
        import_into(tmp_path / "secret", plain, quiet, KEY)


# ---- reindex


def test_embedding_anew_stays_encrypted_on_the_way(
    toy_dataset: Dataset, tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "g"
    build_index([toy_dataset], folder, ColourEncoder(), splits=(), fpir=None, progress=quiet, key=key)
    with Store.open(folder, key) as gallery:
        before = gallery.faces.known_photos()
        needles = {text.encode() for photo in before for text in photo if len(text) > 7}
    monkeypatch.setattr("facesearch.gallery.reindex.COMMIT", 16)

    def go() -> object:
        return reindex(
            folder, WideEncoder(), [toy_dataset], [], None, drop_missing=False, progress=quiet, key=key
        )

    killed((reindexing, "take_vectors_of"), go)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.parent.name == NEXT for path in files)
    assert not any(needle in path.read_bytes() for path in files for needle in needles)
    assert go().known == 48  # type: ignore[attr-defined]
    with Store.open(folder, key) as gallery:
        assert gallery.faces.known_photos() == before and gallery.dimension == 24
        assert (
            nearest_people(gallery, open_index(gallery), WideEncoder().embed(toy_dataset.crops[:1])[0], 1)[
                0
            ].score
            > 0.999
        )
    assert verify(folder, repair=True, key=key).problems == () and not list(folder.glob("vectors*"))


def test_what_a_reindex_began_under_another_key_is_not_taken_over(
    toy_dataset: Dataset, tmp_path: Path, key: Key
):
    folder = tmp_path / "g"
    build_index([toy_dataset], folder, ColourEncoder(), splits=(), fpir=None, progress=quiet, key=key)
    for begun_with in (OTHER, KEY):  # of the same key, but with a salt of its own, it would not fit either
        with Store.create(folder / NEXT, WideEncoder().encoder_id, 24, "", begun_with) as begun:
            if begun_with is KEY:
                with (
                    Store.open(folder, key) as gallery,
                    pytest.raises(ValueError, match="all would be dropped"),
                ):
                    take_vectors_of(gallery, begun)
        done = reindex(
            folder,
            encoder := WideEncoder(),
            [toy_dataset],
            [],
            None,
            drop_missing=False,
            progress=quiet,
            key=key,
        )
        assert (done.embedded, done.faces) == (48, 48)
        reindex(folder, ColourEncoder(), [toy_dataset], [], None, drop_missing=False, progress=quiet, key=key)
    assert encoder.seen == 48
