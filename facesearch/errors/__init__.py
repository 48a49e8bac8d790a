"""Every way in which the outside world can be wrong. Fields go in, a sentence comes out: what, where, what to do.

A `FaceSearchError` is caught once, in `cli.py`, and becomes one message and exit code 1. A `ValueError` or a failed
`assert` is a bug of ours and keeps its traceback.
"""

from facesearch.errors.base import FaceSearchError as FaceSearchError
from facesearch.errors.gallery import BadName as BadName
from facesearch.errors.gallery import CorruptGallery as CorruptGallery
from facesearch.errors.gallery import Damaged as Damaged
from facesearch.errors.gallery import EmptyGallery as EmptyGallery
from facesearch.errors.gallery import EncoderMismatch as EncoderMismatch
from facesearch.errors.gallery import GalleryBusy as GalleryBusy
from facesearch.errors.gallery import GalleryChanged as GalleryChanged
from facesearch.errors.gallery import NameTaken as NameTaken
from facesearch.errors.gallery import NoGallery as NoGallery
from facesearch.errors.gallery import NotErasedYet as NotErasedYet
from facesearch.errors.gallery import PhotosMissing as PhotosMissing
from facesearch.errors.gallery import StillThere as StillThere
from facesearch.errors.gallery import TooFewSearches as TooFewSearches
from facesearch.errors.gallery import UnknownPerson as UnknownPerson
from facesearch.errors.gallery import UnknownPhoto as UnknownPhoto
from facesearch.errors.outside import CannotRead as CannotRead
from facesearch.errors.outside import CannotWrite as CannotWrite
from facesearch.errors.outside import Interrupted as Interrupted
from facesearch.errors.outside import NotFound as NotFound
from facesearch.errors.outside import NothingToDo as NothingToDo
from facesearch.errors.outside import OutputExists as OutputExists
from facesearch.errors.outside import PackageMissing as PackageMissing
from facesearch.errors.outside import PhotosSkipped as PhotosSkipped
from facesearch.errors.outside import reason_of as reason_of
from facesearch.errors.outside import writing as writing
from facesearch.errors.projection import BadStore as BadStore
from facesearch.errors.projection import CannotProject as CannotProject
from facesearch.errors.projection import NotSynced as NotSynced
from facesearch.errors.projection import OtherCollection as OtherCollection
from facesearch.errors.projection import ProjectionDiffers as ProjectionDiffers
from facesearch.errors.projection import StillProjected as StillProjected
from facesearch.errors.projection import StoreRefused as StoreRefused
from facesearch.errors.projection import StoreUnreachable as StoreUnreachable
from facesearch.errors.projection import SyncRunning as SyncRunning
from facesearch.errors.training import BadCheckpoint as BadCheckpoint
from facesearch.errors.training import BadConfig as BadConfig
from facesearch.errors.training import BadDataset as BadDataset
from facesearch.errors.training import BadTable as BadTable
from facesearch.errors.training import DeviceMissing as DeviceMissing
from facesearch.errors.training import LossIsNaN as LossIsNaN
from facesearch.errors.training import NoPretrained as NoPretrained
from facesearch.errors.training import NoWeights as NoWeights
from facesearch.errors.training import PickleRefused as PickleRefused
from facesearch.errors.training import UnknownSetting as UnknownSetting
from facesearch.errors.training import UnknownSource as UnknownSource
