"""What is probably wrong in an open gallery, as findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesearch.api.audit import Finding, confirm, findings_in, with_confirmed
from facesearch.api.gallery import Gallery
from facesearch.errors import NoGallery
from tests.helpers.drawn import save_colour


def copies(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.kind == "copies"]


def test_a_photo_under_two_names_is_found_with_its_evidence(colours: Gallery, tmp_path: Path):
    assert copies(findings_in(colours)) == []
    photo = save_colour(tmp_path / "same.png", (220, 10, 10), shade=77)
    for name in ("Ada", "Ben"):
        colours.enroll(name, photo)
    (found,) = copies(findings_in(colours))
    assert {found.person, found.other} == {"Ada", "Ben"} and not found.confirmed
    assert "enrolled under" in found.evidence and "score 1.000" in found.evidence
    assert [(shown.source, shown.role) for shown in found.photos] == [
        ("same.png", "own"),
        ("same.png", "doubtful"),
    ]
    assert [shown.score for shown in found.photos] == [pytest.approx(1, abs=1e-3)] * 2
    assert [finding.id for finding in copies(findings_in(colours))] == [found.id]


def test_a_photo_under_the_wrong_name_is_found_with_those_that_speak_against_it(
    colours: Gallery, tmp_path: Path
):
    colours.enroll("Ben", save_colour(tmp_path / "wrong.png", (200, 40, 30), shade=33))
    wrong = next(finding for finding in findings_in(colours) if finding.kind == "wrong_name")
    assert (wrong.person, wrong.other) == ("Ben", "Ada")
    assert wrong.evidence.startswith("Closer to Ada (") and "than to Ben's other photos" in wrong.evidence
    assert (wrong.photos[0].source, wrong.photos[0].role) == ("wrong.png", "doubtful")
    assert {(shown.person, shown.role) for shown in wrong.photos[1:]} == {("Ben", "own"), ("Ada", "other")}


def test_one_person_under_two_names_is_found(colours: Gallery, tmp_path: Path):
    colours.enroll("Ben", save_colour(tmp_path / "other.png", (220, 10, 10), shade=33))
    same = next(finding for finding in findings_in(colours) if finding.kind == "same_person")
    assert {same.person, same.other} == {"Ada", "Ben"} and same.evidence.startswith("As alike as")
    assert {shown.role for shown in same.photos} == {"own", "other"}


def test_a_finding_is_confirmed_and_the_confirmation_taken_back(colours: Gallery, tmp_path: Path):
    photo = save_colour(tmp_path / "same.png", (220, 10, 10), shade=77)
    for name in ("Ada", "Ben"):
        colours.enroll(name, photo)
    found = findings_in(colours)
    confirm(colours, found[0].id)
    assert [finding.confirmed for finding in with_confirmed(colours, found)] == [
        finding.id == found[0].id for finding in found
    ]
    confirm(colours, found[0].id, right=False)
    assert not any(finding.confirmed for finding in with_confirmed(colours, found))


def test_nothing_is_found_where_there_is_nothing_to_compare(nobody: Gallery, tmp_path: Path):
    assert findings_in(nobody) == []
    with pytest.raises(NoGallery):
        confirm(nobody, "0" * 64)
    nobody.enroll("Ada", save_colour(tmp_path / "one.png", "red"))
    assert findings_in(nobody) == []
