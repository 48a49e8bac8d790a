"""Photos out of a request's body: multipart or base64 in JSON, in memory only, and no more of them than
allowed.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from facesearch.api.names import clean_source
from facesearch.web.problems import Problem
from facesearch.web.requests import EncodedPhoto
from facesearch.web.settings import Limits

FIELD_BYTES = 2**16
NAMELESS = "photo"


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo as it came. name: its own, without folders."""

    name: str
    data: bytes = field(repr=False)


async def read_uploads(
    request: Request, limits: Limits, several: str | None
) -> tuple[list[Upload], dict[str, Any]]:
    """The photos of a request, and its other fields as values: of a form, numbers, true, false and null are
    read as in JSON.

    Form: files named `photo`. JSON: {"photo": {"name", "data"}}, or under the key `several` a list of such;
    data is base64. Raises Problem for anything else, and for too many or too large photos.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads, fields = await _from_form(request, limits)
    elif kind == "application/json":
        uploads, fields = _from_json(await request.body(), several)
    else:
        raise Problem(
            "bad-request", 415, "Send multipart/form-data, or application/json with photos in base64."
        )
    if not uploads:
        raise Problem("bad-request", 422, "There is no photo in the request.")
    most = limits.photos if several else 1
    if len(uploads) > most:
        raise Problem("bad-request", 422, f"{len(uploads)} photos in one request; {most} are the limit.")
    for upload in uploads:
        if len(upload.data) > limits.photo_bytes:
            raise Problem("too-large", 413, f"A photo has more than {limits.photo_bytes / 2**20:.0f} MiB.")
    return uploads, fields


class _InMemory(MultiPartParser):
    """Never puts a part into a file: photos are not written to this machine's disk."""

    spool_max_size = 2**62

    def discard(self) -> None:
        """Let go of all parts, of a form that was not read to its end too."""
        for file in self._files_to_close_on_error:
            file.close()


async def _from_form(request: Request, limits: Limits) -> tuple[list[Upload], dict[str, Any]]:
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=limits.photos,
        max_fields=limits.photos,
        max_part_size=FIELD_BYTES,
    )
    uploads: list[Upload] = []
    fields: dict[str, Any] = {}
    try:
        for key, value in (await parser.parse()).multi_items():
            if isinstance(value, UploadFile):
                if key != "photo":
                    raise Problem("bad-request", 422, "A file comes under a name other than photo.")
                uploads.append(Upload(_own_name(value.filename), await value.read()))
            elif key in fields:
                raise Problem("bad-request", 422, "A field of the form comes twice.")
            elif value:
                fields[key] = _value(key, value)
    except MultiPartException as error:
        raise Problem(
            "bad-request", 422 if "Too many" in error.message else 400, f"{error.message.rstrip('.')}."
        ) from error
    except (KeyError, ValueError, AssertionError) as error:
        raise Problem("bad-request", 400, "The form cannot be read.") from error
    finally:
        parser.discard()
    return uploads, fields


def _value(key: str, text: str) -> Any:
    """A field of a form: a name is text whatever it looks like, anything else what JSON takes it for."""
    try:
        return text if key == "name" else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _from_json(body: bytes, several: str | None) -> tuple[list[Upload], dict[str, Any]]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("bad-request", 400, "The body is not JSON.") from error
    if not isinstance(value, dict):
        raise Problem("bad-request", 422, "The body must be a JSON object.")
    photos = value.pop(several or "photo", [])
    uploads = []
    for photo in photos if isinstance(photos, list) and several else [photos]:
        try:
            given = EncodedPhoto.model_validate(photo)
            data = base64.b64decode(given.data, validate=True)
        except ValidationError as error:
            raise Problem(
                "bad-request",
                422,
                "A photo must be an object of its name and its data in base64, and nothing else.",
            ) from error
        except (binascii.Error, ValueError) as error:
            raise Problem("bad-request", 422, "The data of a photo is not base64.") from error
        uploads.append(Upload(_own_name(given.name), data))
    return uploads, value


def _own_name(given: str | None) -> str:
    """A photo's name without folders, control characters or excess; a plain word for none."""
    last = PurePosixPath((given or "").replace("\\", "/")).name
    return clean_source(last) if last.strip() else NAMELESS
