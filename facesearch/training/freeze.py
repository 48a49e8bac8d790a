"""Freeze the first layers of a network, by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from facesearch.errors import BadConfig


def frozen_at(schedule: Sequence[int], epoch: int) -> int:
    """How many first layers are frozen in this epoch: entry `epoch`, or the last entry once the list has
    ended.

    [1] freezes the first layer for good; [9, 8, 7, 6, 5, 4, 3, 2, 1, 0] thaws a resnet step by step.
    """
    return schedule[min(epoch, len(schedule) - 1)] if schedule else 0


def freeze_first(network: nn.Module, count: int) -> list[str]:
    """Stop the gradients of the network's first `count` children (conv1, bn1, relu, ... in a resnet); free
    the others.

    Weights alone are frozen: batch-norm statistics go on following the data, as in the seed project.
    Returns the names of the frozen children. Raises BadConfig when nothing would be left to train.
    """
    children = list(network.named_children())
    if count >= len(children):
        raise BadConfig(
            "freeze",
            count,
            f"below {len(children)}, the number of layers: " + ", ".join(n for n, _ in children),
        )
    for i, (_, child) in enumerate(children):
        child.requires_grad_(i >= count)
    return [name for name, _ in children[:count]]
