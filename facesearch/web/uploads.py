"""Photos out of a request's body: multipart or base64 in JSON, in memory only, and no more of them than
allowed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import anyio
import anyio.to_thread
from pydantic import ValidationError
from starlette.requests import Request

from facesearch.api.names import LONGEST_NAME
from facesearch.web.forms import LONG, LongTexts, json_of, parts_of
from facesearch.web.problems import Problem
from facesearch.web.requests import EncodedPhoto
from facesearch.web.settings import Limits

LARGE, STEP = 2**20, 2**18
"""Bytes of a body of which few are taken apart at once, and of base64 that are read at a time."""

NAMELESS = "photo"


_LARGE_AT_ONCE = anyio.CapacityLimiter(2)


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo as it came. name: its own, without folders."""

    name: str
    data: bytes = field(repr=False)


async def read_uploads(
    request: Request, limits: Limits, several: str | None
) -> tuple[list[Upload], dict[str, Any]]:
    """The photos of a request, and its other fields as values: of a form, numbers, true, false and null are
    read as in JSON. The body is taken apart in a thread, beside the other requests.

    Form: files named `photo`. JSON: {"photo": {"name", "data"}}, or under the key `several` a list of such;
    data is base64. Raises Problem for anything else, and for too many or too large photos.
    """
    kind = request.headers.get("content-type", "")
    pieces = deque([chunk async for chunk in request.stream() if chunk])
    large = sum(map(len, pieces)) > LARGE
    return await anyio.to_thread.run_sync(
        _uploads, pieces, kind, limits, several, limiter=_LARGE_AT_ONCE if large else None
    )


def _uploads(
    pieces: deque[bytes], content_type: str, limits: Limits, several: str | None
) -> tuple[list[Upload], dict[str, Any]]:
    body = bytearray()
    while pieces:  # in steps, between which other threads go on
        body += pieces.popleft()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads, fields = _from_form(body, content_type, limits)
    elif kind == "application/json":
        uploads, fields = _from_json(body, several, limits.photos if several else 1)
    else:
        raise Problem(
            "bad-request", 415, "Send multipart/form-data, or application/json with photos in base64."
        )
    if not uploads:
        raise Problem("bad-request", 422, "There is no photo in the request.")
    most = limits.photos if several else 1
    if len(uploads) > most:
        raise _too_many(len(uploads), most)
    for upload in uploads:
        if len(upload.data) > limits.photo_bytes:
            raise Problem("too-large", 413, f"A photo has more than {limits.photo_bytes / 2**20:.0f} MiB.")
    return uploads, fields


def _too_many(photos: int, most: int) -> Problem:
    return Problem("bad-request", 422, f"{photos} photos in one request; {most} are the limit.")


def _from_form(body: bytearray, content_type: str, limits: Limits) -> tuple[list[Upload], dict[str, Any]]:
    uploads: list[Upload] = []
    fields: dict[str, Any] = {}
    for part in parts_of(body, content_type, most=limits.photos):
        if part.filename is not None:
            if part.name != "photo":
                raise Problem("bad-request", 422, "A file comes under a name other than photo.")
            uploads.append(Upload(_own_name(part.filename), part.data))
        elif part.name in fields:
            raise Problem("bad-request", 422, "A field of the form comes twice.")
        elif part.data:
            fields[part.name] = _value(part.name, part.data.decode("utf-8", "replace"))
    return uploads, fields


def _value(key: str, text: str) -> Any:
    """A field of a form: a name is text whatever it looks like, anything else what JSON takes it for."""
    try:
        return text if key == "name" else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _from_json(body: bytearray, several: str | None, most: int) -> tuple[list[Upload], dict[str, Any]]:
    value, texts = json_of(body)
    if not isinstance(value, dict):
        raise Problem("bad-request", 422, "The body must be a JSON object.")
    given = value.pop(several or "photo", [])
    photos = given if isinstance(given, list) and several else [given]
    if len(photos) > most:
        raise _too_many(len(photos), most)
    uploads = [_decoded(photo, texts) for photo in photos]
    if texts.by_word:
        raise Problem("bad-request", 422, f"A text other than a photo's data has more than {LONG} bytes.")
    return uploads, value


def _decoded(photo: Any, texts: LongTexts) -> Upload:
    try:
        given = EncodedPhoto.model_validate(photo)
        data = _from_base64(texts.take(given.data) or given.data.encode("ascii"))
    except ValidationError as error:
        raise Problem(
            "bad-request", 422, "A photo must be an object of its name and data in base64, and nothing else."
        ) from error
    except (binascii.Error, ValueError) as error:
        raise Problem("bad-request", 422, "The data of a photo is not base64.") from error
    return Upload(_own_name(given.name), data)


def _from_base64(text: bytes) -> bytes:
    """Strictly read, in steps, between which other threads go on. Raises ValueError."""
    if 0 <= text.find(b"=") < len(text) - 2:
        raise ValueError("it ends before its end")
    data = bytearray()
    for start in range(0, len(text), STEP):
        data += base64.b64decode(text[start : start + STEP], validate=True)
    return bytes(data)


def _own_name(given: str | None) -> str:
    """A photo's name without folders, as a file would be called; a plain word for none."""
    last = PurePosixPath((given or "").replace("\\", "/").replace("\0", "")).name
    return last[-LONGEST_NAME:] if last.strip() else NAMELESS
