"""What a weights file says of itself, read without torch: safetensors with JSON in its header, never a
pickle.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from facesearch.encoder.config import EncoderConfig
from facesearch.errors import BadCheckpoint, NotFound, PickleRefused, reason_of, said_of
from facesearch.faces.crop import GEOMETRY

KEY = "facesearch"
FORMAT = 1
PREPROCESSING = "rgb-imagenet-1"
DAMAGED = "its weights are not those that its id was made of; the file is damaged"
Arrays = dict[str, NDArray[Any]]
PREPROCESS = {
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "arcface": ((127.5,) * 3, (127.5,) * 3),
}
"""Mean and spread a channel, RGB, that foreign encoders were trained with."""


def encoder_meta(path: Path) -> dict[str, Any]:
    """The meta of an encoder that takes the crops this version cuts. Raises NotFound, PickleRefused,
    BadCheckpoint.
    """
    meta = read_meta(path)
    if meta.get("kind") != "encoder":
        raise BadCheckpoint(
            path,
            f"it holds a {meta.get('kind', 'thing of unknown kind')}, not an encoder; see best.safetensors",
        )
    if meta.get("geometry") != GEOMETRY or meta.get("preprocessing") != PREPROCESSING:
        raise BadCheckpoint(
            path,
            f"made for crops {meta.get('geometry')}/{meta.get('preprocessing')}; this version cuts"
            f" {GEOMETRY}",
        )
    if not isinstance(meta.get("encoder_id"), str) or not isinstance(meta.get("config"), dict):
        raise BadCheckpoint(path, "its description names no encoder")
    return meta


def read_encoder(path: Path) -> tuple[Arrays, EncoderConfig, dict[str, Any]]:
    """An encoder's tensors as they are stored, its network and its meta; whether they are whole is for
    require_whole to say.

    Raises NotFound, PickleRefused, BadCheckpoint.
    """
    meta = encoder_meta(path)
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (safe_open is no dict)
        config = EncoderConfig.read(meta["config"])
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise BadCheckpoint(path, f"it cannot be read ({said_of(path, error)})") from error
    return tensors, config, meta


def require_whole(path: Path, tensors: Arrays, config: EncoderConfig, identity: str) -> None:
    """Raises BadCheckpoint when these are not the weights that the id was made of."""
    if encoder_id(tensors, config) != identity:
        raise BadCheckpoint(path, DAMAGED)


def encoder_id(tensors: Mapping[str, NDArray[Any]], config: EncoderConfig) -> str:
    """Name an encoder by all that decides its vectors: weights, network, crop geometry, preprocessing. 64 hex
    digits.

    Types are written as torch writes them, which made the first ids.
    """
    digest = hashlib.sha256(
        json.dumps([GEOMETRY, PREPROCESSING, config.described()], sort_keys=True).encode()
    )
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} torch.{tensor.dtype} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def foreign_id(sha256: str, preprocess: str) -> str:
    """The id of a foreign encoder: the hash of its file, with all else that decides its vectors."""
    return hashlib.sha256(json.dumps([GEOMETRY, "onnx", preprocess, sha256]).encode()).hexdigest()


def read_meta(path: Path) -> dict[str, Any]:
    """Read what a checkpoint says of itself without loading it. Raises NotFound, PickleRefused,
    BadCheckpoint.
    """
    if not path.is_file():
        raise NotFound(path, "checkpoint")
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise BadCheckpoint(path, reason_of(error)) from error
    if start == b"\x80\x02" or (start == b"PK" and _holds_pickle(path)):
        raise PickleRefused(path)
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(path, f"not a whole safetensors file ({said_of(path, error)})") from error
    try:
        meta = json.loads(text) if text else None
    except ValueError:
        meta = None
    if not isinstance(meta, dict):
        raise BadCheckpoint(path, "a safetensors file, but not one that facesearch wrote")
    if meta.get("format") != FORMAT:
        raise BadCheckpoint(path, f"of format {meta.get('format')}; this version reads {FORMAT}")
    return meta


def _holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False
