"""Encrypt a gallery that lies there in plain, change its key, or decrypt it, and prove that nothing of what
lay there before is left.

All rows are rewritten in one transaction, which also notes that old bytes are still about; then
gallery.forget does what it does after somebody was forgotten: the file is rewritten, the index's files go,
SQLite's log is cut, every file is searched. Killed in between, the same command goes on, and so do forget,
export and verify.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facesearch.errors import BadKey, KeyMissing, ProjectedInPlain, WrongKey
from facesearch.gallery.forget import finish_erasure, wipe
from facesearch.gallery.receipts import Receipt
from facesearch.gallery.store.cipher import PLAIN, Cipher, new_cipher
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rewriting import change_cipher
from facesearch.gallery.store.rows import Erased, Row, Template, Unfinished
from facesearch.gallery.store.store import Store

NO_KEY = (
    "Pass --key-file FILE, or set FACESEARCH_KEY_FILE (a file) or FACESEARCH_KEY (the key itself).\n"
    "A new one is made with: facesearch key FILE"
)
AT_ONCE = 8192
SEARCHED_FACES = 65_536
"""Of a larger gallery so many faces, evenly chosen, are searched for in the files: each AT_ONCE of them are
one reading of all files.
"""


@dataclass(frozen=True, slots=True)
class Encrypted:
    """faces in the gallery. receipt and where it lies: None when nothing was left to do (already), or to
    prove.
    """

    faces: int
    already: bool
    receipt: Receipt | None = None
    path: Path | None = None


def encrypt(folder: Path, key: Key | None, new: Key | None = None) -> Encrypted:
    """Encrypt a gallery with this key; with `new`, exchange the key for that one.

    Raises BadKey when there is no key, ProjectedInPlain, NoGallery, WrongKey, CorruptGallery, NotErasedYet,
    StillThere.
    """
    wanted = new or key
    if wanted is None:
        raise BadKey("the gallery's key", "none was given", NO_KEY)
    with _opened(folder, key, new) as gallery:
        if places := gallery.notes.projections():
            raise ProjectedInPlain(folder, tuple(place.store for place in places))
        already = gallery.encrypted and gallery.key == wanted
        unfinished = gallery.notes.unfinished()
        before = gallery.cipher
        if already:
            if unfinished is None or unfinished.action != "encrypt":
                finish_erasure(gallery)
                return Encrypted(len(gallery), True)
            note: Unfinished | None = unfinished
            before = PLAIN  # the key before, if there was one, is not known any more
        else:
            finish_erasure(gallery)
            gallery.notes.keep_encoder_file_name()
            note = change_cipher(gallery, new_cipher(wanted), wanted)
        assert note is not None, "an encrypted gallery always leaves something to be done"
        receipt, path = wipe(gallery, note, lambda: _pieces(gallery, note, before))
        return Encrypted(len(gallery), already, receipt, path)


def decrypt(folder: Path, key: Key | None) -> Encrypted:
    """Write a gallery in plain again. Raises NoGallery, KeyMissing, WrongKey, CorruptGallery,
    NotErasedYet."""
    with Store.open(folder, key, either=True) as gallery:
        finish_erasure(gallery)
        already = not gallery.encrypted
        if not already:
            change_cipher(gallery, PLAIN, None)
            gallery.eraser.cut_log()
        return Encrypted(len(gallery), already)


def _opened(folder: Path, key: Key | None, new: Key | None) -> Store:
    """The gallery by its key, or by the new one: a change of keys that was killed has happened already."""
    try:
        return Store.open(folder, key, either=True)
    except (KeyMissing, WrongKey) as error:
        if new is None:
            raise
        try:
            return Store.open(folder, new)
        except WrongKey:
            raise error from None


def _pieces(gallery: Store, note: Unfinished, before: Cipher) -> Iterator[Erased]:
    """All that must be in no file any more: the rows in plain, and as they were encrypted before."""
    step = max(1, -(-len(gallery) // SEARCHED_FACES))
    pieces: set[bytes | str] = set()
    rows = 0
    for batch in gallery.faces.batches():
        for _, *values, _ in batch[::step]:
            row = Row(*values)
            pieces |= {*row, *before.encrypt(gallery.encoder_id, row)}
            rows += 1
        if rows >= AT_ONCE:
            yield Erased.of(note, pieces)
            pieces, rows = set(), 0
    for name, blob in _some_templates(gallery):
        pieces |= {blob, before.encrypt_template(gallery.encoder_id, Template(name, 0, blob))}
    if pieces:
        yield Erased.of(note, pieces)


def _some_templates(gallery: Store) -> Iterator[tuple[str, bytes]]:
    """People and the bytes of their templates, at most SEARCHED_FACES, evenly chosen."""
    step = max(1, -(-len(gallery.templates) // SEARCHED_FACES))
    for batch in gallery.templates.stored(AT_ONCE):
        for stored in batch[::step]:
            template = gallery.codec.read_template(stored)
            yield template.name, template.vector
