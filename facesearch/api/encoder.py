"""Encoders: a file that turns face crops into vectors, ready for many threads, and again after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from facesearch.api import checks
from facesearch.api.per_process import PerProcess
from facesearch.encoder.batching import BatchingRuntime
from facesearch.encoder.runtime import ENGINES, PRECISIONS, Runtime, loader_for
from facesearch.encoder.runtime import Precision as Precision
from facesearch.encoder.weights import SHIPPED, Weights, named_weights
from facesearch.encoder.weights_file import PREPROCESS
from facesearch.errors import BadCheckpoint, NotFound
from facesearch.faces.crop import CROP_PX
from facesearch.records import F32, U8

BATCH = 64
EncoderLike: TypeAlias = "Encoder | str | os.PathLike[str] | None"
"""What a caller gives for an encoder: one of ours, a file or the folder of a run, None for the one that
stands in.
"""


class Encoder:
    """An encoder, which is loaded at its first use. load_encoder makes one.

    Safe to use from many threads: crops that come from several at once go through the network together. After
    a fork the child loads it for itself.

    Attributes:
        id: A hash of the weights, the crop geometry and the preprocessing.
        file: The file of the weights.
        why: How it was chosen, in words.
        preprocess: How a foreign .onnx wants its pixels; None for files that say it themselves.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        device: str = "auto",
        engine: str = "auto",
        threads: int | None = None,
        precision: Precision = "auto",
        batch: int = BATCH,
    ) -> None:
        """See load_encoder.

        Raises:
            NotFound: The file is not there.
            PickleRefused: It is a pickle.
            BadCheckpoint: It is no encoder.
        """
        checks.one_of("engine", engine, ENGINES)
        checks.one_of("precision", precision, PRECISIONS)
        checks.one_of("preprocess", weights.preprocess, tuple(PREPROCESS))
        checks.at_least("threads", threads, 1)
        checks.at_least("batch", batch, 1)
        self.file, self.why = weights.path, weights.why
        self.preprocess = weights.preprocess
        self.id = weights.encoder_id()
        self.on_batch: Callable[[int, int], None] | None = None
        """Called with (crops, callers) of each pass through the network."""
        self._how: dict[str, Any] = {
            "device": device,
            "engine": engine,
            "threads": threads,
            "precision": precision,
        }
        self._batch = batch
        self._runtime: PerProcess[BatchingRuntime] = PerProcess(self._loaded)

    @classmethod
    def of(cls, runtime: Runtime, *, batch: int = BATCH) -> Encoder:
        """An encoder of your own.

        Args:
            runtime: Anything with encoder_id, dimension, words, notes and embed, see Runtime.
            batch: At most so many crops of several callers go through it together.
        """
        return _Given(runtime, batch)

    @property
    def runtime(self) -> Runtime:
        """The network, loaded now if it is not yet.

        Raises:
            BadCheckpoint: The file is not as it should be.
            DeviceMissing: The device that was asked for is not there.
            PackageMissing: A package is not installed.
            EngineUnfit: The engine cannot run this file.
        """
        return self._runtime.get()

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self.runtime.dimension

    @property
    def words(self) -> str:
        """What it is and where it runs."""
        return self.runtime.words

    def embed(self, crops: U8) -> F32:
        """Vectors of crops.

        Args:
            crops: (n, 112, 112, 3) uint8 RGB, aligned as `detect` gives them.

        Returns:
            (n, d) float32, rows of length 1.

        Raises:
            ValueError: Another shape or type.
            NotNumbers: The network gave vectors that are no numbers.
            EncoderError: It cannot be loaded.
        """
        crops = np.asarray(crops)
        if crops.ndim != 4 or crops.shape[1:] != (CROP_PX, CROP_PX, 3) or crops.dtype != np.uint8:
            raise ValueError(
                f"crops of shape {crops.shape} and type {crops.dtype}; expected (n, {CROP_PX}, {CROP_PX}, 3)"
                " uint8"
            )
        return self.runtime.embed(crops)

    def __repr__(self) -> str:
        return f"<Encoder {self.id} {str(self.file)!r}>"

    def note(self) -> str:
        """What a gallery remembers of the file that it was made with."""
        return Weights(self.file, self.why, self.preprocess).note()

    def warm_up(self) -> None:
        """Load it in the background. What goes wrong there is raised by the first call that needs it.

        The engine is imported here and now, since two threads that import hinder each other.
        """
        if self._runtime.peek() is None and (self._warming is None or not self._warming.is_alive()):
            self._load = os.getpid(), self._loader()
            self._warming = threading.Thread(target=self._warm, name="facesearch-load")
            self._warming.start()

    def close(self) -> None:
        """End its threads. Used again, it is loaded again."""
        if self._warming is not None and self._warming.is_alive():
            self._warming.join()
        runtime = self._runtime.drop()
        if runtime is not None:
            runtime.close()

    def _loader(self) -> Callable[[], Runtime]:
        return loader_for(self.file, preprocess=self.preprocess or "imagenet", **self._how)

    _load: tuple[int, Callable[[], Runtime]] | None = None
    """The process that imported the engine, and what makes the encoder ready there."""
    _warming: threading.Thread | None = None

    def _loaded(self) -> BatchingRuntime:
        soon, self._load = self._load, None
        load = soon[1] if soon is not None and soon[0] == os.getpid() else self._loader()
        runtime = load()
        if runtime.encoder_id != self.id:
            raise BadCheckpoint(self.file, "it was replaced by another encoder since it was looked at")
        me = weakref.ref(self)  # the thread must not keep alive what nobody else needs

        def on_batch(crops: int, callers: int) -> None:
            encoder = me()
            if encoder is not None and encoder.on_batch is not None:
                encoder.on_batch(crops, callers)

        return BatchingRuntime(runtime, most=self._batch, on_batch=on_batch)

    def _warm(self) -> None:
        """Engines prepare for their first crop longer than they compute."""
        with suppress(Exception):  # raised again for the caller who needs it
            self.runtime.embed(np.zeros((1, CROP_PX, CROP_PX, 3), np.uint8))


class _Given(Encoder):
    def __init__(self, runtime: Runtime, batch: int) -> None:
        self.file, self.why, self.preprocess, self.id = Path(), "given", None, runtime.encoder_id
        self.on_batch = None
        self._given, self._batch = runtime, batch
        self._runtime = PerProcess(self._loaded)

    def note(self) -> str:
        return ""

    def _loader(self) -> Callable[[], Runtime]:
        return lambda: self._given


def load_encoder(
    weights: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    engine: str = "auto",
    preprocess: str | None = None,
    threads: int | None = None,
    precision: Precision = "auto",
    batch: int = BATCH,
) -> Encoder:
    """An encoder from its file.

    Args:
        weights: A .safetensors file, the folder of a training run, or a foreign .onnx; None for the encoder
            that comes with facesearch.
        device: "auto", "cpu", "cuda" or "cuda:N". A device that is named and missing is an error.
        engine: "auto", "openvino", "torch" or "onnxruntime".
        preprocess: "imagenet" or "arcface": how a foreign .onnx wants its pixels, which it does not say
            itself.
        threads: How many the engine takes; None for one a core.
        precision: "auto", "float32" or "bfloat16".
        batch: At most so many crops of several callers go through the network together.

    Returns:
        The encoder; its network is loaded at the first use, and so are the errors of that.

    Raises:
        NotFound: The file is not there.
        PickleRefused: It is a pickle, which may hold code. It was not read.
        BadCheckpoint: It is no encoder.
        ValueError: Another device, engine, preprocess or precision.
    """
    if weights is None:
        if not SHIPPED.is_file():
            raise NotFound(SHIPPED, "encoder")
        chosen = Weights(SHIPPED, "shipped with facesearch")
    else:
        chosen = named_weights(Path(weights), preprocess)
    return Encoder(chosen, device=device, engine=engine, threads=threads, precision=precision, batch=batch)


def as_encoder(given: EncoderLike, **how: Any) -> Encoder:
    """What a caller gives for an encoder, as an Encoder.

    Args:
        given: An Encoder, a file or run, or None for the one that comes with facesearch.
        **how: See load_encoder.
    """
    return given if isinstance(given, Encoder) else load_encoder(given, **how)
