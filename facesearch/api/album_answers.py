"""What scan, sort and export of an album answer, in the form of answers.py."""

from __future__ import annotations

from dataclasses import dataclass

from facesearch.answers import SkippedPhoto


@dataclass(frozen=True, slots=True)
class AlbumScan:
    """What a scan of an album found.

    Attributes:
        photos: Photos there are.
        new_photos: Photos looked at now.
        gone: Photos that are gone since the last scan.
        renamed: Photos with another name since then.
        copies: Files that show the same as another one.
        without_face: Photos without a face.
        faces: Faces in all.
        new_faces: Faces found now.
        recognised: Faces that match somebody in the gallery; None without a gallery of the same encoder.
        groups: Groups of faces.
        new_groups: Groups made now.
        sure_groups: Groups of whose faces at most 2 % are somebody else's.
        questions: Pairs of groups that are perhaps one person's.
        joined: Faces that came to an older group.
        alone: Faces in no group.
        poor: Faces that are in no group because of their quality.
        put_aside: Faces put aside by a reviewer.
        method: How faces were grouped.
        cut: The mean cosine at which groups part; None where the promise decides.
        table: The review that was written, as CSV.
        page: The same as a page.
        skipped: Files that were left out, each with its reason.
    """

    photos: int
    new_photos: int
    gone: int
    renamed: int
    copies: int
    without_face: int
    faces: int
    new_faces: int
    recognised: int | None
    groups: int
    new_groups: int
    sure_groups: int
    questions: int
    joined: int
    alone: int
    poor: int
    put_aside: int
    method: str
    cut: float | None
    table: str
    page: str
    skipped: tuple[SkippedPhoto, ...]


@dataclass(frozen=True, slots=True)
class AlbumSorted:
    """What sort did, or would do.

    Attributes:
        folders: Photos by folder, as they lie there now.
        made: Photos put there now.
        moved: Photos moved from another folder.
        taken: Photos taken away.
        there: Photos that were there already.
        sides: Files that went along with their photos.
        faceless: Photos without a face, which are put nowhere.
        left: What an earlier run placed and this one does not touch, with the reason.
        skipped: Photos that were left out, each with its reason.
    """

    folders: dict[str, int]
    made: int
    moved: int
    taken: int
    there: int
    sides: int
    faceless: int
    left: tuple[SkippedPhoto, ...]
    skipped: tuple[SkippedPhoto, ...]


@dataclass(frozen=True, slots=True)
class AlbumExported:
    """Sidecars that hold an album's names.

    Attributes:
        sidecars: Files that were written.
        same: Files that were right already.
        regions: Faces in both.
        skipped: Photos that were left out, each with its reason.
    """

    sidecars: int
    same: int
    regions: int
    skipped: tuple[SkippedPhoto, ...]
