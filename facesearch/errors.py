"""Every way in which the outside world can be wrong. Fields go in, a sentence comes out: what, where, what to do.

A `FaceSearchError` is caught once, in `cli.py`, and becomes one message and exit code 1. A `ValueError` or a failed
`assert` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class FaceSearchError(Exception):
    """Base of all expected errors."""


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
class UnknownSource(FaceSearchError):
    path: Path

    def __str__(self) -> str:
        return (
            f"{self.path}: no photo source is recognised here. It should hold one of\n"
            "  celebA_imgs/ + celebA_anno.txt               CelebA-500 as handed out (and its extra people: + roles.txt)\n"
            "  img_align_celeba/ + identity_CelebA.txt      CelebA's own files\n"
            "  celebA_query/ + celebA_anno_query.csv        the identification-rate set\n"
            "  one folder a person, with photos in each"
        )


@dataclass(eq=False)
class BadTable(FaceSearchError):
    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}."


@dataclass(eq=False)
class OutputExists(FaceSearchError):
    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path} exists already and {self.why}.\nChoose another --out, or remove that folder first."


@dataclass(eq=False)
class BadDataset(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} is not a whole prepared dataset: {self.reason}.\nMake it again with: facesearch prepare SOURCE --out {self.path}"
        )


@dataclass(eq=False)
class BadConfig(FaceSearchError):
    name: str
    value: object
    expected: str

    def __str__(self) -> str:
        return f"setting {self.name!r} is {self.value!r}; it should be {self.expected}."


@dataclass(eq=False)
class UnknownSetting(FaceSearchError):
    name: str
    known: tuple[str, ...]
    where: str

    def __str__(self) -> str:
        import difflib

        close = difflib.get_close_matches(self.name, self.known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f"\nKnown settings: {', '.join(self.known)}"
        return f"{self.where}: there is no setting {self.name!r}.{hint}"


@dataclass(eq=False)
class DeviceMissing(FaceSearchError):
    device: str
    reason: str

    def __str__(self) -> str:
        return (
            f"device {self.device!r} was asked for, but {self.reason}.\nPass --device cpu (slower), or --device auto to take what is there."
        )


@dataclass(eq=False)
class PackageMissing(FaceSearchError):
    package: str
    extra: str
    why: str

    def __str__(self) -> str:
        return f"{self.why} needs the package {self.package}. Install it with: pip install 'facesearch[{self.extra}]'"


@dataclass(eq=False)
class BadCheckpoint(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is not a facesearch checkpoint: {self.reason}."


@dataclass(eq=False)
class PickleRefused(FaceSearchError):
    path: Path

    def __str__(self) -> str:
        return (
            f"{self.path} is a pickle (torch.save). Loading one can run any code it holds, so it is refused.\n"
            "Convert it where you trust it: safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )


@dataclass(eq=False)
class NoPretrained(FaceSearchError):
    backbone: str
    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the ImageNet weights of {self.backbone} could not be fetched ({self.reason}).\n"
            f"Fetch {self.url} on a machine with a network and pass it with --set pretrained=FILE,\n"
            "or start from random numbers with --set pretrained=none."
        )


@dataclass(eq=False)
class LossIsNaN(FaceSearchError):
    epoch: int
    step: int
    lr: float
    settings: str
    checkpoint: Path

    def __str__(self) -> str:
        return (
            f"the loss is not a number any more at epoch {self.epoch}, step {self.step}, learning rate {self.lr:.3g} "
            f"({self.settings}).\nThe last good state is {self.checkpoint}. Try a smaller lr, a longer warm-up "
            "(warmup_epochs), a smaller margin_rad or grad_clip=1."
        )


@dataclass(eq=False)
class Interrupted(FaceSearchError):
    what: str
    resume: str

    def __str__(self) -> str:
        return f"interrupted; {self.what}. Go on with:\n  {self.resume}"


@dataclass(eq=False)
class NoWeights(FaceSearchError):
    looked: tuple[str, ...]

    def __str__(self) -> str:
        return (
            "there is no encoder yet. Looked at: " + "; ".join(self.looked) + ".\n"
            "Train one with: facesearch train --data DATASET   or pass --weights FILE (.safetensors or .onnx)"
        )


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
        return f"{self.gallery} was embedded anew with another encoder while it was open here. Nothing was changed; run the command again."


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
            f"the rows are deleted and nobody is named by them any more, but another process is in the middle of reading {self.gallery} "
            "and keeps SQLite's log open, which still holds the bytes.\nRun the same command again when that process is done."
        )


@dataclass(eq=False)
class StillThere(FaceSearchError):
    """After an erasure, files of the gallery's folder still hold what was erased."""

    gallery: Path
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"nobody is named by them any more, but bytes of what was to be forgotten are still in {', '.join(self.files)} "
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
