"""What keys and encrypted galleries can refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import GalleryError
from facesearch.errors.showing import pasted


class KeyFileError(GalleryError):
    """The key of an encrypted gallery."""


@dataclass(eq=False)
class BadKey(KeyFileError):
    """A key cannot be read, or is none.

    Attributes:
        origin: Where it was looked for, in words; never the key itself.
    """

    origin: str
    reason: str
    hint: str = "A new one is made with: facesearch key FILE"

    about = "origin"

    @property
    def what(self) -> str:
        return f"The key cannot be used: {self.reason}."

    @property
    def advice(self) -> str:
        return self.hint


@dataclass(eq=False)
class KeyMissing(KeyFileError):
    """The gallery is encrypted, and no key was given."""

    gallery: Path

    about = "gallery"
    what = "The gallery is encrypted, and no key was given."
    advice = (
        "Pass its key with --key-file FILE, or set FACESEARCH_KEY_FILE (a file) or FACESEARCH_KEY (the key"
        " itself)."
    )


@dataclass(eq=False)
class WrongKey(KeyFileError):
    """The gallery is encrypted with another key."""

    gallery: Path
    origin: str

    about = "gallery"
    what = (
        "The gallery is encrypted with another key than the one that was given. Nothing was read or changed."
    )

    @property
    def advice(self) -> str:
        return (
            f"The key that was given is the one in {self.origin}.\n"
            "Pass the right one with --key-file FILE; without it nobody can read this gallery."
        )


@dataclass(eq=False)
class NotEncrypted(KeyFileError):
    """A key was given for a gallery that is not encrypted."""

    gallery: Path
    origin: str

    about = "gallery"
    what = "The gallery is not encrypted, but a key was given. Nothing was read or changed."

    @property
    def advice(self) -> str:
        return (
            f"The key that was given is the one in {self.origin}.\n"
            f"Encrypt the gallery with: facesearch encrypt --gallery {pasted(self.gallery)}   "
            "or use it without a key (no --key-file, FACESEARCH_KEY_FILE and FACESEARCH_KEY empty)."
        )
