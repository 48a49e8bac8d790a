"""Files that are either whole or not there, and that only their owner may read."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from facesearch.errors import DOWNLOAD, CannotRead, CannotWrite, is_url, reason_of, writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def make_folder(path: Path) -> Path:
    """Create path with its parents; a folder made here is readable by its owner only. Raises CannotWrite."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
    return path


def require_utf8(path: Path) -> None:
    """For files that are written by libraries, which take no other name. Raises CannotWrite."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise CannotWrite(path, "its name is not UTF-8") from error


def replace_file(path: Path, data: bytes) -> None:
    """Give path new contents in one step: it never holds half of them, even after a power cut. Raises
    CannotWrite.
    """
    with growing_file(path) as file:
        file.write(data)


def new_file_beside(path: Path) -> tuple[Path, BinaryIO]:
    """An empty file in path's folder that nobody could have foreseen or put a link instead of. Raises
    OSError.
    """
    fresh = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}.{os.getpid()}.new")
    return fresh, open(os.open(fresh, os.O_WRONLY | _NEW, OWNER_ONLY), "wb")


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, or a link to one, for reading; of a pipe, a device or a folder it is an OSError at
    once, with no waiting for the program at the other end.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if is_url(path):
            raise OSError(f"it is a URL; {DOWNLOAD}") from error
        raise
    _require_regular(mode, path)
    file = open(os.open(path, os.O_RDONLY | _AT_ONCE), "rb")  # noqa: SIM115 -- the caller's
    try:
        _require_regular(os.fstat(file.fileno()).st_mode, path)  # it may have become another meanwhile
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path) -> bytes:
    """All that is in a regular file. Raises OSError, of anything else at once."""
    with open_regular(path) as file:
        return file.read()


def _require_regular(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError("it is not a regular file")


@contextmanager
def growing_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written bit by bit that takes the place of path, in one step, when all is written. Raises
    CannotWrite.
    """
    with writing(path):
        fresh, opened = new_file_beside(path)
        try:
            with opened as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


@contextmanager
def locked_file(path: Path, busy: Exception | None = None) -> Iterator[None]:
    """One process at a time, on every system; one that dies lets go.

    busy: raised while another one is at it, rather than wait. Raises CannotWrite.
    """
    from filelock import FileLock, Timeout  # takes a while to import, and most commands lock nothing

    lock = FileLock(path, mode=OWNER_ONLY, blocking=busy is None)
    with writing(path):
        path.parent.stat()  # FileLock would make the folder, open to others
        try:
            lock.acquire()
        except Timeout as error:
            raise busy or error from error
    try:
        yield
    finally:
        lock.release()


def unfinished_files(folder: Path) -> list[Path]:
    """What writers that are no longer alive left half-written in a folder."""
    found = []
    for path in folder.glob(".*.new"):
        pid = path.name.split(".")[-2]
        if pid.isdigit() and os.name == "posix" and not _is_alive(int(pid)):
            found.append(path)
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def replace_json(path: Path, value: Any) -> None:
    """Write value as JSON in one step. Raises CannotWrite."""
    replace_file(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


_FORMULA = ("=", "+", "@", "-", "'", "\t", "\r", "\n")
EMPTY_MARK = "-"
"""What a review writes for nobody; alone it is no formula."""


def as_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe goes first. of_cell is the way back."""
    return "'" + text if text.startswith(_FORMULA) and text != EMPTY_MARK else text


def of_cell(text: str) -> str:
    """The text that as_cell was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def replace_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], *, exact: bool = False
) -> None:
    """Write a table as CSV in one step, for spreadsheets: no text in it is a formula. exact: for our own
    reading, as it is. Halves of characters, as in file names that are not UTF-8, are written as `\\udce9`.
    Raises CannotWrite.
    """
    wanted: Iterable[Sequence[object]] = rows if exact else map(_as_cells, rows)
    lines = [_csv_line(cells) for cells in (header, *wanted)]
    replace_file(path, "".join(lines).encode(errors="backslashreplace"))


def _as_cells(row: Sequence[object]) -> list[object]:
    return [as_cell(cell) if isinstance(cell, str) else cell for cell in row]


def _csv_line(cells: Sequence[object]) -> str:
    """One line, which ends in a line feed alone; a cell with either half of a line's end is quoted."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()[:-2] + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file of ours. Raises CannotRead when it is not there or not JSON."""
    try:
        return json.loads(read_regular(path))
    except OSError as error:
        raise CannotRead(path, reason_of(error)) from error
    except ValueError as error:
        raise CannotRead(path, f"not JSON: {error}") from error


def map_array(path: Path, mode: Literal["r", "r+"]) -> NDArray[Any]:
    """Map a .npy file into memory without reading it. Raises CannotRead for what is no whole .npy, or one of
    objects.
    """
    import numpy as np

    try:
        open_regular(path).close()
        mapped: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except OSError as error:
        raise CannotRead(path, reason_of(error)) from error
    except (
        ValueError,
        EOFError,
        OverflowError,
        SyntaxError,
        TokenError,
    ) as error:  # NumPy reads the header as Python's tokens
        raise CannotRead(path, f"no whole .npy file ({type(error).__name__})") from error
    return mapped


def sha256_of(path: Path) -> str:
    """Hash a file's bytes. Raises CannotRead."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CannotRead(path, reason_of(error)) from error
