"""A prepared dataset: aligned crops in one memory-mapped file, a table of what they are, a manifest. Read
without decoding.

To travel it may be one zip file, with the crops as WebP pictures in it (packs.py): open_dataset reads both.

crops.npy       (n, 112, 112, 3) uint8 RGB
faces.csv       one line a crop, same order
skipped.csv     what was left out, with the reason
manifest.json   geometry, counts, source; written last: without it the folder is not a dataset
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.packs import PackedCrops
from facesearch.errors import BadDataset, CannotRead, NotFound, counted, pasted, reason_of
from facesearch.faces.align import TEMPLATE, box_of
from facesearch.faces.crop import CROP_PX, GEOMETRY
from facesearch.faces.cutting import sharpness_of
from facesearch.faces.found_by import current_name
from facesearch.files import map_array, open_regular, read_json
from facesearch.records import F32, I64, U8, Seen

COLUMNS = ("file", "person", "split", "sha256", "source", "landmarks", "found_by")
MANIFEST, TABLE = "manifest.json", "faces.csv"
FORMAT = 1


class Crops(Protocol):
    """Crops (n, 112, 112, 3) uint8 that are read when they are asked for, by a slice or an array of
    numbers."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> U8: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One crop. landmarks are those it was aligned by, as `x y x y ...` in pixels of the photo; found_by as
    in found_by.py.
    """

    file: str
    person: str
    split: str
    sha256: str
    source: str
    landmarks: str
    found_by: str

    def seen(self, crop: U8, length: float = 0.0) -> Seen:
        """What a gallery keeps of its face beside the vector, which had this length."""
        points = points_of(self.landmarks)
        if len(points) != len(TEMPLATE):  # an aligned crop: its first and last pixel
            w, h = (points.max(axis=0) + 1).tolist() if len(points) else crop.shape[1::-1]
            return Seen((0.0, 0.0, float(w), float(h)), (), 1.0, sharpness_of(crop), length)
        x, y, w, h = box_of(points).tolist()
        pairs = tuple((float(px), float(py)) for px, py in points)
        return Seen((x, y, w, h), pairs, 1.0, sharpness_of(crop), length)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset that has been checked. crops (n, 112, 112, 3) uint8, memory-mapped, read only;
    folder may be a zip file.
    """

    folder: Path
    crops: Crops
    rows: tuple[Row, ...]
    manifest: dict[str, object] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def people(self) -> NDArray[np.str_]:
        return np.array([row.person for row in self.rows], dtype=np.str_)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        return np.array([row.split for row in self.rows], dtype=np.str_)

    @cached_property
    def sha256(self) -> NDArray[np.str_]:
        return np.array([row.sha256 for row in self.rows], dtype=np.str_)

    def where(self, *splits: str) -> I64:
        """Row numbers of the photos in any of splits, ascending."""
        return np.flatnonzero(np.isin(self.splits, splits)).astype(np.int64)

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    def beside(self, name: str) -> Path:
        """Where a file that belongs to the dataset lies: in its folder, or beside its zip file."""
        return (
            self.folder / name
            if self.folder.is_dir()
            else self.folder.with_name(f"{self.folder.stem}.{name}")
        )


def open_dataset(folder: Path) -> Dataset:
    """Open what `facesearch prepare` made, or a pack of it. Raises NotFound, or BadDataset saying which part
    does not fit.
    """
    if folder.suffix == ".zip" and folder.is_file():
        return _open_pack(folder)
    if not (folder / MANIFEST).is_file():
        raise NotFound(
            folder, "prepared dataset", f"Make it with: facesearch prepare SOURCE --out {pasted(folder)}"
        )
    try:
        manifest = read_json(folder / MANIFEST)
    except CannotRead as error:
        raise BadDataset(folder, error.reason) from error
    try:
        with io.TextIOWrapper(open_regular(folder / TABLE), newline="", encoding="utf-8") as file:
            rows = _read_rows(file)
        crops = map_array(folder / "crops.npy", "r")
    except OSError as error:
        raise BadDataset(folder, reason_of(error)) from error
    except CannotRead as error:
        raise BadDataset(folder, f"{error.path.name}: {error.reason}") from error
    except (ValueError, csv.Error) as error:
        raise BadDataset(folder, str(error)) from error
    if crops.dtype != np.uint8:
        raise BadDataset(folder, f"crops.npy is {crops.dtype}, not uint8")
    return _checked(folder, crops, rows, manifest)


def _open_pack(path: Path) -> Dataset:
    try:
        crops = PackedCrops(path, CROP_PX)
        manifest = json.loads(crops.text(MANIFEST))
        rows = _read_rows(io.StringIO(crops.text(TABLE), newline=""))
    except OSError as error:
        raise BadDataset(path, reason_of(error)) from error
    except (BadZipFile, KeyError, ValueError, csv.Error) as error:
        raise BadDataset(path, str(error)) from error
    return _checked(path, crops, rows, manifest)


def _checked(folder: Path, crops: Crops, rows: tuple[Row, ...], manifest: object) -> Dataset:
    """Raises BadDataset where the three parts do not fit one another, or this version."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadDataset(folder, f"its manifest is not of format {FORMAT}")
    if manifest.get("geometry") != GEOMETRY:
        raise BadDataset(
            folder,
            f"its crops have the geometry {manifest.get('geometry')!r}, this version cuts {GEOMETRY!r}",
        )
    if crops.shape != (len(rows), CROP_PX, CROP_PX, 3):
        raise BadDataset(folder, f"its crops are {crops.shape}, the table has {counted(len(rows), 'line')}")
    if manifest.get("photos") != len(rows):
        raise BadDataset(
            folder, f"the manifest says {manifest.get('photos')}, the table has {counted(len(rows), 'photo')}"
        )
    return Dataset(folder, crops, rows, manifest)


def points_of(landmarks: str) -> F32:
    """The way back from landmarks_text: (k, 2) float32."""
    return np.array(landmarks.split(), np.float32).reshape(-1, 2)


def landmarks_text(points: NDArray[np.float32]) -> str:
    return " ".join(f"{value:.1f}" for value in points.reshape(-1))


def _read_rows(file: Iterable[str]) -> tuple[Row, ...]:
    """Raises ValueError, csv.Error."""
    lines = csv.reader(file)
    header: Sequence[str] = next(lines, [])
    if tuple(header) != COLUMNS:
        raise ValueError(f"{TABLE} has the columns {', '.join(header)}")
    rows = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(COLUMNS):
            raise ValueError(f"{TABLE}, line {number} has {counted(len(line), 'column')}")
        line[-1] = current_name(line[-1])
        rows.append(Row(*line))
    return tuple(rows)
