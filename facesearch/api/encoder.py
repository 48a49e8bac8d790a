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
    """An encoder that is loaded at its first use, from the thread that needs it.

    file: the weights it is of; why: how it was chosen, in words. Safe to use from many threads: crops that
    come from several at once go through the network together. After a fork the child loads it for itself.
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
        """batch: most crops of several callers that go through the network together. Raises what reading the
        file's header raises: NotFound, PickleRefused, BadCheckpoint."""
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
        """An encoder of your own: anything with encoder_id, dimension, words, notes and embed, see
        Runtime."""
        return _Given(runtime, batch)

    @property
    def runtime(self) -> Runtime:
        """The network, loaded now if it is not yet. Raises BadCheckpoint, DeviceMissing, PackageMissing,
        EngineUnfit.
        """
        return self._runtime.get()

    @property
    def dimension(self) -> int:
        """Numbers a vector has."""
        return self.runtime.dimension

    @property
    def words(self) -> str:
        """What it is and where it runs."""
        return self.runtime.words

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 RGB, aligned as `detect` gives them -> (n, d) float32 rows of length
        1.

        Raises ValueError for another shape; NotNumbers, and what loading raises.
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
        """Load it in the background; its engine is imported here and now, since two threads that import
        hinder each other.

        What goes wrong there is raised by the first call that needs it.
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
    """An encoder from its file (.safetensors, or a foreign .onnx), from the folder of a run, or the one that
    comes with facesearch.

    device: auto, cpu, cuda or cuda:N. engine: auto, openvino, torch or onnxruntime. preprocess: imagenet or
    arcface, how a foreign .onnx wants its pixels, which it does not say itself. threads: how many the engine
    takes, None for one a core. precision: auto, float32 or bfloat16. Raises NotFound, PickleRefused,
    BadCheckpoint; what loading raises comes at the first use.
    """
    if weights is None:
        if not SHIPPED.is_file():
            raise NotFound(SHIPPED, "encoder")
        chosen = Weights(SHIPPED, "shipped with facesearch")
    else:
        chosen = named_weights(Path(weights), preprocess)
    return Encoder(chosen, device=device, engine=engine, threads=threads, precision=precision, batch=batch)


def as_encoder(given: EncoderLike, **how: Any) -> Encoder:
    """What a caller gives for an encoder: one of ours, a file or run, or None for the one that comes with
    facesearch.
    """
    return given if isinstance(given, Encoder) else load_encoder(given, **how)
