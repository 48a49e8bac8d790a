"""What an index of faces must be able to do, so that people can be named by it: FAISS on this machine, Milvus on others."""

from __future__ import annotations

from typing import Protocol

from facesearch.records import F32, I64


class Nearest(Protocol):
    """Nearest faces by cosine. erasures: how often somebody had been forgotten when it was made; built: why it was made anew
    for this opening, empty when it was taken as it is. len: how many faces it may answer with."""

    @property
    def erasures(self) -> int: ...

    @property
    def built(self) -> str: ...

    def __len__(self) -> int: ...

    def search(self, queries: F32, k: int, among: I64 | None = None) -> tuple[I64, F32]:
        """queries (q, d) float32 unit rows, k >= 1 -> face ids (q, k) int64, cosines (q, k) float32, best first.

        among: only faces with these ids (m,), rising; all of them are compared. Where fewer than k faces are found,
        rows end in id -1 and score -inf. Equal scores: the lower id first.
        """
        ...
