"""Are erased bytes really gone? Every file of a gallery's folder is read raw and searched for pieces of what was erased.

A vector is known by any 16 of its bytes that begin at one of its 8-byte words, wherever in a file they lie: so a torn page or half
a row is found too. What somebody else who is still enrolled shares (the same photo under two names, a file name that both
have) is alive, and no remains.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORD = 8
PIECE = 2 * WORD
CHUNK = 1 << 24
SHORTEST_TEXT = 6
"""Shorter names turn up in random bytes by chance; the tables alone can speak of them."""
ENOUGH = 1000
"""So many different pieces found are looked up; more would not change the answer."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was read, and what was found. files: name and bytes; remains: files that still hold a piece; texts_unsearched: how
    many names were too short to be searched for."""

    files: tuple[tuple[str, int], ...]
    remains: tuple[str, ...]
    texts_unsearched: int


def look_for(folder: Path, vectors: Sequence[bytes], texts: Sequence[str], is_alive: Callable[[bytes | str], bool]) -> Looked:
    """Search all files below folder. is_alive says whether a piece belongs to somebody who is still enrolled."""
    words, pieces = _words_of(vectors)
    long_texts = [text for text in texts if len(text.encode()) >= SHORTEST_TEXT]
    alive: dict[bytes | str, bool] = {}

    def lives(piece: bytes | str) -> bool:
        if piece not in alive:
            alive[piece] = is_alive(piece)
        return alive[piece]

    files, remains = [], []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        files.append((str(path.relative_to(folder)), size))
        if size and _holds(path, words, pieces, long_texts, lives):
            remains.append(str(path.relative_to(folder)))
    return Looked(tuple(files), tuple(remains), len(texts) - len(long_texts))


def _holds(
    path: Path, words: np.ndarray[tuple[int], np.dtype[np.uint64]], pieces: set[bytes], texts: Sequence[str],
    lives: Callable[[bytes | str], bool],
) -> bool:  # fmt: skip
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for text in texts:
            if data.find(text.encode()) >= 0 and not lives(text):
                return True
        found: set[bytes] = set()
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK + PIECE + WORD]
            for shift in range(WORD):
                count = (len(part) - shift) // WORD
                if count < 2 or not len(words):
                    continue
                there = np.frombuffer(part, "<u8", count=count, offset=shift)
                for hit in np.flatnonzero(np.isin(there[:-1], words)).tolist():
                    piece = part[shift + hit * WORD : shift + hit * WORD + PIECE]
                    if piece in pieces and piece not in found:
                        found.add(piece)
                        if not lives(piece):
                            return True
                        if len(found) >= ENOUGH:
                            return False
    return False


def _words_of(vectors: Sequence[bytes]) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], set[bytes]]:
    """The 8-byte words that pieces begin with, sorted, and the pieces themselves."""
    pieces = {blob[i : i + PIECE] for blob in vectors for i in range(0, len(blob) - PIECE + 1, WORD)}
    words = np.unique(np.frombuffer(b"".join(piece[:WORD] for piece in pieces), "<u8")).astype(np.uint64)
    return words, pieces
