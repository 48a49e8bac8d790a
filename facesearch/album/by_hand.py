"""Faces that the detector missed, which a person has marked: they are rows of the album like all others, and
later scans keep them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.album.album import Album, AlbumFile, FoundFace
from facesearch.datasets.table import landmarks_text
from facesearch.encoder.runtime import Runtime
from facesearch.errors import BadBox, NotFound, NothingToDo, OtherAlbum, written
from facesearch.faces.boxes import iou
from facesearch.faces.by_hand import Box, face_in_box
from facesearch.faces.cutting import sharpness_of
from facesearch.faces.detect import Detector
from facesearch.faces.found_by import ALIGNED, BY_HAND
from facesearch.faces.photos import read_photo
from facesearch.records import Skipped

SAME_FACE = 0.5
"""Intersection over union from which on two boxes are of one face."""


@dataclass(frozen=True, slots=True)
class Marked:
    """key: what the face is called in a review; new: False where the album had it already; by_hand: no
    landmarks were found, so that the crop shows the box as an upright face."""

    key: str
    new: bool
    by_hand: bool


def mark_face(album: Album, runtime: Runtime, detector: Detector, photo: Path, box: Box) -> Marked:
    """Add the face in this box, in pixels of the upright photo, to the album; a face that is there already
    stays as it is. photo: its file in the album, as a path, or below it. Raises NotFound, NothingToDo,
    BadBox, OtherAlbum, CannotWrite.
    """
    if album.detector == ALIGNED:
        raise OtherAlbum(album.folder, "with the detector", album.detector, detector.name)
    if runtime.encoder_id != album.encoder_id:
        raise OtherAlbum(album.folder, "with the encoder", album.encoder_id[:12], runtime.encoder_id[:12])
    file = _file(album, photo)
    read = read_photo(file.below(album.root))
    if isinstance(read, Skipped):
        raise NothingToDo(str(photo), read.reason)
    if read.sha256 != file.content:
        raise NothingToDo(str(photo), "it has changed since the scan; scan again first")
    cut = face_in_box(read, box, detector)
    face = cut.face
    if face is None:
        raise BadBox(photo, box, read.size, "no face was cut")
    x, y, w, h = (float(value) for value in face.box)
    own = (x, y, w, h)
    others, _ = album.faces_of(file.sha256)
    for other in others:
        if iou(other.box, own) >= SAME_FACE:
            return Marked(other.key, False, False)
    number = max((other.number for other in others), default=0) + 1
    sharpness = sharpness_of(cut.crop)
    vector = runtime.embed(cut.crop[None])[0]
    found = FoundFace(number, own, landmarks_text(face.landmarks), face.score, min(w, h), sharpness, vector)
    album.add_face(file.sha256, found)
    return Marked(f"{file.sha256[:12]}/{number}", True, face.found_by == BY_HAND)


def _file(album: Album, photo: Path) -> AlbumFile:
    """The album's file that is meant."""
    files = album.files()
    if photo.is_absolute() or photo.exists():
        whole = photo.absolute()
        if whole.is_relative_to(album.root):
            photo = whole.relative_to(album.root)
    file = files.get(written(photo.as_posix())) or files.get(photo.as_posix())
    if file is None or not file.sha256:
        raise NotFound(
            photo, "photo of this album", "Give its path, or its path below the album; scan first."
        )
    return file
