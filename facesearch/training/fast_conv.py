"""3 x 3 convolutions of many channels as matrix products, where that trains faster than the library's own
kernels.

oneDNN's bfloat16 weight gradients take four to eight times as long as the forward pass once a layer has many
channels; as one product over the gathered neighbourhoods they run at its speed. Measured (scripts/LOG.md,
2026-11-24): with AMX it pays from 256 channels on, without from 512 on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_CHANNELS, MIN_CHANNELS_WITHOUT_AMX = 256, 512


class _MatmulConv(torch.autograd.Function):
    """Convolution of x (n, c, h, w) with weight (o, c, 3, 3), padding 1, both bfloat16 and channels last in
    memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        rows, table = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
        n, h, w, _ = rows.shape
        ctx.save_for_backward(rows, table)
        ctx.stride = stride
        out = _neighbourhoods(rows, stride) @ table.t()
        return out.view(n, (h - 1) // stride + 1, (w - 1) // stride + 1, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, table = ctx.saved_tensors
        stride: int = ctx.stride
        (n, h, w, c), o = rows.shape, len(table)
        gradient = gradients[0].permute(0, 2, 3, 1).contiguous()
        high, wide = gradient.shape[1:3]
        flat = gradient.view(-1, o)
        for_weight = (flat.t() @ _neighbourhoods(rows, stride)).view(o, 3, 3, c).permute(0, 3, 1, 2)
        spread = (flat @ table).view(n, high, wide, 3, 3, c)
        for_x = rows.new_zeros(n, h + 2, w + 2, c)
        for i in range(3):
            for j in range(3):
                for_x[
                    :, i : i + (high - 1) * stride + 1 : stride, j : j + (wide - 1) * stride + 1 : stride
                ] += spread[:, :, :, i, j]
        return for_x[:, 1:-1, 1:-1].permute(0, 3, 1, 2), for_weight, None


def _neighbourhoods(rows: Tensor, stride: int) -> Tensor:
    """rows (n, h, w, c) -> (n * h' * w', 9 * c): the 3 x 3 surroundings of every place that the stride
    visits.
    """
    n, h, w, c = rows.shape
    padded = F.pad(rows, (0, 0, 1, 1, 1, 1))
    high, wide = (h - 1) // stride + 1, (w - 1) // stride + 1
    parts = [
        padded[:, i : i + (high - 1) * stride + 1 : stride, j : j + (wide - 1) * stride + 1 : stride]
        for i in range(3)
        for j in range(3)
    ]
    return torch.cat(parts, 3).view(n * high * wide, 9 * c)


class FastConv2d(nn.Conv2d):
    """nn.Conv2d that goes the other way while it trains in bfloat16 on a CPU where that pays, and its own way
    everywhere else.
    """

    def forward(self, x: Tensor) -> Tensor:
        if (
            self.training
            and x.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and self._pays_here()
        ):
            result: Tensor = _MatmulConv.apply(x.bfloat16(), self.weight.bfloat16(), self.stride[0])
            return result
        return super().forward(x)

    def _pays_here(self) -> bool:
        return self.out_channels >= MIN_CHANNELS_WITHOUT_AMX or torch.cpu._is_amx_tile_supported()


def speed_up(network: nn.Module) -> None:
    """Let the convolutions that gain by it train as matrix products. Weights and their names stay as they
    are.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _gains(module):
            module.__class__ = FastConv2d


def _gains(conv: nn.Conv2d) -> bool:
    """Plain 3 x 3, padding 1, one stride, no bias, no groups, and many channels."""
    plain = (
        conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.dilation == (1, 1) and conv.groups == 1
    )
    return (
        plain and conv.bias is None and conv.stride[0] == conv.stride[1] and conv.out_channels >= MIN_CHANNELS
    )
