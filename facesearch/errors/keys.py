"""What keys and encrypted galleries can refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class BadKey(FaceSearchError):
    """origin: where the key was looked for, in words; never the key itself."""

    origin: str
    reason: str

    def __str__(self) -> str:
        return f"the key in {self.origin} cannot be used: {self.reason}.\nA new one is made with: facesearch key FILE"


@dataclass(eq=False)
class KeyMissing(FaceSearchError):
    gallery: Path

    def __str__(self) -> str:
        return (
            f"{self.gallery} is encrypted, and no key was given.\n"
            "Pass its key with --key-file FILE, or set FACESEARCH_KEY_FILE (a file) or FACESEARCH_KEY (the key itself)."
        )


@dataclass(eq=False)
class WrongKey(FaceSearchError):
    gallery: Path
    origin: str

    def __str__(self) -> str:
        return (
            f"{self.gallery} is encrypted with another key than the one in {self.origin}. Nothing was read or changed.\n"
            "Pass the right one with --key-file FILE; without it nobody can read this gallery."
        )


@dataclass(eq=False)
class NotEncrypted(FaceSearchError):
    """A key was given for a gallery that lies there in plain: what its owner takes for hidden is not."""

    gallery: Path
    origin: str

    def __str__(self) -> str:
        return (
            f"{self.gallery} is not encrypted, but a key was given ({self.origin}). Nothing was read or changed.\n"
            f"Encrypt it with: facesearch encrypt --gallery {self.gallery}   "
            "or use it without a key (no --key-file, FACESEARCH_KEY_FILE and FACESEARCH_KEY empty)."
        )
