"""How a gallery is opened: what a program gives, and what stands in where it gives nothing."""

from __future__ import annotations

import os
from pathlib import Path

from facesearch.api.choosing import encoder_for
from facesearch.api.encoder import Encoder, EncoderLike
from facesearch.api.gallery import Gallery
from facesearch.api.how import How, silent
from facesearch.api.photos import MOST_FACES, DetectorLike
from facesearch.api.searching import OWN_INDEX, projection
from facesearch.encoder.runtime import Precision
from facesearch.encoder.weights import named_weights
from facesearch.errors import CannotRead
from facesearch.faces.photos import MAX_PIXELS
from facesearch.gallery.milvus.projections import Access
from facesearch.gallery.store.keys import Key, as_key
from facesearch.records import Tell


def open_gallery(
    folder: str | os.PathLike[str],
    *,
    key: Key | bytes | str | os.PathLike[str] | None = None,
    encoder: EncoderLike = None,
    detector: DetectorLike = None,
    runs: str | os.PathLike[str] | None = None,
    preprocess: str | None = None,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    precision: Precision = "auto",
    batch: int = 64,
    workers: int | None = None,
    store: str | None = None,
    store_token: str = "",
    store_wait_s: float = 30.0,
    max_pixels: int = MAX_PIXELS,
    max_faces: int = MOST_FACES,
    tell: Tell = silent,
) -> Gallery:
    """The gallery in a folder. A gallery that is not there is made when the first face is enrolled.

    Args:
        folder: The gallery's folder.
        key: The key of an encrypted gallery, or to make one: 32 bytes, 64 hexadecimal digits, or the file
            that holds them.
        encoder: An Encoder; a file, or the folder of a training run. None: the encoder that the gallery was
            made with (the one that comes with facesearch, the file that the gallery remembers, or one in
            `runs`), and for a new gallery what `train` last finished in `runs`, else the one that comes with
            facesearch.
        detector: A FaceDetector; a YuNet .onnx file; "aligned" for photos that are face crops already; None
            for the detector that comes with facesearch.
        runs: The folder of training runs.
        preprocess: See load_encoder.
        device: See load_encoder.
        engine: See load_encoder.
        threads: See load_encoder.
        precision: See load_encoder.
        batch: At most so many crops of several callers go through the network together.
        workers: How many photos are looked at at once; None for one a core.
        store: Search in a Milvus engine, "milvus:FILE.db" or "milvus:http://HOST:19530", and not in the
            gallery's own index.
        store_token: The token of that engine.
        store_wait_s: How many seconds it may take for an answer.
        max_pixels: A photo with more pixels is not read.
        max_faces: Of a photo at most so many of the largest faces are looked at.
        tell: Called with sentences about what goes on.

    Returns:
        The gallery; nothing of it is read yet.

    Raises:
        ValueError: The folder has no name, or an argument is not as it should be.
        CannotRead: It is a file, not a folder.
        BadKey: The key cannot be read, or is none.
        NotFound: An encoder or a detector that was named is not there.
        BadStore: The engine's address is none.
    """
    own, place, below = as_key(key), folder_at(folder), None if runs is None else Path(runs)
    if encoder is not None and not isinstance(encoder, Encoder):
        named_weights(Path(encoder))  # what is named must be there, now and not at the first use
    how = How(device=device, engine=engine, threads=threads, precision=precision, batch=batch)
    access = Access(store_token, store_wait_s)
    return Gallery(
        place,
        key=own,
        choose=lambda now: encoder_for(place, now, encoder, below, preprocess, how),
        how=how,
        owns_encoder=not isinstance(encoder, Encoder),
        detector=detector,
        workers=workers,
        search_in=projection(store, access, tell) if store else OWN_INDEX,
        access=access,
        max_pixels=max_pixels,
        max_faces=max_faces,
        tell=tell,
    )


def folder_at(given: str | os.PathLike[str]) -> Path:
    """The folder of a gallery.

    Raises:
        ValueError: It has no name.
        CannotRead: It is a file.
    """
    if not os.fspath(given):
        raise ValueError("folder is empty; '.' is this folder")
    place = Path(given)
    if place.exists() and not place.is_dir():
        raise CannotRead(place, "a gallery is a folder, and this is a file")
    return place
