"""Which encoder made vectors that are brought in, as far as it is at hand to be asked."""

from __future__ import annotations

from facesearch.api.encoder import Encoder
from facesearch.encoder.weights import RUNS, weights_with_id
from facesearch.errors import FacesearchError
from facesearch.faces.names import LONGEST_NAME
from facesearch.gallery.bring_in import MadeBy


def encoder_named(encoder_id: str) -> str:
    """The id of an encoder, as it is kept.

    Raises:
        TypeError: It is no text.
        ValueError: It is no encoder's id.
    """
    if not isinstance(encoder_id, str):
        raise TypeError(f"a {type(encoder_id).__name__} is no encoder's id")
    if not (0 < len(encoder_id) <= LONGEST_NAME and encoder_id.isascii() and encoder_id.isprintable()):
        raise ValueError(f"encoder_id {encoder_id[:80]!r} is no encoder's id; Encoder.id and info tell it")
    return encoder_id


def made_by(encoder_id: str, own: Encoder | None) -> MadeBy:
    """What is known of an encoder by its id.

    Args:
        encoder_id: The id.
        own: The gallery's encoder, where it is at hand. Otherwise the one that comes with facesearch and
            those of training runs are looked at.
    """
    found = own if own is not None and own.id == encoder_id else None
    if found is None and (weights := weights_with_id(encoder_id, RUNS)) is not None:
        found = Encoder(weights)
    if found is None:
        return MadeBy(encoder_id)
    try:
        runtime = found.runtime
        return MadeBy(encoder_id, runtime.dimension, runtime.words, runtime.notes, found.note())
    except FacesearchError:  # its id is known, though nothing here can run it
        return MadeBy(encoder_id, file=found.note())
    finally:
        if found is not own:
            found.close()
