"""Prepared datasets: photos turned into aligned crops once, for training, galleries and evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facesearch.api import checks
from facesearch.api.how import quiet
from facesearch.records import Progress

if TYPE_CHECKING:
    from facesearch.api.photos import DetectorLike
    from facesearch.datasets.prepare import Prepared
    from facesearch.datasets.table import Dataset as Dataset

SPLITS = ("own", "random")
SEVERAL = ("largest", "skip")


def draw_people(
    out: str | os.PathLike[str],
    *,
    people: int = 24,
    photos: int = 16,
    seed: int = 0,
    prefix: str = "p",
    album: bool = False,
) -> int:
    """Draw a folder of people who do not exist.

    Args:
        out: The folder that is made.
        people: How many, at least 2.
        photos: Of each person, at least 1.
        seed: The same seed draws the same photos.
        prefix: A person's folder is called by it and a number.
        album: All photos in one folder, without names, in mixed order, some of two people.

    Returns:
        How many photos were drawn.

    Raises:
        ValueError: An argument is out of range, or prefix cannot begin the name of a folder.
        CannotWrite: out cannot be written.
    """
    from facesearch.datasets import toy

    checks.at_least("people", people, 2)
    checks.at_least("photos", photos, 1)
    if album:
        return toy.draw_album(Path(out), people=people, photos=photos, seed=seed)
    if Path(prefix).name != prefix or prefix in ("", "..", "."):
        raise ValueError(f"prefix is {prefix!r}; it must be the beginning of a folder's name")
    return toy.draw_people(Path(out), people=people, photos=photos, seed=seed, prefix=prefix)


def open_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Open what prepare has made.

    Args:
        folder: The dataset's folder, or a zip file of one.

    Raises:
        NotFound: There is none.
        CannotRead: It is not a prepared dataset, or damaged.
    """
    from facesearch.datasets.table import open_dataset as open_it

    return open_it(Path(folder))


def open_datasets(folders: Sequence[str | os.PathLike[str]]) -> list[Dataset]:
    """Open several datasets; see open_dataset.

    Args:
        folders: One for each dataset, or zip files of them.

    Raises:
        NotFound: One of them is not there.
        CannotRead: One is not a prepared dataset, or damaged.
    """
    return [open_dataset(folder) for folder in folders]


def prepare(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str = "own",
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    people: int | None = None,
    min_photos: int = 1,
    several: str = "largest",
    workers: int | None = None,
    unlabelled: bool = False,
    detector: DetectorLike = None,
    progress: Progress = quiet,
) -> Prepared:
    """Turn a source of photos into a dataset folder of aligned crops. Interrupted, the same call goes on.

    Args:
        source: CelebA-500, CelebA's own files, the celebA_ir set, or one folder a person of ordinary photos.
        out: The dataset's folder. It appears in one step when all is done.
        split: "own", as the source splits its photos, or "random", by photo.
        val, test: Shares of the photos in these splits, for "random"; together 1 at most.
        seed: Of the random split.
        people: Only so many people; None takes all.
        min_photos: Only people with so many photos.
        several: Of a photo with several faces take the "largest", or "skip" the photo.
        workers: Threads; None is one a core.
        unlabelled: Every face of every photo, without names.
        detector: What finds the faces; see open_gallery. "aligned": the photos are crops already.
        progress: Called with (photos done, photos in all).

    Returns:
        The folder, the counts of photos and people, and which photos were left out and why.

    Raises:
        ValueError: An argument is out of range, or does not go with another one.
        NotFound, CannotRead: source is not there, or is none of these kinds.
        NothingToDo: No photo could be used.
        OutputExists: Another dataset, or something else, is at out.
        CannotWrite: out cannot be written.
    """
    from facesearch.api.detector import ALIGNED, as_detector
    from facesearch.datasets.prepare import PrepareConfig
    from facesearch.datasets.prepare import prepare as run
    from facesearch.datasets.sources import read_source, read_unlabelled, with_random_split

    checks.one_of("split", split, SPLITS)
    checks.one_of("several", several, SEVERAL)
    if val + test > 1:
        raise ValueError("val and test together are more than 1")
    if unlabelled and (split == "random" or people is not None or min_photos > 1):
        raise ValueError(
            "unlabelled photos have no people to be dealt out or counted: leave split, people and min_photos"
            " out"
        )
    root, aligned = Path(source), detector == ALIGNED
    entries = read_unlabelled(root) if unlabelled else read_source(root, people=people, min_photos=min_photos)
    if split == "random":
        entries = with_random_split(entries, val=val, test=test, seed=seed)
    looks = not aligned and any(entry.landmarks is None for entry in entries.entries)
    config = PrepareConfig(
        out=Path(out),
        several="all" if unlabelled else several,
        aligned=aligned,
        workers=workers or os.cpu_count() or 1,
    )
    return run(entries, as_detector(detector).own if looks else None, config, progress)
