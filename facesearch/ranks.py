"""The processes of one run, as torchrun starts them: which of them this is, and what they tell one another.

A process that is alone is the first of one: then nothing here does anything, and code reads the same in both
cases. Small things on the CPU go over gloo even where the heavy ones go over NCCL, so that asking a question
never waits for a GPU. torch is imported by those who are not alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facesearch import workers
from facesearch.errors import DeviceMissing, PeerLost
from facesearch.records import F32

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
LONGEST_WAIT = timedelta(hours=6)
"""How long one process waits for the others: rank 0 may look at every photo with a teacher first. A dead one
is noticed at once.
"""
BROKEN = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "timed out")
"""Words by which a RuntimeError of a backend is known; gloo has no class of its own for them."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process is number `rank` of `world`, counted from 0; `local` is its number on its machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and talks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes of values, of the same shape in each. Outside autograd."""
        return self._reduced(values, "SUM")

    def max(self, values: Tensor) -> Tensor:
        """The largest over all processes, place by place. Outside autograd."""
        return self._reduced(values, "MAX")

    def rows(self, values: Tensor) -> Tensor:
        """values (n, ...), of one shape in all -> (world * n, ...), in the order of the processes. Outside
        autograd.
        """
        if self.world == 1:
            return values
        from torch import distributed

        whole = values.new_empty((self.world * len(values), *values.shape[1:]))
        distributed.all_gather_into_tensor(whole, values.detach().contiguous())
        return whole

    def collect(self, values: F32, sizes: Sequence[int]) -> F32 | None:
        """values (sizes[rank], ...) float32 of every process -> (sum of sizes, ...) for the first one; None
        for the others.
        """
        if self.world == 1:
            return values
        import torch
        from torch import distributed

        padded = torch.zeros((max(sizes), *values.shape[1:]))
        padded[: len(values)] = torch.from_numpy(values)
        parts = [torch.empty_like(padded) for _ in sizes] if self.is_first else None
        distributed.gather(padded, parts, dst=0)
        return (
            np.concatenate([part[:size].numpy() for part, size in zip(parts, sizes, strict=True)])
            if parts
            else None
        )

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag: whether it is set in any process. All of them get the same answer."""
        if self.world == 1:
            return flags
        import torch

        return tuple(bool(flag) for flag in self.max(torch.tensor(flags, dtype=torch.uint8)))

    def first_says(self, value: T) -> T:
        """The first process's value, in all of them."""
        if self.world == 1:
            return value
        from torch import distributed

        said: list[Any] = [value]
        distributed.broadcast_object_list(said, src=0)
        answer: T = said[0]
        return answer

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The others come in when the first one is done: what it leaves in files, they find there."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    @contextmanager
    def watched(self, kept: str, resume: str) -> Iterator[None]:
        """Raises PeerLost, with what is kept and the command to go on, in place of what a broken connection
        looks like.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world > 1 and _is_broken(error):
                raise PeerLost(self.rank, self.world, kept, resume) from error
            raise

    def _reduced(self, values: Tensor, how: str) -> Tensor:
        if self.world == 1:
            return values
        from torch import contiguous_format, distributed

        result = values.detach().clone(memory_format=contiguous_format)
        distributed.all_reduce(result, getattr(distributed.ReduceOp, how))
        return result


ALONE = Ranks()


def from_environment() -> Ranks:
    """What torchrun says in the environment; ALONE without it."""
    values = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    return Ranks(*map(int, values)) if all(value.isdigit() for value in values) else ALONE


def own_device(name: str, ranks: Ranks) -> str:
    """The device for this process: of several, each one on a machine takes its own GPU. Raises
    DeviceMissing."""
    if ranks.world == 1 or name == "cpu":
        return name
    if name not in ("auto", "cuda"):
        raise DeviceMissing(
            name, f"{ranks.world} processes share this run, each of which takes the GPU of its own number"
        )
    import torch

    return f"cuda:{ranks.local}" if name == "cuda" or torch.cuda.is_available() else "cpu"


@contextmanager
def joined(device: str, ranks: Ranks) -> Iterator[None]:
    """Connected with the other processes of the run, for as long as it lasts: gloo, and NCCL beside it for
    tensors on GPUs.

    device: this process's own, as own_device gives it.
    """
    if ranks.world == 1:
        yield
        return
    import torch
    from torch import distributed

    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)
    yield
    # After an error the process ends anyway, and waiting for the dead would hang
    distributed.destroy_process_group()
    # torch keeps a group that DistributedDataParallel has used, and gloo's threads with it
    workers.foreign_threads_stay()


def _is_broken(error: RuntimeError) -> bool:
    from torch import distributed

    text = str(error).lower()
    return isinstance(error, distributed.DistError) or any(word in text for word in BROKEN)
