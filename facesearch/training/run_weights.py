"""Weights that a training run leaves beside its encoder, or begins with: the classifier, and other networks'
backbones. Needs torch.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesearch.datasets.table import Dataset
from facesearch.encoder.checkpoint import load_encoder, read_tensors, write_tensors
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.torch_runtime import BATCH, TorchRuntime
from facesearch.errors import BadCheckpoint, NotFound
from facesearch.records import I64, Bools
from facesearch.training.losses import Head, make_head
from facesearch.training.recipe import TrainConfig
from facesearch.training.run_folder import CLASSIFIER


def save_classifier(
    path: Path, head: dict[str, Tensor], config: TrainConfig, classes: Sequence[str], encoder_id: str
) -> None:
    """Write the tensors of an encoder's head with the name of each class. Raises CannotWrite."""
    meta = {
        "kind": "classifier",
        "loss": config.loss,
        "embedding_size": config.embedding_size,
        "scale": config.scale,
        "classes": list(classes),
        "encoder_id": encoder_id,
    }
    write_tensors(path, head, meta)


def load_classifier(path: Path) -> tuple[Head, NDArray[np.str_], str]:
    """The classification head of a run's best encoder, the name of each class, and that encoder's id."""
    tensors, meta = read_tensors(path)
    if meta.get("kind") != "classifier":
        raise BadCheckpoint(path, "it holds no classifier")
    head = make_head(meta["loss"], meta["embedding_size"], len(meta["classes"]), meta["scale"])
    head.load_state_dict(tensors)
    return head.eval(), np.array(meta["classes"], dtype=np.str_), meta["encoder_id"]


def backbone_weights(path: Path) -> dict[str, Tensor]:
    """The backbone's tensors from one of our encoders, or from torchvision's own .pth (tensors only, no code
    is run).
    """
    if path.suffix != ".pth":
        encoder, _ = load_encoder(path)
        return dict(encoder.backbone.state_dict())
    if not path.is_file():
        raise NotFound(path, "weights file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadCheckpoint(path, "not a plain state dict of tensors") from error
    if not isinstance(state, dict):
        raise BadCheckpoint(path, "not a plain state dict of tensors")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def classifier_right(weights: Path, dataset: Dataset, rows: I64, runtime: Runtime) -> Bools | None:
    """Whether the training run's own classifier, without the margin, names each photo; None when it is not
    there.
    """
    path = weights.with_name(CLASSIFIER)
    if not path.is_file() or weights.suffix.lower() == ".onnx":
        return None
    head, classes, encoder_id = load_classifier(path)
    if encoder_id != runtime.encoder_id:
        return None
    network = (
        runtime if isinstance(runtime, TorchRuntime) else TorchRuntime(weights, "auto")
    )  # vectors before normalising
    right = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        with torch.inference_mode():
            best = head(network.embeddings(dataset.crops[part])).argmax(1).numpy()
        right.append(classes[best] == dataset.people[part])
    return np.concatenate(right)
