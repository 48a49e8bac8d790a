"""The processes of one run, as torchrun starts them: which of them this is, and what they tell one another.

A process that is alone is the first of one: then nothing here does anything, and code reads the same in both cases. Small
things on the CPU go over gloo even where the heavy ones go over NCCL, so that asking a question never waits for a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from facesearch.errors import DeviceMissing, PeerLost

T = TypeVar("T")
LONGEST_WAIT = timedelta(hours=6)
"""How long one process waits for the others: rank 0 may look at every photo with a teacher first. A dead one is noticed at once."""
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
        return self._reduced(values, dist.ReduceOp.SUM)

    def max(self, values: Tensor) -> Tensor:
        """The largest over all processes, place by place. Outside autograd."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def rows(self, values: Tensor) -> Tensor:
        """values (n, ...), of one shape in all -> (world * n, ...), in the order of the processes. Outside autograd."""
        if self.world == 1:
            return values
        whole = values.new_empty((self.world * len(values), *values.shape[1:]))
        dist.all_gather_into_tensor(whole, values.detach().contiguous())
        return whole

    def collect(self, values: Tensor, sizes: Sequence[int]) -> Tensor | None:
        """values (sizes[rank], ...) of every process -> (sum of sizes, ...) on the first one's CPU; None on the others."""
        if self.world == 1:
            return values
        padded = values.new_zeros((max(sizes), *values.shape[1:]), device="cpu")
        padded[: len(values)] = values.detach().cpu()
        parts = [torch.empty_like(padded) for _ in sizes] if self.is_first else None
        dist.gather(padded, parts, dst=0)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]) if parts else None

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag: whether it is set in any process. All of them get the same answer."""
        if self.world == 1:
            return flags
        return tuple(bool(flag) for flag in self.max(torch.tensor(flags, dtype=torch.uint8)))

    def first_says(self, value: T) -> T:
        """The first process's value, in all of them."""
        if self.world == 1:
            return value
        said: list[Any] = [value]
        dist.broadcast_object_list(said, src=0)
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
        """Raises PeerLost, with what is kept and the command to go on, in place of what a broken connection looks like."""
        try:
            yield
        except RuntimeError as error:
            if self.world > 1 and _is_broken(error):
                raise PeerLost(self.rank, self.world, kept, resume) from error
            raise

    def _reduced(self, values: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
        if self.world == 1:
            return values
        result = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result, how)
        return result


ALONE = Ranks()


def from_environment() -> Ranks:
    """What torchrun says in the environment; ALONE without it."""
    values = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    return Ranks(*map(int, values)) if all(value.isdigit() for value in values) else ALONE


def own_device(name: str, ranks: Ranks) -> str:
    """The device for this process: of several, each one on a machine takes its own GPU. Raises DeviceMissing."""
    if ranks.world == 1 or name == "cpu":
        return name
    if name not in ("auto", "cuda"):
        raise DeviceMissing(name, f"{ranks.world} processes share this run; each takes the GPU of its own number, so name none")
    return f"cuda:{ranks.local}" if name == "cuda" or torch.cuda.is_available() else "cpu"


@contextmanager
def joined(device: torch.device, ranks: Ranks) -> Iterator[None]:
    """Connected with the other processes of the run, for as long as it lasts: gloo, and NCCL beside it for tensors on GPUs."""
    if ranks.world == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    yield
    dist.destroy_process_group()  # after an error the process ends anyway, and waiting for the dead would hang


def _is_broken(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in BROKEN)
