"""An album sorted into a folder a person, without overwriting anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.folders import folder_names
from facesearch.album.journal import JOURNAL, LOCK
from facesearch.album.review import apply, review_rows
from facesearch.album.scan import scan
from facesearch.album.sort import sort_album
from facesearch.errors import CorruptAlbum, InsideAlbum, NothingToDo
from tests.helpers.album import GREEN, RED, Halves, name_groups
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet


@pytest.fixture
def named(found: Path, tmp_path: Path) -> Path:
    with Album.open(found) as album:
        apply(
            album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby", green1="Ed/ith"), None
        )
    return found


def tree(root: Path) -> set[str]:
    """All that lies there, without sort's own notes."""
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    return {path for path in found if path.rpartition("/")[2] not in (JOURNAL, LOCK)}


EDITH = folder_names(["Ed/ith"])["Ed/ith"]


@pytest.mark.parametrize("way", ["copy", "hard", "sym"])
def test_one_folder_a_person_and_a_photo_of_two_in_both(photos: Path, named: Path, tmp_path: Path, way: str):
    out = tmp_path / "out"
    originals = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    with Album.open(named) as album:
        foreseen = sort_album(album, out, quiet, way=way, dry_run=True)
        assert not out.exists()
        result = sort_album(album, out, quiet, way=way)
        again = sort_album(album, out, quiet, way=way)
    assert foreseen == result and (again.made, again.there) == (0, result.made) and result.faceless == 1
    greens = {f"{EDITH}/green{i}.png" for i in range(3)} | {f"{EDITH}/both.png"}
    reds = {"Ruby/red0.png", "Ruby/red1.png", "Ruby/red2.png", "Ruby/both.png", "Ruby/copy of red0.png"}
    assert tree(out) == greens | reds | {"_unknown/blue.png"}
    assert (out / "Ruby" / "red1.png").read_bytes() == (photos / "a" / "red1.png").read_bytes()
    assert (out / "Ruby" / "red1.png").is_symlink() == (way == "sym")
    assert (out / "Ruby" / "red1.png").samefile(photos / "a" / "red1.png") == (way != "copy")
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == originals


def test_nothing_is_overwritten_and_names_that_clash_live_side_by_side(
    photos: Path, named: Path, tmp_path: Path
):
    out = tmp_path / "out"
    (out / "Ruby").mkdir(parents=True)
    (out / "Ruby" / "red1.png").write_text("mine")
    with Album.open(named) as album:
        sort_album(album, out, quiet)
        assert sort_album(album, out, quiet).made == 0
    assert (out / "Ruby" / "red1.png").read_text() == "mine"
    (beside,) = (out / "Ruby").glob("red1~*.png")
    assert beside.read_bytes() == (photos / "a" / "red1.png").read_bytes()
    beside.write_text("mine too")
    with Album.open(named) as album:
        (left,) = sort_album(album, out, quiet).left
    assert "nothing is overwritten" in left.reason and beside.read_text() == "mine too"


def test_a_dry_run_foresees_two_photos_of_one_name(photos: Path, found: Path, tmp_path: Path):
    save_colour(photos / "z" / "blue.png", GREEN, shade=60)  # another photo, of nobody with a name either
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        foreseen = sort_album(album, tmp_path / "out", quiet, dry_run=True)
        assert sort_album(album, tmp_path / "out", quiet) == foreseen
    assert len(list((tmp_path / "out" / "_unknown").glob("blue*.png"))) == 2 and foreseen.skipped == ()


def test_photos_that_changed_or_went_are_skipped_and_half_copies_do_not_appear(
    photos: Path, named: Path, tmp_path: Path
):
    (photos / "a" / "red1.png").write_bytes(b"other")
    (photos / "a" / "red2.png").unlink()
    with Album.open(named) as album:
        result = sort_album(album, tmp_path / "out", quiet)
    assert {item.path.name: "changed" in item.reason for item in result.skipped} == {
        "red1.png": True,
        "red2.png": False,
    }
    assert {path.name for path in (tmp_path / "out").rglob(".*")} == {JOURNAL, LOCK}


def test_an_album_that_was_moved_is_found_by_photos_and_out_may_not_lie_inside(
    photos: Path, named: Path, tmp_path: Path
):
    photos.rename(tmp_path / "moved")
    with Album.open(named) as album:
        assert sort_album(album, tmp_path / "out", quiet, root=tmp_path / "moved").made == 10
        with pytest.raises(InsideAlbum):
            sort_album(album, tmp_path / "moved" / "a" / "out", quiet, root=tmp_path / "moved")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc",
        "a/b",
        "CON",
        "nul.txt",
        ".hidden",
        "-rf",
        "_unknown",
        "x" * 300,
        "dots...",
        "a\u202eb",
        "<>",
    ],
)
def test_a_persons_name_never_leaves_the_folder(name: str):
    safe = folder_names([name])[name]
    assert (
        safe != name
        and Path(safe).name == safe
        and not safe.startswith((".", "-", "_"))
        and len(safe.encode()) < 255
    )
    assert folder_names([name, "other"])[name] == safe


def test_no_two_people_share_a_folder_and_plain_names_stay():
    folders = folder_names(["Ada", "ada", "a/b", "a:b", "Zoë Müller", "李雷"])
    assert len({folder.casefold() for folder in folders.values()}) == 6
    assert folders["Zoë Müller"] == "Zoë Müller" and folders["李雷"] == "李雷"


def test_an_album_without_a_face_has_nothing_to_sort(tmp_path: Path):
    save_colour(tmp_path / "p" / "wall.png", RED, size=(20, 60))
    scan(tmp_path / "p", tmp_path / "s", ColourEncoder(), Halves(), quiet)
    with Album.open(tmp_path / "s") as album, pytest.raises(NothingToDo):
        sort_album(album, tmp_path / "out", quiet)
    with Album.open(tmp_path / "s") as album:
        assert arrange(album, "average").groups == 0 and review_rows(album) == []


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("files", "path", "/etc/passwd"),
        ("files", "path", "../outside.png"),
        ("files", "path", "a/../../outside.png"),
        ("files", "path", ""),
        ("files", "path", b"a.png"),
        ("files", "sha256", "../../../x"),
        ("faces", "grp", "1/../../../x"),
        ("faces", "name", b"x"),
    ],
)
@pytest.mark.parametrize("way", ["copy", "hard", "sym"])
def test_a_scan_from_elsewhere_leads_nowhere_else(
    named: Path, photos: Path, tmp_path: Path, table: str, column: str, value: object, way: str
):
    (photos.parent / "outside.png").write_bytes((photos / "blue.png").read_bytes())
    with closing(sqlite3.connect(named / "scan.sqlite")) as db, db:
        one = "rowid" if table == "faces" else "path"
        db.execute(
            f"UPDATE {table} SET {column} = ? WHERE {one} = (SELECT max({one}) FROM {table})", (value,)
        )
    before = tree(tmp_path)
    with Album.open(named) as album, pytest.raises(CorruptAlbum):
        sort_album(album, tmp_path / "out", quiet, way=way)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("way", ["copy", "hard", "sym"])
def test_a_link_out_of_the_album_is_not_followed(named: Path, photos: Path, tmp_path: Path, way: str):
    outside = tmp_path / "outside.png"
    (photos / "blue.png").rename(outside)
    (photos / "blue.png").symlink_to(outside)
    with Album.open(named) as album:
        result = sort_album(album, tmp_path / "out", quiet, way=way)
    assert [skip.reason for skip in result.skipped] == ["it leads out of the album"]
    assert not (tmp_path / "out" / "_unknown" / "blue.png").exists() and result.made > 0
