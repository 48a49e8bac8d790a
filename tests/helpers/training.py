"""A training run small enough for a test."""

from __future__ import annotations

from pathlib import Path

import torch

from facesearch.datasets.table import Dataset
from facesearch.encoder.checkpoint import read_tensors
from facesearch.encoder.device import choose_device
from facesearch.encoder.runtime import Precision
from facesearch.training.recipe import TrainConfig
from facesearch.training.train import TrainResult, train

CHANNELS, VECTOR = 6, 5
"""Of the teacher that tests make: channels of its map, numbers of its vectors."""
SMALL = TrainConfig(
    backbone="resnet18",
    embedding_size=16,
    embedding_batchnorm=True,
    scale=10.0,
    margin_rad=0.1,
    lr=2e-3,
    epochs=2,
    batch_size=12,
    size_px=32,
    flip=True,
    shift=0.05,
    light=0.2,
    erase=0.3,
    low_res=0.2,
    border=0.3,
    ema_decay=0.5,
    colours=("grayscale", "jitter", "blur"),
    colour_mode="random",
    dropout=0.2,
)


def go(
    config: TrainConfig,
    dataset: Dataset,
    out: Path,
    *,
    resume: bool = False,
    on_step=lambda step: None,
    precision: Precision = "auto",
) -> TrainResult:
    return train(
        config,
        [dataset],
        [],
        choose_device("cpu", precision),
        out,
        resume=resume,
        on_step=on_step,
        on_epoch=lambda result, out: None,
        on_teacher=lambda done, total: None,
        tell=lambda line: None,
    )


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path)[0]


def assert_same(a: Path, b: Path) -> None:
    one, two = tensors(a), tensors(b)
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert different == []
