"""Forget somebody, or some of their photos. All that is wiped, in this order:

1. the rows, in one transaction, which notes that an erasure is under way (store/eraser.py);
2. a reindex under way, which may hold the same people;
3. the index's bytes of them, where they lie, or the whole index;
4. SQLite's log;
5. then every file of the folder is read raw and searched for what was erased;
6. a receipt is written, and the note is taken away;
7. every engine that the gallery is projected to erases too. One that cannot be reached keeps a pending
   erasure, and the receipt says so.

Killed in between, the same command goes on. What to search for is gone with the rows by then, so the file
and the index are written again from what is alive. What lay in a gallery before it was encrypted
(encrypt.py) goes in the same way.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path

from facesearch.errors import NotErasedYet, StillProjected, StillThere, UnknownPerson, UnknownPhoto
from facesearch.files import sha256_of
from facesearch.gallery.index.faiss_index import erase_from_index, rebuild_files
from facesearch.gallery.index.files import codes_with
from facesearch.gallery.index.indexed import STEMS, manifest_of
from facesearch.gallery.milvus.projections import Access
from facesearch.gallery.milvus.sync import erase_elsewhere, unreached
from facesearch.gallery.receipts import RECEIPTS, Receipt, named, read_receipt, write_receipt
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.remains import Looked, is_searched, look_for
from facesearch.gallery.store.rows import Erased, Unfinished
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import NEXT, Store
from facesearch.records import Tell

TRIES = 4
"""Another process may be writing an index that it read before the rows were gone."""
MANY = 200
"""From so many vectors and texts on, those that somebody else has too are sorted out first."""
Pieces = Callable[[], Iterable[Erased]]
"""Called for all that must be in no file any more, a part at a time."""
SEARCHED = (
    "every file of the folder was read raw and searched for pieces of the vectors and their codes, for the"
    " names and for the content hashes"
)
ENCRYPTED_TOO = ", as they are and as they lay there encrypted"
REWRITTEN = (
    "resumed after an interruption: the gallery's file and its index were written again from what is alive,"
    " and the log was cut"
)
Done = tuple[Receipt, Path]
"""A receipt and its file."""


def forget(
    name: str,
    folder: Path,
    photos: Sequence[str],
    tell: Tell,
    *,
    contents: Collection[str] = (),
    key: Key | None = None,
    access: Access = Access(),  # noqa: B008 - it is frozen
) -> Done:
    """Erase a person, or those of their photos that are given as files, by the names they were enrolled
    under, or by the SHA-256 of their contents.

    Returns the receipt and where it was written. Raises UnknownPerson, UnknownPhoto; NotErasedYet when a
    reader keeps the log from being cut; StillThere when a file holds erased bytes; StillProjected when an
    engine that the gallery is projected to did not erase too. After the last three the same command goes on.
    """
    with Store.open(folder, key) as gallery:
        receipt, path = _forget_here(gallery, name, photos, contents, tell)
        return _forget_elsewhere(gallery, receipt, path, tell, access)


def finish_erasure(gallery: Store) -> Receipt | None:
    """Carry an interrupted erasure to its end. None when there is none. Raises NotErasedYet."""
    unfinished = gallery.notes.unfinished()
    return None if unfinished is None else wipe(gallery, unfinished)[0]


def _forget_here(
    gallery: Store, name: str, photos: Sequence[str], contents: Collection[str], tell: Tell
) -> Done:
    """Erase from the gallery itself, or find out that this was done and only an engine still has to."""
    unfinished = gallery.notes.unfinished()
    ended: Done | NotErasedYet | None = None
    if unfinished is not None:
        tell("an earlier erasure had not been carried to its end; that is done first")
        try:
            ended = wipe(gallery, unfinished)
        except NotErasedYet as error:
            # What is to be forgotten now goes all the same, and its end is that of the earlier one too.
            ended = error
    try:
        erased, some = _delete_rows(gallery, name, photos, contents)
    except (UnknownPerson, UnknownPhoto) as error:
        if (waiting := _pending(gallery, name)) is not None:
            tell("erased here already; what is left is to erase it where the gallery is projected to")
            return waiting
        unknown_photo = isinstance(error, UnknownPhoto)
        if unknown_photo or unfinished is None or not gallery.eraser.is_of(unfinished, name):
            raise
        assert ended is not None, "an unfinished erasure has just been carried to its end, or not"
        if isinstance(ended, NotErasedYet):
            raise ended from None
        return ended
    return wipe(gallery, erased.note, lambda: (erased,), whole_person=not some)


def _delete_rows(
    gallery: Store, name: str, photos: Sequence[str], contents: Collection[str]
) -> tuple[Erased, bool]:
    """Delete the rows; returns what must go for good, and whether only some photos were named.

    Raises UnknownPerson; UnknownPhoto when one of the photos is not the person's: then nothing is erased.
    """
    files = {sha256_of(Path(photo)): photo for photo in photos if Path(photo).is_file()}
    hashes = files.keys() | set(contents)
    sources = {photo for photo in photos if not Path(photo).is_file()}
    if not photos and not contents:
        return gallery.eraser.delete(name), False
    own = gallery.faces.photos_of(name)
    strange = hashes - {sha256 for _, sha256 in own} | sources - {source for source, _ in own}
    if strange and len(strange) < len(hashes) + len(sources):
        raise UnknownPhoto(name, tuple(sorted(strange)))
    return gallery.eraser.delete(name, lambda sha, source: sha in hashes or source in sources), True


def wipe(
    gallery: Store, note: Unfinished, pieces: Pieces | None = None, *, whole_person: bool | None = None
) -> Done:
    """All that comes after the rows are gone, or are written under another key.

    pieces, whole_person: None when an interruption has taken the knowledge of them. Raises NotErasedYet,
    StillThere.
    """
    everything = pieces is None or note.action == "encrypt"
    if everything:
        gallery.eraser.rewrite_file()
    shutil.rmtree(gallery.folder / NEXT, ignore_errors=True)
    looked = _wipe_index_and_log(gallery, pieces, everything=everything)
    verified = SEARCHED + (ENCRYPTED_TOO if gallery.encrypted else "") if pieces else REWRITTEN
    files, more = named(looked.files)
    receipt = Receipt(
        photos=note.faces,
        whole_person=whole_person,
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        generation_before=note.generation,
        generation_after=gallery.notes.generation,
        verified=verified,
        files=files,
        more_files=more,
        names_too_short_to_search=looked.texts_unsearched,
        projections=tuple(unreached(gallery)),
        action=note.action,
    )
    path = write_receipt(gallery.folder, receipt)
    gallery.notes.set_receipt(note.salt, path.name)
    gallery.notes.erasure_done(note)
    gallery.eraser.cut_log()
    return receipt, path


def _wipe_index_and_log(gallery: Store, pieces: Pieces | None, *, everything: bool) -> Looked:
    """Overwrite the index's bytes (or rebuild it), cut the log, and search all files until nothing is
    left. Raises NotErasedYet, StillThere.
    """
    codes: tuple[bytes, ...] = ()
    left: tuple[str, ...] = ()
    for again in range(TRIES):
        if everything or set(left) - {FILE}:
            rebuild_files(gallery, "somebody was forgotten")
        elif not left:
            codes = erase_from_index(gallery)
        if not gallery.eraser.cut_log():
            raise NotErasedYet(gallery.folder)
        looked = _search_files(gallery, pieces() if pieces else (), codes)
        left = looked.remains
        if not left:
            return looked
        if FILE in left:
            # `secure_delete` misses the copies that SQLite leaves in gaps when it moves entries from page
            # to page.
            gallery.eraser.rewrite_file()
        time.sleep(0.2 * again)
    raise StillThere(gallery.folder, left)


def _search_files(gallery: Store, parts: Iterable[Erased], codes: tuple[bytes, ...]) -> Looked:
    """Search the gallery's folder for every part, and for the codes that an index had made of the vectors.

    What a gallery's files say anyway tells nothing, and is not searched for.
    """
    receipt_words = (field.name for field in fields(Receipt))
    manifests = map(manifest_of, STEMS.values())
    own = " ".join((gallery.own_words(), SEARCHED, ENCRYPTED_TOO, REWRITTEN, *manifests, *receipt_words))
    files: tuple[tuple[str, int], ...] = ()
    remains: set[str] = set()
    unsearched = 0

    def alive(found: set[bytes | str]) -> set[bytes | str]:
        held = gallery.eraser.alive(found)
        return held | codes_with(gallery, found - held)

    for part in parts:
        texts = [text for text in part.texts if text not in own]
        unsearched += len(part.texts) - len(texts)
        vectors, words = _without_shared(gallery, part.vectors, texts)
        looked = look_for(gallery.folder, [*vectors, *codes], words, alive)
        files = looked.files
        remains |= set(looked.remains)
        unsearched += looked.texts_unsearched
    return Looked(files, tuple(sorted(remains)), unsearched)


def _without_shared(
    gallery: Store, vectors: Sequence[bytes], texts: Sequence[str]
) -> tuple[Sequence[bytes], Sequence[str]]:
    """Of many vectors and texts: those that nobody who is still enrolled holds as they are. The others would
    be found in every file, only to be found alive. Of few, reading all rows would cost more than that.
    """
    if len(vectors) + len(texts) < MANY:
        return vectors, texts
    shared = gallery.eraser.shared({*vectors, *(text for text in texts if is_searched(text))})
    return [one for one in vectors if one not in shared], [one for one in texts if one not in shared]


def _forget_elsewhere(gallery: Store, receipt: Receipt, path: Path, tell: Tell, access: Access) -> Done:
    """Carry the erasure, and any that is pending from before, to where the gallery is projected. Raises
    StillProjected.
    """
    found = erase_elsewhere(gallery, access)
    for elsewhere in found:
        if elsewhere.erased:
            tell(f"{elsewhere.store}: {elsewhere.how}")
    if left := tuple((elsewhere.store, elsewhere.how) for elsewhere in found if not elsewhere.erased):
        raise StillProjected(left, path)
    return replace(receipt, projections=tuple(found)), path


def _pending(gallery: Store, name: str) -> Done | None:
    """The receipt of an erasure of this person that some engine still has to carry out; None when there is
    none. Raises CannotRead.
    """
    item = next((item for item in reversed(gallery.notes.pending_erasures()) if item.is_of(name)), None)
    if item is None or not item.receipt:
        return None
    path = gallery.folder / RECEIPTS / item.receipt
    return read_receipt(path), path
