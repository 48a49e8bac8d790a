"""Albums: a folder of photos without names, scanned, grouped, reviewed and sorted."""

from __future__ import annotations

from pathlib import Path

from facesearch.album.album import FILE
from facesearch.album.album import Album as Album
from facesearch.album.arrange import Arranged as Arranged
from facesearch.album.arrange import arrange as arrange
from facesearch.album.belongs import require_own
from facesearch.album.by_hand import Marked as Marked
from facesearch.album.by_hand import mark_face
from facesearch.album.names_elsewhere import Exported as Exported
from facesearch.album.names_elsewhere import Naming as Naming
from facesearch.album.names_elsewhere import Suggested as Suggested
from facesearch.album.names_elsewhere import export_xmp as export_xmp
from facesearch.album.names_elsewhere import suggest_names as suggest_names
from facesearch.album.review import REVIEW as REVIEW
from facesearch.album.review import Applied, apply
from facesearch.album.scan import Scanned as Scanned
from facesearch.album.scan import album_folder as album_folder
from facesearch.album.scan import face_pictures as face_pictures
from facesearch.album.scan import recognise, scan
from facesearch.album.sort import Sorted as Sorted
from facesearch.album.sort import sort_album as sort_album
from facesearch.album.sort import unsort_album as unsort_album
from facesearch.api.detector import Box, FaceDetector
from facesearch.api.encoder import Encoder
from facesearch.api.gallery import Gallery
from facesearch.api.how import quiet
from facesearch.encoder.weights import weights_with_id
from facesearch.errors import EncoderMismatch
from facesearch.records import Progress

METHODS = ("average", "hdbscan", "dbscan")


def is_album(folder: Path) -> bool:
    """Whether a scan lies in this folder."""
    return (folder / FILE).is_file()


def scan_of(folder: Path) -> Path:
    """The folder of a scan, where the album that was scanned may be named in its place."""
    beside = album_folder(folder)
    return beside if not is_album(folder) and is_album(beside) else folder


def open_album(folder: Path) -> Album:
    """A scan that is there; use it in a with statement.

    Args:
        folder: The scan's folder.

    Raises:
        NoAlbum: There is none.
        CorruptAlbum: It is damaged.
    """
    return Album.open(folder)


def encoder_of_album(folder: Path, runs: Path | None) -> Path | None:
    """The encoder that the scan in this folder was begun with, if there is one and it is at hand."""
    if not is_album(folder):
        return None
    with Album.open(folder) as album:
        found = weights_with_id(album.encoder_id, runs)
    return None if found is None else found.path


def scan_album(
    photos: Path, folder: Path, encoder: Encoder, detector: FaceDetector, progress: Progress = quiet
) -> Scanned:
    """Bring the scan in folder up to date with the photos. See album.scan.scan."""
    return scan(photos, folder, encoder.runtime, detector.own, progress)


def mark_in_album(album: Album, encoder: Encoder, detector: FaceDetector, photo: Path, box: Box) -> Marked:
    """Add a face that the detector missed. See album.by_hand.mark_face."""
    if (own := detector.own) is None:
        raise ValueError("nothing is marked in photos that are taken as aligned crops")
    return mark_face(album, encoder.runtime, own, photo, box)


def recognise_album(album: Album, gallery: Gallery) -> int | None:
    """Give the faces that the gallery knows their names.

    Returns:
        How many faces were recognised; None where there is no gallery.

    Raises:
        EncoderMismatch: The gallery is of another encoder. Names that an earlier gallery gave are taken away.
    """
    with gallery.store() as store:
        if store is None:
            recognise(album, None)
            return None
        try:
            return recognise(album, store)
        except EncoderMismatch:
            recognise(album, None)
            raise


def says_whose(album: Album, gallery: Gallery, review: Path) -> bool:
    """Whether a review says which album and gallery it is of.

    Raises:
        OtherReview: It is of others.
    """
    return require_own(album, gallery.folder, review)


def apply_review(
    album: Album, gallery: Gallery, review: Path, fpir: float | None, runs: Path | None
) -> Applied:
    """Enroll what a review names, and keep its groups.

    Args:
        album: The album.
        gallery: Where people are enrolled.
        review: The review's CSV file.
        fpir: The rate of a threshold that is set on the way; None for the usual one.
        runs: The folder of training runs, where the album's encoder may be.

    Raises:
        BadReview: The review is not as it should be; nothing was changed.
        OtherReview: It is of another album or gallery.
        FacesearchError: What enrolling raises.
    """
    require_own(album, gallery.folder, review)
    own = weights_with_id(album.encoder_id, runs)
    note = "" if own is None else own.note()
    return apply(album, gallery.folder, review, fpir, key=gallery.key, encoder_file=note)
