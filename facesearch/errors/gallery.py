"""What a gallery can refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class NoGallery(FaceSearchError):
    gallery: Path

    def __str__(self) -> str:
        return (
            f"{self.gallery}: no gallery there.\nMake one with: facesearch build-index --gallery {self.gallery}"
            f"   or: facesearch enroll NAME PHOTO... --gallery {self.gallery}"
        )


@dataclass(eq=False)
class EmptyGallery(FaceSearchError):
    gallery: Path

    def __str__(self) -> str:
        return (
            f"{self.gallery}: nobody is enrolled yet, so there is nobody to find.\n"
            f"Add people with: facesearch enroll NAME PHOTO... --gallery {self.gallery}"
        )


@dataclass(eq=False)
class CorruptGallery(FaceSearchError):
    gallery: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"the gallery {self.gallery} is damaged: {self.reason}.\n"
            "Restore the folder from a backup, or build it again with facesearch build-index."
        )


@dataclass(eq=False)
class Damaged(FaceSearchError):
    """Raised after a check has listed what is wrong."""

    gallery: Path
    problems: int

    def __str__(self) -> str:
        return (
            f"{self.gallery} is damaged in {self.problems} places (listed above). Nothing was changed.\n"
            "Restore the folder from a backup (facesearch import FILE), or build it again with facesearch build-index."
        )


@dataclass(eq=False)
class GalleryBusy(FaceSearchError):
    gallery: Path
    waited_s: float

    def __str__(self) -> str:
        return (
            f"another process has been writing to {self.gallery} for {self.waited_s:.0f} s. Nothing was changed; try again when it is done."
        )


@dataclass(eq=False)
class GalleryChanged(FaceSearchError):
    gallery: Path

    def __str__(self) -> str:
        return (
            f"{self.gallery} was embedded anew with another encoder, or encrypted anew, while it was open here. "
            "Nothing was changed; run the command again."
        )


@dataclass(eq=False)
class PhotosMissing(FaceSearchError):
    """A gallery cannot be embedded anew as long as photos of enrolled faces are not found."""

    gallery: Path
    missing: tuple[str, ...]

    def __str__(self) -> str:
        shown = "".join(f"\n  {line}" for line in self.missing[:20])
        more = f"\n  ... and {len(self.missing) - 20} more" if len(self.missing) > 20 else ""
        return (
            f"{len(self.missing)} enrolled photos were not found, so {self.gallery} keeps its encoder, and what was embedded is kept:"
            f"{shown}{more}\n"
            "Give more folders with --photos or --data and run it again, or let them go with --drop-missing."
        )


@dataclass(eq=False)
class NotErasedYet(FaceSearchError):
    gallery: Path

    def __str__(self) -> str:
        return (
            f"what had to go is in no row any more and names nobody, but another process is in the middle of reading {self.gallery} "
            "and keeps SQLite's log open, which still holds the bytes.\nRun the same command again when that process is done."
        )


@dataclass(eq=False)
class StillThere(FaceSearchError):
    """Files of the gallery's folder still hold what was to go: what was forgotten, or what lay there before it was encrypted."""

    gallery: Path
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"it is in no row any more and names nobody, but bytes of what was to go are still in {', '.join(self.files)} "
            f"(in {self.gallery}).\nIf that is a copy of yours, delete it; then run the same command again, which looks anew."
        )


@dataclass(eq=False)
class EncoderMismatch(FaceSearchError):
    gallery: Path
    built_with: str
    given: str

    def __str__(self) -> str:
        return (
            f"{self.gallery} was built with encoder {self.built_with[:12]}, not {self.given[:12]}: "
            "their scores cannot be compared.\nPass the first encoder with --weights, or embed the enrolled photos again: "
            f"facesearch reindex --weights NEW --photos FOLDER --gallery {self.gallery}"
        )


@dataclass(eq=False)
class TooFewSearches(FaceSearchError):
    searches: int
    needed: int
    fpir: float

    def __str__(self) -> str:
        return (
            f"{self.searches:,} searches of strangers cannot speak of an FPIR of {self.fpir:.2%}: {self.needed:,} are needed "
            f"(3 / rate).\nGive more photos of strangers, or ask for a rate of {max(3 / max(1, self.searches), self.fpir):.1%} or more."
        )


@dataclass(eq=False)
class BadIndex(FaceSearchError):
    choice: str
    dimension: int

    def __str__(self) -> str:
        return (
            f"{self.choice!r} is no index that can be made for vectors of {self.dimension} numbers.\n"
            "Give auto, flat, bits1, bits2, or one in FAISS's words, such as IVF1024,SQ8 or HNSW32 "
            "(github.com/facebookresearch/faiss/wiki/The-index-factory)."
        )


@dataclass(eq=False)
class BadName(FaceSearchError):
    name: str
    reason: str

    def __str__(self) -> str:
        shown = self.name if len(self.name) <= 40 else self.name[:37] + "..."
        return f"{shown!r} cannot be a person's name: {self.reason}."


@dataclass(eq=False)
class UnknownPerson(FaceSearchError):
    name: str
    close: tuple[str, ...]

    def __str__(self) -> str:
        hint = f" Did you mean {self.close[0]!r}?" if self.close else " See: facesearch list"
        return f"nobody called {self.name!r} is enrolled.{hint}"


@dataclass(eq=False)
class UnknownPhoto(FaceSearchError):
    name: str

    def __str__(self) -> str:
        return f"{self.name!r} has no such photo. Give the file itself, or its name as `facesearch list {self.name!r}` shows it."


@dataclass(eq=False)
class NameTaken(FaceSearchError):
    name: str

    def __str__(self) -> str:
        return f"somebody called {self.name!r} is enrolled already. Pass --join to put all photos under that name; this cannot be undone."
