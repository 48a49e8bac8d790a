"""What an evaluation is given: where vectors come from, and the gallery of the closed set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.table import Dataset
from facesearch.encoder.dataset_vectors import dataset_lengths, dataset_vectors
from facesearch.encoder.runtime import Runtime
from facesearch.records import F32, I64, Progress


@dataclass(frozen=True)
class Embedder:
    """Where vectors come from: a runtime, what a gallery of its encoder knows already, and a bar to show."""

    runtime: Runtime
    known: dict[str, F32]
    progress: Progress

    def __call__(self, dataset: Dataset, rows: I64) -> F32:
        return dataset_vectors(dataset, rows, self.runtime, self.known, self.progress)

    def lengths(self, dataset: Dataset, rows: I64) -> F32:
        """How long these rows' vectors were (m,); 0 by a runtime that does not tell."""
        return dataset_lengths(dataset, rows, self.runtime, self.progress)


@dataclass(frozen=True)
class EnrolledPhotos:
    """The gallery of the closed set: its dataset, the rows that are enrolled, their vectors."""

    data: Dataset
    rows: I64
    vectors: F32

    @property
    def people(self) -> NDArray[np.str_]:
        return self.data.people[self.rows]


class LeftOut(Exception):
    """A section lacks its data; the text says what."""
