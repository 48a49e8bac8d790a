"""Vectors kept beside a dataset, and what is said where they cannot be."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.datasets.table import Dataset
from facesearch.encoder import dataset_vectors as module
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.errors import NotKept
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def opened(path: Any, *given: Any) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(module.os, "open", opened)


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EROFS, "the file system is read-only"), (errno.ENOSPC, "the disk is full")]
)
def test_where_vectors_cannot_be_kept_there_is_a_warning_and_the_answer(
    toy_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
):
    encoder, rows = ColourEncoder("unkept"), np.arange(len(toy_dataset))
    with monkeypatch.context() as patch:
        refuse(patch, number)
        with pytest.warns(NotKept, match=f"vectors-unkept.*cannot be written: {reason}") as warned:
            vectors = dataset_vectors(toy_dataset, rows, encoder, {}, quiet)
    assert len(warned) == 1 and np.array_equal(vectors, encoder.embed(toy_dataset.crops[rows]))
    assert not list(Path(toy_dataset.folder).glob("vectors-unkept*"))
    again = dataset_vectors(toy_dataset, rows, encoder, {}, quiet)
    assert np.array_equal(again, vectors)
    seen = encoder.seen
    assert np.array_equal(dataset_vectors(toy_dataset, rows, encoder, {}, quiet), again)
    assert encoder.seen == seen  # kept now
