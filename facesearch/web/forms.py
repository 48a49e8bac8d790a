"""Photos taken out of bodies that are whole and in memory, as a form or in JSON, in time that grows with the
body and no faster.

Both are cut by searching for the next mark (a boundary, a quotation mark), which costs next to nothing.
What is left beside the photos must be small before anything slower looks at it: an interpreter of JSON would
make hundreds of bytes of each two, with all other threads standing still.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from python_multipart.multipart import parse_options_header

from facesearch.web.problems import Problem

BESIDE_BYTES = 2**16
"""So much may stand beside photos."""

LONG = 1024
"""So long a text of JSON is taken for a photo."""

PART_HEAD_BYTES = 4096
MOST_MEMBERS = 200


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form. filename: None where it is a value."""

    name: str
    filename: str | None
    data: bytes = field(repr=False)


def parts_of(body: bytes | bytearray, content_type: str, *, most: int) -> list[Part]:
    """The parts of a multipart form, with at most `most` files and `most` values. A form that was cut off
    gives what is whole. Raises Problem for what is no form, and for more.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise Problem("bad-request", 400, "The form cannot be read: it names no boundary.")
    mark = b"--" + boundary
    start = 0 if body.startswith(mark) else body.find(b"\r\n" + mark, 0, PART_HEAD_BYTES) + 2
    if start == 1:
        raise Problem("bad-request", 400, "The form cannot be read: its boundary is not in it.")
    start += len(mark)
    found: list[Part] = []
    files = values = 0
    while body[start : start + 2] == b"\r\n":
        end = body.find(b"\r\n" + mark, start)
        if end < 0:
            break
        part = _part(body, start + 2, end)
        files, values = files + (part.filename is not None), values + (part.filename is None)
        if max(files, values) > most:
            raise Problem("bad-request", 422, f"Too many parts in the form; {most} are the limit.")
        if part.filename is None and len(part.data) > BESIDE_BYTES:
            raise Problem("bad-request", 400, f"A field of the form has more than {BESIDE_BYTES} bytes.")
        found.append(part)
        start = end + 2 + len(mark)
    return found


def _part(body: bytes | bytearray, start: int, end: int) -> Part:
    blank = body.find(b"\r\n\r\n", start, min(end + 4, start + PART_HEAD_BYTES))
    if blank < 0:
        raise Problem("bad-request", 400, "The form cannot be read: a part has no head, or too long a one.")
    for line in bytes(body[start:blank]).split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            options = parse_options_header(value.strip())[1]
            name, filename = options.get(b"name"), options.get(b"filename")
            if name is not None:
                own = None if filename is None else filename.decode("utf-8", "replace")
                return Part(name.decode("utf-8", "replace"), own, bytes(memoryview(body)[blank + 4 : end]))
    raise Problem("bad-request", 400, "The form cannot be read: a part has no name.")


@dataclass(slots=True)
class LongTexts:
    """The long texts that were taken out of JSON: a word that stands for each, and its bytes as they came."""

    by_word: dict[str, bytes] = field(default_factory=dict, repr=False)

    def take(self, word: str) -> bytes | None:
        """The text's bytes, once; None when this word stands for none. An escaped slash is a slash again."""
        raw = self.by_word.pop(word, None)
        return None if raw is None else raw.replace(b"\\/", b"/")


def json_of(body: bytes | bytearray) -> tuple[Any, LongTexts]:
    """What a body in JSON holds, with a word instead of each text of LONG bytes or more; and those
    texts.

    Raises Problem when it is not JSON, or holds more than BESIDE_BYTES beside them.
    """
    texts = LongTexts()
    beside = body if len(body) <= BESIDE_BYTES else _without_long_texts(body, texts)
    return few_members(beside), texts


def few_members(text: bytes | bytearray) -> Any:
    """What a small text in JSON holds. Raises Problem when it is not JSON, or has more members than any
    request needs: each that is unknown becomes a fault, and ten thousand faults take a second.
    """
    members = 0

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal members
        members += len(pairs)
        if members > MOST_MEMBERS:
            raise Problem("bad-request", 422, f"A request in JSON has at most {MOST_MEMBERS} members.")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=counted)
    except (ValueError, RecursionError) as error:
        raise Problem("bad-request", 400, "The body is not JSON.") from error


def _without_long_texts(body: bytes | bytearray, texts: LongTexts) -> bytes:
    kept: list[bytes | bytearray] = []
    room, at = BESIDE_BYTES, 0
    while True:
        start = body.find(b'"', at)
        if start < 0:
            kept.append(body[at : at + room + 1])
            room -= len(kept[-1])
            break
        end = _end_of_text(body, start + 1)
        if start - at > room:
            room = -1
            break
        kept.append(body[at:start])
        if end - start > LONG:
            word = secrets.token_hex(16)
            texts.by_word[word] = bytes(memoryview(body)[start + 1 : end])
            kept.append(b'"' + word.encode() + b'"')
            room -= 64  # of memory: so many texts at most
        else:
            kept.append(body[start : end + 1])
        room -= len(kept[-2]) + len(kept[-1])
        at = end + 1
        if room < 0:
            break
    if room < 0:
        raise Problem("bad-request", 400, f"Beside its photos the body has more than {BESIDE_BYTES} bytes.")
    return b"".join(kept)


def _end_of_text(body: bytes | bytearray, start: int) -> int:
    """Where the quotation mark is that ends the text begun at start. Raises Problem without one, and for a
    long text with escaped quotation marks, which is no photo.
    """
    end = body.find(b'"', start)
    while end >= 0:
        run = body[max(start, end - LONG) : end]
        slashes = len(run) - len(run.rstrip(b"\\"))
        if slashes % 2 == 0 and slashes < LONG:
            return end
        if end - start >= LONG:
            raise Problem("bad-request", 422, "The data of a photo is not base64.")
        end = body.find(b'"', end + 1)
    raise Problem("bad-request", 400, "The body is not JSON.")
