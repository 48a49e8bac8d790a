"""The audit of a served gallery: made in a thread of its own, once for each state of the gallery, as findings that can be mended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

from facesearch.api.gallery import Gallery
from facesearch.errors import FacesearchError, NothingToDo
from facesearch.jobs.audit import Audit, audit, labelled_gallery
from facesearch.jobs.confirmed import confirmed, finding_id
from facesearch.web import models

LOG = logging.getLogger("facesearch.web")
Photo = models.FindingPhoto


class Checkup:
    """Asked for its findings, it begins the audit when the gallery has changed, and says so until it is done."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._guard = threading.Lock()
        self._done: tuple[object, list[models.Finding]] | None = None
        self._failed: tuple[object, FacesearchError] | None = None
        self._running = False

    def findings(self, limit: int) -> models.Audit:
        """What is known now, the likeliest first. Raises what the last audit of this state of the gallery raised."""
        with self._gallery.store() as store:
            state = None if store is None else store.state
        if state is None:
            return models.Audit(state="done", findings=[])
        with self._guard:
            if self._failed is not None and self._failed[0] == state:
                raise self._failed[1]
            if self._done is None or self._done[0] != state:
                if not self._running:
                    self._running = True
                    threading.Thread(target=self._run, name="audit", daemon=True).start()
                return models.Audit(state="running", findings=[])
            found = self._done[1]
        right = confirmed(self._gallery.folder, [finding.id for finding in found])
        shown = [finding.model_copy(update={"confirmed": finding.id in right}) for finding in found[:limit]]
        return models.Audit(state="done", findings=shown, left=len(found) - len(shown))

    def _run(self) -> None:
        state: object = None
        try:
            with self._gallery.store() as store:
                if store is not None:
                    state = store.state
                    found = findings_of(audit(labelled_gallery(store), lambda done, total: None))
                    with self._guard:
                        self._done, self._failed = (state, found), None
        except NothingToDo:  # fewer than two photos
            with self._guard:
                self._done = state, []
        except FacesearchError as error:
            with self._guard:
                self._failed = state, error
        except Exception:
            LOG.exception("audit failed")
            with self._guard:
                self._failed = state, FacesearchError()
        finally:
            with self._guard:
                self._running = False


def findings_of(result: Audit) -> list[models.Finding]:
    """All findings of an audit of a gallery, each with the photos that it is about; list by list, each by rank."""
    return [*_wrong_names(result), *_same_people(result), *_two_people(result), *_copies(result)]


def _photo(result: Audit, row: int, role: str, score: float | None = None) -> Photo:
    data = result.data
    return Photo.model_validate(
        {"person": str(data.people[row]), "source": data.files[row], "sha256": str(data.sha256[row]), "role": role, "score": score}
    )


def _finding(kind: str, person: str, other: str | None, evidence: str, photos: Sequence[Photo], about: Sequence[Photo]) -> models.Finding:
    """about: the photos by whose content the finding is known again."""
    known_by = finding_id(kind, [photo.sha256 for photo in about], [person, other or ""])
    return models.Finding.model_validate(
        {"id": known_by, "kind": kind, "person": person, "other": other, "evidence": evidence, "photos": list(photos), "confirmed": False}
    )


def _wrong_names(result: Audit) -> Iterator[models.Finding]:
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


def _same_people(result: Audit) -> Iterator[models.Finding]:
    for same in result.same:
        person, other = str(result.names[same.a]), str(result.names[same.b])
        photos = [
            photo
            for i, j, score in same.nearest
            for photo in (_photo(result, i, "own", score), _photo(result, j, "other", score))
        ]  # fmt: skip
        evidence = f"As alike as one person's photos ({same.score:.2f}); {same.fitting:.0%} of their photos would fit both names."
        yield _finding("same_person", person, other, evidence, photos, photos)


def _two_people(result: Audit) -> Iterator[models.Finding]:
    for split in result.clusters:
        person = str(result.names[split.person])
        apart = [_photo(result, row, "doubtful") for row in split.small]
        rest = [_photo(result, row, "own") for row in split.large]
        evidence = (
            f"{len(apart)} photos stand apart from the other {len(rest)} ({split.between:.2f}, while each part holds together "
            f"with {split.within:.2f}); {split.stranger_share:.0%} of pairs of different people are as alike."
        )
        yield _finding("two_people", person, None, evidence, [*apart, *rest], apart)


def _copies(result: Audit) -> Iterator[models.Finding]:
    for copy in result.copies:
        one, two = _photo(result, copy.a, "own", copy.cosine), _photo(result, copy.b, "doubtful", copy.cosine)
        other = two.person if two.person != one.person else None
        where = f"under {one.person} and under {two.person}" if other else f"twice under {one.person}"
        evidence = f"Probably one picture, enrolled {where} ({copy.kind}, score {copy.cosine:.3f})."
        yield _finding("copies", one.person, other, evidence, [one, two], [one, two])
