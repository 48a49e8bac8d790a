"""Batch norm over the batches of all processes of a run, so that N small batches are normalised as one large
one.

On GPUs torch's own SyncBatchNorm does it; it refuses CPUs, for which the same is written here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from facesearch.ranks import ALONE, Ranks


class _Normalise(torch.autograd.Function):
    """x (n, c, ...) -> x by the mean and variance of all processes' x, channel by channel; every process
    holds as many rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        ranks: Ranks,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.ranks, ctx.has_bias = ranks, bias is not None
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        ranks: Ranks = ctx.ranks
        shape, others = _column_shape(x), _all_but_channels(x)
        gradient, normal = gradients[0].float(), (x.float() - mean.view(shape)) * inverse.view(shape)
        own = torch.stack([gradient.sum(others), (gradient * normal).sum(others)])  # (2, c)
        count = x.numel() // x.shape[1] * ranks.world
        flat, along = ranks.sum(own) / count
        scale = inverse if weight is None else inverse * weight
        for_x = (gradient - flat.view(shape) - normal * along.view(shape)) * scale.view(shape)
        return (
            for_x.to(x.dtype),
            None if weight is None else own[1],
            own[0] if ctx.has_bias else None,
            None,
            None,
            None,
            None,
        )


class SyncedBatchNorm(_BatchNorm):
    """nn.BatchNorm of any number of dimensions that trains on what all processes hold; in use it is the plain
    one.
    """

    ranks: Ranks = ALONE

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """input (n, c, ...) float; n and ... the same in all processes."""
        if not self.training:
            return super().forward(input)
        variance, mean = torch.var_mean(input.detach().float(), _all_but_channels(input), correction=0)
        means, variances = self.ranks.rows(torch.stack([mean, variance])[None]).unbind(1)  # each (world, c)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        if (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        ):
            count = input.numel() // input.shape[1] * self.ranks.world
            self.num_batches_tracked += 1
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / (count - 1)), share)
        result: Tensor = _Normalise.apply(input, self.weight, self.bias, mean, variance, self.eps, self.ranks)
        return result


def synchronise_norms(network: nn.Module, device: torch.device, ranks: Ranks) -> None:
    """Let all batch norms of a network work on the whole batch of the run. Weights and their names stay;
    alone nothing changes.
    """
    if ranks.world == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # in place: the network is none itself
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SyncedBatchNorm
            module.ranks = ranks  # type: ignore[assignment]


def _all_but_channels(x: Tensor) -> list[int]:
    return [i for i in range(x.ndim) if i != 1]


def _column_shape(x: Tensor) -> list[int]:
    return [-1 if i == 1 else 1 for i in range(x.ndim)]
