"""A gallery notes what found each face, one made before does so from its first such face on, and other
detectors are told of.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from facesearch.album.album import Album
from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.errors import CorruptGallery
from facesearch.faces.detect import YUNET, load_detector
from facesearch.files import sha256_of
from facesearch.gallery.build import build_index
from facesearch.gallery.detectors import other_detectors
from facesearch.gallery.encrypt import decrypt, encrypt
from facesearch.gallery.enroll import enroll
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.move import move
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.reindex import reindex
from facesearch.gallery.rename import rename
from facesearch.gallery.store.database import Database, statements
from facesearch.gallery.store.faces import Faces
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rewriting import take_vectors_of
from facesearch.gallery.store.rows import NewFace, as_note
from facesearch.gallery.store.schema import (
    ADD_DETECTOR,
    ADD_TEMPLATES,
    APPLICATION_ID,
    FILE,
    SCHEMA,
    SCHEMA_BEFORE,
)
from facesearch.gallery.store.store import NEXT, Store
from facesearch.gallery.transfer import export, import_into
from facesearch.gallery.verify import verify
from tests.helpers.drawn import ColourEncoder, WideEncoder, another_yunet, save_colour
from tests.helpers.rows import D, face, unit
from tests.helpers.saying import quiet

INDEX = Path(__file__).resolve().parents[2] / "index"
MINE, OTHER = "yunet 2026may", "yunet 0123456789ab"
KEY = Key(bytes(range(32)), "a test")


def tell(line: str) -> None:
    pass


def found(person: str, seed: int, by: str = "") -> NewFace:
    return NewFace(person, f"{seed:064x}", f"{seed}.jpg", unit(seed)[0], by)


BEFORE = {*statements(SCHEMA_BEFORE), ADD_TEMPLATES}
"""What such a gallery holds once this version has added somebody: templates, and no place for detectors."""


def before(folder: Path, faces: list[NewFace], encoder_id: str = "e" * 64) -> Path:
    """A gallery as it was made before rows noted what found the face."""
    meta = {"format": 1, "encoder_id": encoder_id, "dimension": D, "encoder": "x", "generation": 0}
    Database.create(folder / FILE, APPLICATION_ID, SCHEMA_BEFORE, meta)
    with Store.open(folder) as gallery:
        gallery.faces.add(faces)
    return folder


def notes(folder: Path) -> dict[str, str]:
    """What found each photo, as the file says."""
    with sqlite3.connect(folder if folder.is_file() else folder / FILE) as db:
        return dict(db.execute("SELECT source, detector FROM faces"))


def sql(folder: Path) -> set[str]:
    with sqlite3.connect(folder / FILE) as db:
        return {
            row[0]
            for row in db.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence'"
            )
        }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store.create(tmp_path / "g", "e" * 64, D, "x") as gallery:
        gallery.faces.add(
            [
                found("ana", 1, MINE),
                found("ana", 2, OTHER),
                found("ben", 3, MINE),
                found("ben", 4, "aligned"),
                found("eva", 5),
            ]
        )
    return tmp_path / "g"


COUNTS = {"": 1, "aligned": 1, OTHER: 1, MINE: 2}


# ---- the note


def test_faces_are_counted_by_what_found_them(folder: Path):
    with Store.open(folder) as gallery:
        assert gallery.faces.detectors() == COUNTS and list(gallery.faces.detectors()) == sorted(COUNTS)
        assert gallery.notes.detectors() == {MINE, OTHER, "aligned"}
        assert gallery.faces.found_by([1, 2, 5, 99]) == {1: MINE, 2: OTHER, 5: ""}
    assert notes(folder) == {"1.jpg": MINE, "2.jpg": OTHER, "3.jpg": MINE, "4.jpg": "aligned", "5.jpg": None}
    assert verify(folder, repair=False).problems == ()


def test_a_photo_that_is_known_keeps_its_note(folder: Path):
    with Store.open(folder) as gallery:
        assert gallery.faces.add([found("ana", 1, OTHER)]) == 0 and gallery.faces.detectors() == COUNTS


def test_an_empty_gallery_has_no_detectors(tmp_path: Path):
    for place in (before(tmp_path / "old", []), tmp_path / "new"):
        with Store.create(place, "e" * 64, D, "x") as gallery:
            assert gallery.faces.detectors() == {} and gallery.notes.detectors() == set()


@pytest.mark.parametrize(
    ("said", "note"),
    [("", None), ("a\x1b[2J\nb", "a[2Jb"), ("x" * 999, "x" * 200), ("\n", None), ("haar", "haar")],
)
def test_a_note_is_printable_and_short_whatever_a_table_says(said: str, note: str | None):
    assert as_note(said) == note


@pytest.mark.parametrize("value", ["x'00ff'", "5", "''", "'a' || char(27)", "printf('%.*c', 201, 'x')"])
def test_a_note_that_cannot_be_is_damage(folder: Path, tmp_path: Path, value: str):
    with sqlite3.connect(folder / FILE) as db:
        db.execute(f"UPDATE faces SET detector = {value} WHERE face_id = 3")
    if value == "5":  # the column's affinity makes text of it
        assert verify(folder, repair=False).problems == ()
        return
    assert verify(folder, repair=False).problems == ("face 3: what found it has no name that can be",)
    with Store.open(folder) as gallery:
        for read in (gallery.faces.detectors, lambda: gallery.faces.found_by([3])):
            with pytest.raises(CorruptGallery, match="no name that can be"):
                read()
    export(folder, tmp_path / "out")
    with pytest.raises(CorruptGallery, match="face 3"):
        import_into(tmp_path / "out", tmp_path / "new", quiet)


# ---- galleries of before


def test_a_gallery_of_before_is_read_and_stays_as_it_is(tmp_path: Path):
    folder = before(tmp_path / "g", [face("ana", 1), face("ben", 2)])
    with Store.open(folder) as gallery:
        assert gallery.faces.detectors() == {"": 2} and gallery.faces.found_by([1, 2]) == {1: "", 2: ""}
        assert nearest_people(gallery, open_index(gallery), unit(2)[0], 1)[0].person == "ben"
        assert other_detectors(gallery, MINE) == ""
        gallery.faces.add([face("eva", 3)])  # nobody knows what found it
    rename("ana", "Ada", folder, join=False)
    encrypt(folder, KEY)
    decrypt(folder, KEY)
    forget("ben", folder, (), tell)
    assert verify(folder, repair=True).problems == () and sql(folder) == BEFORE


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_read_only_gallery_of_before_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str):
    folder = before(tmp_path / "g", [face("ana", 1)])
    with sqlite3.connect(folder / FILE) as db:
        db.execute(f"PRAGMA journal_mode = {journal}")
    data = (folder / FILE).read_bytes()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with Store.open(folder) as gallery:
        assert gallery.faces.detectors() == {"": 1} and other_detectors(gallery, MINE) == ""
        assert nearest_people(gallery, open_index(gallery), unit(1)[0], 1)[0].person == "ana"
    assert (folder / FILE).read_bytes() == data


def test_the_first_face_with_a_note_makes_the_place_for_it(tmp_path: Path):
    folder = before(tmp_path / "g", [face("ana", 1)])
    with Store.open(folder) as reader, Store.open(folder) as other, Store.open(folder) as writer:
        assert reader.faces.detectors() == {"": 1} and other.faces.detectors() == {"": 1}
        writer.faces.add([found("ben", 2, MINE)])
        other.faces.add([found("ben", 3, OTHER)])  # it was opened before there was a place
        assert reader.faces.detectors() == {"": 1, MINE: 1, OTHER: 1} and reader.faces.found_by([2]) == {
            2: MINE
        }
    assert verify(folder, repair=False).problems == ()


def test_what_fails_makes_no_place(tmp_path: Path):
    folder = before(tmp_path / "g", [face("ana", 1)])
    with Store.open(folder) as gallery:
        gallery.database._db.execute(
            "CREATE TRIGGER t BEFORE INSERT ON faces BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(sqlite3.IntegrityError):
            gallery.faces.add([found("ben", 2, MINE)])
        gallery.database._db.execute("DROP TRIGGER t")
        assert gallery.faces.detectors() == {"": 1} and gallery.notes.detectors() == set()
    assert sql(folder) == BEFORE


@pytest.mark.slow
def test_the_shipped_gallery_takes_notes_in_a_copy(tmp_path: Path):
    shutil.copytree(INDEX, tmp_path / "index", ignore=shutil.ignore_patterns("vectors*"))
    import_into(tmp_path / "index", tmp_path / "taken", quiet)
    with Store.open(tmp_path / "taken") as taken:
        assert taken.faces.detectors() == {"known": 12011}
    with Store.open(tmp_path / "index") as gallery:
        assert gallery.faces.detectors() == {"known": 12011}
        vector = gallery.faces.vectors_at([7])[7]
        gallery.faces.add([NewFace("Eva", "0" * 64, "eva.jpg", vector / (vector @ vector) ** 0.5, MINE)])
        assert gallery.faces.detectors() == {"known": 12011, MINE: 1}


# ---- exported files: three forms, and no other


def test_the_three_forms_of_an_exported_file_are_taken(folder: Path, tmp_path: Path):
    old = before(tmp_path / "old", [face("ana", 1)])
    export(old, tmp_path / "old.out")
    with Store.open(old) as gallery:
        gallery.faces.add([found("ben", 2, MINE)])
    export(old, tmp_path / "altered.out")
    export(folder, tmp_path / "new.out")
    assert sql(folder) == set(statements(SCHEMA)) != sql(old) != BEFORE
    for name, counts in (("old", {"": 1}), ("altered", {"": 1, MINE: 1}), ("new", COUNTS)):
        with Store.open_snapshot(tmp_path / f"{name}.out") as snapshot:
            assert snapshot.faces.detectors() == counts
        for target in (tmp_path / f"from {name}", before(tmp_path / f"{name} into old", [])):
            import_into(tmp_path / f"{name}.out", target, quiet)
            with Store.open(target) as gallery:
                assert gallery.faces.detectors() == counts
            assert verify(target, repair=False).problems == ()


HOSTILE = (
    "ALTER TABLE faces ADD COLUMN detector TEXT DEFAULT 'x'",
    "ALTER TABLE faces ADD COLUMN detector BLOB",
    "ALTER TABLE faces ADD COLUMN detector TEXT GENERATED ALWAYS AS (source) VIRTUAL",
    "ALTER TABLE faces ADD COLUMN Detector TEXT",
    "ALTER TABLE people ADD COLUMN detector TEXT",
    f"{ADD_DETECTOR}; ALTER TABLE faces ADD COLUMN more TEXT",
    f"{ADD_DETECTOR}; CREATE INDEX i ON faces (detector)",
    f"{ADD_DETECTOR}; CREATE TRIGGER t AFTER INSERT ON faces BEGIN DELETE FROM people; END",
    (
        f"{ADD_DETECTOR}; PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = sql || ' -- x' WHERE"
        " name = 'faces'"
    ),
    f"{ADD_DETECTOR}; CREATE VIEW v AS SELECT load_extension('x')",
)


@pytest.mark.parametrize("change", HOSTILE)
def test_no_other_form_of_an_exported_file_is_taken(tmp_path: Path, change: str):
    export(before(tmp_path / "g", [face("ana", 1)]), tmp_path / "out")
    with sqlite3.connect(tmp_path / "out") as db:
        db.executescript(change)
    with pytest.raises(CorruptGallery, match="no gallery that facesearch exported"):
        Store.open_snapshot(tmp_path / "out")


# ---- the note goes along


def test_it_goes_along_with_export_import_and_merge(folder: Path, tmp_path: Path):
    export(folder, tmp_path / "out")
    import_into(tmp_path / "out", tmp_path / "new", quiet)
    import_into(folder, before(tmp_path / "old", [face("zoe", 9)]), quiet)
    assert notes(tmp_path / "out") == notes(tmp_path / "new") == notes(folder)
    assert notes(tmp_path / "old") == notes(folder) | {"a.jpg": None}


def test_it_goes_along_with_move_and_rename(folder: Path):
    move("ana", {f"{2:064x}"}, "Eva", folder, tell)
    rename("ana", "Ada", folder, join=False)
    rename("ben", "Eva", folder, join=True)
    with Store.open(folder) as gallery:
        assert gallery.faces.detectors() == COUNTS
        own = gallery.faces.ids(["Eva"]).tolist()
        assert set(gallery.faces.found_by(own).values()) == {OTHER, MINE, "aligned"}


def test_it_goes_along_with_encrypt_and_decrypt_and_is_not_sealed(folder: Path, tmp_path: Path):
    encrypt(folder, KEY)
    with Store.open(folder, KEY) as gallery:
        assert (
            gallery.encrypted
            and gallery.faces.detectors() == COUNTS
            and gallery.faces.add([found("zoe", 7, MINE)]) == 1
        )
    assert verify(folder, repair=False, key=KEY).problems == ()
    import_into(folder, tmp_path / "sealed", quiet, key=KEY)
    with Store.open(tmp_path / "sealed", KEY) as gallery:
        assert gallery.encrypted and gallery.faces.detectors() == COUNTS | {MINE: 3}
    decrypt(folder, KEY)
    with Store.open(folder) as gallery:
        assert not gallery.encrypted and gallery.faces.detectors() == COUNTS | {MINE: 3}


def test_somebody_called_as_a_detector_can_be_forgotten(folder: Path):
    for name in ("yunet 2026may", "aligned", "detector"):
        with Store.open(folder) as gallery:
            gallery.faces.add([found(name, 50, MINE)])
        receipt, _ = forget(name, folder, (), tell)
        assert receipt.photos == 1
    with Store.open(folder) as gallery:
        assert gallery.faces.detectors() == COUNTS


def test_reindex_notes_what_found_the_new_crops(toy_dataset: Dataset, tmp_path: Path):
    folder, photo = tmp_path / "g", save_colour(tmp_path / "p/x.png", "red")
    build_index([toy_dataset], folder, ColourEncoder(), splits=(), fpir=None, progress=quiet)
    with Store.open(folder) as gallery:
        gallery.faces.add(
            [
                NewFace(
                    "Eva", sha256_of(photo), "x.png", ColourEncoder().embed(toy_dataset.crops[:1])[0], OTHER
                )
            ]
        )
        assert gallery.faces.detectors() == {"aligned": 48, OTHER: 1}
    reindex(folder, WideEncoder(), [toy_dataset], [tmp_path / "p"], None, drop_missing=False, progress=quiet)
    with Store.open(folder) as gallery:
        assert gallery.faces.detectors() == {"aligned": 49} and gallery.notes.detectors() == {"aligned"}
    assert not (folder / NEXT).exists() and verify(folder, repair=False).problems == ()


@pytest.mark.parametrize("own_noted", [False, True])
@pytest.mark.parametrize("new_noted", [False, True])
def test_vectors_are_exchanged_whatever_form_both_files_have(
    tmp_path: Path, own_noted: bool, new_noted: bool
):
    by = {True: MINE, False: ""}
    own = before(tmp_path / "own", [found("ana", 1, OTHER if own_noted else ""), found("ben", 2)])
    new = before(tmp_path / "new", [found("ana", 1, by[new_noted]), found("ben", 2, by[new_noted])], "f" * 64)
    with Store.open(own) as gallery, Store.open(new) as other:
        assert take_vectors_of(gallery, other) == 2
        assert gallery.faces.detectors() == {by[new_noted]: 2} and gallery.notes.detectors() == (
            {MINE} if new_noted else set()
        )
    assert verify(own, repair=False).problems == ()
    if not own_noted and not new_noted:
        assert sql(own) == BEFORE


# ---- who notes what


def test_enroll_notes_the_detector_or_that_there_was_none(album: Path, tmp_path: Path):
    photos = sorted((album / "p000").iterdir())
    other = load_detector(another_yunet(tmp_path))
    for photo, detector in zip(photos, (load_detector(None), other, None), strict=False):
        enroll(
            [("Ana", photo)],
            tmp_path / "g",
            ColourEncoder(),
            detector,
            largest=True,
            fpir=None,
            progress=quiet,
        )
    assert list(notes(tmp_path / "g").values()) == [MINE, other.name, "aligned"]


def test_build_index_notes_what_the_datasets_table_says(album: Path, tmp_path: Path):
    prepare(read_source(album), load_detector(None), PrepareConfig(out=tmp_path / "d"), quiet)
    table = (tmp_path / "d/faces.csv").read_text("utf-8")
    assert f",{MINE}\n" in table.replace("\r", "")
    (tmp_path / "d/faces.csv").write_text(
        table.replace(MINE, "known", 3).replace(MINE, "yunet", 5).replace(MINE, "haar", 7), "utf-8"
    )
    dataset = open_dataset(tmp_path / "d")
    assert {row.found_by for row in dataset.rows} == {"known", "haar", MINE}  # "yunet" was the shipped one
    build_index([dataset], tmp_path / "g", ColourEncoder(), splits=(), fpir=None, progress=quiet)
    with Store.open(tmp_path / "g") as gallery:
        assert gallery.faces.detectors() == {"haar": 7, "known": 3, MINE: len(dataset) - 10}


@pytest.mark.slow
def test_a_dataset_prepared_before_is_already_there(album: Path, tmp_path: Path):
    class Before:
        """The shipped detector as it was called until now."""

        def __init__(self) -> None:
            self._own, self.name = load_detector(None), "yunet"
            self.detect, self.another = self._own.detect, lambda: self

    config = PrepareConfig(out=tmp_path / "d", workers=1)
    made = prepare(read_source(album), Before(), config, quiet)
    assert (
        not made.already_there
        and prepare(read_source(album), load_detector(None), config, quiet).already_there
    )


def test_an_album_scanned_before_goes_on(tmp_path: Path):
    meta = {"encoder_id": "e" * 64, "dimension": D, "encoder": "x", "notes": {}}
    with Album.create(tmp_path / "scan", tmp_path, detector="yunet", **meta) as album:  # type: ignore[arg-type]
        album.require("e" * 64, load_detector(None).name, tmp_path)
        assert album.detector == MINE


# ---- what is said of it


def test_it_says_how_many_faces_another_detector_found(folder: Path):
    with Store.open(folder) as gallery:
        words = "crops differ slightly, so scores may too."
        assert (
            other_detectors(gallery, MINE)
            == f"1 of 5 faces were found by another detector ({OTHER}) than this query's ({MINE}): {words}"
        )
        assert (
            other_detectors(gallery, "yunet ffff", whose="the new photos'")
            == f"3 of 5 faces were found by other detectors ({OTHER}, {MINE}) than the new photos' (yunet"
            f" ffff): {words}"
        )
        assert other_detectors(gallery, "aligned") == other_detectors(gallery, "") == ""
        gallery.faces.add([found("crowd", n, OTHER) for n in range(100, 1300)])
        assert other_detectors(gallery, MINE).startswith(
            f"1,201 of 1,205 faces were found by another detector ({OTHER})"
        )


def test_it_says_nothing_where_there_is_nothing_to_say_and_then_reads_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with Store.create(tmp_path / "g", "e" * 64, D, "x") as gallery:
        gallery.faces.add(
            [found("ana", 1, MINE), found("ana", 2, "known"), found("ana", 3, "aligned"), found("ana", 4)]
        )
        gallery.faces.add([found("ben", 5, OTHER)])
        gallery.eraser.delete("ben")
        assert other_detectors(gallery, MINE) == ""
    with Store.create(tmp_path / "h", "e" * 64, D, "x") as gallery:
        gallery.faces.add([found("ana", 1, MINE), found("ana", 2, "known")])
        monkeypatch.setattr(Faces, "detectors", lambda self: pytest.fail("rows were counted"))
        assert other_detectors(gallery, MINE) == ""


@pytest.mark.slow
def test_query_enroll_and_info_say_it(run, album: Path, weights: Path, tmp_path: Path):
    photos = sorted((album / "p000").iterdir())
    other = another_yunet(tmp_path)
    name = f"yunet {sha256_of(other)[:12]}"
    first = run("enroll", "Ana", *photos[:2], "--weights", weights, "--largest")
    assert (
        "detector" not in first.stderr
        and "detector" not in run("query", photos[3], "--weights", weights).stderr
    )
    second = run("enroll", "Ana", photos[2], "--weights", weights, "--largest", "--detector-model", other)
    assert (
        f"2 of 3 faces were found by another detector ({MINE}) than the new photos' ({name}): "
        in second.stderr
    )
    asked = run("query", photos[3], "--weights", weights, "--json")
    assert (
        f"1 of 3 faces were found by another detector ({name}) than this query's ({MINE}): " in asked.stderr
    )
    assert json.loads(asked.stdout)["photos"][0]["faces"][0]["matches"]
    assert "detector" not in run("query", photos[3], "--weights", weights, "--aligned").stderr
    assert json.loads(run("info", "--json").stdout)["detectors"] == {name: 1, MINE: 2}
    line = next(line for line in run("info").stdout.splitlines() if line.startswith("detectors"))
    assert line.split(maxsplit=1)[1] == f"{MINE} (2), {name} (1)"


def test_the_environment_names_another_detector(
    run, album: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FACESEARCH_YUNET", str(another_yunet(tmp_path)))
    run("enroll", "Ana", *sorted((album / "p000").iterdir())[:1], "--weights", weights, "--largest")
    (said,) = notes(tmp_path / "index").values()
    assert said.startswith("yunet ") and said != MINE and YUNET.is_file()
