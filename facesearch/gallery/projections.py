"""Where else a gallery's vectors are: each projection is noted in the gallery before anything is sent, so that forgetting reaches it.

A projected row is an id, a face number and the vector; never a name, a source or a photo's hash. The id is a keyed hash of the
row's content, so a row that is there already is known by it, and nobody without the gallery's key can confirm a guess by it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from facesearch.errors import BadStore, CannotProject, CorruptGallery, SyncRunning
from facesearch.files import locked_file
from facesearch.gallery.cipher import PLAIN
from facesearch.gallery.store import Gallery

KEY = "projection_key"
LOCK = "sync.lock"
ID_LENGTH = 20
"""Characters of a row's id: 120 bits, so that among 10^9 faces two alike are to be expected once in 10^18 galleries."""
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """How engines are reached. token: a server's, empty where it asks for none; wait_s: how long one answer may take."""

    token: str = field(default="", repr=False)
    wait_s: float = WAIT_S


@dataclass(frozen=True, slots=True)
class Place:
    """An engine by its address, which holds no secret, and how it is reached. local: the file of an embedded engine, None for a server."""

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


@dataclass(frozen=True, slots=True)
class Projection:
    """What the gallery knows of one projection. store: the place's text; former: collections of it that are to be dropped;
    stamp: what the engine carries when it is as the last sync left it, empty while one is under way or was interrupted;
    faces, last_face_id, erasures, generation: of the gallery at that sync; synced: when that was, seconds since 1970."""

    store: str
    collection: str
    index: str
    stamp: str = ""
    faces: int = 0
    last_face_id: int = 0
    erasures: int = 0
    generation: int = 0
    synced: float = 0.0
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Owed:
    """An erasure that projections must carry out too. number: the gallery's count of erasures with it; receipt: its file's name."""

    number: int
    salt: str
    digest: str
    face_ids: tuple[int, ...]
    receipt: str = ""

    def is_of(self, name: str) -> bool:
        return self.digest == PLAIN.digest(self.salt, name)


def place_of(text: str, access: Access = Access()) -> Place:
    """Read `milvus:FILE.db` or `milvus:http(s)://HOST[:PORT][/DATABASE]`. Raises BadStore, without repeating a secret."""
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


def require_plain(gallery: Gallery) -> None:
    """The one place that refuses a gallery whose vectors must not leave it. Raises CannotProject."""
    if gallery.sealed:
        raise CannotProject(gallery.folder, "it is encrypted, and an engine would hold its vectors in the clear")


def key_of(gallery: Gallery) -> bytes:
    """The gallery's secret, made at the first sync; it never leaves the gallery. Raises CannotWrite, CorruptGallery."""
    if gallery.meta(KEY) is None:
        gallery.set_meta(KEY, secrets.token_hex(32))
    try:
        return bytes.fromhex(gallery.meta(KEY) or "")
    except ValueError as error:
        raise CorruptGallery(gallery.folder, "the key of its projections cannot be read") from error


def row_id(key: bytes, encoder_id: str, face_id: int, sha256: str, source: str, blob: bytes) -> str:
    """The id of a row where it is projected: a keyed hash of encoder, face number, photo and vector.

    The person's name is left out: a renamed person's rows stay as they are.
    """
    hashed = hashlib.blake2b(key=key, digest_size=ID_LENGTH * 3 // 4)
    for part in (encoder_id.encode(), str(face_id).encode(), sha256.encode(), source.encode()):
        hashed.update(len(part).to_bytes(4, "little") + part)
    hashed.update(blob)
    return base64.urlsafe_b64encode(hashed.digest()).decode()


def collection_of(gallery: Gallery) -> str:
    """The name of its collection: which encoder's vectors these are, and whose; it tells nothing of who is in it."""
    owner = hashlib.blake2b(key_of(gallery), digest_size=6).hexdigest()
    return f"facesearch_{gallery.encoder_id[:12]}_{owner}"


def projections(gallery: Gallery) -> list[Projection]:
    """Every projection of the gallery, by address. Raises CorruptGallery."""
    try:
        read = [json.loads(value) for _, value in gallery.meta_like("projection:*")]
        found = [Projection(**{**fields, "former": tuple(fields["former"])}) for fields in read]
    except (TypeError, ValueError, KeyError) as error:
        raise CorruptGallery(gallery.folder, "its list of projections cannot be read") from error
    return sorted(found, key=lambda projection: projection.store)


def projection_at(gallery: Gallery, place: Place) -> Projection | None:
    return next((projection for projection in projections(gallery) if projection.store == place.text), None)


def note(gallery: Gallery, projection: Projection) -> None:
    gallery.set_meta(_key(projection.store), json.dumps(asdict(projection)))


def take_off(gallery: Gallery, store: str) -> None:
    """Forget about a projection; what it owes goes when no other one owes it."""
    gallery.set_meta(_key(store), None)
    clear_owed(gallery)


def owed(gallery: Gallery) -> list[Owed]:
    """Erasures that not every projection has carried out yet, in order. Raises CorruptGallery."""
    try:
        read = [(int(key.partition(":")[2]), json.loads(value)) for key, value in gallery.meta_like("owed:*")]
        found = [Owed(number, **{**fields, "face_ids": tuple(fields["face_ids"])}) for number, fields in read]
    except (TypeError, ValueError, KeyError) as error:
        raise CorruptGallery(gallery.folder, "its list of erasures that projections owe cannot be read") from error
    return sorted(found, key=lambda item: item.number)


def name_receipt(gallery: Gallery, salt: str, receipt: str) -> None:
    """Note which receipt speaks of the erasure with this salt."""
    for item in owed(gallery):
        if item.salt == salt:
            fields = {"salt": salt, "digest": item.digest, "face_ids": item.face_ids, "receipt": receipt}
            gallery.set_meta(f"owed:{item.number}", json.dumps(fields))


def clear_owed(gallery: Gallery) -> None:
    """Take away the notes of erasures that every projection has carried out."""
    done = min((projection.erasures for projection in projections(gallery)), default=None)
    for item in owed(gallery):
        if done is None or item.number <= done:
            gallery.set_meta(f"owed:{item.number}", None)


@contextmanager
def sole_sync(gallery: Gallery) -> Iterator[None]:
    """Only one process at a time sends this gallery's vectors anywhere, or takes them back. Raises SyncRunning, CannotWrite."""
    with locked_file(gallery.folder / LOCK, busy=SyncRunning(gallery.folder)):
        yield


def _key(store: str) -> str:
    return "projection:" + hashlib.sha256(store.encode()).hexdigest()[:16]
