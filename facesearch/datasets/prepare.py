"""Turn a source of photos into one dataset folder, once: find, align, cut. Parallel, and it goes on where it
stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from facesearch.datasets.sources import Entry, Source
from facesearch.datasets.table import COLUMNS, FORMAT, MANIFEST, TABLE, Row, landmarks_text
from facesearch.errors import (
    CannotRead,
    NothingToDo,
    OutputExists,
    counted,
    said_of,
    unshown,
    writing,
    written,
)
from facesearch.faces.align import crop_face, scaled
from facesearch.faces.budget import DECODING
from facesearch.faces.crop import CROP_PX, GEOMETRY
from facesearch.faces.cutting import NO_FACE, cut_faces
from facesearch.faces.detect import Detector
from facesearch.faces.found_by import ALIGNED, KNOWN, name_before
from facesearch.faces.photos import read_photo
from facesearch.files import make_folder, of_cell, read_json, replace_csv, replace_json
from facesearch.records import F32, U8, Progress, Skipped
from facesearch.workers import Workers

BATCH = 256
SKIPPED = "skipped.csv"
CROPS, JOURNAL, PLAN = "crops.npy", "journal.jsonl", "plan"
WORK_FORM = 2
"""Of the unfinished folder: one of another form is begun again."""
HEAD = 128
"""Bytes of a .npy file before its numbers, for this kind of array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareConfig:
    """several: what to do with a photo on which more than one face is found: 'largest', 'skip', or 'all', a
    crop of each.

    aligned: the photos are face crops already; they are scaled to the crop's size and no face is looked for.
    """

    out: Path
    several: str = "largest"
    aligned: bool = False
    workers: int = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of it. resumed counts photos that an earlier, interrupted run had done."""

    folder: Path
    photos: int
    people: int
    splits: dict[str, int]
    skipped: tuple[Skipped, ...]
    crowded: int
    resumed: int
    already_there: bool


@dataclass(frozen=True, slots=True)
class _Cut:
    """What came of one photo: its crops with a row each, and how many faces there were."""

    rows: list[Row]
    crops: list[U8]
    faces: int


def prepare(source: Source, detector: Detector | None, config: PrepareConfig, progress: Progress) -> Prepared:
    """Write config.out. detector may be None when every entry has landmarks or config.aligned is set.

    Work in progress lies in `OUT.partial` and survives an interruption; the finished folder appears in one
    step. Raises OutputExists when another dataset lies at config.out, NothingToDo when no photo could be
    used, CannotWrite.
    """
    plan = _plan(source, detector, config)
    if config.out.is_dir() and not any(config.out.iterdir()):
        config.out.rmdir()  # an empty folder that somebody made ready
    if config.out.exists():
        return _existing(config.out, plan, len(source.entries), progress)
    partial = config.out.with_name(config.out.name + ".partial")
    outcomes = _resume(partial, plan, len(source.entries))
    resumed = sum(outcome is not None for outcome in outcomes)
    done = resumed
    progress(done, len(source.entries))
    with (
        writing(partial),
        _open_crops(partial / CROPS, _rows(outcomes)) as crops,
        (partial / JOURNAL).open("a", encoding="utf-8") as journal,
    ):
        for numbers, cuts in _cut_all(source, outcomes, detector, config):
            for number, cut in zip(numbers, cuts, strict=True):
                if isinstance(cut, _Cut):
                    for crop in cut.crops:
                        crops.write(np.ascontiguousarray(crop).data)
                    outcomes[number] = {
                        "rows": [list(asdict(row).values()) for row in cut.rows],
                        "faces": cut.faces,
                    }
                else:
                    outcomes[number] = {"skipped": cut.reason}
            crops.flush()  # the journal must never speak of a crop that is not in the file
            journal.writelines(json.dumps([number, outcomes[number]]) + "\n" for number in numbers)
            journal.flush()
            done += len(numbers)
            progress(done, len(source.entries))
    return _finish(source, partial, outcomes, plan, config.out, resumed)


def _plan(source: Source, detector: Detector | None, config: PrepareConfig) -> str:
    """A hash of everything that decides the result, so that only the same work is taken up again."""
    digest = hashlib.sha256()
    found_by = name_before(detector.name) if detector else None
    digest.update(repr((FORMAT, GEOMETRY, source.kind, found_by, config.several, config.aligned)).encode())
    for entry in source.entries:
        size = entry.path.stat().st_size if entry.path.exists() else -1
        points = None if entry.landmarks is None else landmarks_text(entry.landmarks)
        digest.update(repr((entry.name, entry.person, entry.split, points, size)).encode())
    return digest.hexdigest()


def _existing(out: Path, plan: str, entries: int, progress: Progress) -> Prepared:
    try:
        manifest = read_json(out / MANIFEST)
    except CannotRead as error:
        raise OutputExists(out, "is not a prepared dataset") from error
    if manifest.get("plan") != plan:
        raise OutputExists(out, "was made of other photos or with other settings")
    progress(entries, entries)
    left_out = _left_out(out / SKIPPED)
    return Prepared(out, manifest["photos"], manifest["people"], manifest["splits"], left_out, 0, 0, True)


def _left_out(table: Path) -> tuple[Skipped, ...]:
    """What was left out when the dataset was made. Raises CannotRead."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) == 2][1:]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, csv.Error) as error:
        raise CannotRead(table, said_of(table, error)) from error
    return tuple(Skipped(Path(unshown(of_cell(path))), of_cell(reason)) for path, reason in rows)


def _resume(partial: Path, plan: str, count: int) -> list[dict[str, Any] | None]:
    """What an interrupted run had done, by entry number; starts over when it was another plan."""
    outcomes: list[dict[str, Any] | None] = [None] * count
    marker, journal = partial / PLAN, partial / JOURNAL
    form = f"{plan} {WORK_FORM}"
    if marker.is_file() and marker.read_text() == form:
        if journal.is_file():
            for line in journal.read_text("utf-8").splitlines():
                try:
                    number, outcome = json.loads(line)
                except ValueError:  # the line that a kill cut short
                    break
                outcomes[number] = outcome
        return outcomes
    with writing(partial):
        if partial.exists():
            shutil.rmtree(partial)
        make_folder(partial)
        marker.write_text(form)
    return outcomes


def _rows(outcomes: list[dict[str, Any] | None]) -> int:
    """How many crops these photos gave."""
    return sum(len(outcome.get("rows", ())) for outcome in outcomes if outcome)


def _open_crops(path: Path, there: int) -> BinaryIO:
    """The file of crops, ready for more behind the first so many: photos are worked on in order, so are
    crops. Its head is written last.
    """
    path.touch()
    file = path.open("r+b")
    file.truncate(HEAD + there * CROP_PX * CROP_PX * 3)
    file.seek(0, os.SEEK_END)
    return file


def _write_head(path: Path, count: int) -> None:
    """Make the file of crops a .npy of so many."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (count, CROP_PX, CROP_PX, 3)}
    )
    assert len(head.getvalue()) == HEAD
    with path.open("r+b") as file:
        file.write(head.getvalue())
        file.flush()
        os.fsync(file.fileno())


def _cut_all(
    source: Source, outcomes: list[dict[str, Any] | None], detector: Detector | None, config: PrepareConfig
) -> Iterator[tuple[list[int], list[_Cut | Skipped]]]:
    """The photos that are still to be done, some at a time; after Ctrl-C those that came before it too."""
    todo = [number for number, outcome in enumerate(outcomes) if outcome is None]
    own = threading.local()

    def cut(number: int) -> _Cut | Skipped:
        if detector is not None and not hasattr(own, "detector"):
            own.detector = detector.another()
        with DECODING.span():
            return _cut(
                source, source.entries[number], own.detector if detector is not None else None, config
            )

    with Workers(config.workers, "photos") as workers:
        for start in range(0, len(todo), BATCH):
            numbers = todo[start : start + BATCH]
            futures: list[Future[_Cut | Skipped]] = []
            try:
                futures.extend(workers.submit(cut, number) for number in numbers)
                cuts = [future.result() for future in futures]
            except KeyboardInterrupt:
                done = list(takewhile(Future.done, futures))
                yield numbers[: len(done)], [future.result() for future in done]
                raise
            yield numbers, cuts


def _cut(source: Source, entry: Entry, detector: Detector | None, config: PrepareConfig) -> _Cut | Skipped:
    photo = read_photo(entry.path)
    if isinstance(photo, Skipped):
        return photo
    w, h = photo.size

    def row(points: F32, found_by: str) -> Row:
        return Row(
            entry.name, entry.person, entry.split, photo.sha256, source.kind, landmarks_text(points), found_by
        )

    if config.aligned:
        return _Cut([row(np.array([[0, 0], [w - 1, h - 1]], np.float32), ALIGNED)], [scaled(photo.pixels)], 1)
    if entry.landmarks is not None:
        if entry.size is not None and (w, h) != entry.size:
            return Skipped(
                entry.path, f"is {w} x {h} pixels; its landmarks hold for {entry.size[0]} x {entry.size[1]}"
            )
        return _Cut(
            [row(entry.landmarks, KNOWN)], [crop_face(photo.pixels, entry.landmarks / photo.scale)], 1
        )
    assert detector is not None, "entries without landmarks need a detector"
    found, refused = cut_faces(photo, detector)
    if not found:
        return Skipped(entry.path, refused or NO_FACE)
    if len(found) > 1 and config.several == "skip":
        return Skipped(entry.path, f"{len(found)} faces found")
    taken = found if config.several == "all" else found[:1]
    rows = [row(one.face.landmarks, one.face.found_by) for one in taken if one.face is not None]
    return _Cut(rows, [one.crop for one in taken], len(found))


def _finish(
    source: Source, partial: Path, outcomes: list[dict[str, Any] | None], plan: str, out: Path, resumed: int
) -> Prepared:
    done = [outcome or {"skipped": "not reached"} for outcome in outcomes]
    lost = [Skipped(source.entries[i].path, o["skipped"]) for i, o in enumerate(done) if "skipped" in o]
    skipped = source.skipped + tuple(lost)
    rows = [Row(*each) for outcome in done for each in outcome.get("rows", ())]
    if not rows:
        raise NothingToDo(
            str(source.root),
            f"none of {counted(len(done), 'photo')} could be used",
            f"The first: {skipped[0]}" if skipped else "",
            skipped,
        )
    splits = dict(Counter(row.split for row in rows))
    people = len({row.person for row in rows if row.person})
    crowded = sum(outcome["faces"] > 1 for outcome in done if "rows" in outcome)
    replace_csv(partial / TABLE, COLUMNS, (list(asdict(row).values()) for row in rows), exact=True)
    replace_csv(partial / SKIPPED, ("file", "reason"), ((written(s.path), s.reason) for s in skipped))
    manifest = {
        "format": FORMAT, "geometry": GEOMETRY, "kind": source.kind, "photos": len(rows), "people": people,
        "splits": splits, "skipped": len(skipped), "plan": plan,
    }  # fmt: skip
    with writing(out):
        _write_head(partial / CROPS, len(rows))
        replace_json(partial / MANIFEST, manifest)
        for name in (JOURNAL, PLAN):
            (partial / name).unlink()
        partial.rename(out)
    return Prepared(out, len(rows), people, splits, skipped, crowded, resumed, False)
