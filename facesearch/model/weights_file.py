"""What a weights file says of itself, read without torch: safetensors with JSON in its header, never a pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from facesearch.errors import BadCheckpoint, NotFound, PickleRefused, reason_of, said_of
from facesearch.faces.crop import GEOMETRY

KEY = "facesearch"
FORMAT = 1
PREPROCESSING = "rgb-imagenet-1"


def encoder_meta(path: Path) -> dict[str, Any]:
    """The meta of an encoder that takes the crops this version cuts. Raises NotFound, PickleRefused, BadCheckpoint."""
    meta = read_meta(path)
    if meta.get("kind") != "encoder":
        raise BadCheckpoint(path, f"it holds a {meta.get('kind', 'thing of unknown kind')}, not an encoder; see best.safetensors")
    if meta.get("geometry") != GEOMETRY or meta.get("preprocessing") != PREPROCESSING:
        raise BadCheckpoint(path, f"made for crops {meta.get('geometry')}/{meta.get('preprocessing')}; this version cuts {GEOMETRY}")
    if not isinstance(meta.get("encoder_id"), str) or not isinstance(meta.get("config"), dict):
        raise BadCheckpoint(path, "its description names no encoder")
    return meta


def read_meta(path: Path) -> dict[str, Any]:
    """Read what a checkpoint says of itself without loading it. Raises NotFound, PickleRefused, BadCheckpoint."""
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
