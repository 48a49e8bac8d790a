"""Enrolled photos, which lie somewhere and are recognised by content."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from facesearch.encoder.stream import detected
from facesearch.faces.detect import Detector
from facesearch.faces.photos import walk
from facesearch.files import sha256_of
from facesearch.records import Skipped

R = TypeVar("R")


def found_by_content(
    roots: Sequence[Path],
    wanted: Container[str],
    done: Container[str],
    find: Callable[[Path, Detector | None], R],
    detector: Detector | None,
) -> Iterator[tuple[str, R]]:
    """(content hash, find(path, detector)) of every photo below these folders whose content is wanted, in
    several threads. done: contents that have served already; it may grow meanwhile.
    """

    def look(path: Path, own: Detector | None) -> tuple[str, R] | None:
        sha256 = sha256_of(path)
        return (sha256, find(path, own)) if sha256 in wanted and sha256 not in done else None

    files = (found for root in roots for found in walk(root) if not isinstance(found, Skipped))
    for found in detected(look, files, detector):
        if found is not None and found[0] not in done:
            yield found
