"""Which of many names somebody probably meant: a hint, found in a time that does not grow with how alike the
names are.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COMPARED = 200
"""So many names are compared letter by letter: those that share most letters and pairs of letters."""
KINDS = 1 << 16


def closest(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The one of these names that is most like the name, as difflib compares; none when none is like it."""
    if len(names) > COMPARED:
        shared = _shared(name, names)
        likely = np.argpartition(-shared, COMPARED)[:COMPARED]
        names = [names[i] for i in np.sort(likely).tolist()]
    return tuple(difflib.get_close_matches(name, sorted(names), n=1))


def _shared(name: str, names: Sequence[str]) -> NDArray[np.float64]:
    """The share (n,) of letters and pairs of letters, ends of the name among them, that each has in common
    with the name.
    """
    mine = np.zeros((2, KINDS), np.bool_)
    singles, pairs = _kinds(f"\n{name}\n")
    mine[0, singles], mine[1, pairs] = True, True
    singles, pairs = _kinds("\n" + "\n".join(names) + "\n")
    hits = mine[0, singles].astype(np.float64)
    hits[:-1] += mine[1, pairs]
    lengths = np.array([len(other) for other in names]) + 1
    starts = np.cumsum(lengths) - lengths
    found: NDArray[np.float64] = np.add.reduceat(hits[:-1], starts) / (lengths + len(name))
    return found


def _kinds(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number below KINDS for each letter (n,), and for each pair of neighbours (n - 1,)."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    return letters % KINDS, (letters[:-1] * 8191 + letters[1:]) % KINDS
