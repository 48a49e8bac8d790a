"""What a run needs to go on, as one file: every process gives its part, the first one writes, and each takes
its part again.

The file is the same whatever the number of processes: shards of class centres are put together in it, with
what the optimiser and the average know of them. So a run may go on with another number; bit for bit only with
the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from facesearch.encoder.checkpoint import pack_optimizer, read_tensors, unpack_optimizer
from facesearch.errors import BadCheckpoint, BadConfig
from facesearch.training.learner import Learner
from facesearch.training.sharded_head import ShardedArcFace

CENTRES = "head.centres"
MODEL, AVERAGE = "model.", "average."


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a training state. Raises NotFound, PickleRefused, BadCheckpoint."""
    tensors, meta = read_tensors(path)
    if meta.get("kind") != "training state":
        raise BadCheckpoint(path, "it is no training state")
    # Until version 0.1.0 what is learned from the teacher with was called pupil.
    return {name.replace("pupil.", "student.", 1): value for name, value in tensors.items()}, meta


def pack(
    model: Learner, average: AveragedModel | None, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """All tensors of a run, whole. All processes must call it; what it gives is whole on the first one
    alone."""
    tensors = {f"{MODEL}{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"{AVERAGE}{name}": value for name, value in average.state_dict().items()}
    tensors |= pack_optimizer(optimizer)
    if isinstance(model.head, ShardedArcFace):
        for name in list(_shards(tensors, model, optimizer)):
            whole = model.head.whole(tensors[name])
            tensors |= {name: whole} if whole is not None else {}
    return tensors


def unpack(
    tensors: dict[str, Tensor],
    model: Learner,
    average: AveragedModel | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Put back what pack took, each process its part."""
    if isinstance(model.head, ShardedArcFace):
        tensors = tensors | {
            name: model.head.part(tensors[name]) for name in _shards(tensors, model, optimizer)
        }
    model.load_state_dict(part_of(tensors, MODEL))
    if average is not None:
        average.load_state_dict(part_of(tensors, AVERAGE))
    unpack_optimizer(optimizer, tensors)


def take_over(model: Learner, classes: tuple[str, ...], path: Path, backbone: str) -> None:
    """Begin with another run's network, head and student, as evaluated there; what learns other people starts
    again.

    Raises BadConfig for a network of another shape.
    """
    tensors, meta = read_state(path)
    theirs = as_evaluated(tensors)
    if meta["classes"] != digest(classes):
        theirs = {name: value for name, value in theirs.items() if not name.startswith("head.")}
    elif isinstance(model.head, ShardedArcFace) and CENTRES in theirs:
        theirs[CENTRES] = model.head.part(theirs[CENTRES])
    own = model.state_dict()
    wrong = [
        name
        for name in own
        if name.startswith("encoder.") and (name not in theirs or theirs[name].shape != own[name].shape)
    ]
    if wrong:
        raise BadConfig(
            "pretrained", path, f"a run of {backbone} with the same last layers ({wrong[0]} differs)"
        )
    model.load_state_dict(
        own
        | {name: value for name, value in theirs.items() if name in own and value.shape == own[name].shape}
    )


def head_tensors(model: Learner) -> dict[str, Tensor] | None:
    """The head's tensors as an unsharded head has them. All processes must call it; those but the first may
    get None.
    """
    if not isinstance(model.head, ShardedArcFace):
        return dict(model.head.state_dict())
    whole = model.head.whole(model.head.centres)
    return None if whole is None else {"centres": whole}


def digest(classes: tuple[str, ...]) -> str:
    """Tells the people of one run from those of another without naming them."""
    return hashlib.sha256("\0".join(classes).encode()).hexdigest()


def as_evaluated(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of a training state the network that is evaluated: its average where there is one."""
    return part_of(tensors, f"{AVERAGE}module.") or part_of(tensors, MODEL)


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _shards(tensors: dict[str, Tensor], model: Learner, optimizer: torch.optim.Optimizer) -> Iterator[str]:
    """Names of the tensors that have one row a class centre."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    number = next(i for i, parameter in enumerate(parameters) if parameter is model.head.centres)
    for name, value in tensors.items():
        own = name.startswith(f"optimizer.{number}.") and value.ndim == 2
        if own or (name.startswith((MODEL, AVERAGE)) and name.endswith(CENTRES)):
            yield name
