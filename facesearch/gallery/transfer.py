"""A gallery as a whole into one file, and everybody from a file or a folder into a gallery."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from facesearch.errors import CorruptGallery
from facesearch.files import sha256_of
from facesearch.gallery.forget import finish_erasure
from facesearch.gallery.store.checks import wrong_rows
from facesearch.gallery.store.encoder_note import note_of_name
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rewriting import snapshot
from facesearch.gallery.store.rows import VECTOR, NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.records import F32, Progress


@dataclass(frozen=True, slots=True)
class Exported:
    people: int
    faces: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Imported:
    """new_people: names that were not in the gallery before; others' photos were added to the people of the
    same name.
    """

    added: int
    known: int
    new_people: int
    people: int


def export(folder: Path, out: Path, *, key: Key | None = None) -> Exported:
    """Write everything that is enrolled, with the threshold, into one file. Raises OutputExists, CannotWrite,
    NotErasedYet.
    """
    with Store.open(folder, key) as gallery:
        finish_erasure(gallery)
        snapshot(gallery, out)
        return Exported(len(gallery.faces.people()), len(gallery), out.stat().st_size, sha256_of(out))


def import_into(
    source: Path, folder: Path, progress: Progress, source_key: Key | None = None, *, key: Key | None = None
) -> Imported:
    """Add everybody from an exported file, or from another gallery's folder, to a gallery; makes it when
    there is none.

    Every row is checked before any is added. People of the same name are taken for one person. Running
    it again adds nothing. key: the gallery's; source_key: the source's, where it is another; every row is
    then encrypted with that of the gallery, and a gallery that is made here without a key takes over the
    source's: nothing encrypted becomes plain. Raises NotFound, CorruptGallery, EncoderMismatch, CannotWrite,
    KeyMissing, WrongKey, NotEncrypted.
    """
    source_key = source_key or key
    with (
        Store.open(source, source_key, either=True)
        if source.is_dir()
        else Store.open_snapshot(source, source_key) as other
    ):
        if wrong := next(chain(other.notes.wrong(), wrong_rows(other)), ""):
            raise CorruptGallery(source, wrong)
        fresh = not (folder / FILE).is_file()
        key = key or (other.key if other.encrypted else None)
        with Store.create(
            folder,
            other.encoder_id,
            other.dimension,
            other.notes.encoder,
            key,
            encoder_file=note_of_name(json.dumps(other.notes.encoder_file())),
        ) as gallery:
            gallery.require_encoder(other.encoder_id)
            before, people_before = len(gallery), len(gallery.faces.people())
            done, total = 0, len(other)
            for rows in other.faces.batches():
                ids = [row[0] for row in rows]
                found_by, seen = other.faces.found_by(ids), other.faces.seen(ids)
                gallery.faces.add(
                    [
                        NewFace(name, sha, file, _unit(blob), found_by.get(i, ""), seen.get(i))
                        for i, name, sha, file, blob, _ in rows
                    ]
                )
                done += len(rows)
                progress(done, total)
            threshold = other.notes.threshold()
            if fresh and threshold is not None:
                gallery.notes.set_threshold(threshold)
            tidy(gallery, {}, None, rewrite=True)
            people = len(gallery.faces.people())
            return Imported(
                len(gallery) - before, total - (len(gallery) - before), people - people_before, people
            )


def _unit(blob: bytes) -> F32:
    """Bytes in float16 to a unit vector that rounds to the same bytes again."""
    return np.frombuffer(blob, VECTOR).astype(np.float32)
