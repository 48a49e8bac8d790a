"""What an album that is being scanned, reviewed and sorted can refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import AlbumError, sentence
from facesearch.errors.showing import pasted


@dataclass(eq=False)
class NoAlbum(AlbumError):
    """No scan of an album lies there."""

    folder: Path

    status = 404
    about = "folder"
    what = "There is no scan of an album there."

    @property
    def advice(self) -> str:
        return f"Make one with: facesearch scan PHOTOS --out {pasted(self.folder)}"


@dataclass(eq=False)
class CorruptAlbum(AlbumError):
    """A scan is damaged."""

    folder: Path
    reason: str

    about = "folder"
    advice = (
        "Restore the folder from a backup. Or delete it, scan the photos again, and apply the reviews that"
        " you kept."
    )

    @property
    def what(self) -> str:
        return f"The scan is damaged: {self.reason}."


@dataclass(eq=False)
class OtherAlbum(AlbumError):
    """A scan goes on only with what it was begun with.

    Attributes:
        made: What differs, as "with the encoder".
    """

    folder: Path
    made: str
    was: str
    given: str

    status = 409
    about = "folder"

    @property
    def what(self) -> str:
        return f"This scan was not made {self.made} that is given now."

    @property
    def advice(self) -> str:
        return f"It was made {self.made} {self.was}, not {self.given}. Use the same again, or another --out."


@dataclass(eq=False)
class BadReview(AlbumError):
    """A review is not as it should be; nothing was changed.

    Attributes:
        line: The line that is wrong; 0 for the file as a whole.
    """

    path: Path
    line: int
    reason: str

    status = 422

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.line}" if self.line else str(self.path)

    @property
    def what(self) -> str:
        return f"{sentence(self.reason)} Nothing was changed and nobody was enrolled."


@dataclass(eq=False)
class OtherReview(AlbumError):
    """A review is of another album or gallery.

    Attributes:
        column: Which of both is another one.
        said: What the review says.
        given: What it would have to say.
    """

    path: Path
    line: int
    column: str
    said: str
    given: str

    status = 409

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.line}"

    @property
    def what(self) -> str:
        return (
            f"This is a review for another {self.column}: {self.said}, and not {self.given}. Nothing was"
            " changed and nobody was enrolled."
        )

    @property
    def advice(self) -> str:
        remedy = "--out SCAN" if self.column == "album" else "--gallery GALLERY"
        return (
            f"Pass the {self.column} that it is for with {remedy}, or scan again and review that. If it is"
            f" right all the same, delete the column {self.column} from it."
        )


@dataclass(eq=False)
class InsideAlbum(AlbumError):
    """A scan would sort into a folder of its own album."""

    out: Path
    root: Path

    status = 409
    about = "out"
    what = "This folder lies inside the album. The next scan would find every photo twice."

    @property
    def advice(self) -> str:
        return f"Choose a folder outside of {self.root}."


@dataclass(eq=False)
class SortBusy(AlbumError):
    """Another run sorts into the same folder."""

    out: Path

    status = 409
    about = "out"
    what = "Another run is sorting into this folder."
    advice = "Wait until it is done."


@dataclass(eq=False)
class TooManyFaces(AlbumError):
    """More faces than the chosen way to group can hold in memory."""

    faces: int
    most: int
    method: str

    status = 422
    advice = "Use --method average."

    @property
    def what(self) -> str:
        return sentence(
            f"the method {self.method} holds the distances of all pairs, and {self.faces:,} faces are more"
            f" than {self.most:,}"
        )
