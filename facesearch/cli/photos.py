"""What commands over photos share: the photos that their arguments name, counted, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from facesearch.cli.terminal import report_skips
from facesearch.errors import counted, unshown

if TYPE_CHECKING:
    from facesearch.answers import DetectedPhoto, EmbeddedPhoto, SkippedPhoto
    from facesearch.records import Progress, Skipped

P = TypeVar("P", "DetectedPhoto", "EmbeddedPhoto")


def files_of(photos: Iterable[Path]) -> list[Path | Skipped]:
    """The photos below these files and folders, and what was passed over."""
    from facesearch.api.inputs import walk

    return [found for photo in photos for found in walk(photo)]


def watched(found: Iterator[P], total: int, progress: Progress, skipped: list[Skipped]) -> Iterator[P]:
    """The same photos, counted; those that were left out are added to skipped too."""
    from facesearch.records import Skipped

    progress(0, total)
    for number, photo in enumerate(found, 1):
        if photo.skipped is not None:
            skipped.append(Skipped(Path(unshown(photo.photo)), photo.skipped))
        yield photo
        progress(number, total)


def require_a_face(faces: int, skipped: Sequence[Skipped]) -> None:
    """Raises NothingToDo when no photo showed a face."""
    from facesearch.errors import NothingToDo

    if not faces:
        report_skips(skipped)
        where = counted(len(skipped), "photo") if len(skipped) != 1 else str(skipped[0].path)
        raise NothingToDo(where, "no face in any of them", left_out=tuple(skipped))


def as_skips(items: Iterable[SkippedPhoto]) -> list[Skipped]:
    """What an answer says was left out, as report_skips takes it."""
    from facesearch.records import Skipped

    return [Skipped(Path(unshown(item.photo)), item.reason) for item in items]
