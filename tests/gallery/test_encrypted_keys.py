"""Without the right key nothing of an encrypted gallery is read or changed, by the library or a command."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from facesearch.datasets.table import Dataset
from facesearch.datasets.toy import draw_people
from facesearch.errors import CorruptGallery, KeyMissing, NotEncrypted, WrongKey
from facesearch.gallery.encrypt import decrypt
from facesearch.gallery.forget import forget
from facesearch.gallery.rename import rename
from facesearch.gallery.store.rows import checksum_of, vector_bytes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from facesearch.gallery.verify import verify
from tests.helpers.encrypted import FACES, KEY, NAMES, OTHER
from tests.helpers.rows import D
from tests.helpers.saying import quiet, refused, tell


@pytest.fixture
def folder(sealed: Path) -> Path:
    return sealed


# ---- keys


def test_without_the_right_key_nothing_is_read_or_changed(folder: Path):
    before = (folder / FILE).read_bytes()
    verbs = (
        lambda: Store.open(folder, OTHER),
        lambda: Store.create(folder, "e" * 64, D, "", OTHER),
        lambda: verify(folder, repair=True, key=OTHER),
    )
    for verb in verbs:
        with refused(WrongKey, r"another key than (.|\n)* the one in another test"):
            verb()
    assert (folder / FILE).read_bytes() == before
    with pytest.raises(WrongKey):
        Store.open(folder, OTHER)


def test_no_key_for_an_encrypted_gallery(tmp_path: Path):
    Store.create(tmp_path / "g", "e" * 64, D, "", KEY).close()
    for verb in (
        Store.open,
        lambda place: Store.create(place, "e" * 64, D, ""),
        lambda place: export(place, tmp_path / "out"),
    ):
        with refused(KeyMissing, "FACESEARCH_KEY_FILE"):
            verb(tmp_path / "g")


def test_a_key_in_the_environment_is_the_commands_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The library works with the key that it is given, and with none where it is given none."""
    monkeypatch.setenv("FACESEARCH_KEY", KEY.secret.hex())
    (tmp_path / "k").write_text(KEY.secret.hex())
    (tmp_path / "k").chmod(0o600)
    monkeypatch.setenv("FACESEARCH_KEY_FILE", str(tmp_path / "k"))
    actions = (
        lambda: Store.open(folder),
        lambda: Store.create(folder, "e" * 64, D, ""),
        lambda: verify(folder, repair=True),
        lambda: rename(NAMES[0], "Eva", folder, join=False),
        lambda: export(folder, tmp_path / "out"),
        lambda: decrypt(folder, None),
        lambda: forget(NAMES[0], folder, (), tell),
        lambda: import_into(folder, tmp_path / "new", quiet),
    )
    for action in actions:
        with pytest.raises(KeyMissing):
            action()
    assert not (tmp_path / "out").exists() and not (tmp_path / "new").exists()
    with Store.create(tmp_path / "made", "e" * 64, D, "") as made:
        assert not made.encrypted


def test_a_key_for_a_plain_gallery_is_refused_before_anything_is_added(plain: Path):
    """Whoever takes the encrypted gallery away and puts a plain one there does not get the next names."""
    for verb in (lambda: Store.open(plain, KEY), lambda: Store.create(plain, "e" * 64, D, "", KEY)):
        with refused(NotEncrypted, "facesearch encrypt"):
            verb()


def test_a_plain_gallery_is_as_it_always_was(plain: Path):
    with sqlite3.connect(plain / FILE) as db:
        meta = dict(db.execute("SELECT key, value FROM meta"))
        assert meta["format"] == "1" and set(meta) == {
            "format",
            "encoder_id",
            "dimension",
            "encoder",
            "generation",
            "threshold",
            "moment",
            "index_marks",
        }
        row = db.execute(
            "SELECT name, sha256, source, vector, checksum FROM faces JOIN people USING (person_id) WHERE"
            " face_id = 1"
        ).fetchone()
    assert row == (
        FACES[0].person,
        FACES[0].sha256,
        FACES[0].source,
        blob := vector_bytes(FACES[0].vector, D),
        checksum_of(*row[:3], blob),
    )


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM meta WHERE key = 'cipher'",
        "UPDATE meta SET value = '1' WHERE key = 'format'",
        "UPDATE meta SET value = '[]' WHERE key = 'cipher'",
    ],
)
def test_a_description_that_does_not_fit_is_damage(folder: Path, sql: str):
    with sqlite3.connect(folder / FILE) as db:
        db.execute(sql)
    with pytest.raises(CorruptGallery, match="encrypt"):
        Store.open(folder, KEY)


# ---- the commands


@pytest.mark.slow
def test_every_command_on_an_encrypted_gallery(
    run, tmp_path: Path, album: Path, toy_dataset: Dataset, weights: Path
):
    """Each of them once with the key; each refuses without one; and no file in plain comes of it."""
    assert (
        run("encrypt", "--new-key", "k", "--gallery", "no").stdout
        == "k: a new key, which only you can read\n"
        and "keep a copy" in run("encrypt", "--new-key", "k2", "--gallery", "no").stderr
    )
    w, k = ("--weights", weights), ("--key-file", "k")
    others = tmp_path / "others"
    draw_people(others, people=3, photos=4, seed=77)
    for path in list(others.iterdir()):
        path.rename(path.with_name(f"stranger {path.name}"))
    photos = sorted((album / sorted(path.name for path in album.iterdir() if path.is_dir())[0]).iterdir())
    commands: list[tuple[object, ...]] = [
        ("enroll", "Zoé Zanzibar", photos[0], "--aligned", *w),
        ("query", photos[1], "--aligned", *w, "--timing"),
        ("list",),
        ("list", "Zoé Zanzibar", "--json"),
        ("info", "--json"),
        ("rename", "Zoé Zanzibar", "Zoé Quetzalcoatl"),
        ("verify",),
        ("calibrate", "--fpir", "0.3", "--strangers", others, "--aligned", *w),
        ("evaluate", "--data", toy_dataset.folder, "--only", "closed", "--report", "report", *w),
        ("audit", "--gallery", "index"),
        ("audit", "--data", toy_dataset.folder, *w),
        ("reindex", "--data", toy_dataset.folder, *w),
        ("export", "out.fs"),
        ("import", "out.fs"),
        ("import", "index"),
        ("build-index", "--data", toy_dataset.folder, *w),
        ("forget", "Zoé Quetzalcoatl"),
        ("encrypt",),
    ]
    run("build-index", "--data", toy_dataset.folder, *w, *k)
    for words in commands:
        if words[0] != "encrypt":
            refused = run(*words, code=1).stderr
            assert "is encrypted, and no key was given" in refused, words
        wrong = run(*words, "--key-file", "k2", code=1)
        assert (
            "another key than the one that was given" in wrong.stderr
            and "is the one in k2.\n" in wrong.stderr
        ), words
        assert not wrong.stdout, words
        run(*words, *k)
    assert json.loads(run("info", "--json", *k).stdout)["index"]["state"].startswith("in memory only")
    assert run("decrypt", *k).stdout == "index: 48 faces decrypted\n"
    not_sealed = run("list", *k, code=1).stderr
    assert "not encrypted, but a key was given" in not_sealed and "is the one in k.\n" in not_sealed
    assert "48 faces encrypted; no byte of what lay there before is left" in run("encrypt", *k).stdout
    assert "faces encrypted" in run("encrypt", *k, "--new-key", "k2").stdout
    run("list", "--key-file", "k2")
    run("list", *k, code=1)
    assert run("import", "out.fs", "--source-key-file", "k", "--key-file", "k2").stdout.startswith(
        "index: 1 face added, 48 known"
    )
    kept = [
        path
        for name in ("index", "out.fs")
        for path in [tmp_path / name, *(tmp_path / name).rglob("*")]
        if path.is_file()
    ]
    needles = [b"Zanzibar", b"Quetzalcoatl", *(sha.encode() for sha in toy_dataset.sha256)]
    assert len(kept) > 3 and not any(needle in path.read_bytes() for path in kept for needle in needles)


def test_the_key_by_the_environment(run, album: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FACESEARCH_KEY", KEY.secret.hex())
    photo = next(album.rglob("*.png"))
    run("enroll", "Ada", photo, "--aligned", "--weights", weights)
    assert "Ada" in run("list").stdout
    monkeypatch.setenv("FACESEARCH_KEY", "")
    assert "no key was given" in run("list", code=1).stderr
