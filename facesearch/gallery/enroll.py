"""Enroll people: photos, or faces cut out already, under their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from facesearch.answers import EnrolmentWarning
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import Cropped, Embedded, Source, detected, embedded_batches, one_face
from facesearch.errors import CloserToAnother, NothingToDo, counted, written
from facesearch.faces.by_hand import Box
from facesearch.faces.detect import Detector
from facesearch.faces.names import clean_name
from facesearch.gallery.doubts import Fresh, doubts
from facesearch.gallery.index.faiss_index import open_for
from facesearch.gallery.nearest import nearest_people, person_score
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace, way_of
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.records import F32, U8, Progress, Skipped


@dataclass(frozen=True, slots=True)
class Enrolled:
    """unchecked: photos that refuse_lookalikes could not check against others, for want of a threshold.
    warnings: what should be known of photos that were added.
    """

    added: dict[str, int]
    known: int
    skipped: tuple[Skipped, ...]
    unchecked: int = 0
    warnings: tuple[EnrolmentWarning, ...] = ()


def enroll(
    photos: Sequence[tuple[str, Source | Cropped]],
    folder: Path,
    runtime: Runtime,
    detector: Detector | None,
    *,
    largest: bool,
    fpir: float | None,
    progress: Progress,
    refuse_lookalikes: bool = False,
    face: int | None = None,
    box: Box | None = None,
    key: Key | None = None,
    encoder_file: str = "",
    writing: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_look: Callable[[Cropped | Skipped], None] = lambda found: None,
) -> Enrolled:
    """Add photos, given as (person, photo or one face cut out already), to a gallery; makes the gallery when
    there is none.

    A photo without a face is skipped, and one with several unless `largest`, or `face`, or a `box` around it,
    says which. A photo that its person has already is left as it is. refuse_lookalikes: a photo closer to
    somebody who was enrolled before is skipped too. writing: within it is written, while others of this
    process wait; photos are looked at outside of it. on_look: is called with what was found in each photo,
    from several threads.

    Raises NothingToDo when every photo was skipped, for a single one what was wrong with it (UnusablePhoto,
    NoFace, SeveralFaces, CloserToAnother); BadName, EncoderMismatch, CannotWrite, GalleryBusy.
    """
    wanted = [(clean_name(person), photo) for person, photo in photos]

    def look(photo: Source | Cropped, own: Detector | None) -> Cropped | Skipped:
        found = (
            photo
            if isinstance(photo, Cropped)
            else one_face(photo, own, largest=largest, number=face, box=box)
        )
        on_look(found)
        return found

    with _Enrolling(folder, runtime, key, encoder_file, refuse_lookalikes=refuse_lookalikes) as going:
        progress(0, len(wanted))
        found = detected(look, (photo for _, photo in wanted), detector)
        people = (person for person, _ in wanted)
        new = going.new_faces(zip(people, found, strict=True), len(wanted), progress)

        def keep(batch: Sequence[Embedded[tuple[str, Cropped]]]) -> None:
            with writing():
                going.add([(*face, vectors[0], float(lengths[0])) for face, vectors, lengths in batch])

        try:
            for batch in embedded_batches(new, runtime, keep):
                keep(batch)
        except KeyboardInterrupt:
            with writing():
                going.end(fpir)
            raise
        with writing():
            going.end(fpir)
        going.look()
    return going.result(len(wanted))


class _Enrolling:
    """One go of enrolling: the gallery, which is made when the first face is added, and what came of it."""

    def __init__(
        self, folder: Path, runtime: Runtime, key: Key | None, encoder_file: str, *, refuse_lookalikes: bool
    ) -> None:
        self._folder, self._runtime, self._key = folder, runtime, key
        self._encoder_file, self._refuses = encoder_file, refuse_lookalikes
        self._stack = ExitStack()
        self._gallery: Store | None = None
        self._guard: _Guard | None = None
        self._skipped: list[Skipped] = []
        self._added: Counter[str] = Counter()
        self._known = 0
        self._fresh: list[Fresh] = []
        self._warnings: list[EnrolmentWarning] = []

    def __enter__(self) -> Self:
        if (self._folder / FILE).is_file():
            self._gallery = self._stack.enter_context(Store.open(self._folder, self._key))
            try:
                self._gallery.require_encoder(self._runtime.encoder_id)
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new_faces(
        self, found: Iterable[tuple[str, Cropped | Skipped]], total: int, progress: Progress
    ) -> Iterator[tuple[tuple[str, Cropped], list[U8]]]:
        """The faces that are to be enrolled, each with its crop; counts those that are not."""
        seen: set[tuple[str, str]] = set()
        for number, (person, cropped) in enumerate(found, 1):
            if isinstance(cropped, Skipped):
                self._skipped.append(cropped)
            elif (person, cropped.sha256) in seen or self._has(person, cropped.sha256):
                self._known += 1
            else:
                seen.add((person, cropped.sha256))
                yield (person, cropped), [cropped.crop]
            progress(number, total)

    def add(self, found: Sequence[tuple[str, Cropped, F32, float]]) -> None:
        """found: (person, face, vector, its length). Add those faces that nothing speaks against. The gallery
        is made only now when it was not there, so that photos of nobody leave no empty one behind.
        """
        gallery = self._gallery
        if self._refuses and self._guard is None and gallery is not None and not gallery.faces.is_empty():
            self._guard = _Guard(gallery)
        new = []
        for person, cropped, vector, length in found:
            refusal = None if self._guard is None else self._guard.refusal(person, cropped.path, vector)
            if refusal is not None:
                self._skipped.append(Skipped(cropped.path, refusal.reason, refusal))
            else:
                seen, kept = cropped.seen(length), vector.astype(np.float16)
                name = written(cropped.path.name)
                new.append(NewFace(person, cropped.sha256, name, vector, cropped.found_by, seen))
                self._fresh.append(
                    Fresh(person, written(cropped.path), cropped.sha256, kept, cropped.found_by, seen)
                )
                self._added[person] += 1
        if new and gallery is None:
            runtime = self._runtime
            made = (self._folder, runtime.encoder_id, runtime.dimension, runtime.words, self._key)
            store = Store.create(*made, encoder_file=self._encoder_file)
            gallery = self._gallery = self._stack.enter_context(store)
            gallery.require_encoder(runtime.encoder_id)
        if new and gallery is not None:
            gallery.faces.add(new)

    def end(self, fpir: float | None) -> None:
        """Set the threshold again when the gallery has grown."""
        if self._added and self._gallery is not None:
            tidy(self._gallery, self._runtime.notes, fpir)

    def look(self) -> None:
        """See what speaks against those that were added."""
        if self._gallery is not None:
            self._warnings = doubts(self._gallery, self._fresh, self._runtime.notes)

    def result(self, photos: int) -> Enrolled:
        """What came of so many photos. Raises NothingToDo when every photo was skipped."""
        skipped = self._skipped
        if not self._added and not self._known:
            if photos == 1 and skipped and skipped[0].cause is not None:
                raise skipped[0].cause
            reason = skipped[0].reason if skipped else "no photo was given"
            where = str(skipped[0].path) if photos == 1 and skipped else counted(photos, "photo")
            said = f"none of {counted(photos, 'photo')} could be enrolled; the first: {reason}"
            raise NothingToDo(where, said, left_out=tuple(skipped))
        unchecked = self._guard.unchecked if self._guard else 0
        return Enrolled(
            dict(self._added), self._known, tuple(skipped), unchecked, warnings=tuple(self._warnings)
        )

    def _has(self, person: str, sha256: str) -> bool:
        return self._gallery is not None and self._gallery.faces.has_photo(person, sha256)


class _Guard:
    """Refuses photos closer to somebody else than to the person they are given to, by who was enrolled before
    this go.

    So a second name for somebody who is enrolled is refused too. The index is opened once.
    """

    def __init__(self, gallery: Store) -> None:
        stored = gallery.notes.threshold()
        self._limit, self._by = stored.score if stored else None, way_of(stored)
        self._gallery, self._index = gallery, open_for(gallery, self._by)
        self.unchecked = 0

    def refusal(self, person: str, photo: Path, vector: F32) -> CloserToAnother | None:
        """Why a photo with this vector (d,) is not enrolled as person; None when nothing speaks against it.
        One search.

        The nearest person must be another one, at or above the gallery's threshold.
        """
        if self._limit is None:
            self.unchecked += 1
            return None
        nearest = nearest_people(self._gallery, self._index, vector, 1, by=self._by)
        if not nearest or nearest[0].person == person or nearest[0].score < self._limit:
            return None
        own = person_score(self._gallery, person, vector, self._by)
        match = nearest[0]
        return CloserToAnother(
            photo, person, match.person, match.score, match.support[0].source, own, self._limit
        )
