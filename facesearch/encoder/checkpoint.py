"""Weights on disk: safetensors with JSON in its header. One file, written in one step, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from facesearch.encoder.config import EncoderConfig
from facesearch.encoder.network import Encoder
from facesearch.encoder.weights_file import (
    DAMAGED,
    FORMAT,
    KEY,
    PREPROCESSING,
    encoder_id,
    encoder_meta,
    read_meta,
)
from facesearch.errors import BadCheckpoint, BadConfig
from facesearch.faces.crop import GEOMETRY
from facesearch.files import replace_file


def write_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Save tensors with meta (JSON) in the file's header. Raises CannotWrite; what was at path stays then."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    replace_file(path, save(whole, metadata={KEY: json.dumps({"format": FORMAT, **meta})}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Raises NotFound, PickleRefused, BadCheckpoint."""
    meta = read_meta(path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118  (safe_open is no dict)


def id_of(tensors: dict[str, Tensor], config: EncoderConfig) -> str:
    """The id of an encoder with these tensors, see weights_file.encoder_id."""
    return encoder_id(
        {name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items()}, config
    )


def save_encoder(path: Path, encoder: Encoder, notes: dict[str, Any], *, half: bool = False) -> str:
    """Write an encoder and return its id; notes (JSON) go along: recipe, metrics, threshold table. half:
    float16 weights.
    """
    tensors = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in encoder.state_dict().items()
    }
    identity = id_of(tensors, encoder.config)
    meta = {
        "kind": "encoder",
        "encoder_id": identity,
        "config": asdict(encoder.config),
        "geometry": GEOMETRY,
        "preprocessing": PREPROCESSING,
        "notes": notes,
    }
    write_tensors(path, tensors, meta)
    return identity


def load_encoder(path: Path) -> tuple[Encoder, dict[str, Any]]:
    """Build the encoder of a file, in float32 and eval mode, with its meta. Raises NotFound, PickleRefused,
    BadCheckpoint.
    """
    encoder_meta(path)
    tensors, meta = read_tensors(path)
    try:
        encoder = Encoder(EncoderConfig.read(meta["config"]))
        encoder.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, BadConfig) as error:
        raise BadCheckpoint(
            path, f"its tensors do not fit its own description ({str(error).splitlines()[0]})"
        ) from error
    if id_of(tensors, encoder.config) != meta.get("encoder_id"):
        raise BadCheckpoint(path, DAMAGED)
    return encoder.eval(), meta


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as flat, named tensors: `optimizer.PARAMETER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, entry in state.items()
        for name, value in entry.items()
        if value is not None
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what pack_optimizer took, each tensor in the memory layout of its parameter.

    The fused optimisers walk through memory without looking at strides: a momentum left contiguous beside a
    channels-last weight would be read in another order, and silently belong to other weights.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            number, _, field = rest.partition(".")
            state.setdefault(int(number), {})[field] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for parameter, entry in optimizer.state.items():
        for field, value in entry.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entry[field] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
