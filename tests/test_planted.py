"""Files that somebody else has put there: links where we are about to write, pipes where we read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facesearch.errors import CannotRead, CannotWrite
from facesearch.faces import photos
from facesearch.faces.photos import read_bytes, read_photo
from facesearch.files import growing_file, locked_file, new_file_beside, open_regular, replace_file, sha256_of
from facesearch.gallery.store.database import Database
from facesearch.records import Skipped
from tests.helpers.drawn import save_colour

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes are made as on Unix")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim.txt"
    path.write_text("precious")
    return path


def test_a_link_planted_where_a_temporary_file_was_is_not_followed(tmp_path: Path, victim: Path):
    target = tmp_path / "out.json"
    for name in (f".{target.name}.{os.getpid()}.new", f".{target.name}.new"):
        (tmp_path / name).symlink_to(victim)
    replace_file(target, b"ours")
    assert victim.read_text() == "precious" and target.read_bytes() == b"ours"


def test_whatever_name_is_drawn_a_link_there_is_refused(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("facesearch.files.secrets.token_hex", lambda n: "drawn")
    planted = tmp_path / f".out.drawn.{os.getpid()}.new"
    planted.symlink_to(victim)
    with pytest.raises(CannotWrite), growing_file(tmp_path / "out") as file:
        file.write(b"ours")
    planted.unlink()
    planted.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CannotWrite):
        replace_file(tmp_path / "out", b"ours")
    assert victim.read_text() == "precious" and planted.is_symlink() and not (tmp_path / "nowhere").exists()


def test_a_temporary_files_name_fits_and_is_its_owners(tmp_path: Path):
    path, file = new_file_beside(tmp_path / ("é" * 120))
    file.close()
    assert path.stat().st_mode & 0o777 == 0o600 and path.name.split(".")[-2] == str(os.getpid())


def test_a_link_in_the_place_of_what_is_replaced_is_replaced_itself(tmp_path: Path, victim: Path):
    (tmp_path / "out").symlink_to(victim)
    replace_file(tmp_path / "out", b"ours")
    assert victim.read_text() == "precious" and not (tmp_path / "out").is_symlink()


def test_a_lock_and_a_database_do_not_write_through_a_link(tmp_path: Path, victim: Path):
    (tmp_path / "x.lock").symlink_to(victim)
    try:
        with locked_file(tmp_path / "x.lock"):
            pass
    except CannotWrite:
        pass
    assert victim.read_text() == "precious"
    (tmp_path / "g.sqlite").symlink_to(tmp_path / "nowhere.sqlite")
    with pytest.raises(CannotWrite):
        Database.create(tmp_path / "g.sqlite", 1, "CREATE TABLE meta (key, value)", {})
    assert not (tmp_path / "nowhere.sqlite").exists()


def test_only_regular_files_are_read_and_nothing_waits(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "tty.png").symlink_to("/dev/tty")
    for path in sorted(tmp_path.iterdir()):
        found = read_photo(path)
        assert isinstance(found, Skipped) and "cannot be read" in found.reason, path
        with pytest.raises(CannotRead):
            sha256_of(path)
    assert "not a regular file" in str(read_bytes(tmp_path / "pipe.jpg"))
    (tmp_path / "link.png").symlink_to(save_colour(tmp_path / "a.png", "red"))
    assert not isinstance(read_photo(tmp_path / "link.png"), Skipped)


def test_what_becomes_a_pipe_after_the_look_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    regular = save_colour(tmp_path / "a.png", "red")
    os.mkfifo(tmp_path / "pipe")
    before = regular.stat()
    monkeypatch.setattr(Path, "stat", lambda self, **options: before)
    with pytest.raises(OSError, match="regular"):
        open_regular(tmp_path / "pipe")


def test_no_more_than_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(photos, "MAX_FILE_BYTES", 2**20)
    (tmp_path / "large.png").write_bytes(b"x" * (2**20 + 1))
    assert "larger than 1 MiB" in str(read_bytes(tmp_path / "large.png"))
    (tmp_path / "just.png").write_bytes(b"x" * 2**20)
    assert isinstance(read_bytes(tmp_path / "just.png"), bytes)
