"""Photos out of a request's body: multipart or base64 in JSON, in memory only, and no more of them than allowed."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from facesearch.gallery.rows import clean_name
from facesearch.web.problems import Problem
from facesearch.web.settings import Limits

FIELD_BYTES = 2**16
NAMELESS = "photo"
LONGEST_OWN_NAME = 120


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo as it came. name: its own, without folders."""

    name: str
    data: bytes = field(repr=False)


async def read_uploads(request: Request, limits: Limits, several: str | None) -> tuple[list[Upload], dict[str, Any]]:
    """The photos of a request, and its other fields as they came (text from a form, values from JSON).

    Form: files named `photo`. JSON: {"photo": {"name", "data"}}, or under the key `several` a list of such; data is base64.
    Raises Problem for anything else, and for too many or too large photos.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads, fields = await _from_form(request, limits)
    elif kind == "application/json":
        uploads, fields = _from_json(await request.body(), several)
    else:
        raise Problem("bad-request", 415, "Send multipart/form-data, or application/json with photos in base64.")
    if not uploads:
        raise Problem("bad-request", 422, "There is no photo in the request.")
    most = limits.photos if several else 1
    if len(uploads) > most:
        raise Problem("too-large", 413, f"{len(uploads)} photos in one request; {most} are the limit.")
    for upload in uploads:
        if len(upload.data) > limits.photo_bytes:
            raise Problem("too-large", 413, f"A photo has more than {limits.photo_bytes / 2**20:.0f} MiB.")
    return uploads, fields


class _InMemory(MultiPartParser):
    """Never puts a part into a file: photos are not written to this machine's disk."""

    spool_max_size = 2**62


async def _from_form(request: Request, limits: Limits) -> tuple[list[Upload], dict[str, Any]]:
    parser = _InMemory(
        request.headers, request.stream(), max_files=limits.photos, max_fields=limits.photos, max_part_size=FIELD_BYTES
    )  # fmt: skip
    try:
        form = await parser.parse()
    except MultiPartException as error:
        kind, status = ("too-large", 413) if "Too many" in error.message or "exceeded" in error.message else ("bad-request", 400)
        raise Problem(kind, status, f"{error.message.rstrip('.')}.") from error
    except (KeyError, ValueError, UnicodeDecodeError, AssertionError) as error:
        raise Problem("bad-request", 400, "The form cannot be read.") from error
    uploads, fields = [], {}
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            if key != "photo":
                raise Problem("bad-request", 422, "A file comes under a name other than photo.")
            uploads.append(Upload(_own_name(value.filename), await value.read()))
        else:
            fields[key] = value
    await form.close()
    return uploads, fields


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
        if not isinstance(photo, dict) or not isinstance(photo.get("data"), str):
            raise Problem("bad-request", 422, "A photo must be an object with its bytes in base64 under data.")
        try:
            data = base64.b64decode(photo["data"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Problem("bad-request", 422, "The data of a photo is not base64.") from error
        name = photo.get("name")
        uploads.append(Upload(_own_name(name if isinstance(name, str) else None), data))
    return uploads, value


def _own_name(given: str | None) -> str:
    """A photo's name without folders, control characters or excess; a plain word for none."""
    last = PurePosixPath((given or "").replace("\\", "/")).name
    printable = "".join(character for character in last if character.isprintable())[-LONGEST_OWN_NAME:].strip()
    return clean_name(printable) if printable else NAMELESS
