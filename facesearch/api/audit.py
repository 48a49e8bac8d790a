"""What is probably wrong in an open gallery, as findings that can be shown, fixed, or confirmed as right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from facesearch.api.gallery import Gallery
from facesearch.api.per_process import in_this_process
from facesearch.errors import NoGallery, NothingToDo, counted
from facesearch.evaluation import audit as job
from facesearch.evaluation import confirmed as memory

Role = Literal["doubtful", "own", "other"]
Kind = Literal["wrong_name", "same_person", "two_people", "copies"]


@dataclass(frozen=True, slots=True)
class FindingPhoto:
    """A photo that a finding is about.

    Attributes:
        person: The name under which it is enrolled.
        source: The photo's name.
        sha256: Of its bytes.
        role: "doubtful": the photo in doubt. "own", "other": one that speaks in the matter, of the same
            person or of the other one.
        score: Its cosine in the matter; None for the photo in doubt.
    """

    person: str
    source: str
    sha256: str
    role: Role
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit thinks is wrong.

    Attributes:
        id: By which it is known again.
        kind: What is wrong.
        person: The person it is about.
        other: The second person it is about; None where there is none.
        evidence: One sentence.
        photos: The photos.
        confirmed: Somebody has looked, and called it right as it is.
    """

    id: str
    kind: Kind
    person: str
    other: str | None
    evidence: str
    photos: tuple[FindingPhoto, ...]
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        state: "running" until the findings are there.
        findings: The findings.
        left: Findings beyond those listed.
    """

    state: Literal["running", "done"]
    findings: tuple[Finding, ...] = ()
    left: int = 0


@in_this_process
def findings_in(gallery: Gallery) -> list[Finding]:
    """All findings of a gallery. It takes a while, and what was confirmed before is not looked up.

    Returns:
        The findings, list by list, each by rank; none in a gallery of fewer than two photos.

    Raises:
        CorruptGallery: The gallery is damaged.
    """
    with gallery.store() as store:
        data = None if store is None else job.labelled_gallery(store)
    if data is None:
        return []
    try:
        result = job.audit(data, lambda done, total: None)
    except NothingToDo:
        return []
    return [*_wrong_names(result), *_same_people(result), *_two_people(result), *_copies(result)]


def with_confirmed(gallery: Gallery, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same findings, each with whether it was confirmed.

    Raises:
        CannotRead: What was confirmed cannot be read.
    """
    right = memory.confirmed(gallery.folder, [finding.id for finding in findings])
    return tuple(replace(finding, confirmed=finding.id in right) for finding in findings)


def confirm(gallery: Gallery, finding: str, *, right: bool = True) -> None:
    """Remember that a finding was looked at and is right as it is.

    Args:
        gallery: The gallery.
        finding: The finding's id.
        right: False takes an earlier confirmation back.

    Raises:
        NoGallery: There is no gallery.
        CannotRead: What was confirmed before cannot be read.
        CannotWrite: It cannot be written.
    """
    if not gallery.folder.is_dir():
        raise NoGallery(gallery.folder)
    memory.confirm(gallery.folder, finding, right=right)


def _photo(result: job.Audit, row: int, role: Role, score: float | None = None) -> FindingPhoto:
    data = result.data
    known = None if score is None else float(score)
    return FindingPhoto(str(data.people[row]), data.files[row], str(data.sha256[row]), role, known)


def _finding(
    kind: Kind,
    person: str,
    other: str | None,
    evidence: str,
    photos: Sequence[FindingPhoto],
    about: Sequence[FindingPhoto],
) -> Finding:
    """about: the photos by whose content the finding is known again."""
    known_by = memory.finding_id(kind, [photo.sha256 for photo in about], [person, other or ""])
    return Finding(known_by, kind, person, other, evidence, tuple(photos))


def _wrong_names(result: job.Audit) -> Iterator[Finding]:
    for wrong in result.wrong:
        person, other = str(result.data.people[wrong.row]), str(result.names[wrong.who])
        doubtful = _photo(result, wrong.row, "doubtful")
        own = [_photo(result, row, "own", score) for row, score in wrong.nearest_own]
        others = [_photo(result, row, "other", score) for row, score in wrong.nearest_other]
        evidence = (
            f"Closer to {other} ({wrong.other:.2f}) than to {person}'s other photos ({wrong.own:.2f}); "
            f"{wrong.stranger_share:.0%} of strangers come as close to {person}."
        )
        yield _finding("wrong_name", person, other, evidence, [doubtful, *own, *others], [doubtful])


def _same_people(result: job.Audit) -> Iterator[Finding]:
    for same in result.same:
        person, other = str(result.names[same.a]), str(result.names[same.b])
        photos = [
            photo
            for i, j, score in same.nearest
            for photo in (_photo(result, i, "own", score), _photo(result, j, "other", score))
        ]
        evidence = (
            f"As alike as one person's photos ({same.score:.2f}); {same.fitting:.0%} of their photos would"
            " fit both names."
        )
        yield _finding("same_person", person, other, evidence, photos, photos)


def _two_people(result: job.Audit) -> Iterator[Finding]:
    for split in result.clusters:
        person = str(result.names[split.person])
        apart = [_photo(result, row, "doubtful") for row in split.small]
        rest = [_photo(result, row, "own") for row in split.large]
        evidence = (
            f"{counted(len(apart), 'photo stands', 'photos stand')} apart from the other"
            f" {len(rest)} ({split.between:.2f}, while each"
            f" part holds together with {split.within:.2f}); {split.stranger_share:.0%} of pairs of different"
            " people are as alike."
        )
        yield _finding("two_people", person, None, evidence, [*apart, *rest], apart)


def _copies(result: job.Audit) -> Iterator[Finding]:
    for copy in result.copies:
        one, two = _photo(result, copy.a, "own", copy.cosine), _photo(result, copy.b, "doubtful", copy.cosine)
        other = two.person if two.person != one.person else None
        where = f"under {one.person} and under {two.person}" if other else f"twice under {one.person}"
        evidence = f"Probably one picture, enrolled {where} ({copy.kind}, score {copy.cosine:.3f})."
        yield _finding("copies", one.person, other, evidence, [one, two], [one, two])
