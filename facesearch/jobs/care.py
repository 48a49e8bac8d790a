"""The life of a gallery: verify, rename, export, import, merge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.errors import CorruptGallery
from facesearch.files import sha256_of
from facesearch.gallery.encoder_note import note_of_name
from facesearch.gallery.faiss_index import drop_unfinished, is_current, refresh, wrong_with_index
from facesearch.gallery.keys import Key
from facesearch.gallery.rows import VECTOR, NewFace
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs.build import tidy
from facesearch.jobs.erase import finish
from facesearch.records import F32, Progress


@dataclass(frozen=True, slots=True)
class Verified:
    """problems of the truth itself, which nothing here can mend; index: what was wrong with it, empty when nothing was;
    mended: what was done about what can be."""

    people: int
    faces: int
    problems: tuple[str, ...]
    index: str
    mended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    people: int
    faces: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Imported:
    """new_people: names that were not in the gallery before; others' photos were added to the people of the same name."""

    added: int
    known: int
    new_people: int
    people: int


def verify(folder: Path, *, repair: bool, key: Key | None = None) -> Verified:
    """Check every page, row, checksum, count and dimension, and the index against the rows; make the index anew if need be.

    An erasure that was not carried to its end is carried there. Raises NoGallery, CorruptGallery when it cannot even be opened.
    """
    mended = []
    with Gallery.open(folder, key) as gallery:
        problems = tuple(gallery.problems())
        index = ""
        if not problems:
            if repair:
                drop_unfinished(gallery)
                if finish(gallery) is not None:
                    mended.append("an interrupted erasure was carried to its end")
            current, reason = is_current(gallery)
            index = "" if gallery.is_empty() else wrong_with_index(gallery) if current else reason
            if index and repair:
                refresh(gallery, reason)
                mended.append("the index was made anew")
        return Verified(gallery.person_count(), len(gallery), problems, index, tuple(mended))


def rename(old: str, new: str, folder: Path, *, join: bool, key: Key | None = None) -> int:
    """Give a person another name. Returns how many photos moved. Raises UnknownPerson, BadName, NameTaken."""
    with Gallery.open(folder, key) as gallery:
        moved = gallery.rename(old, new, join=join)
        gallery.sweep()  # so that the old name goes out of the log as soon as nobody reads it
    return moved


def export(folder: Path, out: Path, *, key: Key | None = None) -> Exported:
    """Write everything that is enrolled, with the threshold, into one file. Raises OutputExists, CannotWrite, NotErasedYet."""
    with Gallery.open(folder, key) as gallery:
        finish(gallery)
        gallery.snapshot(out)
        return Exported(len(gallery.people()), len(gallery), out.stat().st_size, sha256_of(out))


def import_into(
    source: Path, folder: Path, progress: Progress, source_key: Key | None = None, *, key: Key | None = None
) -> Imported:  # fmt: skip
    """Add everybody from an exported file, or from another gallery's folder, to a gallery; makes it when there is none.

    Every row is checked before any is added. Whoever has the same name is taken for the same person. Running it again adds
    nothing. key: the gallery's; source_key: the source's, where it is another; every row is then sealed with that of the gallery, and a
    gallery that is made here without a key takes over the source's: nothing encrypted becomes plain. Raises NotFound,
    CorruptGallery, EncoderMismatch, CannotWrite, KeyMissing, WrongKey, NotEncrypted.
    """
    source_key = source_key or key
    with Gallery.open(source, source_key, either=True) if source.is_dir() else Gallery.open_snapshot(source, source_key) as other:
        if wrong := next(other.wrong_rows(), ""):
            raise CorruptGallery(source, wrong)
        fresh = not (folder / FILE).is_file()
        key = key or (other.key if other.sealed else None)
        with Gallery.create(
            folder, other.encoder_id, other.dimension, other.encoder, key, encoder_file=note_of_name(json.dumps(other.encoder_file()))
        ) as gallery:
            gallery.require_encoder(other.encoder_id)
            before, people_before = len(gallery), len(gallery.people())
            done, total = 0, len(other)
            for rows in other.batches():
                found_by = other.found_by(row[0] for row in rows)
                gallery.add([NewFace(name, sha, file, _unit(blob), found_by.get(i, "")) for i, name, sha, file, blob, _ in rows])
                done += len(rows)
                progress(done, total)
            threshold = other.threshold()
            if fresh and threshold is not None:
                gallery.set_threshold(threshold)
            tidy(gallery, {}, None, rewrite=True)
            people = len(gallery.people())
            return Imported(len(gallery) - before, total - (len(gallery) - before), people - people_before, people)


def _unit(blob: bytes) -> F32:
    """Bytes in float16 to a unit vector that rounds to the same bytes again."""
    return np.frombuffer(blob, VECTOR).astype(np.float32)
