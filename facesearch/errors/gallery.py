"""What a gallery can refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from facesearch.errors.base import EncoderError, GalleryError, sentence
from facesearch.errors.showing import counted, pasted


@dataclass(eq=False)
class NoGallery(GalleryError):
    """There is no gallery in the folder yet."""

    gallery: Path

    kind = "nobody-enrolled"
    status = 404
    about = "gallery"
    what = "There is no gallery there yet. It is made when the first face is enrolled."

    @property
    def advice(self) -> str:
        return (
            f"Make one with: facesearch build-index --gallery {pasted(self.gallery)}   "
            f"or: facesearch enroll NAME PHOTO... --gallery {pasted(self.gallery)}"
        )


@dataclass(eq=False)
class EmptyGallery(GalleryError):
    """Nobody is enrolled yet."""

    gallery: Path

    kind = "nobody-enrolled"
    status = 404
    about = "gallery"
    what = "Nobody is enrolled yet, so there is nobody to find."

    @property
    def advice(self) -> str:
        return f"Add people with: facesearch enroll NAME PHOTO... --gallery {pasted(self.gallery)}"


@dataclass(eq=False)
class CorruptGallery(GalleryError):
    """The gallery's file is damaged."""

    gallery: Path
    reason: str

    kind = "gallery-damaged"
    about = "gallery"
    advice = (
        "Look at all of it with: facesearch verify\nRestore the folder from a backup, or build it again with"
        " facesearch build-index."
    )

    @property
    def what(self) -> str:
        return f"The gallery is damaged: {self.reason}."


class IndexDiffers(CorruptGallery):
    """The index proposed a face with another score than its row has."""

    advice = "Rebuild the index with: facesearch verify --rebuild"


@dataclass(eq=False)
class Damaged(GalleryError):
    """A check has listed what is wrong with the gallery."""

    gallery: Path
    problems: int

    kind = "gallery-damaged"
    about = "gallery"
    advice = (
        "Restore the folder from a backup (facesearch import FILE), or build it again with facesearch"
        " build-index."
    )

    @property
    def what(self) -> str:
        return (
            f"The gallery is damaged in {counted(self.problems, 'place')} (listed above)."
            " Nothing was changed."
        )


@dataclass(eq=False)
class GalleryBusy(GalleryError):
    """Another process has been writing to the gallery for too long."""

    gallery: Path
    waited_s: float

    status = 503
    about = "gallery"
    advice = "Try again when it is done."

    @property
    def what(self) -> str:
        return (
            f"Another process has been writing to the gallery for {self.waited_s:.0f} s. Nothing was changed."
        )


@dataclass(eq=False)
class GalleryChanged(GalleryError):
    """The gallery was replaced, encrypted or embedded again while it was open."""

    gallery: Path

    status = 409
    about = "gallery"
    what = (
        "While it was open here, another process embedded the gallery again with another encoder, encrypted"
        " it, or wrote in it where it can only be read here. Nothing was changed."
    )
    advice = "Run the command again."


@dataclass(eq=False)
class PhotosMissing(GalleryError):
    """A gallery cannot be embedded again as long as photos of enrolled faces are not found."""

    gallery: Path
    missing: tuple[str, ...]

    status = 404
    about = "gallery"

    @property
    def what(self) -> str:
        return (
            "The gallery keeps its encoder:"
            f" {counted(len(self.missing), 'enrolled photo was', 'enrolled photos were')} not found. What was"
            " embedded so far is kept."
        )

    @property
    def advice(self) -> str:
        shown = "".join(f"\n  {line}" for line in self.missing[:20])
        rest = len(self.missing) - 20
        more = f"\n  ... and {rest} more; --skipped-to FILE writes them all" if rest > 0 else ""
        return (
            f"Not found:{shown}{more}\nGive more folders with --photos or --data and run it again. Or let"
            " these faces go with --drop-missing."
        )


@dataclass(eq=False)
class NotErasedYet(GalleryError):
    """What was erased is in no row any more, but a reader keeps SQLite's log from being cut."""

    gallery: Path

    status = 503
    about = "gallery"
    what = (
        "What had to go is in no row any more and names nobody. But another process is reading the gallery,"
        " so SQLite's log still holds the bytes. They go when the same is asked for again after that process"
        " has ended."
    )
    advice = "Run the same command again when that process is done."


@dataclass(eq=False)
class StillThere(GalleryError):
    """Files of the gallery's folder still hold what was to go: what was forgotten, or what lay there before
    it was encrypted.
    """

    gallery: Path
    files: tuple[str, ...]

    advice = (
        "If that is a copy of yours, delete it. Then run the same command again: it looks through all files"
        " again."
    )

    @property
    def where(self) -> str:
        return ", ".join(str(self.gallery / file) for file in self.files)

    @property
    def what(self) -> str:
        count = "another file" if len(self.files) == 1 else f"{len(self.files)} other files"
        return (
            f"What had to go is in no row any more and names nobody. But bytes of it are still in {count} of"
            " the gallery's folder."
        )


@dataclass(eq=False)
class EncoderMismatch(GalleryError, EncoderError):
    """The gallery was made with another encoder, whose scores cannot be compared."""

    gallery: Path
    built_with: str
    given: str

    kind = "other-encoder"
    status = 409
    about = "gallery"

    @property
    def what(self) -> str:
        return (
            f"The gallery was built with encoder {self.built_with[:12]}, not {self.given[:12]}: their scores"
            " cannot be compared."
        )

    @property
    def advice(self) -> str:
        return (
            "Pass the first encoder with --weights, or embed the enrolled photos again: "
            f"facesearch reindex --weights NEW --photos FOLDER --gallery {pasted(self.gallery)}"
        )


@dataclass(eq=False)
class TooFewSearches(GalleryError):
    """Too few strangers' searches to set a threshold for this rate."""

    searches: int
    needed: int
    fpir: float

    kind = "too-few"
    status = 409

    @property
    def what(self) -> str:
        found = counted(self.searches, "search of strangers", "searches of strangers", commas=True)
        return (
            f"An FPIR of {self.fpir:.2%} cannot be judged by {found}: {self.needed:,} are needed (3 / rate)."
        )

    @property
    def advice(self) -> str:
        return (
            "Give more photos of strangers, or ask for a rate of"
            f" {max(3 / max(1, self.searches), self.fpir):.1%} or more."
        )


@dataclass(eq=False)
class BadIndex(GalleryError):
    """No kind of index has this name."""

    choice: str
    kinds: tuple[str, ...]

    status = 422

    @property
    def what(self) -> str:
        return f"{self.choice!r} is no kind of index."

    @property
    def advice(self) -> str:
        return f"Give one of {', '.join(self.kinds)}."


@dataclass(eq=False)
class BadName(GalleryError):
    """A text cannot be a person's name."""

    name: str
    reason: str

    status = 422

    @property
    def what(self) -> str:
        shown = self.name if len(self.name) <= 40 else self.name[:37] + "..."
        return f"{shown!r} cannot be a person's name: {self.reason}."


@dataclass(eq=False)
class UnknownPerson(GalleryError):
    """Nobody of this name is enrolled."""

    name: str
    close: tuple[str, ...]

    status = 404

    @property
    def what(self) -> str:
        return f"Nobody called {self.name!r} is enrolled." + (
            f" Did you mean {self.close[0]!r}?" if self.close else ""
        )

    @property
    def advice(self) -> str:
        return "" if self.close else "See: facesearch list"


@dataclass(eq=False)
class UnknownPhoto(GalleryError):
    """Photos were named that the person does not have; nothing was done.

    Attributes:
        unknown: Those photos, as they were given.
    """

    name: str
    unknown: tuple[str, ...] = ()

    status = 404

    @property
    def what(self) -> str:
        if self.unknown:
            photos = ", ".join(PurePath(one).name for one in self.unknown)
            return f"{self.name!r} has not all of these photos, so nothing was done: {photos}."
        return f"{self.name!r} has no such photo. Perhaps it was moved or forgotten meanwhile."

    @property
    def advice(self) -> str:
        return f"Give the file itself, or its name as `facesearch list {pasted(self.name)}` shows it."


@dataclass(eq=False)
class NameTaken(GalleryError):
    """Somebody of this name is enrolled already."""

    name: str

    status = 409
    advice = "Pass --join to put all photos under that name. This cannot be undone."

    @property
    def what(self) -> str:
        return f"Somebody called {self.name!r} is enrolled already."


@dataclass(eq=False)
class CloserToAnother(GalleryError):
    """A photo is nearer to another person than to the one it is given to.

    Attributes:
        score: With source, a photo of the other person.
        own: Its score with the person; None while they have no photo.
    """

    photo: Path
    person: str
    other: str
    score: float
    source: str
    own: float | None
    threshold: float

    status = 409
    about = "photo"

    @property
    def reason(self) -> str:
        own = f"{self.person} has no photo yet" if self.own is None else f"{self.own:.3f} with {self.person}"
        return (
            f"closer to {self.other}, {self.score:.3f} with {self.source}; {own}; threshold"
            f" {self.threshold:.3f}"
        )

    @property
    def what(self) -> str:
        return sentence(self.reason)

    @property
    def advice(self) -> str:
        return f"If it shows {self.person} all the same, enroll it without --strict."


@dataclass(eq=False)
class EncoderNotFound(GalleryError, EncoderError):
    """The encoder that a gallery was made with is not at hand.

    Attributes:
        made_with: Its file, or the encoder in words.
    """

    gallery: Path
    encoder_id: str
    made_with: str

    kind = "other-encoder"
    status = 409
    about = "gallery"

    @property
    def what(self) -> str:
        return (
            f"The encoder that the gallery was made with is not at hand: {self.encoder_id[:12]}"
            f" ({PurePath(self.made_with).name})."
        )

    @property
    def advice(self) -> str:
        return (
            f"It was made with {self.made_with}. Pass that file with --weights, or embed the enrolled photos"
            " again with another encoder: facesearch reindex --weights NEW --photos FOLDER --gallery"
            f" {self.gallery}"
        )


@dataclass(eq=False)
class ReplacesBetter(GalleryError):
    """A threshold that was set on real strangers is not given up for one from the gallery's own people by
    mistake.
    """

    gallery: Path

    status = 409
    about = "gallery"
    what = (
        "The threshold was set on real strangers. The gallery's own people are an extrapolation; ask again"
        " with replace."
    )


@dataclass(eq=False)
class BackupInside(GalleryError):
    """A backup would lie within the gallery's own folder."""

    gallery: Path
    out: Path

    kind = "backup-inside"
    status = 409
    about = "out"
    what = "A backup cannot lie within the gallery: what is forgotten would be found in it."
    advice = "Name a folder elsewhere, best on another disk."
