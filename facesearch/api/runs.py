"""Training runs on disk, and the encoders that they leave. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facesearch.encoder.weights import FINISHED as FINISHED
from facesearch.encoder.weights import RUNS as RUNS

if TYPE_CHECKING:
    from facesearch.encoder.onnx_export import OnnxFile
    from facesearch.training.recipe import TrainConfig
    from facesearch.training.run_folder import EpochResult


def setting_lines() -> Iterator[str]:
    """Every setting of a recipe: name, default, type, range, and what it does. The lines are a recipe."""
    from facesearch.training.recipe_files import setting_lines as lines

    return lines()


def read_recipe(recipe: str | None = None, settings: Sequence[str] = ()) -> TrainConfig:
    """A recipe, with settings that override it.

    Args:
        recipe: Its name or a .toml file; None for the default one.
        settings: Each as "key=value".

    Raises:
        NotFound: There is no such recipe.
        CannotRead: It cannot be read.
        UnknownSetting: A setting has a name that is none.
        BadConfig: A value makes no sense.
    """
    from facesearch.training.recipe_files import find_recipe, load_recipe

    return load_recipe(find_recipe(recipe or "default")).changed(settings)


def load_history(run: str | os.PathLike[str]) -> list[EpochResult]:
    """The epochs of a run.

    Raises:
        NotFound: There is no such run.
        CannotRead: Its log cannot be read.
    """
    from facesearch.training.run_folder import load_history as load

    return load(Path(run))


def curves_file(run: Path) -> Path:
    """Where a run's curves are drawn."""
    from facesearch.training.run_folder import CURVES

    return run / CURVES


def encoder_for_new(runs: Path | None = RUNS) -> Path:
    """The encoder that new galleries are made with: of the run that `train` last finished, else the shipped
    one.

    Raises:
        NotFound: The run's encoder is gone.
        CannotRead: The note of the last run cannot be read.
        NoWeights: There is no encoder at all.
    """
    from facesearch.encoder.weights import weights_for_new

    return weights_for_new(runs).path


def export_onnx(run: str | os.PathLike[str]) -> OnnxFile:
    """Write the network as a standard .onnx file beside its weights, checked against torch.

    Args:
        run: The folder of a run, or an encoder's file.

    Raises:
        NotFound: It is not there.
        BadCheckpoint: It is no encoder.
        OutputExists: The .onnx file is there already.
        PackageMissing: The extra [onnx] or [train] is not installed.
    """
    from facesearch.encoder.onnx_export import write_onnx
    from facesearch.encoder.weights import named_weights

    weights = named_weights(Path(run)).path
    return write_onnx(weights, weights.with_suffix(".onnx"))
