"""Vectors and lengths of a dataset are embedded once and kept beside it; and what is said where they cannot
be.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.datasets.table import Dataset
from facesearch.encoder import dataset_vectors as module
from facesearch.encoder.dataset_vectors import dataset_lengths, dataset_vectors
from facesearch.errors import NotKept
from facesearch.records import F32, U8
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


class Measures(ColourEncoder):
    """Its lengths are how bright the crops are."""

    def measure(self, crops: U8) -> tuple[F32, F32]:
        return self.embed(crops), crops.reshape(len(crops), -1).mean(axis=1).astype(np.float32)


def test_lengths_are_kept_with_the_vectors(toy_dataset: Dataset):
    encoder, rows = Measures("measures"), np.array([3, 0, 7])
    vectors = dataset_vectors(toy_dataset, rows, encoder, {}, quiet)
    assert encoder.seen == 3
    lengths = dataset_lengths(toy_dataset, rows, encoder, quiet)
    assert encoder.seen == 3
    exact = measured_all(toy_dataset, encoder)
    assert np.allclose(vectors, exact[0][rows]) and np.allclose(lengths, exact[1][rows])


def test_vectors_that_were_known_get_their_lengths_when_they_are_asked_for(toy_dataset: Dataset):
    encoder, rows = Measures("knows"), np.array([1, 2])
    exact = measured_all(toy_dataset, encoder)
    before = encoder.seen
    known = {toy_dataset.rows[1].sha256: exact[0][1], toy_dataset.rows[2].sha256: exact[0][2]}
    assert np.allclose(dataset_vectors(toy_dataset, rows, encoder, known, quiet), exact[0][rows])
    assert encoder.seen == before
    assert np.allclose(dataset_lengths(toy_dataset, rows, encoder, quiet), exact[1][rows])
    assert encoder.seen == before + 2


def test_a_runtime_that_tells_no_lengths_gives_zeros(toy_dataset: Dataset):
    encoder = ColourEncoder("tells nothing")
    assert dataset_lengths(toy_dataset, np.array([0, 1]), encoder, quiet).tolist() == [0, 0]


def measured_all(dataset: Dataset, encoder: Measures) -> tuple[F32, F32]:
    return encoder.measure(np.array(dataset.crops))
