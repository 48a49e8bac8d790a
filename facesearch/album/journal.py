"""What sort has placed in a folder, noted there, so that a later run can move it or take it back: a line of
JSON for every file, written before the file is. A run that was killed leaves no file that nobody knows of.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

from facesearch.album.album import is_below
from facesearch.errors import CannotRead, SortBusy, reason_of, writing
from facesearch.files import locked_file, make_folder, read_regular, replace_file

JOURNAL = ".facesearch-sort.jsonl"
LOCK = ".facesearch-sort.lock"


@dataclass(frozen=True, slots=True)
class Placed:
    """One file that was placed. target: where, below the folder; album: whose photo it is; source: its path
    below the album; sha256: the photo's content; of: of a side file the target of its photo, else empty; way:
    copy, hard or sym; link: what a symbolic link says; bytes, mtime_ns: as it was when it was placed."""

    target: str
    album: str
    source: str
    sha256: str
    of: str
    way: str
    link: str
    bytes: int
    mtime_ns: int

    @property
    def folder(self) -> str:
        return self.target.rpartition("/")[0]


class Journal:
    """The notes of one folder. placed: by target, of every album that was sorted into it."""

    def __init__(self, out: Path, *, dry_run: bool) -> None:
        self._out, self._path, self._dry_run = out, out / JOURNAL, dry_run
        self.placed = _read(self._path)
        self._file: TextIO | None = None

    def note(self, placed: Placed) -> None:
        """It is about to be placed there, or is as it is told now."""
        self.placed[placed.target] = placed
        self._write(asdict(placed))

    def drop(self, target: str) -> None:
        """It is there no more."""
        if self.placed.pop(target, None) is not None:
            self._write({"gone": target})

    def _write(self, line: dict[str, object]) -> None:
        if self._dry_run:
            return
        with writing(self._path):
            if self._file is None:
                make_folder(self._out)
                self._file = open(  # noqa: SIM115 -- closed by close
                    os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, 0o600), "a"
                )
                self._file.write("\n")  # a killed run may have left half a line
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Keep what holds and nothing else; no file at all where nothing is placed any more."""
        if self._file is None:
            return
        with writing(self._path):
            self._file.close()
            if self.placed:
                lines = (json.dumps(asdict(placed)) for placed in self.placed.values())
                replace_file(self._path, ("\n".join(lines) + "\n").encode())
            else:
                self._path.unlink(missing_ok=True)


_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def journal_of(out: Path, *, dry_run: bool) -> Iterator[Journal]:
    """The notes of a folder, which nobody else writes meanwhile. Raises SortBusy, CannotRead, CannotWrite."""
    if dry_run:
        yield Journal(out, dry_run=True)
        return
    ours = not out.is_dir()
    make_folder(out)
    journal = None
    try:
        with locked_file(out / LOCK, SortBusy(out)):
            journal = Journal(out, dry_run=False)
            ours = ours or bool(journal.placed)
            try:
                yield journal
            finally:
                journal.close()
    finally:
        if journal is not None and not journal.placed:
            with contextlib.suppress(OSError):
                (out / LOCK).unlink(missing_ok=True)
                if ours:
                    out.rmdir()  # where nothing else is in it


def _read(path: Path) -> dict[str, Placed]:
    """What the notes say. They may come from anybody, and a line may be broken off: what does not fit is
    passed over, and no path leads out of the folder.
    """
    if not path.is_file():
        return {}
    try:
        text = read_regular(path).decode("ascii", "replace")
    except OSError as error:
        raise CannotRead(path, reason_of(error)) from error
    placed: dict[str, Placed] = {}
    for line in text.splitlines():
        try:
            words = json.loads(line)
        except ValueError:
            continue
        if not isinstance(words, dict):
            continue
        if isinstance(gone := words.get("gone"), str):
            placed.pop(gone, None)
        elif (one := _placed(words)) is not None:
            placed[one.target] = one
    return placed


def _placed(words: dict[str, object]) -> Placed | None:
    values = {field.name: words.get(field.name) for field in fields(Placed)}
    for field in fields(Placed):
        if type(values[field.name]).__name__ != field.type:
            return None
    one = Placed(**values)  # type: ignore[arg-type]
    return one if is_below(one.target) and is_below(one.source) else None
