"""The photos of a training run: which rows of which datasets, as which classes, served as batches from
memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facesearch.datasets.table import Dataset
from facesearch.encoder.network import as_pixels
from facesearch.errors import NothingToDo, counted
from facesearch.records import I64

RESIDENT_SHARE = 0.5
"""Crops are kept on a GPU when they fit into this share of its free memory."""
LOOK = 256
"""Photos that are looked at in one go where nothing is learned."""


@dataclass(frozen=True)
class Photos:
    """Rows of one or more datasets. dataset, row, label (n,) int64; label -1: a person nobody is
    trained on."""

    datasets: tuple[Dataset, ...]
    dataset: I64
    row: I64
    label: I64

    def __len__(self) -> int:
        return len(self.row)

    def first(self, count: int) -> Photos:
        """The first so many of them."""
        return Photos(self.datasets, self.dataset[:count], self.row[:count], self.label[:count])

    def repeated(self, times: Sequence[int]) -> I64:
        """The numbers of all photos, each as often as times says of its dataset: entry i for dataset i, the
        last one for all further ones; photos without a name, and all where times is empty, once. (m,) int64.
        """
        if not times:
            return np.arange(len(self))
        each = np.array(times, np.int64)[np.minimum(self.dataset, len(times) - 1)]
        return np.repeat(np.arange(len(self)), np.where(self.label >= 0, each, 1))

    def resident(self, device: torch.device) -> Tensor | None:
        """All crops (n, h, w, 3) uint8 on a GPU that has room for them, else None."""
        if device.type != "cuda" or not len(self):
            return None
        size = len(self) * int(np.prod(self.datasets[0].crops.shape[1:]))
        if size > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            return None
        whole = torch.empty((len(self), *self.datasets[0].crops.shape[1:]), dtype=torch.uint8, device=device)
        for start in range(0, len(self), 4096):
            part = np.arange(start, min(start + 4096, len(self)))
            whole[start : start + len(part)] = self.crops(part).to(device)
        return whole

    def pixels(self, numbers: I64, device: torch.device, size_px: int) -> Tensor:
        """Photos numbers (m,) as pixels (m, 3, size_px, size_px) float32 in 0..255 on a device."""
        return as_pixels(self.crops(numbers).to(device), size_px)

    def crops(self, numbers: I64) -> Tensor:
        """Read crops (m, h, w, 3) uint8 from the datasets' files."""
        if len(self.datasets) == 1:
            return torch.from_numpy(self.datasets[0].crops[self.row[numbers]])
        out = np.empty((len(numbers), *self.datasets[0].crops.shape[1:]), np.uint8)
        for i, dataset in enumerate(self.datasets):
            mine = self.dataset[numbers] == i
            out[mine] = dataset.crops[self.row[numbers][mine]]
        return torch.from_numpy(out)


@dataclass(frozen=True)
class Chosen:
    """The photos of a run: train, val, held (faces without a name that are not trained on), and the people to
    be told apart.
    """

    train: Photos
    val: Photos
    held: Photos
    classes: tuple[str, ...]


def training_photos(
    datasets: Sequence[Dataset], nameless: Sequence[Dataset] = (), *, held_out: float = 0.0, seed: int = 0
) -> Chosen:
    """Pick train, val, held and class names: classes are the people with a training photo.

    The train photos of nameless datasets join train as photos of nobody, all but the share held_out of them.
    Only the splits train and val are touched: test, open, query and distractor photos never get here. People
    of different datasets are different people: a name that several datasets use gets the dataset's number.
    Raises NothingToDo without two people.
    """
    uses = Counter(name for d in datasets for name in np.unique(d.people))
    names = [[f"{p} #{i}" if uses[p] > 1 else str(p) for p in d.people] for i, d in enumerate(datasets, 1)]
    classes = sorted({names[i][r] for i, d in enumerate(datasets) for r in d.where("train") if d.people[r]})
    number = {name: label for label, name in enumerate(classes)}
    if len(classes) < 2:
        where = ", ".join(str(d.folder) for d in datasets)
        raise NothingToDo(
            where,
            f"{counted(len(classes), 'person has', 'people have')} training photos; telling people"
            " apart takes two at least",
        )

    def pick(split: str) -> list[tuple[int, int, int]]:
        return [
            (i, int(r), number.get(names[i][r], -1))
            for i, d in enumerate(datasets)
            for r in d.where(split)
            if d.people[r]
        ]

    extra = [(i, int(r), -1) for i, d in enumerate(nameless, len(datasets)) for r in d.where("train")]
    apart = np.random.default_rng([seed, len(extra)]).permutation(len(extra))[: round(held_out * len(extra))]
    held = set(apart.tolist())
    everywhere = (*datasets, *nameless)
    learned = pick("train") + [row for i, row in enumerate(extra) if i not in held]
    return Chosen(
        _photos(everywhere, learned),
        _photos(datasets, pick("val")),
        _photos(everywhere, [extra[i] for i in sorted(held)]),
        tuple(classes),
    )


def _photos(datasets: Sequence[Dataset], rows: list[tuple[int, int, int]]) -> Photos:
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Photos(tuple(datasets), table[:, 0], table[:, 1], table[:, 2])
