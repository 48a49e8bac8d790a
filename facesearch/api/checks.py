"""Arguments that are mistakes of the caller are told at once, with ValueError or TypeError, before anything
is read or written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TypeVar

T = TypeVar("T")


def number(name: str, value: object) -> float:
    """Any number, NumPy's too."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} {value!r} is no number")
    return float(value)


def share(name: str, value: float | None) -> None:
    """A rate above 0 and at most a half, or None."""
    if value is not None and not 0 < number(name, value) <= 0.5:
        raise ValueError(f"{name} {value!r} is no share above 0 and at most 0.5")


def score(name: str, value: float | None) -> None:
    """A cosine, or None."""
    if value is not None and not -1.001 <= number(name, value) <= 1.001:
        raise ValueError(f"{name} {value!r} is no score from -1 to 1")


def at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
        raise ValueError(f"{name} {value!r} is no whole number of {least} or more")


def box(value: Sequence[float] | None, photos: int, detects: bool) -> None:
    """A box around the face in the one photo that is given, or None."""
    if value is None:
        return
    if len(value) != 4:
        raise ValueError(f"box {value!r} is no x, y, width, height")
    for side in value:
        number("box", side)
    if photos != 1 or not detects:
        raise ValueError("box is of one photo, which is no aligned crop")


def asked(top: int, threshold: float | None, among: Iterable[str] | None) -> list[str]:
    """What a search is asked with; returns the names, none for everybody."""
    at_least("top", top, 1)
    score("threshold", threshold)
    return several("among", among)


def one_of(name: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise ValueError(f"{name} {value!r} is none of {', '.join(known)}")


def several(name: str, values: Iterable[T] | None) -> list[T]:
    """The values of a list; none for None. A single text is no list of texts, and an empty list says neither
    all nor some.
    """
    if isinstance(values, str | bytes):
        raise TypeError(f"{name} is a list; this is one {type(values).__name__}")
    found = [] if values is None else list(values)
    if values is not None and not found:
        raise ValueError(f"{name} is an empty list; leave it out to mean all")
    return found


def many(name: str, values: Iterable[T]) -> list[T]:
    """The values of a list, perhaps of none."""
    no_single(name, values)
    return list(values)


def no_single(name: str, values: object) -> None:
    """A single path, text or file is no list of them."""
    if isinstance(values, str | bytes | os.PathLike):
        raise TypeError(f"{name} is a list; this is one {type(values).__name__}")
