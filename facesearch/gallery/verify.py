"""Check a gallery against damage, and fix what can be fixed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from facesearch.errors import counted
from facesearch.gallery.forget import finish_erasure
from facesearch.gallery.index.choice import choose_index, chosen_index, index_parts, part_words
from facesearch.gallery.index.faiss_index import drop_unfinished, is_current, refresh, wrong_with_index
from facesearch.gallery.index.files import keeps_files
from facesearch.gallery.look_again import LookedAgain
from facesearch.gallery.store.checks import problems as problems_of
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.store import Store


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found.

    Attributes:
        people: How many people are enrolled.
        faces: How many faces are enrolled.
        problems: What is wrong with the gallery itself, which nothing here can fix.
        index: What was wrong with the index; empty when nothing was.
        mended: What was done about it.
        looked: What the photos show now, where they were given; else None.
    """

    people: int
    faces: int
    problems: tuple[str, ...]
    index: str
    mended: tuple[str, ...]
    looked: LookedAgain | None = None


def verify(
    folder: Path, *, repair: bool, rebuild: bool = False, index: str | None = None, key: Key | None = None
) -> Verified:
    """Check every page, row, checksum, count and dimension, and the index against the rows; rebuild the index
    if needed, or because it is asked for; index: of which kind from now on.

    An erasure that was not carried to its end is carried there. Raises NoGallery, BadIndex; CorruptGallery
    when it cannot even be opened.
    """
    mended: list[str] = []
    with Store.open(folder, key) as gallery:
        if index is not None:
            choose_index(gallery, index)
        problems = tuple(problems_of(gallery))
        wrong = "" if problems else _wrong_index(gallery, mended, repair=repair, rebuild=rebuild)
        return Verified(gallery.faces.person_count(), len(gallery), problems, wrong, tuple(mended))


def _wrong_index(gallery: Store, mended: list[str], *, repair: bool, rebuild: bool) -> str:
    """What is wrong with the index, in words; adds to `mended` what was done about that, and about an
    interrupted erasure.
    """
    if repair:
        drop_unfinished(gallery.folder)
        if finish_erasure(gallery) is not None:
            mended.append("carried an interrupted erasure to its end")
    if gallery.faces.is_empty():
        return ""
    if wrong := next(gallery.templates.wrong(), ""):
        if repair:
            gallery.templates.renew_all()
            mended.append("made the templates of all people again")
        return wrong
    current, reason = is_current(gallery)
    wrong = wrong_with_index(gallery) if current else reason
    if rebuild:
        started = time.perf_counter()
        faces = len(refresh(gallery, "it was asked for"))
        seconds = time.perf_counter() - started
        told = f"{chosen_index(gallery)}, {counted(faces, 'face')}, in {seconds:.1f} s"
        mended.append(f"{_rebuilt(gallery)}: {told}")
        mended.extend(map(part_words, index_parts(gallery)))
    elif wrong and repair:
        refresh(gallery, reason)
        mended.append(_rebuilt(gallery))
    return wrong


def _rebuilt(gallery: Store) -> str:
    """What was done to the index, which of a folder that cannot be written is nothing that lasts."""
    if gallery.encrypted or keeps_files(gallery):
        return "rebuilt the index"
    return "the folder cannot be written: the index was made in memory only, and its files are as they were"
