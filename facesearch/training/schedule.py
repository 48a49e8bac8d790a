"""Optimisers, and the learning rate as a pure function of the step: nothing to save, nothing to resume."""

from __future__ import annotations

import math

import torch
from torch import nn

from facesearch.training.recipe import TrainConfig

ONECYCLE_START, ONECYCLE_END = 1 / 25, 1 / 25e4
"""First and last learning rate as shares of the highest: the defaults of torch's OneCycleLR."""


def make_optimizer(modules: list[nn.Module], config: TrainConfig) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD with Nesterov momentum over all parameters, frozen ones too (they get no
    gradient)."""
    parameters = [p for module in modules for p in module.parameters()]
    if config.decay_norms:
        groups = [{"params": parameters, "weight_decay": config.weight_decay}]
    else:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
    if config.optimizer == "sgd":
        nesterov = config.momentum > 0
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, fused=True)


def learning_rate(config: TrainConfig, step: float, steps_per_epoch: int) -> float:
    """The rate for one step, counted from 0 over the whole run; a run by the clock is between two.

    warm_restarts is Loshchilov and Hutter 2017 (arXiv:1608.03983, eq. 5) with T_mult 1, changed once an epoch
    as the seed project does; onecycle is torch's OneCycleLR with cosine annealing; cosine falls once over the
    run.
    """
    total = config.epochs * steps_per_epoch
    if config.schedule == "onecycle":
        peak = config.onecycle_rise * total - 1
        if step <= peak:
            return _cosine(config.lr * ONECYCLE_START, config.lr, step / max(1e-9, peak))
        return _cosine(config.lr, config.lr * ONECYCLE_END, (step - peak) / max(1e-9, total - 1 - peak))
    warm = config.warmup_epochs * steps_per_epoch
    if step < warm:
        return config.lr * (step + 1) / (warm + 1)
    if config.schedule == "warm_restarts":
        epoch = math.floor((step - warm) / steps_per_epoch)
        return _cosine(config.lr, config.lr_min, (epoch % config.restart_epochs) / config.restart_epochs)
    if config.schedule == "cosine":
        return _cosine(config.lr, config.lr_min, (step - warm) / max(1.0, total - warm))
    return config.lr


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, part))) / 2
