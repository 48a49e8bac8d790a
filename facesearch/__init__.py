"""facesearch: train a face encoder, keep a gallery of people, and ask who is in a photo."""

from facesearch.errors import AlbumError as AlbumError
from facesearch.errors import DataError as DataError
from facesearch.errors import EncoderError as EncoderError
from facesearch.errors import FacesearchError as FacesearchError
from facesearch.errors import GalleryError as GalleryError
from facesearch.errors import ServiceError as ServiceError
from facesearch.errors import StoreError as StoreError
from facesearch.errors import TrainingError as TrainingError

__version__ = "0.1.0"
