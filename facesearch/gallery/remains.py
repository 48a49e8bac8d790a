"""Are erased bytes really gone? Every file of a gallery's folder is read raw and searched for pieces of what was erased.

A vector is known by any 16 of its bytes that begin at one of its 8-byte words, wherever in a file they lie: so a torn page or half
a row is found too. What somebody else who is still enrolled shares (the same photo under two names, a file name that both
have) is alive, and no remains.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
"""So many different pieces a file are looked up; more would not change the answer."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was read, and what was found. files: name and bytes; remains: files that still hold a piece; texts_unsearched: how
    many names were too short to be searched for."""

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


def look_for(folder: Path, vectors: Sequence[bytes], texts: Sequence[str], is_alive: Callable[[bytes | str], bool]) -> Looked:
    """Search all files below folder. is_alive says whether a piece belongs to somebody who is still enrolled.

    The files are read by a process of its own: when a process closes a file that SQLite has open in it too, the system drops
    SQLite's locks, and the next writer corrupts the gallery (sqlite.org/howtocorrupt.html, 2.2). What is searched for goes
    through a pipe, never onto a command line or a disk.
    """
    task = json.dumps({"folder": str(folder.absolute()), "vectors": [blob.hex() for blob in vectors], "texts": list(texts)})
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "facesearch.gallery.remains"], input=task, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
    )  # fmt: skip
    files = json.loads(done.stdout)
    known: dict[bytes | str, bool] = {}

    def is_remains(piece: bytes | str) -> bool:
        if piece not in known:
            known[piece] = not is_alive(piece)
        return known[piece]

    remains = [
        entry["name"]
        for entry in files
        if any(is_remains(text) for text in entry["texts"]) or any(is_remains(bytes.fromhex(piece)) for piece in entry["pieces"])
    ]
    short = sum(len(text.encode()) < SHORTEST_TEXT for text in texts)
    return Looked(tuple((entry["name"], entry["bytes"]) for entry in files), tuple(remains), short)


def search(folder: Path, vectors: Sequence[bytes], texts: Sequence[str]) -> list[Found]:
    """Read all files below folder and say what each holds. Never call it in a process that has the gallery open: see look_for."""
    words, pieces = _words_of(vectors)
    long_texts = [text for text in texts if len(text.encode()) >= SHORTEST_TEXT]
    files = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                size = path.stat().st_size
                held, named = _held(path, words, pieces, long_texts) if size else (set(), [])
                files.append(Found(str(path.relative_to(folder)), size, tuple(sorted(held)), tuple(named)))
        except FileNotFoundError:  # another process has just replaced it: it is gone with all that was in it
            continue
    return files


def _held(
    path: Path, words: np.ndarray[tuple[int], np.dtype[np.uint64]], pieces: set[bytes], texts: Sequence[str]
) -> tuple[set[bytes], list[str]]:
    """The pieces and the texts that a file holds; of very many pieces the first ones."""
    found: set[bytes] = set()
    named: list[str] = []
    overlap = max([PIECE + WORD, *(len(text.encode()) for text in texts)])
    tail = b""
    with path.open("rb") as file:  # not mapped: a log that is cut meanwhile would kill the reader
        while block := file.read(CHUNK):
            part = tail + block
            named += [text for text in texts if text not in named and text.encode() in part]
            for shift in range(WORD if len(words) and len(found) < ENOUGH else 0):
                count = (len(part) - shift) // WORD
                if count < 2:
                    continue
                there = np.frombuffer(part, "<u8", count=count, offset=shift)
                for hit in np.flatnonzero(np.isin(there[:-1], words)).tolist():
                    piece = part[shift + hit * WORD : shift + hit * WORD + PIECE]
                    if piece in pieces:
                        found.add(piece)
            tail = part[-overlap:]
    return found, named


def _words_of(vectors: Sequence[bytes]) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], set[bytes]]:
    """The 8-byte words that pieces begin with, sorted, and the pieces themselves."""
    pieces = {blob[i : i + PIECE] for blob in vectors for i in range(0, len(blob) - PIECE + 1, WORD)}
    words = np.unique(np.frombuffer(b"".join(piece[:WORD] for piece in pieces), "<u8")).astype(np.uint64)
    return words, pieces


def _answer() -> None:
    """What the process of its own does: the task comes in on stdin, what was found goes out on stdout."""
    task = json.load(sys.stdin)
    found = search(Path(task["folder"]), [bytes.fromhex(blob) for blob in task["vectors"]], task["texts"])
    rows = [{"name": f.name, "bytes": f.size, "pieces": [p.hex() for p in f.pieces], "texts": f.texts} for f in found]
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    _answer()
