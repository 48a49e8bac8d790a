"""What a command works with when little or nothing is given, and saying what it took."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from facesearch import options
from facesearch.errors import NotFound
from facesearch.terminal import tell

if TYPE_CHECKING:
    from facesearch.faces.detect import Detector
    from facesearch.gallery.store import Gallery
    from facesearch.model.runtime import Runtime


def default_data() -> Path:
    """The dataset of bare commands. Raises NotFound with the command that makes it."""
    if not options.DEFAULT_DATA.exists():
        hint = f"Make it with: facesearch prepare PATH/celebA_train_500 --out {options.DEFAULT_DATA}   or pass --data FOLDER"
        raise NotFound(options.DEFAULT_DATA, "prepared dataset", hint)
    tell(f"data: {options.DEFAULT_DATA} (the default)")
    return options.DEFAULT_DATA


def detector_for(detection: options.DetectionChoice) -> Detector | None:
    """The shipped detector or the one in a file; None where the photos are aligned crops."""
    from facesearch.faces.detect import load_detector

    return None if detection.aligned else load_detector(detection.model)


def tell_other_detectors(gallery: Gallery, detector: Detector | None, *, whose: str = "this query's") -> None:
    """Say so where faces of the gallery were found by another detector than this one."""
    from facesearch.gallery.detectors import other_detectors

    if detector is not None and (sentence := other_detectors(gallery, detector.name, whose=whose)):
        tell(sentence)


def runtime_for(encoder: options.EncoderChoice) -> Runtime:
    """The encoder named, or the one that bare commands take, ready to embed."""
    return runtime_soon(encoder)()


def runtime_soon(encoder: options.EncoderChoice) -> Callable[[], Runtime]:
    """The same, with all that it imports imported now; what is returned makes it ready and may do so in a thread."""
    from facesearch.jobs.find_weights import find_weights
    from facesearch.model.runtime import loader_for

    chosen = find_weights(encoder.weights)
    load = loader_for(chosen.path, device=encoder.device, preprocess=encoder.preprocess, engine=encoder.engine, tell=tell)

    def ready() -> Runtime:
        runtime = load()
        tell(f"encoder: {runtime.words} ({chosen.path}, {chosen.why})")
        return runtime

    return ready
