"""The base of all errors that are expected, and the families under it."""

from __future__ import annotations

import copyreg
import re
from typing import Any, ClassVar

from facesearch.errors.showing import shown


class FacesearchError(Exception):
    """Base of all expected errors: the world outside is not as it should be. Fields go in, sentences come
    out.

    Attributes:
        kind: A slug for programs, made of the class's name unless the class says another.
        status: What HTTP calls it. 404: it is not there. 409: a conflict with what is there. 422: input that
            cannot be used. 503: busy, ask again. 500: all else.
        about: The name of the field that says what it is about.
    """

    kind: ClassVar[str] = "could-not"
    status: ClassVar[int] = 500
    about: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" not in cls.__dict__:
            cls.kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    @property
    def where(self) -> str:
        """The file, folder or thing it is about; empty when there is none."""
        return str(getattr(self, self.about)) if self.about else ""

    @property
    def what(self) -> str:
        """The fact, in one or two sentences that anybody may read: no path of this machine and no command is
        in them.
        """
        return "It could not be done."

    @property
    def advice(self) -> str:
        """What to do about it, with commands; may be empty."""
        return ""

    def message(self) -> str:
        """All of it, as the command line prints it: what others named is shown, not obeyed."""
        seen = shown(self)
        return f"{seen}\n{seen.advice}" if seen.advice else str(seen)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    def __reduce__(self) -> tuple[Any, ...]:
        """An exception is pickled by its `args`, which a field given by name is not in."""
        return copyreg.__newobj__, (type(self),), self.__dict__  # type: ignore[attr-defined]


class GalleryError(FacesearchError):
    """A gallery, its people, its index or its key."""


class EncoderError(FacesearchError):
    """An encoder: its file, its engine, its device."""


class DataError(FacesearchError):
    """Files, folders and photos."""


class TrainingError(FacesearchError):
    """A training run or its settings."""


class AlbumError(FacesearchError):
    """An album without names, its scan or its review."""


class StoreError(FacesearchError):
    """A gallery's projection into an engine outside of it."""


class ServiceError(FacesearchError):
    """The web service."""


def sentence(words: str) -> str:
    """words as a sentence: a capital letter first, a full stop last."""
    return f"{words[:1].upper()}{words[1:]}" + ("" if words.endswith((".", "?")) else ".")
