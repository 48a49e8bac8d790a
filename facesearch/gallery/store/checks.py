"""What is wrong with the truth itself: pages, references, rows; of a hostile file's too."""

from __future__ import annotations

from collections.abc import Iterator

from facesearch.gallery.store.faces import AT_ONCE
from facesearch.gallery.store.rows import is_note
from facesearch.gallery.store.store import Store
from facesearch.records import Progress


def problems(store: Store, progress: Progress | None = None) -> list[str]:
    """Everything that is wrong, a sentence each. Empty: nothing. progress: of the faces."""
    every = store.database.all
    found = list(store.notes.wrong())
    found += [f"SQLite: {row[0]}" for row in every("PRAGMA integrity_check") if row[0] != "ok"]
    found += [f"a row of {row[0]} refers to nobody" for row in every("PRAGMA foreign_key_check")]
    alone = "SELECT person_id FROM people WHERE person_id NOT IN (SELECT person_id FROM faces)"
    found += [f"person {row[0]} has no photo" for row in every(alone)]
    return found + list(wrong_rows(store, progress))


def wrong_rows(store: Store, progress: Progress | None = None) -> Iterator[str]:
    """Every row that is not as it should be, with what is wrong."""
    done, total = 0, len(store)
    columns = "detector" if store.notes.has_detector_column() else "NULL"
    columns += ", seen" if store.notes.has_seen_column() else ", NULL"
    for rows in store.faces.stored(AT_ONCE):
        beside = store.database.of_ids(f"SELECT face_id, {columns} FROM faces", [row[0] for row in rows])
        known = {face_id: (detector, seen) for face_id, detector, seen in beside}
        for face_id, *stored, checksum in rows:
            detector, seen = known.get(face_id, (None, None))
            if reason := store.codec.wrong(stored, checksum) or store.codec.wrong_seen(stored, seen):
                yield f"face {face_id}: {reason}"
            elif not is_note(detector):
                yield f"face {face_id}: what found it has no name that can be"
        done += len(rows)
        if progress is not None:
            progress(done, total)
