"""What clients send to /v1, with an example each: the bodies of requests, and the options that come with
photos.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from facesearch.api.names import LONGEST_NAME
from facesearch.web.problems import wrong_in
from facesearch.web.wrong import told_of

M = TypeVar("M", bound=BaseModel)
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]


def asked(value: dict[str, Any]) -> ConfigDict:
    """A model's configuration with one example. Values must be of their very kinds, so that 0 is no false."""
    return ConfigDict(
        extra="forbid", strict=True, protected_namespaces=(), json_schema_extra={"examples": [value]}
    )


class EncodedPhoto(BaseModel):
    """A photo inside JSON: its name, and its file's bytes in base64."""

    model_config = asked({"name": "beach.jpg", "data": "/9j/4AAQSkZJRg=="})
    name: str = Field(default="", max_length=255)
    data: str


class SearchOptions(BaseModel):
    """Of a search: how many people a face; decide by this score instead of the gallery's threshold; the
    largest face only.
    """

    model_config = asked({"top": 5})
    top: int = Field(default=5, ge=1, le=50)
    threshold: float | None = Field(default=None, ge=-1, le=1)
    largest: bool = False


class CompareOptions(BaseModel):
    """Of a comparison: the share of pairs of different people that may be called the same; of several faces
    the largest.
    """

    model_config = asked({"fmr": 0.001})
    fmr: float = Field(default=0.001, gt=0, lt=1)
    largest: bool = False


class NoOptions(BaseModel):
    """Nothing but photos."""

    model_config = asked({})


class EnrollOptions(BaseModel):
    """Of an enrollment: under which name; which face, from 1, the largest first; force: although closer to
    somebody else.
    """

    model_config = asked({"name": "Ada Lovelace", "face": 1, "force": False})
    name: Name
    face: int | None = Field(default=None, ge=1)
    force: bool = False


class Rename(BaseModel):
    model_config = asked({"old": "Ada Byron", "new": "Ada Lovelace", "join": False})
    old: Name
    new: Name
    join: bool = False


class Move(BaseModel):
    model_config = asked({"person": "Ada Lovelace", "photos": [SHA], "to": "Grace Hopper"})
    person: Name
    photos: list[Sha256] = Field(min_length=1, max_length=1000)
    to: Name


class Forget(BaseModel):
    """photos: only these, by the SHA-256 of their files; the whole person without."""

    model_config = asked({"name": "Ada Lovelace", "photos": [SHA]})
    name: Name
    photos: list[Sha256] | None = Field(default=None, min_length=1, max_length=1000)


class Calibrate(BaseModel):
    """Set the threshold with the gallery's own people as strangers. replace: even when it was set on
    real strangers.
    """

    model_config = asked({"fpir": 0.01, "replace": False})
    fpir: float = Field(gt=0, le=0.5)
    replace: bool = False


class Confirm(BaseModel):
    model_config = asked({"finding": SHA, "right": True})
    finding: Sha256
    right: bool = True


def options_in(kind: type[M], fields: dict[str, Any]) -> M:
    """Options of a request whose body was taken apart by hand. Raises Problem that names the first wrong
    one.
    """
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        raise wrong_in(told_of(error)) from error
