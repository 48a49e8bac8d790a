"""The gallery that came with the checkout: it is copied, and a command that changes it says so."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from facesearch.api import demo
from facesearch.api.demo import came_with_checkout, demo_gallery
from facesearch.api.opening import open_gallery
from facesearch.errors import NotFound, OutputExists

SAID = "git tracks it"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What makes a folder a checkout."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "facesearch").mkdir()
    (tmp_path / "facesearch" / "version.py").touch()
    return tmp_path


def test_only_index_beside_the_package_and_git_came_with_the_checkout(checkout: Path):
    assert came_with_checkout(checkout / "index")
    (checkout / "people").symlink_to(checkout / "index")
    (checkout / "index").mkdir()
    assert came_with_checkout(checkout / "people"), "by another name"
    assert not came_with_checkout(checkout / "index" / "index")
    assert not came_with_checkout(checkout / "mine")
    (checkout / ".git").rmdir()
    assert not came_with_checkout(checkout / "index"), "nothing tracks it"
    (checkout / ".git").write_text("gitdir: elsewhere\n")
    assert came_with_checkout(checkout / "index"), "a work tree"


@pytest.mark.slow
def test_a_command_that_changes_the_tracked_gallery_says_so_once_and_others_do_not(
    checkout: Path, album: Path, weights: Path, run: Any
):
    own = ("--aligned", "--weights", weights)
    first = run("enroll", "--from", album, *own)
    assert first.stderr.count(SAID) == 1 and "facesearch demo-gallery FOLDER" in first.stderr
    assert SAID not in first.stdout
    someone = open_gallery(checkout / "index").people()[0].person
    for words in (("rename", someone, "Ada"), ("forget", "Ada"), ("verify", "--rebuild")):
        assert run(*words).stderr.count(SAID) == 1, words
    photo = next(album.rglob("*.png"))
    for words in (("query", photo, *own), ("list",), ("info",), ("verify",), ("backup", "copy")):
        assert SAID not in run(*words).stderr, words
    assert SAID not in run("enroll", "--from", album, *own, "--gallery", "mine").stderr


@pytest.mark.slow
def test_the_gallery_that_comes_with_the_checkout_is_copied_and_stays_as_it_is(tmp_path: Path, run: Any):
    shipped = demo.CHECKOUT / "index" / "gallery.sqlite"
    if not shipped.is_file():
        pytest.skip("not a checkout")
    before = sha256(shipped.read_bytes()).hexdigest()
    said = run("demo-gallery", "celebrities")
    assert said.stdout == "celebrities: 12011 faces of 500 people\n"
    assert "--gallery celebrities" in said.stderr
    assert sha256(shipped.read_bytes()).hexdigest() == before
    copy = open_gallery(tmp_path / "celebrities")
    copy.forget(copy.people()[0].person)
    assert len(copy.people()) == 499 and not came_with_checkout(tmp_path / "celebrities")
    with pytest.raises(OutputExists):
        demo_gallery(tmp_path / "celebrities")


def test_a_package_from_a_wheel_has_no_gallery_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path)
    with pytest.raises(NotFound, match="There is no gallery to copy there") as caught:
        demo_gallery(tmp_path / "copy")
    assert "It comes with the repository" in caught.value.advice
    assert not (tmp_path / "copy").exists()
