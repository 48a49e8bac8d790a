"""From the command line's options and the environment to the library's objects: what a command works with,
and said on stderr.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facesearch.cli import options
from facesearch.cli.terminal import tell
from facesearch.errors import BadStore, CannotRead, NoGallery, NotFound, pasted, reason_of, shown, unshown

if TYPE_CHECKING:
    from facesearch.api.detector import FaceDetector
    from facesearch.api.encoder import Encoder
    from facesearch.api.engines import Access
    from facesearch.api.gallery import Gallery
    from facesearch.api.keys import Key

RUNS = Path("runs")
"""Where training runs lie, below the working folder."""
KEY = "FACESEARCH_KEY"
TOKEN, TOKEN_FILE = "FACESEARCH_MILVUS_TOKEN", "FACESEARCH_MILVUS_TOKEN_FILE"
TIMEOUT = "FACESEARCH_STORE_TIMEOUT_S"
WAIT_S = 30.0


def default_data() -> Path:
    """The dataset of bare commands. Raises NotFound with the command that makes it."""
    own = options.DEFAULT_DATA
    if not own.exists():
        make = f"facesearch prepare PATH/celebA_train_500 --out {pasted(own)}"
        raise NotFound(own, "prepared dataset", f"Make it with: {make}   or pass --data FOLDER")
    tell(f"data: {shown(own)} (the default)")
    return own


def gallery_of(
    gallery: options.GalleryChoice,
    encoder: options.EncoderChoice | None = None,
    detection: options.DetectionChoice | None = None,
    *,
    ready: Encoder | None = None,
    store: str | None = None,
    engines: bool = False,
    changes: bool = False,
    batch: int = 64,
    **more: Any,
) -> Gallery:
    """The gallery that the options tell of, opened through the library. ready: its encoder, where that is
    chosen already; store: search in this engine; engines: those that the gallery is projected to may have to
    be reached; changes: the command changes it, which is told where git tracks its file.
    """
    from facesearch.api.demo import came_with_checkout
    from facesearch.api.opening import open_gallery

    if changes and came_with_checkout(gallery.folder):
        tell(
            f"{shown(gallery.folder)} came with this checkout, and git tracks it: what changes in it could be"
            " committed. For a copy of your own: facesearch demo-gallery FOLDER, then --gallery FOLDER"
        )
    how = {} if encoder is None else _how(encoder)
    if store or engines:
        access = access_of()
        more |= {"store": store, "store_token": access.token, "store_wait_s": access.wait_s}
    return open_gallery(
        gallery.folder,
        key=key_of(gallery),
        encoder=ready or (None if encoder is None else encoder.weights),
        runs=RUNS,
        detector=None if detection is None else detector_of(detection),
        batch=batch,
        tell=tell,
        **how,
        **more,
    )


def encoder_soon(gallery: options.GalleryChoice, encoder: options.EncoderChoice) -> Encoder:
    """The gallery's encoder, on its way: it is made ready in the background while the rest is imported."""
    from facesearch.api.choosing import encoder_for
    from facesearch.api.how import How

    how = _how(encoder)
    preprocess = how.pop("preprocess")
    chosen = encoder_for(gallery.folder, key_of(gallery), encoder.weights, RUNS, preprocess, How(**how))
    chosen.warm_up()
    return chosen


def existing(gallery: options.GalleryChoice) -> None:
    """Raises NoGallery, before anything heavy is imported."""
    from facesearch.api.choosing import is_gallery

    if not is_gallery(gallery.folder):
        raise NoGallery(gallery.folder)


def announced(gallery: Gallery) -> Encoder:
    """The gallery's encoder, ready, after telling which it is."""
    return _told(gallery.encoder)


def encoder_of(choice: options.EncoderChoice) -> Encoder:
    """The encoder named, or the one that comes with facesearch; told."""
    from facesearch.api.encoder import load_encoder

    return _told(load_encoder(choice.weights, **_how(choice)))


def detector_of(choice: options.DetectionChoice) -> FaceDetector:
    """What finds faces; nothing does where photos are aligned crops."""
    from facesearch.api.detector import FaceDetector

    return FaceDetector(choice.model, aligned=choice.aligned)


def key_of(gallery: options.GalleryChoice) -> Key | None:
    """The key of --key-file, else that of FACESEARCH_KEY_FILE, else FACESEARCH_KEY itself. Raises BadKey."""
    from facesearch.api.keys import Key, read_key_file, secret_of

    context = click.get_current_context(silent=True)
    # Of this command: a key that comes through a pipe can be read once.
    known = {} if context is None else context.meta
    if KEY not in known:
        text = os.environ.get(KEY)
        if gallery.key_file is not None:
            known[KEY] = read_key_file(gallery.key_file)
        else:
            known[KEY] = Key(secret_of(text, KEY), KEY) if text else None
    found: Key | None = known[KEY]
    return found


def access_of() -> Access:
    """A Milvus server's token, and how long it may take for an answer, from the environment. Raises
    CannotRead, BadStore.
    """
    from facesearch.api.engines import Access

    token = os.environ.get(TOKEN, "")
    if path := os.environ.get(TOKEN_FILE):
        try:
            token = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "no text"
            raise CannotRead(Path(path), reason) from error
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text or WAIT_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise BadStore(text, f"{TIMEOUT} is no number of seconds")
    return Access(token, seconds)


def _told(encoder: Encoder) -> Encoder:
    tell(f"encoder: {shown(encoder.words)} ({shown(encoder.file)}, {shown(encoder.why)})")
    return encoder


def _how(encoder: options.EncoderChoice) -> dict[str, Any]:
    return {name: getattr(encoder, name) for name in ("preprocess", "device", "engine", "precision")}


def as_listed(gallery: Gallery, name: str) -> str:
    """A person's name as somebody gives it who has read it in a list: as it is, or as it was shown there."""
    from facesearch.errors import UnknownPerson

    if (meant := unshown(name)) == name:
        return name
    try:
        gallery.photos_of(name)
    except UnknownPerson:
        return meant
    except NoGallery:
        pass  # the command says so
    return name
