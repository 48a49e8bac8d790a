"""The photos of a training run: which rows of which datasets, as which classes, served as batches from memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facesearch.errors import NothingToDo
from facesearch.faces.table import Dataset
from facesearch.records import I64

RESIDENT_SHARE = 0.5
"""Crops are kept on a GPU when they fit into this share of its free memory."""


@dataclass(frozen=True)
class Photos:
    """Rows of one or more datasets. dataset, row, label (n,) int64; label -1: a person nobody is trained on."""

    datasets: tuple[Dataset, ...]
    dataset: I64
    row: I64
    label: I64

    def __len__(self) -> int:
        return len(self.row)

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

    def crops(self, numbers: I64) -> Tensor:
        """Read crops (m, h, w, 3) uint8 from the memory-mapped files."""
        if len(self.datasets) == 1:
            return torch.from_numpy(self.datasets[0].crops[self.row[numbers]])
        out = np.empty((len(numbers), *self.datasets[0].crops.shape[1:]), np.uint8)
        for i, dataset in enumerate(self.datasets):
            mine = self.dataset[numbers] == i
            out[mine] = dataset.crops[self.row[numbers][mine]]
        return torch.from_numpy(out)


def training_photos(datasets: Sequence[Dataset], nameless: Sequence[Dataset] = ()) -> tuple[Photos, Photos, tuple[str, ...]]:
    """Pick (train, val, class names): classes are the people with a training photo.

    The train photos of nameless datasets join train as photos of nobody. Only the splits train and val are touched: test,
    open, query and distractor photos never get here. People of different datasets are different people: a name that
    several datasets use gets the dataset's number. Raises NothingToDo without two people.
    """
    uses = Counter(name for d in datasets for name in np.unique(d.people))
    names = [[f"{p} #{i}" if uses[p] > 1 else str(p) for p in d.people] for i, d in enumerate(datasets, 1)]
    classes = sorted({names[i][r] for i, d in enumerate(datasets) for r in d.where("train") if d.people[r]})
    number = {name: label for label, name in enumerate(classes)}
    if len(classes) < 2:
        where = ", ".join(str(d.folder) for d in datasets)
        raise NothingToDo(where, f"{len(classes)} people have training photos; telling people apart takes two at least")

    def pick(split: str) -> list[tuple[int, int, int]]:
        return [(i, int(r), number.get(names[i][r], -1)) for i, d in enumerate(datasets) for r in d.where(split) if d.people[r]]

    extra = [(i, int(r), -1) for i, d in enumerate(nameless, len(datasets)) for r in d.where("train")]
    return _photos((*datasets, *nameless), pick("train") + extra), _photos(datasets, pick("val")), tuple(classes)


def _photos(datasets: Sequence[Dataset], rows: list[tuple[int, int, int]]) -> Photos:
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Photos(tuple(datasets), table[:, 0], table[:, 1], table[:, 2])
