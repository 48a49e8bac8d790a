"""What can be wrong with a gallery's projection into an engine outside of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class BadStore(FaceSearchError):
    text: str
    reason: str

    def __str__(self) -> str:
        return (
            f"--store {self.text!r}: {self.reason}.\nGive milvus:FILE.db for an embedded Milvus Lite, or milvus:http://HOST:19530 for a "
            "server; its token comes from FACESEARCH_MILVUS_TOKEN or from the file that FACESEARCH_MILVUS_TOKEN_FILE names."
        )


@dataclass(eq=False)
class StoreUnreachable(FaceSearchError):
    store: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.store} does not answer: {self.reason}. The gallery is as it was.\n"
            "Run the same command again when it does (FACESEARCH_STORE_TIMEOUT_S gives it more time), or query without --store."
        )


@dataclass(eq=False)
class StoreRefused(FaceSearchError):
    store: str
    doing: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.store} refused to {self.doing}: {self.reason}.\nThe gallery is as it was. Run: facesearch sync --store {self.store}\n"
            "It goes on from there, and writes the files of a Milvus Lite that cannot be read anew."
        )


@dataclass(eq=False)
class OtherCollection(FaceSearchError):
    store: str
    collection: str
    differs: str

    def __str__(self) -> str:
        return (
            f"{self.store} has a collection {self.collection} that is no projection of this gallery: {self.differs}. It was left as it is."
            "\nIf nobody needs it, drop it there and run the same command again; or give another database: milvus:http://HOST:19530/NAME."
        )


@dataclass(eq=False)
class NotSynced(FaceSearchError):
    gallery: Path
    store: str
    why: str

    def __str__(self) -> str:
        return f"{self.store} does not show {self.gallery} as it is: {self.why}.\nRun: facesearch sync --store {self.store}"


@dataclass(eq=False)
class ProjectionDiffers(FaceSearchError):
    gallery: Path
    store: str
    differs: str

    def __str__(self) -> str:
        return (
            f"{self.store} is not as {self.gallery} is: {self.differs}. The gallery is the truth, and nothing of it is lost.\n"
            f"Repair it with: facesearch sync --full --store {self.store}"
        )


@dataclass(eq=False)
class SyncRunning(FaceSearchError):
    gallery: Path

    def __str__(self) -> str:
        return f"another process is syncing {self.gallery} at this moment. Nothing was changed; run the same command again when it is done."


@dataclass(eq=False)
class CannotProject(FaceSearchError):
    gallery: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.gallery} is not sent to any engine: {self.reason}."


@dataclass(eq=False)
class ProjectedInPlain(FaceSearchError):
    """A gallery is not encrypted here while its vectors lie elsewhere in the clear."""

    gallery: Path
    stores: tuple[str, ...]

    def __str__(self) -> str:
        drops = "".join(f"\n  facesearch sync --drop --store {store} --gallery {self.gallery}" for store in self.stores)
        return f"{self.gallery} is projected into another engine, which holds its vectors in the clear. Nothing was changed. First:{drops}"


@dataclass(eq=False)
class StillProjected(FaceSearchError):
    """After an erasure: done here, but not wherever the gallery is projected."""

    stores: tuple[tuple[str, str], ...]
    receipt: Path

    def __str__(self) -> str:
        lines = "".join(f"\n  {store}: {why}" for store, why in self.stores)
        return (
            f"erased from the gallery, and nobody is named by it any more; but these projections still hold the vectors:{lines}\n"
            f"The receipt says so too ({self.receipt}). When they answer, run the same command again, or: facesearch sync --store STORE"
            "\nWhat is gone for good is taken off the list by: facesearch sync --abandon --store STORE"
        )
