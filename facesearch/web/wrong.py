"""What a client is told of values that are not as they should be: a few, shortly, without the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

MOST_TOLD = 10
LONGEST_WORD = 60
DEEPEST = 6


def told(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """At most MOST_TOLD of pydantic's errors, with where and what alone; a member's name is cut, since it is
    the client's own and may be megabytes.
    """
    return [
        {
            "loc": tuple(_short(part) for part in error["loc"][:DEEPEST]),
            "msg": _short(error["msg"], 4 * LONGEST_WORD),
        }
        for error in errors[:MOST_TOLD]
    ]


def told_of(error: ValidationError) -> list[dict[str, Any]]:
    """The same of what a model raised, which holds the values it was given: they are left behind."""
    return told(error.errors(include_url=False, include_context=False, include_input=False))


def _short(part: object, most: int = LONGEST_WORD) -> object:
    """A number as it is, a word with what can be printed of its beginning."""
    if isinstance(part, int):
        return part
    word = str(part)
    shown = "".join(each if each.isprintable() else "?" for each in word[:most])
    return shown if len(word) <= most else f"{shown}..."
