"""Where else a gallery's vectors are: each projection is noted in the gallery before anything is sent, so
that forgetting reaches it.

A projected row is an id, a face number and the vector; never a name, a source or a photo's hash. The id is a
keyed hash of the row's content, so a row that is there already is known by it, and nobody without the
gallery's key can confirm a guess by it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from facesearch.errors import BadStore, CannotProject, SyncRunning
from facesearch.files import locked_file
from facesearch.gallery.store.notes import Projection
from facesearch.gallery.store.store import Store

LOCK = "sync.lock"
ID_LENGTH = 20
"""Characters of a row's id: 120 bits, so that among 10^9 faces two alike are to be expected once in 10^18
galleries.
"""
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """How engines are reached. token: a server's, empty where it asks for none; wait_s: how long one answer
    may take.
    """

    token: str = field(default="", repr=False)
    wait_s: float = WAIT_S


@dataclass(frozen=True, slots=True)
class Place:
    """An engine by its address, which holds no secret, and how it is reached. local: the file of an embedded
    engine, None for a server.
    """

    text: str
    uri: str
    local: Path | None
    access: Access = Access()

    @property
    def is_open_wire(self) -> bool:
        """Whether vectors travel to another machine unencrypted."""
        return (
            self.local is None
            and urlsplit(self.uri).scheme != "https"
            and urlsplit(self.uri).hostname not in ("localhost", "127.0.0.1", "::1")
        )


def place_of(text: str, access: Access = Access()) -> Place:
    """Read `milvus:FILE.db` or `milvus:http(s)://HOST[:PORT][/DATABASE]`. Raises BadStore, without repeating
    a secret.
    """
    kind, _, uri = text.partition(":")
    if kind != "milvus" or not uri:
        raise BadStore(text if "@" not in text else "...", "it is none that is known here")
    if "://" not in uri:
        if not uri.endswith(".db"):
            raise BadStore(text, "a local projection's name ends in .db")
        path = Path(uri).expanduser().absolute()
        return Place(f"milvus:{path}", str(path), path, access)
    parts = urlsplit(uri)
    if parts.username or parts.password or parts.query or "@" in uri:
        raise BadStore("milvus:...", "a token in an address ends up in logs and in the list of processes")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadStore(text, "it is no address of a server")
    return Place(text.rstrip("/"), uri.rstrip("/"), None, access)


def require_plain(gallery: Store) -> None:
    """The one place that refuses a gallery whose vectors must not leave it. Raises CannotProject."""
    if gallery.encrypted:
        raise CannotProject(
            gallery.folder, "it is encrypted, and an engine would hold its vectors in the clear"
        )


def row_id(key: bytes, encoder_id: str, face_id: int, sha256: str, source: str, blob: bytes) -> str:
    """The id of a row where it is projected: a keyed hash of encoder, face number, photo and vector.

    The person's name is left out: a renamed person's rows stay as they are.
    """
    hashed = hashlib.blake2b(key=key, digest_size=ID_LENGTH * 3 // 4)
    for part in (encoder_id.encode(), str(face_id).encode(), sha256.encode(), source.encode()):
        hashed.update(len(part).to_bytes(4, "little") + part)
    hashed.update(blob)
    return base64.urlsafe_b64encode(hashed.digest()).decode()


def collection_of(gallery: Store) -> str:
    """The name of its collection: which encoder's vectors these are, and whose; it tells nothing of who is in
    it.
    """
    owner = hashlib.blake2b(gallery.notes.projection_key(), digest_size=6).hexdigest()
    return f"facesearch_{gallery.encoder_id[:12]}_{owner}"


def projection_at(gallery: Store, place: Place) -> Projection | None:
    return next(
        (projection for projection in gallery.notes.projections() if projection.store == place.text), None
    )


@contextmanager
def sole_sync(gallery: Store) -> Iterator[None]:
    """Only one process at a time sends this gallery's vectors anywhere, or takes them back. Raises
    SyncRunning, CannotWrite.
    """
    with locked_file(gallery.folder / LOCK, busy=SyncRunning(gallery.folder)):
        yield
