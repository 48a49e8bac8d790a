"""facesearch: train a face encoder, keep a gallery of people, and ask who is in a photo.

    import facesearch

    gallery = facesearch.open_gallery("people")
    gallery.enroll("Ada Lovelace", ["ada1.jpg", "ada2.jpg"])
    for face in gallery.search("group.jpg"):
        print(face.box, face.decision, face.matches[0].person, face.matches[0].score)

Everything in __all__ is imported at its first use, so that `import facesearch` costs nothing. All of it may
be used from many threads and after a fork. Expected errors are FacesearchError or a family of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facesearch.version import __version__ as __version__

if TYPE_CHECKING:
    from facesearch.answers import Comparison as Comparison
    from facesearch.answers import DetectedFace as DetectedFace
    from facesearch.answers import DetectedPhoto as DetectedPhoto
    from facesearch.answers import EmbeddedFace as EmbeddedFace
    from facesearch.answers import EmbeddedPhoto as EmbeddedPhoto
    from facesearch.answers import EnrolledPhotos as EnrolledPhotos
    from facesearch.answers import EnrolledVectors as EnrolledVectors
    from facesearch.answers import FaceAnswer as FaceAnswer
    from facesearch.answers import GalleryInfo as GalleryInfo
    from facesearch.answers import PersonPhotos as PersonPhotos
    from facesearch.answers import PhotoAnswer as PhotoAnswer
    from facesearch.answers import Searched as Searched
    from facesearch.answers import ThresholdInfo as ThresholdInfo
    from facesearch.api.detector import FaceDetector as FaceDetector
    from facesearch.api.encoder import Encoder as Encoder
    from facesearch.api.encoder import load_encoder as load_encoder
    from facesearch.api.gallery import Gallery as Gallery
    from facesearch.api.inputs import NamedPhoto as NamedPhoto
    from facesearch.api.opening import open_gallery as open_gallery
    from facesearch.api.photos import compare as compare
    from facesearch.api.photos import detect as detect
    from facesearch.api.photos import detect_each as detect_each
    from facesearch.api.photos import embed as embed
    from facesearch.api.photos import embed_each as embed_each
    from facesearch.api.results import Built as Built
    from facesearch.api.results import Receipt as Receipt
    from facesearch.api.results import Verified as Verified
    from facesearch.errors import AlbumError as AlbumError
    from facesearch.errors import DataError as DataError
    from facesearch.errors import EncoderError as EncoderError
    from facesearch.errors import EncoderMismatch as EncoderMismatch
    from facesearch.errors import EncoderNotFound as EncoderNotFound
    from facesearch.errors import FacesearchError as FacesearchError
    from facesearch.errors import GalleryBusy as GalleryBusy
    from facesearch.errors import GalleryError as GalleryError
    from facesearch.errors import NoFace as NoFace
    from facesearch.errors import NoGallery as NoGallery
    from facesearch.errors import NothingToDo as NothingToDo
    from facesearch.errors import ServiceError as ServiceError
    from facesearch.errors import SeveralFaces as SeveralFaces
    from facesearch.errors import StoreError as StoreError
    from facesearch.errors import TrainingError as TrainingError
    from facesearch.errors import UnknownPerson as UnknownPerson
    from facesearch.errors import UnusablePhoto as UnusablePhoto
    from facesearch.gallery.store.keys import Key as Key
    from facesearch.records import Match as Match
    from facesearch.records import Support as Support

_PLACES = {
    "facesearch.answers": (
        "Comparison",
        "DetectedFace",
        "DetectedPhoto",
        "EmbeddedFace",
        "EmbeddedPhoto",
        "EnrolledPhotos",
        "EnrolledVectors",
        "FaceAnswer",
        "GalleryInfo",
        "PersonPhotos",
        "PhotoAnswer",
        "Searched",
        "ThresholdInfo",
    ),
    "facesearch.api.detector": ("FaceDetector",),
    "facesearch.api.encoder": ("Encoder", "load_encoder"),
    "facesearch.api.gallery": ("Gallery",),
    "facesearch.api.inputs": ("NamedPhoto",),
    "facesearch.api.opening": ("open_gallery",),
    "facesearch.api.photos": ("compare", "detect", "detect_each", "embed", "embed_each"),
    "facesearch.api.results": ("Built", "Receipt", "Verified"),
    "facesearch.errors": (
        "AlbumError",
        "DataError",
        "EncoderError",
        "EncoderMismatch",
        "EncoderNotFound",
        "FacesearchError",
        "GalleryBusy",
        "GalleryError",
        "NoFace",
        "NoGallery",
        "NothingToDo",
        "ServiceError",
        "SeveralFaces",
        "StoreError",
        "TrainingError",
        "UnknownPerson",
        "UnusablePhoto",
    ),
    "facesearch.gallery.store.keys": ("Key",),
    "facesearch.records": ("Match", "Support"),
}
_HOME = {name: place for place, names in _PLACES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in _HOME:
        raise AttributeError(f"module 'facesearch' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
