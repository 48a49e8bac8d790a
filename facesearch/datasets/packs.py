"""A prepared dataset as one zip file: the same table and manifest, and every crop as a WebP picture, a tenth
of the size.

It is how crops travel to a machine that trains: any zip tool lists it, a part of it is a dataset of its own,
and pictures are read where they lie in the mapped file, without unpacking.
"""

from __future__ import annotations

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import cv2
import numpy as np

from facesearch.records import U8

LOCAL_HEAD = 30
"""Bytes of a zip entry's own head, before its name and what else is said of it there."""


class PackedCrops:
    """Crops (n, side, side, 3) uint8 in a zip file, decoded each time they are asked for, on all cores."""

    def __init__(self, path: Path, side: int) -> None:
        """Raises OSError, BadZipFile."""
        self._path = path
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with ZipFile(path) as pack:
            entries = [each for each in pack.infolist() if each.filename.startswith("crops/")]
        if any(each.compress_type != ZIP_STORED for each in entries):
            raise BadZipFile("its pictures are compressed once more; pack them with zip -0")
        entries.sort(key=lambda each: each.filename)
        self._places = [(self._start(each.header_offset), each.file_size) for each in entries]
        self.shape = (len(entries), side, side, 3)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "crops")

    def _start(self, head: int) -> int:
        name, extra = (int.from_bytes(self._bytes[head + at : head + at + 2], "little") for at in (26, 28))
        return head + LOCAL_HEAD + name + extra

    def __len__(self) -> int:
        return self.shape[0]

    def text(self, name: str) -> str:
        """One of the other files in it. Raises KeyError, BadZipFile, UnicodeDecodeError."""
        with ZipFile(self._path) as pack:
            return pack.read(name).decode()

    def __getitem__(self, rows: Any) -> U8:
        """rows: a slice or numbers (m,) -> (m, side, side, 3), one number -> (side, side, 3). Raises
        BadZipFile for what is no picture of that size."""
        if isinstance(rows, int | np.integer):
            one: U8 = self[[int(rows)]][0]
            return one
        numbers = np.arange(self.shape[0])[rows]
        out = np.empty((len(numbers), *self.shape[1:]), np.uint8)

        def fill(part: range) -> None:
            for i in part:
                start, size = self._places[numbers[i]]
                picture = cv2.imdecode(np.frombuffer(self._bytes, np.uint8, size, start), cv2.IMREAD_COLOR)
                if picture is None or picture.shape != self.shape[1:]:
                    raise BadZipFile(
                        f"{self._path}: crop {numbers[i]} is no picture of {self.shape[1]} x {self.shape[2]}"
                        " pixels"
                    )
                cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, out[i])

        parts = [range(start, min(start + 64, len(numbers))) for start in range(0, len(numbers), 64)]
        if len(parts) < 2:
            for part in parts:
                fill(part)
        else:
            list(self._threads.map(fill, parts))
        return out
