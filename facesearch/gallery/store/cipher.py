"""How a gallery's rows lie on disk: as they are, or encrypted under a key.

Encrypted, every name, photo's name, content hash and vector, and what else is known of a face, is one AES-SIV
ciphertext (RFC 5297, through `cryptography`), under a key of its own column that HKDF derives from the user's
key and the gallery's salt.
AES-SIV needs no nonce and gives the same ciphertext for the same input, so that SQL still finds a person by
name and a photo by hash, and UNIQUE still holds; two galleries share no ciphertext, for their salts differ.
Each value is bound to what stands before it in its row (a vector to encoder, name, hash and photo's name, a
template to encoder and name):
whatever is moved to another row, or changed by one bit, does not open. Names and photos' names are padded to
a multiple of 32 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from facesearch.errors import CorruptGallery, KeyMissing, NotEncrypted, PackageMissing, WrongKey
from facesearch.faces.names import usual_form
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import Row, Stored, Template

SCHEME = "aes-siv-1"
SALT_BYTES = 16
PADDING = 32
NAMES_KEPT = 4096
Value = TypeVar("Value")
BROKEN = "it does not decrypt with this gallery's key: it was changed, or moved here from another row"


class CannotDecrypt(ValueError):
    """A value does not open under this key at this place."""


class Cipher(Protocol):
    """Turns rows into what is stored, and back."""

    @property
    def description(self) -> str:
        """What the gallery's file tells of it; empty where rows lie in plain."""
        ...

    @property
    def text(self) -> type[str] | type[bytes]:
        """The type in which names, sources and hashes are stored."""
        ...

    def encrypt_name(self, name: str) -> Stored:
        """A person's name as it is stored: the same one always in the same way."""
        ...

    def encrypt_sha256(self, name: str, sha256: str) -> Stored:
        """The content hash of one of that person's photos, always in the same way."""
        ...

    def encrypt(self, encoder_id: str, row: Row) -> tuple[Stored, Stored, Stored, bytes]:
        """A row as it is stored: name, content hash, source, vector's bytes."""
        ...

    def encrypt_seen(self, row: Row, seen: bytes) -> bytes:
        """What is known of the face of this row, as it is stored."""
        ...

    def decrypt_seen(self, row: Row, seen: Any) -> bytes:
        """The way back. Raises CannotDecrypt."""
        ...

    def encrypt_template(self, encoder_id: str, template: Template) -> bytes:
        """The vector of a person's template, as it is stored."""
        ...

    def decrypt_template(self, encoder_id: str, name: str, vector: Any) -> bytes:
        """The way back. Raises CannotDecrypt."""
        ...

    def decrypt_name(self, name: Any) -> str:
        """A name that was stored. Raises CannotDecrypt."""
        ...

    def decrypt_photo(self, name: str, sha256: Any, source: Any) -> tuple[str, str]:
        """A content hash and a source that were stored with this person. Raises CannotDecrypt."""
        ...

    def decrypt(self, encoder_id: str, name: Any, sha256: Any, source: Any, vector: Any) -> Row:
        """A row that was stored. Raises CannotDecrypt."""
        ...

    def digest(self, salt: str, name: str) -> str:
        """Recognises a name without telling it."""
        ...


class Plain:
    """Rows lie on disk as they are."""

    description = ""
    text = str

    def encrypt_name(self, name: str) -> Stored:
        return name

    def encrypt_sha256(self, name: str, sha256: str) -> Stored:
        return sha256

    def encrypt(self, encoder_id: str, row: Row) -> tuple[Stored, Stored, Stored, bytes]:
        return row

    def encrypt_seen(self, row: Row, seen: bytes) -> bytes:
        return seen

    def decrypt_seen(self, row: Row, seen: Any) -> bytes:
        return _of(bytes, seen)

    def encrypt_template(self, encoder_id: str, template: Template) -> bytes:
        return template.vector

    def decrypt_template(self, encoder_id: str, name: str, vector: Any) -> bytes:
        return _of(bytes, vector)

    def decrypt_name(self, name: Any) -> str:
        return str(_of(str, name))

    def decrypt_photo(self, name: str, sha256: Any, source: Any) -> tuple[str, str]:
        return _of(str, sha256), _of(str, source)

    def decrypt(self, encoder_id: str, name: Any, sha256: Any, source: Any, vector: Any) -> Row:
        return Row(name, sha256, source, vector)

    def digest(self, salt: str, name: str) -> str:
        return hashlib.sha256((salt + usual_form(name)).encode()).hexdigest()


PLAIN: Final = Plain()


class AesSiv:
    """Rows are encrypted under a key and a gallery's salt. Raises PackageMissing."""

    text = bytes

    def __init__(self, key: Key, salt: bytes) -> None:
        siv, derive = _primitives()

        def derived(column: str, length: int = 64) -> bytes:
            return bytes(derive(key.secret, salt, f"facesearch {SCHEME} {column}".encode(), length))

        self._name, self._sha256, self._source, self._vector, self._seen, self._template = (
            siv(derived(c)) for c in ("name", "sha256", "source", "vector", "seen", "template")
        )
        self._digest_key = derived("digest")
        self.description = json.dumps(
            {"scheme": SCHEME, "salt": salt.hex(), "check": derived("check", 16).hex()}
        )
        self.decrypt_name = lru_cache(NAMES_KEPT)(self._decrypt_name)

    def encrypt_name(self, name: str) -> Stored:
        return _encrypted(self._name, _padded(name), [])

    def encrypt_sha256(self, name: str, sha256: str) -> Stored:
        return _encrypted(self._sha256, _padded(sha256), [name.encode()])

    def encrypt(self, encoder_id: str, row: Row) -> tuple[Stored, Stored, Stored, bytes]:
        name, sha256, source = (text.encode() for text in row[:3])
        return (
            self.encrypt_name(row.name),
            self.encrypt_sha256(row.name, row.sha256),
            _encrypted(self._source, _padded(row.source), [name, sha256]),
            _encrypted(self._vector, row.vector, [encoder_id.encode(), name, sha256, source]),
        )

    def encrypt_seen(self, row: Row, seen: bytes) -> bytes:
        return _encrypted(self._seen, seen, [text.encode() for text in row[:3]])

    def decrypt_seen(self, row: Row, seen: Any) -> bytes:
        return _decrypted(self._seen, seen, [text.encode() for text in row[:3]])

    def encrypt_template(self, encoder_id: str, template: Template) -> bytes:
        return _encrypted(self._template, template.vector, [encoder_id.encode(), template.name.encode()])

    def decrypt_template(self, encoder_id: str, name: str, vector: Any) -> bytes:
        return _decrypted(self._template, vector, [encoder_id.encode(), name.encode()])

    def _decrypt_name(self, name: Any) -> str:
        return _text(_decrypted(self._name, name, []))

    def decrypt_photo(self, name: str, sha256: Any, source: Any) -> tuple[str, str]:
        hash_ = _text(_decrypted(self._sha256, sha256, [name.encode()]))
        return hash_, _text(_decrypted(self._source, source, [name.encode(), hash_.encode()]))

    def decrypt(self, encoder_id: str, name: Any, sha256: Any, source: Any, vector: Any) -> Row:
        person = self.decrypt_name(name)
        texts = (person, *self.decrypt_photo(person, sha256, source))
        return Row(
            *texts,
            _decrypted(self._vector, vector, [encoder_id.encode(), *(text.encode() for text in texts)]),
        )

    def digest(self, salt: str, name: str) -> str:
        return hmac.new(self._digest_key, (salt + usual_form(name)).encode(), "sha256").hexdigest()


def new_cipher(key: Key | None) -> Cipher:
    """For a new gallery: encrypted with a salt of its own, or plain without a key."""
    return PLAIN if key is None else AesSiv(key, secrets.token_bytes(SALT_BYTES))


def cipher_for(gallery: Path, description: str, key: Key | None, *, either: bool) -> Cipher:
    """What opens a gallery that says this of its cipher. either: a plain one is right even with a key.

    Raises KeyMissing, WrongKey, NotEncrypted, CorruptGallery, PackageMissing.
    """
    if not description:
        if key is not None and not either:
            raise NotEncrypted(gallery, key.origin)
        return PLAIN
    if key is None:
        raise KeyMissing(gallery)
    try:
        told = json.loads(description)
        scheme, salt, check = told["scheme"], bytes.fromhex(told["salt"]), bytes.fromhex(told["check"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptGallery(gallery, "what it says of its encryption cannot be read") from error
    if scheme != SCHEME or len(salt) != SALT_BYTES:
        raise CorruptGallery(
            gallery, "it is encrypted in a way that this version of facesearch does not know"
        )
    cipher = AesSiv(key, salt)
    if not hmac.compare_digest(bytes.fromhex(json.loads(cipher.description)["check"]), check):
        raise WrongKey(gallery, key.origin)
    return cipher


def _primitives() -> tuple[Any, Any]:
    """AES-SIV, and HKDF as a function of (secret, salt, purpose, length)."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise PackageMissing("cryptography", "crypt", "an encrypted gallery") from error
    return AESSIV, lambda secret, salt, info, length: HKDF(SHA256(), length, salt, info).derive(secret)


def _encrypted(siv: Any, data: bytes, bound_to: list[bytes]) -> bytes:
    return bytes(siv.encrypt(data, bound_to))


def _decrypted(siv: Any, data: Any, bound_to: list[bytes]) -> bytes:
    from cryptography.exceptions import InvalidTag

    data = _of(bytes, data)
    try:
        return bytes(siv.decrypt(data, bound_to))
    except (InvalidTag, ValueError) as error:  # ValueError: shorter than a tag
        raise CannotDecrypt(BROKEN) from error


def _of(kind: type[Value], value: Any) -> Value:
    if not isinstance(value, kind):
        raise CannotDecrypt("its values are not of the right kinds")
    return value


def _padded(text: str) -> bytes:
    data = text.encode() + b"\x80"
    return data + bytes(-len(data) % PADDING)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0")[:-1].decode()
