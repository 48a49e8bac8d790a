"""What an album that is being scanned, reviewed and sorted can refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class NoAlbum(FaceSearchError):
    folder: Path

    def __str__(self) -> str:
        return f"{self.folder}: no scan of an album there.\nMake one with: facesearch scan PHOTOS --out {self.folder}"


@dataclass(eq=False)
class CorruptAlbum(FaceSearchError):
    folder: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"the scan {self.folder} is damaged: {self.reason}.\nRestore the folder from a backup, or delete it, scan the photos again, "
            "and apply the reviews that you kept."
        )


@dataclass(eq=False)
class OtherAlbum(FaceSearchError):
    """A scan goes on only with what it was begun with."""

    folder: Path
    what: str
    was: str
    given: str

    def __str__(self) -> str:
        return f"the scan {self.folder} was made {self.what} {self.was}, not {self.given}.\nUse the same again, or another --out."


@dataclass(eq=False)
class BadReview(FaceSearchError):
    """line 0: the file as a whole."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}" if self.line else str(self.path)
        return f"{where}: {self.reason}.\nNothing was changed and nobody was enrolled."


@dataclass(eq=False)
class InsideAlbum(FaceSearchError):
    out: Path
    root: Path

    def __str__(self) -> str:
        return f"{self.out} lies inside the album {self.root}: the next scan would find every photo twice.\nChoose a folder outside of it."


@dataclass(eq=False)
class TooManyFaces(FaceSearchError):
    faces: int
    most: int
    method: str

    def __str__(self) -> str:
        return (
            f"{self.method} holds the distances of all pairs, and {self.faces:,} faces are more than {self.most:,}. Use --method average."
        )
