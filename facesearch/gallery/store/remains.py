"""Are erased bytes really gone? Every file of a gallery's folder is read raw and searched for pieces of what
was erased.

A vector is known by any 16 of its bytes that begin at one of its 8-byte words, wherever in a file they lie:
so a torn page or half a row is found too. What somebody else who is still enrolled shares (the same photo
under two names, a file name that both have) is alive, and no remains.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesearch.records import I64

U64 = NDArray[np.uint64]
WORD = 8
PIECE = 2 * WORD
CHUNK = 1 << 24
SHORTEST_TEXT = 6
"""Shorter names turn up in random bytes by chance; the tables alone can speak of them."""
FIRST_BYTES = np.uint64((1 << 8 * SHORTEST_TEXT) - 1)
FEWEST_BITS, MOST_BITS = 14, 24
"""Of the table that a set of words is looked up in: small ones stay in the processor's cache."""
FEW = 200_000
MIX = np.uint64(0x9E3779B97F4A7C15)
FEWEST_BYTES = 4
"""A piece of fewer different bytes, such as the zeros of a vector that has many, is in any file and tells
nothing.
"""
SMALL = 1 << 16
"""Files of at most so many bytes are read and searched together."""
Alive = Callable[[set[bytes | str]], set[bytes | str]]
"""Of these pieces and texts: those that somebody who is still enrolled holds too."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was read, and what was found. files: name and bytes; remains: files that still hold a piece;
    texts_unsearched: how many names were too short to be searched for."""

    files: tuple[tuple[str, int], ...]
    remains: tuple[str, ...]
    texts_unsearched: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file below the folder, its size, and the pieces of vectors and the texts that are in it."""

    name: str
    size: int
    pieces: tuple[bytes, ...]
    texts: tuple[str, ...]


def look_for(folder: Path, vectors: Sequence[bytes], texts: Sequence[str], alive: Alive) -> Looked:
    """Search all files below folder. alive is asked once, of all that was found, and not at all where nothing
    was.

    The files are read by a process of its own: when a process closes a file that SQLite has open in it too,
    the system drops SQLite's locks, and the next writer corrupts the gallery (sqlite.org/howtocorrupt.html,
    2.2). What is searched for goes through a pipe, never onto a command line or a disk.
    """
    task = json.dumps(
        {"folder": str(folder.absolute()), "vectors": [blob.hex() for blob in vectors], "texts": list(texts)}
    )
    places = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "facesearch.gallery.store.remains"],
        input=task,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
    )
    files = json.loads(done.stdout)
    found = [{*entry["texts"], *map(bytes.fromhex, entry["pieces"])} for entry in files]
    everything: set[bytes | str] = set().union(*found)
    dead = everything - alive(everything) if everything else everything
    remains = [entry["name"] for entry, held in zip(files, found, strict=True) if held & dead]
    short = sum(not is_searched(text) for text in texts)
    return Looked(tuple((entry["name"], entry["bytes"]) for entry in files), tuple(remains), short)


def is_searched(text: str) -> bool:
    """Whether a text is long enough to be looked for."""
    return len(text.encode()) >= SHORTEST_TEXT


def search(folder: Path, vectors: Sequence[bytes], texts: Sequence[str]) -> list[Found]:
    """Read all files below folder and say what each holds. Never call it in a process that has the gallery
    open: see look_for.
    """
    wanted = Wanted(vectors, texts)
    files: list[Found] = []
    small: list[tuple[str, bytes]] = []
    waiting = 0
    for path in sorted(Path(place) / name for place, _, names in os.walk(folder) for name in names):
        try:
            if not path.is_file():
                continue
            name, size = str(path.relative_to(folder)), path.stat().st_size
            if size > SMALL:
                files.append(_found(name, size, *wanted.held(path)))
                continue
            small.append((name, path.read_bytes()))
            waiting += size
        except FileNotFoundError:  # another process has just replaced it: it is gone with all that was in it
            continue
        if waiting > CHUNK:
            files += _found_in(small, wanted)
            small, waiting = [], 0
    return sorted(files + _found_in(small, wanted), key=lambda found: found.name)


def _found_in(small: Sequence[tuple[str, bytes]], wanted: Wanted) -> list[Found]:
    """The same of many small files (name, contents), such as receipts: together first, since nearly always
    nothing is in any of them.
    """
    if not any(wanted.within([data for _, data in small])):
        return [Found(name, len(data), (), ()) for name, data in small]
    return [_found(name, len(data), *wanted.within([data])) for name, data in small]


def _found(name: str, size: int, pieces: set[bytes], texts: set[str]) -> Found:
    return Found(name, size, tuple(sorted(pieces)), tuple(sorted(texts)))


class Wanted:
    """What is searched for. A million vectors' pieces and texts are searched for in one reading: NumPy finds
    the places where something may be, and only those are looked at."""

    def __init__(self, vectors: Collection[bytes], texts: Collection[str]) -> None:
        pieces = (blob[i : i + PIECE] for blob in vectors for i in range(0, len(blob) - PIECE + 1, WORD))
        self._pieces = {piece for piece in pieces if len(set(piece)) >= FEWEST_BYTES}
        self._texts = {text.encode(): text for text in texts if is_searched(text)}
        self._lengths = sorted({len(text) for text in self._texts})
        self._few = len(self._pieces) <= FEW
        rows = np.frombuffer(b"".join(self._pieces), np.uint8).reshape(-1, PIECE)
        starts = range(WORD if self._few else 1)
        self._words = Words(b"".join(rows[:, start : start + WORD].tobytes() for start in starts))
        self._text_starts = Words(b"".join(text[:SHORTEST_TEXT].ljust(WORD, b"\0") for text in self._texts))
        self._first_two = np.zeros(1 << 16, bool)
        self._first_two[[int.from_bytes(text[:2], "little") for text in self._texts]] = True

    def held(self, path: Path) -> tuple[set[bytes], set[str]]:
        """The pieces and the texts that a file holds."""
        found: set[bytes] = set()
        named: set[str] = set()
        overlap = max([PIECE + WORD, *self._lengths])
        tail = b""
        with path.open("rb") as file:  # not mapped: a log that is cut meanwhile would kill the reader
            while block := file.read(CHUNK):
                part = tail + block
                found.update(piece for _, piece in self._pieces_in(part))
                named.update(text for _, text in self._texts_in(part))
                tail = part[-overlap:]
        return found, named

    def within(self, values: Sequence[bytes]) -> tuple[set[bytes], set[str]]:
        """The pieces and the texts that lie within one of these values; one that reaches from a value into
        the next does not.
        """
        ends = list(accumulate(map(len, values)))
        joined = b"".join(values)

        def is_in_one(start: int, length: int) -> bool:
            return start + length <= ends[bisect_right(ends, start)]

        found = {piece for start, piece in self._pieces_in(joined) if is_in_one(start, PIECE)}
        named = {text for start, text in self._texts_in(joined) if is_in_one(start, len(text.encode()))}
        return found, named

    def _pieces_in(self, part: bytes) -> Iterator[tuple[int, bytes]]:
        """Where pieces begin, and which, some of them more than once.

        Of few pieces every word is known that can lie at a multiple of 8 within one, so those places alone
        are looked at; of many the first word, which may lie anywhere.
        """
        if not self._pieces:
            return
        for shift in range(1 if self._few else WORD):
            there = np.frombuffer(
                part, "<u8", count=max(0, len(part) - shift) // WORD, offset=min(shift, len(part))
            )
            for place in (shift + WORD * self._words.among(there)).tolist():
                for start in range(max(0, place - WORD + 1), place + 1) if self._few else (place,):
                    if (piece := part[start : start + PIECE]) in self._pieces:
                        yield start, piece

    def _texts_in(self, part: bytes) -> Iterator[tuple[int, str]]:
        """Where texts begin, and which: by their first two bytes, then by the first six, then whole."""
        if not self._texts:
            return
        padded = np.frombuffer(part + bytes(WORD), np.uint8)
        words = np.ndarray((len(part),), "<u8", padded.data, strides=(1,))  # the one that begins at each byte
        for shift in range(2):
            pairs = np.frombuffer(padded.data, "<u2", count=(len(padded) - shift) // 2, offset=shift)
            places = 2 * np.flatnonzero(self._first_two[pairs]) + shift
            places = places[places < len(part)]
            likely = places[self._text_starts.among(words[places] & FIRST_BYTES)]
            for start in likely.tolist():
                for length in self._lengths:
                    if text := self._texts.get(part[start : start + length]):
                        yield start, text


class Words:
    """A set of 8-byte words. A table of their mixed bits says of nearly all other words at once that they are
    not in it.
    """

    def __init__(self, words: bytes) -> None:
        self._words = np.unique(np.frombuffer(words, "<u8"))
        self._bits = min(MOST_BITS, max(FEWEST_BITS, (16 * len(self._words)).bit_length()))
        self._table = np.zeros(1 << self._bits, bool)
        self._table[self._place(self._words)] = True

    def among(self, there: U64) -> I64:
        """Which of these words (n,) are in the set: numbers into `there`."""
        if not len(self._words):
            return np.zeros(0, np.int64)
        maybe = np.flatnonzero(self._table[self._place(there)])
        nearest = np.searchsorted(self._words, there[maybe]).clip(max=len(self._words) - 1)
        places: I64 = maybe[self._words[nearest] == there[maybe]]
        return places

    def _place(self, words: U64) -> U64:
        """Multiplicative hashing (Knuth, 6.4): the highest bits of the product depend on all bits of the
        word.
        """
        return (words * MIX) >> np.uint64(64 - self._bits)


def _answer() -> None:
    """What the process of its own does: the task comes in on stdin, what was found goes out on stdout."""
    task = json.load(sys.stdin)
    found = search(Path(task["folder"]), [bytes.fromhex(blob) for blob in task["vectors"]], task["texts"])
    rows = [
        {"name": f.name, "bytes": f.size, "pieces": [p.hex() for p in f.pieces], "texts": f.texts}
        for f in found
    ]
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    _answer()
