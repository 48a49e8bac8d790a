"""enroll --refuse-lookalikes: whoever is closer to somebody else is not enrolled, and the rest are."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from facesearch.gallery.enroll import enroll
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet


@pytest.fixture
def two_people(tmp_path: Path) -> tuple[Path, ColourEncoder]:
    encoder = ColourEncoder()
    photos = [
        ("Ana", save_colour(tmp_path / "in/a.png", "red")),
        ("Ben", save_colour(tmp_path / "in/b.png", "blue")),
    ]
    enroll(photos, tmp_path / "g", encoder, None, largest=False, fpir=None, progress=quiet)
    with Store.open(tmp_path / "g") as gallery:
        gallery.notes.set_threshold(Threshold(0.9, 0.01, "by hand", 100, 2))
    return tmp_path / "g", encoder


def test_refusing_lookalikes_refuses_whoever_is_closer_to_somebody_else_and_enrolls_the_rest(
    two_people, tmp_path: Path
):
    folder, encoder = two_people
    photos = [
        ("Ben", save_colour(tmp_path / "in/c.png", "red", shade=40)),  # Ana's
        ("Ben", save_colour(tmp_path / "in/d.png", "blue", shade=40)),
        ("Eva", save_colour(tmp_path / "in/e.png", "blue", shade=20)),  # a second name for Ben
        ("Eva", save_colour(tmp_path / "in/f.png", "green")),
    ]
    result = enroll(
        photos, folder, encoder, None, largest=False, fpir=None, progress=quiet, refuse_lookalikes=True
    )
    assert result.added == {"Ben": 1, "Eva": 1} and [s.path.name for s in result.skipped] == [
        "c.png",
        "e.png",
    ]
    assert (
        "closer to Ana" in result.skipped[0].reason
        and "a.png" in result.skipped[0].reason
        and "with Ben" in result.skipped[0].reason
    )
    assert "closer to Ben" in result.skipped[1].reason and "Eva has no photo yet" in result.skipped[1].reason
    loose = enroll(photos, folder, encoder, None, largest=False, fpir=None, progress=quiet)
    assert loose.added == {"Ben": 1, "Eva": 1} and loose.skipped == ()


def test_refusing_lookalikes_searches_once_a_photo_and_opens_the_index_once(
    two_people, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from facesearch.gallery import enroll as job

    folder, encoder = two_people
    counts = {"open": 0, "search": 0}

    def counted(name, real):
        def call(*args, **named):
            counts[name] += 1
            return real(*args, **named)

        return call

    monkeypatch.setattr(job, "open_for", counted("open", job.open_for))
    monkeypatch.setattr(job, "nearest_people", counted("search", job.nearest_people))
    photos = [("Ben", save_colour(tmp_path / f"in/x{k}.png", "blue", shade=10 * k + 5)) for k in range(5)]
    enroll(photos, folder, encoder, None, largest=False, fpir=None, progress=quiet, refuse_lookalikes=True)
    assert counts == {"open": 1, "search": 5}


def test_refusing_lookalikes_on_the_command_line(run, album: Path, weights: Path, tmp_path: Path):
    run(
        "enroll", "--from", album, "--aligned", "--weights", weights, "--refuse-lookalikes"
    )  # into a new gallery: nobody is there yet
    with Store.open(tmp_path / "index") as gallery:
        gallery.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 100, 48))
    first, second = sorted((album / "p001").iterdir())[:2]
    copy = tmp_path / "other.png"
    Image.open(first).convert("RGB").save(tmp_path / "other.png", compress_level=1)
    refused = run(
        "enroll", "Somebody", copy, "--aligned", "--weights", weights, "--refuse-lookalikes", code=1
    )
    assert "Closer to p001" in refused.stderr
    assert "Somebody" not in run("list").stdout
    assert (
        run("enroll", "p001", second, "--aligned", "--weights", weights, "--refuse-lookalikes").stdout == ""
    )  # known already
    assert (
        run("enroll", "Somebody", copy, "--aligned", "--weights", weights).stdout
        == "Somebody: 1 photo enrolled\n"
    )


def test_refusing_lookalikes_without_a_threshold_says_what_it_did_not_check(tmp_path: Path):
    encoder = ColourEncoder()
    enroll(
        [("Ana", save_colour(tmp_path / "a.png", "red"))],
        tmp_path / "g",
        encoder,
        None,
        largest=False,
        fpir=None,
        progress=quiet,
    )
    again = [("Ben", save_colour(tmp_path / "b.png", "red", shade=9))]
    result = enroll(
        again, tmp_path / "g", encoder, None, largest=False, fpir=None, progress=quiet, refuse_lookalikes=True
    )
    assert result.unchecked == 1 and result.added == {"Ben": 1}
