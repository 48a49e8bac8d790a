"""Which encoder a gallery is opened with. Imports little: an encoder can be on its way while the rest is imported."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from facesearch.api.encoder import Encoder, EncoderLike
from facesearch.api.how import How
from facesearch.gallery.keys import Key
from facesearch.gallery.sqlite import FILE
from facesearch.gallery.store import Gallery as Store
from facesearch.jobs.find_weights import named_weights, weights_for_new, weights_of


def encoder_for(folder: Path, key: Key | None, given: EncoderLike, runs: Path | None, preprocess: str | None, how: How) -> Encoder:
    """The encoder given, else the one that the gallery in this folder was made with, else the one for new galleries. See open_gallery.

    Raises NotFound, EncoderNotFound, NoWeights, and what opening the gallery raises.
    """
    if isinstance(given, Encoder):
        return given
    if given is not None:
        weights = named_weights(Path(given), preprocess)
    elif (folder / FILE).is_file():
        with Store.open(folder, key) as store:
            weights = weights_of(store, runs)
    else:
        weights = weights_for_new(runs)
    return Encoder(weights if preprocess is None else replace(weights, preprocess=preprocess), **asdict(how))
