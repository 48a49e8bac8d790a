"""How rows lie on disk: under the gallery's cipher, each with a checksum; and how they are read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.errors import CorruptGallery, FacesearchError, GalleryChanged
from facesearch.gallery.store.cipher import CannotDecrypt, Cipher
from facesearch.gallery.store.rows import (
    VECTOR,
    Row,
    Stored,
    Template,
    checksum_of,
    template_checksum,
    wrong_with,
)
from facesearch.gallery.store.seen import read_seen, seen_bytes
from facesearch.records import F32, Seen


class RowCodec:
    """Reads and writes rows of one open gallery. encoder_id, dimension, cipher: the gallery's, which change
    when all its rows do (rewriting.py)."""

    def __init__(
        self, folder: Path, encoder_id: str, dimension: int, cipher: Cipher, is_as_opened: Callable[[], bool]
    ) -> None:
        self.folder = folder
        self.encoder_id, self.dimension, self.cipher = encoder_id, dimension, cipher
        self._is_as_opened = is_as_opened

    def stored(self, row: Row, cipher: Cipher | None = None) -> tuple[Stored, Stored, Stored, bytes, int]:
        """A row as it is stored, under the gallery's cipher or another one: name, content hash, source,
        vector's bytes, and the checksum of that.
        """
        values = (cipher or self.cipher).encrypt(self.encoder_id, row)
        return (*values, checksum_of(*values))

    def read(self, stored: tuple[Any, ...]) -> Row:
        """A stored row (face id, name, content hash, source, vector, checksum), checked and decrypted.

        A wrong name is worse than no answer: raises CorruptGallery, GalleryChanged.
        """
        face_id, name, sha256, source, blob, checksum = stored
        text = self.cipher.text
        texts = isinstance(name, text) and isinstance(sha256, text) and isinstance(source, text)
        if not (texts and isinstance(blob, bytes)):
            raise self.unfit(f"the row of face {face_id} is not of the right kinds")
        if checksum_of(name, sha256, source, blob) != checksum:
            raise self.unfit(f"the row of face {face_id} does not fit its checksum")
        try:
            return self.cipher.decrypt(self.encoder_id, name, sha256, source, blob)
        except CannotDecrypt as error:
            raise self.unfit(f"the row of face {face_id}: {error}") from error

    def stored_seen(self, row: Row, seen: Seen | None, cipher: Cipher | None = None) -> bytes | None:
        """What is known of a row's face as it is stored."""
        return None if seen is None else (cipher or self.cipher).encrypt_seen(row, seen_bytes(seen))

    def read_seen(self, row: Row, stored: object) -> Seen | None:
        """The way back. Raises CorruptGallery, GalleryChanged."""
        if stored is None:
            return None
        try:
            return read_seen(self.cipher.decrypt_seen(row, stored))
        except ValueError as error:  # CannotDecrypt is one
            raise self.unfit(str(error)) from error

    def readable(self, name: Stored, sha256: Stored, source: Stored, blob: bytes) -> Row | None:
        """A stored row; None where it does not decrypt. What cannot be read any more can still be
        forgotten.
        """
        try:
            return self.cipher.decrypt(self.encoder_id, name, sha256, source, blob)
        except CannotDecrypt:
            return None

    def read_or_none(self, stored: tuple[Any, ...]) -> Row | None:
        """The same as read, without a word of what is wrong: None."""
        row, reason = self._judged(stored[1:-1], stored[-1])
        return None if reason else row

    def stored_template(self, template: Template, cipher: Cipher | None = None) -> tuple[int, bytes, int]:
        """A template as it is stored, under the gallery's cipher or another one: photos, vector's bytes,
        checksum.
        """
        cipher = cipher or self.cipher
        blob = cipher.encrypt_template(self.encoder_id, template)
        name = cipher.encrypt_name(template.name)
        return template.photos, blob, template_checksum(name, template.photos, blob)

    def read_template(self, stored: tuple[Any, ...]) -> Template:
        """A stored template (id, name, photos, vector, checksum), checked and decrypted. Raises
        CorruptGallery, GalleryChanged.
        """
        template_id, name, photos, blob, checksum = stored
        kinds = isinstance(name, self.cipher.text) and isinstance(photos, int) and isinstance(blob, bytes)
        if not kinds or template_checksum(name, photos, blob) != checksum:
            raise self.unfit(f"template {template_id} does not fit its checksum")
        found = self.readable_template(stored)
        if not found:
            raise self.unfit(f"template {template_id} does not decrypt with this gallery's key")
        return Template(self.name(name), photos, found[0])

    def readable_template(self, stored: tuple[Any, ...]) -> tuple[bytes, ...]:
        """The bytes of a stored template's vector in plain; nothing where it does not decrypt."""
        try:
            name = self.cipher.decrypt_name(stored[1])
            return (self.cipher.decrypt_template(self.encoder_id, name, stored[3]),)
        except CannotDecrypt:
            return ()

    def name(self, stored: object) -> str:
        """A stored name. Raises CorruptGallery, GalleryChanged."""
        try:
            return self.cipher.decrypt_name(stored)
        except CannotDecrypt as error:
            raise self.unfit(f"a person's name: {error}") from error

    def photo(self, person: str, sha256: object, source: object) -> tuple[str, str]:
        """A content hash and a source that were stored with this person."""
        try:
            return self.cipher.decrypt_photo(person, sha256, source)
        except CannotDecrypt as error:
            raise self.unfit(f"a photo of a person: {error}") from error

    def vectors(self, rows: Sequence[Row | Template]) -> F32:
        """The vectors (n, d) float32 of rows or templates. Raises CorruptGallery for one of another
        length.
        """
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for i, row in enumerate(rows):
            if len(row.vector) != self.dimension * VECTOR.itemsize:
                raise self.unfit("a vector in it has another length than the others")
            vectors[i] = np.frombuffer(row.vector, VECTOR)
        return vectors

    def wrong(self, stored: list[Any], checksum: object) -> str:
        """What is wrong with a stored row, in words; empty: nothing. It may come from anybody."""
        return self._judged(stored, checksum)[1]

    def _judged(self, stored: Sequence[Any], checksum: object) -> tuple[Row | None, str]:
        """The row, where it decrypts, and what is wrong with it."""
        *texts, blob = stored
        storable = all(isinstance(text, str | bytes) for text in texts) and isinstance(blob, bytes)
        fits = storable and checksum_of(*stored) == checksum
        try:
            row = self.cipher.decrypt(self.encoder_id, *stored)
        except CannotDecrypt as error:
            return None, str(error) if fits else "it does not fit its checksum"
        return row, wrong_with(row, self.dimension, fits=fits)

    def wrong_seen(self, stored: list[Any], seen: object) -> str:
        """The same of what is known of the face of a row that is right."""
        try:
            if seen is not None:
                read_seen(self.cipher.decrypt_seen(self.cipher.decrypt(self.encoder_id, *stored), seen))
            return ""
        except ValueError as error:
            return str(error)

    def unfit(self, reason: str) -> FacesearchError:
        """What is to be raised for what cannot be read: damage, unless the whole gallery has changed under
        us.
        """
        if self._is_as_opened():
            return CorruptGallery(self.folder, reason)
        return GalleryChanged(self.folder)
