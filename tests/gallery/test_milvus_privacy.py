"""What Milvus, its address and an export are told of people and secrets: as little as can be."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facesearch.cli.given import access_of
from facesearch.errors import BadStore, CannotProject, CannotRead, ProjectedInPlain, StillProjected
from facesearch.gallery.encrypt import encrypt
from facesearch.gallery.milvus.index import open_projection
from facesearch.gallery.milvus.projections import Access, Place, place_of, row_id
from facesearch.gallery.milvus.sync import drop, sync
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from tests.helpers.milvus import NAME, SOURCE, forget, lite_only
from tests.helpers.rows import D, face
from tests.helpers.saying import quiet, refused, tell


@pytest.fixture
def gallery(forty_people: Store) -> Store:
    return forty_people


# ---- what is told to whom


@lite_only
def test_no_name_source_or_hash_goes_to_the_engine_and_ids_cannot_be_guessed(
    gallery: Store, place: Place, tmp_path: Path
):
    sync(gallery, place, progress=quiet)
    assert place.local is not None
    import pyarrow.parquet

    files = [path for path in place.local.rglob("*") if path.is_file()]
    tables = [pyarrow.parquet.read_table(path) for path in files if path.suffix == ".parquet"]
    data = (
        b"".join(path.read_bytes() for path in files) + repr([table.to_pylist() for table in tables]).encode()
    )
    row, blob = gallery.faces.rows([201])[201]
    key = gallery.notes.projection_key()
    own = row_id(key, gallery.encoder_id, 201, row.sha256, row.source, blob)
    assert len(own) == 20 and own.encode() in data
    for secret in (NAME, SOURCE, row.sha256, "person 07", key.hex(), str(gallery.folder)):
        assert secret.encode() not in data, secret
    others = [
        row_id(bytes(32), gallery.encoder_id, 201, row.sha256, row.source, blob),
        row_id(key, "f" * 64, 201, row.sha256, row.source, blob),
        row_id(key, gallery.encoder_id, 202, row.sha256, row.source, blob),
        row_id(key, gallery.encoder_id, 201, "0" * 64, row.source, blob),
        row_id(key, gallery.encoder_id, 201, row.sha256, "x", blob),
        row_id(key, gallery.encoder_id, 201, row.sha256, row.source, bytes(len(blob))),
    ]
    assert len({own, *others}) == 7
    assert (place.local.stat().st_mode & 0o077) == 0


@lite_only
def test_milvus_lite_opens_no_port_of_the_machine(gallery: Store, place: Place):
    def ports() -> set[str]:
        inodes = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
        return {words[1] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in inodes}

    probe = socket.create_server(("127.0.0.1", 0))
    assert len(ports()) >= 1  # so the look at /proc sees ports
    probe.close()
    before = ports()
    sync(gallery, place, progress=quiet)
    with open_projection(gallery, place):
        assert ports() == before


def test_an_exported_gallery_tells_nothing_of_its_projections(
    gallery: Store, place: Place, tmp_path: Path, broken: Callable[[bool], None]
):
    sync(gallery, place, progress=quiet)
    broken(True)
    with pytest.raises(StillProjected):
        forget(NAME, gallery.folder, (), tell)
    export(gallery.folder, tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    key = gallery.notes.projection_key().hex()
    assert key.encode() in (gallery.folder / FILE).read_bytes()
    for secret in (key, place.text, "projection", "owed:"):
        assert secret.encode() not in data, secret
    assert import_into(tmp_path / "out", tmp_path / "other", quiet).people == 40
    broken(False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("faces.db", "none that is known"),
        ("milvus:", "none that is known"),
        ("milvus:faces", "ends in .db"),
        ("milvus:ftp://host", "no address"),
        ("milvus:http://", "no address"),
        ("redis:http://host", "none that is known"),
        ("milvus:http://root:hush@host:19530", "ends up in logs"),
        ("milvus:http://host?token=hush", "ends up in logs"),
        ("http://root:hush@host", "none that is known"),
    ],
)
def test_what_is_no_address_of_an_engine_is_refused_and_no_secret_repeated(text: str, why: str):
    with pytest.raises(BadStore, match=why) as raised:
        place_of(text)
    assert "hush" not in raised.value.message()


def test_addresses_and_how_their_engines_are_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert (
        place_of("milvus:./faces.db")
        == place_of(f"milvus:{tmp_path}/faces.db")
        == Place(f"milvus:{tmp_path}/faces.db", f"{tmp_path}/faces.db", tmp_path / "faces.db")
    )
    remote = place_of("milvus:https://milvus.example:19530/faces/")
    assert remote == Place(
        "milvus:https://milvus.example:19530/faces", "https://milvus.example:19530/faces", None
    )
    assert not remote.is_open_wire and not place_of("milvus:http://localhost:19530").is_open_wire
    assert (
        place_of("milvus:http://milvus.example").is_open_wire and not place_of("milvus:faces.db").is_open_wire
    )
    for name in ("FACESEARCH_MILVUS_TOKEN", "FACESEARCH_MILVUS_TOKEN_FILE", "FACESEARCH_STORE_TIMEOUT_S"):
        monkeypatch.delenv(name, raising=False)
    assert access_of() == remote.access == Access("", 30.0)
    monkeypatch.setenv("FACESEARCH_MILVUS_TOKEN", "a:b")
    assert (
        access_of().token == "a:b" and place_of(remote.text).access == Access()
    )  # the library reads no environment
    (tmp_path / "token").write_text("c:d\n")
    monkeypatch.setenv("FACESEARCH_MILVUS_TOKEN_FILE", str(tmp_path / "token"))
    assert access_of().token == "c:d"
    given = place_of(remote.text, access_of())
    assert (
        given == replace(remote, access=Access("c:d")) and "c:d" not in repr(given) + given.text + given.uri
    )
    monkeypatch.setenv("FACESEARCH_STORE_TIMEOUT_S", "0.5")
    assert access_of() == Access("c:d", 0.5)
    for text in ("soon", "-1", "0", "nan", "inf"):
        monkeypatch.setenv("FACESEARCH_STORE_TIMEOUT_S", text)
        with pytest.raises(BadStore, match="no number of seconds"):
            access_of()
    monkeypatch.setenv("FACESEARCH_MILVUS_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(CannotRead, match="No such file"):
        access_of()


# ---- galleries that are encrypted


def test_an_encrypted_gallery_is_sent_nowhere(tmp_path: Path):
    target = place_of(f"milvus:{tmp_path / 'faces.db'}")
    with Store.create(
        tmp_path / "sealed", "e" * 64, D, "encoder", Key(bytes(range(32)), "a test")
    ) as gallery:
        gallery.faces.add([face(NAME, 1, SOURCE)])
        with pytest.raises(CannotProject, match="encrypted"):
            sync(gallery, target, progress=quiet)
        with pytest.raises(CannotProject), open_projection(gallery, target):
            pass
    assert not (tmp_path / "faces.db").exists()


def test_a_gallery_whose_vectors_lie_elsewhere_in_the_clear_is_not_encrypted(gallery: Store, place: Place):
    sync(gallery, place, progress=quiet)
    with refused(ProjectedInPlain, "sync --drop"):
        encrypt(gallery.folder, Key(bytes(range(32)), "a test"))
    with Store.open(gallery.folder) as opened:
        assert not opened.encrypted and len(opened.faces.people()) == 41
    drop(gallery, place, abandon=False)
    assert encrypt(gallery.folder, Key(bytes(range(32)), "a test")).faces == len(gallery)
