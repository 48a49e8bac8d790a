"""Files, folders and settings that are not as they should be."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

from facesearch.errors.base import DataError, FacesearchError, sentence
from facesearch.errors.showing import counted, pasted

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/+")
DOWNLOAD = "nothing is fetched here: download it first, and give the file"


def is_url(path: Path) -> bool:
    """Whether this would be a URL, if it were not taken for a path, which has no two slashes in a row. It may
    be a path all the same."""
    return _URL.match(str(path)) is not None


@dataclass(eq=False)
class NotFound(DataError):
    """A file or folder is not there."""

    path: Path
    thing: str
    hint: str = ""

    status = 404
    about = "path"

    @property
    def where(self) -> str:
        return _URL.sub(r"\1://", str(self.path))

    @property
    def what(self) -> str:
        return "That is a URL." if is_url(self.path) else f"There is no {self.thing} there."

    @property
    def advice(self) -> str:
        return f"{DOWNLOAD[0].upper()}{DOWNLOAD[1:]}." if is_url(self.path) else self.hint


@dataclass(eq=False)
class CannotRead(DataError):
    """A file or folder cannot be read."""

    path: Path
    reason: str
    hint: str = ""

    kind = "could-not"
    about = "path"

    @property
    def what(self) -> str:
        return f"The file or folder cannot be read: {self.reason}."

    @property
    def advice(self) -> str:
        return self.hint


@dataclass(eq=False)
class CannotWrite(DataError):
    """A file or folder cannot be written; what was there before is unchanged."""

    path: Path
    reason: str

    about = "path"

    @property
    def what(self) -> str:
        return f"The file or folder cannot be written: {self.reason}. What was there before is unchanged."


class NotKept(UserWarning):
    """What was worked out, and would have been kept for the next time, could not be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)

    def __str__(self) -> str:
        path, reason = self.args
        return (
            f"warning: {path} cannot be written: {reason}. What would stand there is worked out again next"
            " time; it is kept where that folder can be written."
        )


@dataclass(eq=False)
class OutputLost(FacesearchError):
    """Nobody takes the answer on stdout.

    Attributes:
        quiet: Nobody reads it any more, as after `| head`.
    """

    reason: str
    quiet: bool = False

    advice = "What the command did is done; its answer, or a part of it, is lost."

    @property
    def what(self) -> str:
        return f"The answer could not be written to stdout: {self.reason}."


@dataclass(eq=False)
class NothingToDo(DataError):
    """Every photo given was left out, or there was none.

    Attributes:
        left_out: What was left out, each a Skipped.
    """

    place: str
    reason: str
    hint: str = ""
    left_out: tuple[object, ...] = ()

    kind = "too-few"
    status = 409
    about = "place"

    @property
    def what(self) -> str:
        return sentence(self.reason)

    @property
    def advice(self) -> str:
        return self.hint


@dataclass(eq=False)
class UnusablePhoto(DataError):
    """A photo that cannot be read or decoded."""

    photo: Path
    reason: str

    kind = "bad-photo"
    status = 422
    about = "photo"

    @property
    def what(self) -> str:
        return f"The photo cannot be used: {self.reason}."


@dataclass(eq=False)
class NoFace(DataError):
    """A photo without a face, or without one of this number."""

    photo: Path
    number: int | None = None
    found: int = 0
    reason: str = ""
    """Why what looked like a face was refused; empty where nothing did."""

    status = 422
    about = "photo"

    @property
    def what(self) -> str:
        if self.reason:
            return sentence(self.reason)
        if self.number is None:
            return "No face was found in the photo."
        return f"There is no face {self.number} in the photo; it shows {self.found}."


@dataclass(eq=False)
class BadBox(DataError):
    """A box that was drawn by hand cannot be a face's.

    Attributes:
        box: x, y, width, height.
        size: The photo's width and height.
    """

    photo: Path
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    reason: str

    status = 422
    about = "photo"

    @property
    def what(self) -> str:
        box = ",".join(f"{value:g}" for value in self.box)
        return f"The box {box} is no face's: {self.reason}."

    @property
    def advice(self) -> str:
        w, h = self.size
        return f"Give x,y,width,height in pixels of the upright photo, which is {w} wide and {h} high."


@dataclass(eq=False)
class SeveralFaces(DataError):
    """A photo shows several faces, and none was chosen."""

    photo: Path
    found: int

    kind = "no-face"
    status = 422
    about = "photo"
    advice = "Pass --largest to take the largest one."

    @property
    def what(self) -> str:
        return (
            f"There are {counted(self.found, 'face')} in the photo. Say which one: from 1, the largest first."
        )


@dataclass(eq=False)
class PhotosSkipped(DataError):
    """Under --strict: the work was done, but some photos were left out."""

    count: int

    status = 422

    @property
    def what(self) -> str:
        return (
            f"The work is done, but not all of it: {self.count} left out (listed above), and --strict was"
            " given."
        )


@dataclass(eq=False)
class OutputExists(DataError):
    """The output exists already."""

    path: Path
    why: str
    hint: str = "Choose another --out, or remove that folder first."

    status = 409
    about = "path"

    @property
    def what(self) -> str:
        return f"This exists already and {self.why}."

    @property
    def advice(self) -> str:
        return self.hint


@dataclass(eq=False)
class UnknownSource(DataError):
    """A folder is no source of photos that is known."""

    path: Path

    status = 422
    about = "path"
    what = "No photo source is recognised here."
    advice = (
        "It should hold one of\n  celebA_imgs/ + celebA_anno.txt               CelebA-500 as handed out (and"
        " its extra people: + roles.txt)\n  img_align_celeba/ + identity_CelebA.txt      CelebA's own files\n"
        "  celebA_query/ + celebA_anno_query.csv        the identification-rate set\n  one folder a person,"
        " with photos in each"
    )


@dataclass(eq=False)
class BadTable(DataError):
    """A line of a table is not as it should be."""

    path: Path
    line: int
    reason: str

    status = 422

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.line}"

    @property
    def what(self) -> str:
        return sentence(self.reason)


@dataclass(eq=False)
class BadVectors(DataError):
    """An array of vectors, or a row of it (counted from 0), cannot be enrolled."""

    path: Path
    row: int | None
    reason: str

    status = 422
    advice = "Nothing was added. Correct the array, or leave that row out of it and of the names."

    @property
    def where(self) -> str:
        return str(self.path) if self.row is None else f"{self.path}, row {self.row} (the first is 0)"

    @property
    def what(self) -> str:
        return sentence(self.reason)


@dataclass(eq=False)
class BadDataset(DataError):
    """A folder is not a whole prepared dataset."""

    path: Path
    reason: str

    about = "path"

    @property
    def what(self) -> str:
        return f"This is not a whole prepared dataset: {self.reason}."

    @property
    def advice(self) -> str:
        return f"Make it again with: facesearch prepare SOURCE --out {pasted(self.path)}"


@dataclass(eq=False)
class Interrupted(FacesearchError):
    """A command was interrupted.

    Attributes:
        done: What is safe, in words.
        folder: Where it is.
        resume: The command that goes on.
        signal: The number of the signal.
    """

    done: str
    resume: str
    folder: Path | None = None
    signal: int = SIGINT

    @property
    def where(self) -> str:
        return str(self.folder or "")

    @property
    def what(self) -> str:
        return f"Interrupted; {self.done}."

    @property
    def advice(self) -> str:
        return f"Go on with:\n  {self.resume}"


@dataclass(eq=False)
class PackageMissing(FacesearchError):
    """A Python package is needed that is not installed."""

    package: str
    extra: str
    why: str

    @property
    def what(self) -> str:
        return sentence(f"{self.why} needs the package {self.package}")

    @property
    def advice(self) -> str:
        return (
            f"Install it with: pip install 'facesearch[{self.extra}]'"
            if self.extra
            else f"Install it with: pip install {self.package}"
        )


_REASONS = {
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
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return os.strerror(error.errno) if error.errno else str(error)


def said_of(path: Path, error: Exception) -> str:
    """The first line of what a library says of a file, short, without the folder that the file is in."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line.replace(f"{path.absolute().parent}/", "").replace(f"{path.parent}/", "")[:200]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while we write to path into `CannotWrite`."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, reason_of(error)) from error
