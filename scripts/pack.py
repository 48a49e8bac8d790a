"""Pack a prepared dataset into zip files that travel: every crop as a WebP picture, its table and manifest
beside them.

    .venv/bin/python scripts/pack.py data/faces packs/faces --quality 80
        packs/faces-1.zip, packs/faces-2.zip, ...
    .venv/bin/python scripts/pack.py data/celeba500 packs/celeba500 --split train --split val

Each is a dataset of its own: pass it to --data or --unlabelled. They hold faces: keep them where the photos
may be.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import click
import cv2
import numpy as np
from tqdm import tqdm

from facesearch.datasets.table import COLUMNS, MANIFEST, TABLE, Dataset, open_dataset
from facesearch.files import growing_file, make_folder

BESIDES = 300
"""Bytes that the zip file and the table take for a crop, at most."""
AT_ONCE = 1024


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--split", "splits", multiple=True, help="Only these splits.  [default: all]")
@click.option("--quality", type=click.IntRange(1, 100), default=90, show_default=True, help="WebP's.")
@click.option(
    "--mb", type=click.FloatRange(min=1), default=60.0, show_default=True, help="The most that a pack takes."
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Crops are dealt out at random, so that each pack is a sample.",
)
def main(dataset: Path, out: Path, splits: tuple[str, ...], quality: int, mb: float, seed: int) -> None:
    """Write DATASET into OUT-1.zip, OUT-2.zip, ... and print them."""
    data = open_dataset(dataset)
    rows = data.where(*splits) if splits else np.arange(len(data))
    make_folder(out.parent)
    for path, crops in packs(
        data, np.random.default_rng(seed).permutation(rows), out, quality, int(mb * 1e6)
    ):
        click.echo(f"{path}: {crops} crops, {path.stat().st_size / 1e6:.1f} MB")


def packs(data: Dataset, rows: np.ndarray, out: Path, quality: int, most: int) -> Iterator[tuple[Path, int]]:
    """Write packs of rows, in this order, of at most so many bytes each."""
    pending: list[tuple[int, bytes]] = []
    taken = number = 0
    for row, picture in encoded(data, rows, quality):
        if pending and taken + len(picture) + BESIDES > most:
            number, taken = number + 1, 0
            yield written(data, pending, out.with_name(f"{out.name}-{number}.zip"))
            pending = []
        pending.append((row, picture))
        taken += len(picture) + BESIDES
    if pending:
        yield written(data, pending, out.with_name(f"{out.name}-{number + 1}.zip"))


def encoded(data: Dataset, rows: np.ndarray, quality: int) -> Iterator[tuple[int, bytes]]:
    """Each row with its crop as a WebP picture."""

    def picture(crop: np.ndarray) -> bytes:
        done, found = cv2.imencode(
            ".webp", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality]
        )
        assert done
        return found.tobytes()

    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(rows), unit="crop", disable=None) as bar:
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            yield from zip(part.tolist(), pool.map(picture, data.crops[part]), strict=True)
            bar.update(len(part))


def written(data: Dataset, crops: list[tuple[int, bytes]], path: Path) -> tuple[Path, int]:
    """Write one pack, for its owner's eyes only."""
    rows = [data.rows[row] for row, _ in crops]
    table = io.StringIO(newline="")
    lines = csv.writer(table)
    lines.writerow(COLUMNS)
    lines.writerows(astuple(row) for row in rows)
    manifest = {**data.manifest, "photos": len(rows), "people": len({row.person for row in rows} - {""})}
    with growing_file(path) as file, ZipFile(file, "w", ZIP_STORED) as pack:
        pack.writestr(MANIFEST, json.dumps(manifest), ZIP_DEFLATED)
        pack.writestr(TABLE, table.getvalue(), ZIP_DEFLATED)
        for number, (_, picture) in enumerate(crops):
            pack.writestr(f"crops/{number:06d}.webp", picture)
    return path, len(rows)


if __name__ == "__main__":
    main()
