"""Files, folders and settings that are not as they should be."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class NotFound(FaceSearchError):
    path: Path
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: no {self.what} there." + (f"\n{self.hint}" if self.hint else "")


@dataclass(eq=False)
class CannotRead(FaceSearchError):
    path: Path
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path} cannot be read: {self.reason}." + (f"\n{self.hint}" if self.hint else "")


@dataclass(eq=False)
class CannotWrite(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be written: {self.reason}. What was there before is unchanged."


@dataclass(eq=False)
class NothingToDo(FaceSearchError):
    """Every photo given was left out, or there was none."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}."


@dataclass(eq=False)
class PhotosSkipped(FaceSearchError):
    """Raised under --strict: the work was done, but some photos were left out."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} left out (listed above), and --strict was given. The rest is done."


@dataclass(eq=False)
class OutputExists(FaceSearchError):
    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path} exists already and {self.why}.\nChoose another --out, or remove that folder first."


@dataclass(eq=False)
class Interrupted(FaceSearchError):
    what: str
    resume: str

    def __str__(self) -> str:
        return f"interrupted; {self.what}. Go on with:\n  {self.resume}"


@dataclass(eq=False)
class PackageMissing(FaceSearchError):
    package: str
    extra: str
    why: str

    def __str__(self) -> str:
        return f"{self.why} needs the package {self.package}. Install it with: pip install 'facesearch[{self.extra}]'"


_KINDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file of that name is in the way",
    errno.EISDIR: "there is a folder of that name",
    errno.ENAMETOOLONG: "the name is too long",
}


def reason_of(error: OSError) -> str:
    """Say in words why the system refused."""
    if error.errno in _KINDS:
        return _KINDS[error.errno]
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while we write to path into `CannotWrite`."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, reason_of(error)) from error
