"""What scan, sort and export of an album answer, in the form of answers.py."""

from __future__ import annotations

from dataclasses import dataclass

from facesearch.answers import SkippedPhoto


@dataclass(frozen=True, slots=True)
class AlbumScan:
    """What a scan of an album found. photos there are, new_photos looked at now, gone since the last scan,
    renamed since then, copies: files that show the same as another one, without_face; faces in all and
    new_faces; recognised: faces that match somebody in the gallery, null without a gallery of the same
    encoder. groups of strangers, new_groups of them; joined: faces that came to an older group; alone: faces
    in no group; put_aside by a reviewer. sure_groups: of their faces at most 2 % are somebody
    else's; poor: faces in no group for their quality, which are not grouped; questions: pairs of groups that
    are perhaps one person's. cut: the mean cosine at which groups part, null where the promise tells. table
    and page: the review that was written."""

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
    """What sort did, or would do. folders: photos by folder, as they lie there now. made: put there now;
    moved from another folder; taken away; there already; sides: files that went along with their photos;
    faceless: photos without a face, which are put nowhere. left: what an earlier run placed and this one does
    not touch, with the reason."""

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
    """Sidecars that were written, those that were right already (same), and the face regions in both."""

    sidecars: int
    same: int
    regions: int
    skipped: tuple[SkippedPhoto, ...]
