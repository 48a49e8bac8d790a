"""What can be wrong with a gallery's projection into an engine outside of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import StoreError
from facesearch.errors.showing import pasted


@dataclass(eq=False)
class BadStore(StoreError):
    """An engine's address or settings cannot be used."""

    text: str
    reason: str

    status = 422
    advice = (
        "Give milvus:FILE.db for an embedded Milvus Lite, or milvus:http://HOST:19530 for a server; its token"
        " comes from FACESEARCH_MILVUS_TOKEN or from the file that FACESEARCH_MILVUS_TOKEN_FILE names."
    )

    @property
    def where(self) -> str:
        return f"--store {self.text!r}"

    @property
    def what(self) -> str:
        return f"This store cannot be used: {self.reason}."


@dataclass(eq=False)
class StoreUnreachable(StoreError):
    """An engine does not answer."""

    store: str
    reason: str

    status = 503
    about = "store"
    advice = (
        "Run the same command again when it does (FACESEARCH_STORE_TIMEOUT_S gives it more time), or query"
        " without --store."
    )

    @property
    def what(self) -> str:
        return f"The engine does not answer: {self.reason}. The gallery is as it was."


@dataclass(eq=False)
class StoreRefused(StoreError):
    """An engine refused to do something."""

    store: str
    doing: str
    reason: str

    about = "store"

    @property
    def what(self) -> str:
        return f"The engine refused to {self.doing}: {self.reason}. The gallery is as it was."

    @property
    def advice(self) -> str:
        return (
            f"Run: facesearch sync --store {pasted(self.store)}\n"
            "It goes on from there. Files of a Milvus Lite that cannot be read are written again."
        )


@dataclass(eq=False)
class OtherCollection(StoreError):
    """The collection in the engine is no projection of this gallery."""

    store: str
    collection: str
    differs: str

    status = 409
    about = "store"
    advice = (
        "If nobody needs it, drop it there and run the same command again; or give another database:"
        " milvus:http://HOST:19530/NAME."
    )

    @property
    def what(self) -> str:
        return (
            f"The collection {self.collection} there is no projection of this gallery: {self.differs}. It was"
            " left as it is."
        )


@dataclass(eq=False)
class NotSynced(StoreError):
    """The engine does not hold the gallery as it is now."""

    gallery: Path
    store: str
    why: str

    status = 409
    about = "store"

    @property
    def what(self) -> str:
        return f"The engine does not show the gallery as it is: {self.why}."

    @property
    def advice(self) -> str:
        return f"Run: facesearch sync --store {pasted(self.store)} --gallery {pasted(self.gallery)}"


@dataclass(eq=False)
class ProjectionDiffers(StoreError):
    """A check found that the engine differs from the gallery."""

    gallery: Path
    store: str
    differs: str

    status = 409
    about = "store"

    @property
    def what(self) -> str:
        return (
            f"The engine differs from the gallery: {self.differs}. The gallery is the truth, and nothing of"
            " it is lost."
        )

    @property
    def advice(self) -> str:
        where = f"--store {pasted(self.store)} --gallery {pasted(self.gallery)}"
        return f"Repair it with: facesearch sync --full {where}"


@dataclass(eq=False)
class SyncRunning(StoreError):
    """Another process is syncing this gallery."""

    gallery: Path

    status = 503
    about = "gallery"
    what = "Another process is syncing this gallery at this moment. Nothing was changed."
    advice = "Run the same command again when it is done."


@dataclass(eq=False)
class CannotProject(StoreError):
    """The gallery is not sent to any engine."""

    gallery: Path
    reason: str

    status = 409
    about = "gallery"

    @property
    def what(self) -> str:
        return f"The gallery is not sent to any engine: {self.reason}."


@dataclass(eq=False)
class ProjectedInPlain(StoreError):
    """A gallery is not encrypted as long as its vectors lie elsewhere in plain."""

    gallery: Path
    stores: tuple[str, ...]

    status = 409
    about = "gallery"
    what = (
        "The gallery is projected into another engine, which holds its vectors in the clear. Nothing was"
        " changed."
    )

    @property
    def advice(self) -> str:
        drops = "".join(
            f"\n  facesearch sync --drop --store {pasted(store)} --gallery {pasted(self.gallery)}"
            for store in self.stores
        )
        return f"First:{drops}"


@dataclass(eq=False)
class StillProjected(StoreError):
    """After an erasure: an engine that holds the gallery's vectors could not be reached.

    Attributes:
        stores: Each engine with why it was not reached.
    """

    stores: tuple[tuple[str, str], ...]
    receipt: Path

    status = 503

    @property
    def what(self) -> str:
        return (
            "What had to go is erased from the gallery, which names nobody by it any more. "
            f"But projections of it still hold the vectors ({len(self.stores)} not reached)."
        )

    @property
    def advice(self) -> str:
        lines = "".join(f"\n  {store}: {why}" for store, why in self.stores)
        return (
            f"Not reached:{lines}\nThe receipt says so too ({self.receipt}). When they answer, run the same"
            " command again, or: facesearch sync --store STORE\nWhat is gone for good is taken off the list"
            " by: facesearch sync --abandon --store STORE"
        )
