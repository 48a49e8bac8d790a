"""Which encoder a gallery is opened with. Imports little: an encoder can be on its way while the rest is
imported.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from facesearch.api.encoder import Encoder, EncoderLike
from facesearch.api.how import How
from facesearch.encoder.weights import Weights, named_weights, weights_for_new, weights_with_id
from facesearch.errors import EncoderNotFound
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store


def is_gallery(folder: Path) -> bool:
    """Whether a gallery lies in this folder."""
    return (folder / FILE).is_file()


def encoder_for(
    folder: Path, key: Key | None, given: EncoderLike, runs: Path | None, preprocess: str | None, how: How
) -> Encoder:
    """The encoder that a gallery is opened with.

    Args:
        folder: The gallery's folder.
        key: Its key, where it is encrypted.
        given: The encoder that was asked for; None for the one that the gallery was made with, or the one for
            new galleries.
        runs: The folder of training runs.
        preprocess: How a foreign .onnx wants its pixels.
        how: The rest of what load_encoder takes.

    Raises:
        NotFound: The encoder that was named is not there.
        EncoderNotFound: The encoder that the gallery was made with is not at hand.
        NoWeights: There is no encoder for a new gallery.
        GalleryError: The gallery cannot be opened.
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


def weights_of(gallery: Store, runs: Path | None = None) -> Weights:
    """The encoder that a gallery was made with: the shipped one, the file it remembers, or one of a training
    run.

    Raises:
        EncoderNotFound: It is not at hand; the error names its file.
    """
    remembered = gallery.notes.encoder_file()
    found = weights_with_id(gallery.encoder_id, runs, remembered)
    if found is None:
        raise EncoderNotFound(
            gallery.folder, gallery.encoder_id, remembered.get("file") or gallery.notes.encoder
        )
    return found
