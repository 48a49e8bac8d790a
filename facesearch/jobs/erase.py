"""Forget somebody, or some of their photos, prove that the bytes are gone, and leave a receipt without biometric data.

Rows go in one transaction, which also notes that an erasure is under way; then the index's bytes of them are overwritten where
they lie, SQLite's log is cut, every file of the folder is read raw and searched, the receipt is written and the note is taken
away. Killed in between, the same command goes on: since what to search for is gone with the rows, the file and the index are then
written anew from what is alive. What lay in a gallery before it was encrypted (jobs.encrypt) goes in the same way.
Last, every engine that the gallery is projected to erases too; one that cannot be reached is owed it, and the receipt says so.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from facesearch.errors import NotErasedYet, StillProjected, StillThere, UnknownPerson, UnknownPhoto
from facesearch.files import make_folder, read_json, replace_json, sha256_of
from facesearch.gallery.faiss_index import MANIFEST, erase_from_index, refresh
from facesearch.gallery.index_files import has_code
from facesearch.gallery.keys import Key
from facesearch.gallery.projections import Access, name_receipt, owed
from facesearch.gallery.remains import Looked, look_for
from facesearch.gallery.rows import Deed, Erased, Unfinished
from facesearch.gallery.store import FILE, NEXT, Gallery
from facesearch.jobs.receipts import RECEIPTS, Elsewhere
from facesearch.jobs.sync import erase_elsewhere, unreached
from facesearch.records import Tell
from facesearch.version import __version__

TRIES = 4
Pieces = Callable[[], Iterable[Erased]]
"""Called for all that must be in no file any more, a part at a time."""
SEARCHED = (
    "every file of the folder was read raw and searched for pieces of the vectors and their codes, for the names and for the content hashes"
)
SEALED_TOO = ", as they are and as they lay there encrypted"
REWRITTEN = "resumed after an interruption: the gallery's file and its index were written anew from what is alive, and the log was cut"


@dataclass(frozen=True, slots=True)
class Receipt:
    """That bytes are gone. when: UTC; generation: the gallery's number of changes; files: what was searched, in bytes; deed: what
    they had to go for, forget or encrypt; photos: how many were forgotten, or encrypted; projections:
    the engines that held the vectors too."""

    photos: int
    whole_person: bool | None
    when: str
    generation_before: int
    generation_after: int
    verified: str
    files: tuple[tuple[str, int], ...]
    names_too_short_to_search: int
    projections: tuple[Elsewhere, ...] = ()
    facesearch: str = __version__
    schema: int = 1
    deed: Deed = "forget"


def forget(
    name: str, folder: Path, photos: Sequence[str], tell: Tell, *, contents: Collection[str] = (), key: Key | None = None,
    access: Access = Access(),  # noqa: B008 - it is frozen
) -> tuple[Receipt, Path]:  # fmt: skip
    """Erase a person, or those of their photos that are given as files, by the names they were enrolled under, or by the
    SHA-256 of their contents.

    Returns the receipt and where it was written. Raises UnknownPerson, UnknownPhoto; NotErasedYet when a reader keeps the log
    from being cut; StillThere when a file holds erased bytes; StillProjected when an engine that the gallery is projected to did
    not erase too. After the last three the same command goes on.
    """
    with Gallery.open(folder, key) as gallery:
        return _everywhere(gallery, *_here(gallery, name, photos, contents, tell), tell, access)


def _here(gallery: Gallery, name: str, photos: Sequence[str], contents: Collection[str], tell: Tell) -> tuple[Receipt, Path]:
    """Erase from the gallery itself, or find out that this was done and is owed by an engine only."""
    unfinished = gallery.unfinished()
    ended: tuple[Receipt, Path] | NotErasedYet | None = None
    if unfinished is not None:
        tell("an earlier erasure had not been carried to its end; that is done first")
        try:
            ended = carry_out(gallery, unfinished)
        except NotErasedYet as error:
            ended = error  # what is to be forgotten now goes all the same, and its end is that of the earlier one too
    try:
        files = {sha256_of(Path(photo)): photo for photo in photos if Path(photo).is_file()}
        hashes = files.keys() | set(contents)
        sources = {photo for photo in photos if not Path(photo).is_file()}
        some = bool(photos or contents)
        if some:
            _require_any_or_all(gallery, name, hashes, sources)
        erased = gallery.forget(name, (lambda sha256, source: sha256 in hashes or source in sources) if some else None)
    except (UnknownPerson, UnknownPhoto) as error:
        if (waiting := _waiting(gallery, name)) is not None:
            tell("erased here already; what is left is to erase it where the gallery is projected to")
            return waiting
        if isinstance(error, UnknownPhoto) or unfinished is None or ended is None or not gallery.is_of(unfinished, name):
            raise
        if isinstance(ended, NotErasedYet):
            raise ended from None
        return ended
    return carry_out(gallery, erased.note, lambda: (erased,), whole_person=not some)


def _require_any_or_all(gallery: Gallery, name: str, hashes: Collection[str], sources: Collection[str]) -> None:
    """Raises UnknownPhoto when some of these photos are the person's and others are not: then nothing is erased, and they are told."""
    own = gallery.photos_of(name)
    strange = set(hashes) - {sha256 for _, sha256 in own} | set(sources) - {source for source, _ in own}
    if strange and len(strange) < len(hashes) + len(sources):
        raise UnknownPhoto(name, tuple(sorted(strange)))


def finish(gallery: Gallery) -> Receipt | None:
    """Carry an interrupted erasure to its end. None when there is none. Raises NotErasedYet."""
    unfinished = gallery.unfinished()
    return None if unfinished is None else carry_out(gallery, unfinished)[0]


def carry_out(
    gallery: Gallery, note: Unfinished, pieces: Pieces | None = None, *, whole_person: bool | None = None
) -> tuple[Receipt, Path]:
    """All that comes after the rows are gone, or are written under another key. Returns the receipt and where it was written.

    pieces, whole_person: None when an interruption has taken the knowledge of them. Raises NotErasedYet, StillThere.
    """
    anew = pieces is None or note.deed == "encrypt"
    if anew:
        gallery.rewrite()
    codes: tuple[bytes, ...] = ()
    left: tuple[str, ...] = ()
    shutil.rmtree(gallery.folder / NEXT, ignore_errors=True)  # a reindex under way begins anew: it may hold the forgotten too
    for again in range(TRIES):  # another process may be writing an index that it read before
        if anew or set(left) - {FILE}:
            refresh(gallery, "somebody was forgotten")
        elif not left:
            codes = erase_from_index(gallery)
        if not gallery.sweep():
            raise NotErasedYet(gallery.folder)
        looked = _look(gallery, pieces() if pieces else (), codes)
        left = looked.remains
        if not left:
            break
        if FILE in left:
            gallery.rewrite()  # `secure_delete` misses the copies that SQLite leaves in gaps when it moves entries from page to page
        time.sleep(0.2 * again)
    else:
        raise StillThere(gallery.folder, left)
    receipt = Receipt(
        photos=note.faces,
        whole_person=whole_person,
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        generation_before=note.generation,
        generation_after=gallery.generation,
        verified=SEARCHED + (SEALED_TOO if gallery.sealed else "") if pieces else REWRITTEN,
        files=looked.files,
        names_too_short_to_search=looked.texts_unsearched,
        deed=note.deed,
    )
    receipt = replace(receipt, projections=tuple(unreached(gallery)))
    path = make_folder(gallery.folder / RECEIPTS) / f"{note.deed}-{receipt.generation_after}.json"
    replace_json(path, asdict(receipt))
    name_receipt(gallery, note.salt, path.name)
    gallery.erasure_done(note)
    gallery.sweep()
    return receipt, path


def _look(gallery: Gallery, parts: Iterable[Erased], codes: tuple[bytes, ...]) -> Looked:
    """Search the gallery's folder for every part, and for the codes that an index had made of the vectors.

    What a gallery's files say anyway tells nothing, and is not searched for.
    """
    own = " ".join((gallery.own_words(), SEARCHED, SEALED_TOO, REWRITTEN, MANIFEST, *(field.name for field in fields(Receipt))))
    files: tuple[tuple[str, int], ...] = ()
    remains: set[str] = set()
    unsearched = 0
    for part in parts:
        texts = [text for text in part.texts if text not in own]
        part = replace(part, vectors=part.vectors + codes)
        looked = look_for(gallery.folder, part.vectors, texts, lambda piece: gallery.is_alive(piece) or has_code(gallery, piece))
        files = looked.files
        remains |= set(looked.remains)
        unsearched += looked.texts_unsearched + len(part.texts) - len(texts)
    return Looked(files, tuple(sorted(remains)), unsearched)


def _everywhere(gallery: Gallery, receipt: Receipt, path: Path, tell: Tell, access: Access) -> tuple[Receipt, Path]:
    """Carry the erasure, and any that is owed from before, to where the gallery is projected. Raises StillProjected."""
    found = erase_elsewhere(gallery, access)
    for elsewhere in found:
        if elsewhere.erased:
            tell(f"{elsewhere.store}: {elsewhere.how}")
    if left := tuple((elsewhere.store, elsewhere.how) for elsewhere in found if not elsewhere.erased):
        raise StillProjected(left, path)
    return replace(receipt, projections=tuple(found)), path


def _waiting(gallery: Gallery, name: str) -> tuple[Receipt, Path] | None:
    """The receipt of an erasure of this person that some engine still owes; None when there is none. Raises CannotRead."""
    item = next((item for item in reversed(owed(gallery)) if item.is_of(name)), None)
    if item is None or not item.receipt:
        return None
    path = gallery.folder / RECEIPTS / item.receipt
    kept = read_json(path)
    return Receipt(**{**kept, "projections": tuple(Elsewhere(**entry) for entry in kept["projections"])}), path
