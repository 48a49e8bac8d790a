"""Enroll people: photos, or faces cut out already, under their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from facesearch.errors import CloserToAnother, NotFound, NothingToDo
from facesearch.faces.detect import Detector
from facesearch.faces.photos import NOT_TEXT, is_text, walk
from facesearch.gallery.faiss_index import open_index
from facesearch.gallery.keys import Key
from facesearch.gallery.nearest import nearest_people, person_score
from facesearch.gallery.rows import NewFace, clean_name, way_of
from facesearch.gallery.store import FILE, Gallery
from facesearch.jobs.build import tidy
from facesearch.jobs.stream import Cropped, Source, detected, embedded, one_face
from facesearch.model.runtime import Runtime
from facesearch.records import F32, U8, Progress, Skipped

COMMIT = 64


@dataclass(frozen=True, slots=True)
class Enrolled:
    """unchecked: photos that `strict` could not check against others, for want of a threshold."""

    added: dict[str, int]
    known: int
    skipped: tuple[Skipped, ...]
    unchecked: int = 0


def enroll(
    photos: Sequence[tuple[str, Source | Cropped]],
    folder: Path,
    runtime: Runtime,
    detector: Detector | None,
    *,
    largest: bool,
    fpir: float | None,
    progress: Progress,
    strict: bool = False,
    face: int | None = None,
    key: Key | None = None,
    encoder_file: str = "",
    writing: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_look: Callable[[Cropped | Skipped], None] = lambda found: None,
) -> Enrolled:
    """Add photos, given as (person, photo or one face cut out already), to a gallery; makes the gallery when there is none.

    A photo without a face is skipped, and one with several unless `largest`, or `face`, says which. A photo that its person has already
    is left as it is. strict: a photo closer to somebody who was enrolled before is skipped too. Raises NothingToDo when every photo
    was skipped, for a single one what was wrong with it (UnusablePhoto, NoFace, SeveralFaces, CloserToAnother); BadName,
    EncoderMismatch, CannotWrite, GalleryBusy. writing: within it is written, while others of this process wait; photos are looked at
    outside of it. on_look: is called with what was found in each photo, from several threads.
    """
    wanted = [(clean_name(person), photo) for person, photo in photos]
    skipped: list[Skipped] = []
    added: Counter[str] = Counter()
    known = 0
    with ExitStack() as stack:
        gallery = stack.enter_context(Gallery.open(folder, key)) if (folder / FILE).is_file() else None
        if gallery is not None:
            gallery.require_encoder(runtime.encoder_id)
        guard: _Guard | None = None

        def look(photo: Source | Cropped, own: Detector | None) -> Cropped | Skipped:
            found = photo if isinstance(photo, Cropped) else one_face(photo, own, largest=largest, number=face)
            on_look(found)
            return found

        def new_faces() -> Iterator[tuple[tuple[str, Cropped], list[U8]]]:
            """Faces that are to be enrolled; counts those that are not."""
            nonlocal known
            seen: set[tuple[str, str]] = set()
            progress(0, len(wanted))
            found = detected(look, (photo for _, photo in wanted), detector)
            for number, ((person, _), cropped) in enumerate(zip(wanted, found, strict=True), 1):
                if isinstance(cropped, Skipped):
                    skipped.append(cropped)
                elif (person, cropped.sha256) in seen or (gallery is not None and gallery.has_photo(person, cropped.sha256)):
                    known += 1
                else:
                    seen.add((person, cropped.sha256))
                    yield (person, cropped), [cropped.crop]
                progress(number, len(wanted))

        def add(found: Sequence[tuple[str, Cropped, F32]]) -> None:
            """Add those faces that nothing speaks against. The gallery is made only now when it was not there, so that photos of nobody
            leave no empty one behind."""
            nonlocal gallery, guard
            if strict and guard is None and gallery is not None and not gallery.is_empty():
                guard = _Guard(gallery)
            new = []
            for person, cropped, vector in found:
                refusal = None if guard is None else guard.refusal(person, cropped.path, vector)
                if refusal is not None:
                    skipped.append(Skipped(cropped.path, refusal.reason, refusal))
                else:
                    new.append(NewFace(person, cropped.sha256, cropped.path.name, vector, cropped.found_by))
                    added[person] += 1
            if new and gallery is None:
                made = (folder, runtime.encoder_id, runtime.dimension, runtime.words, key)
                gallery = stack.enter_context(Gallery.create(*made, encoder_file=encoder_file))
                gallery.require_encoder(runtime.encoder_id)
            if new and gallery is not None:
                gallery.add(new)

        batch: list[tuple[str, Cropped, F32]] = []
        for (person, cropped), vectors in embedded(new_faces(), runtime):
            batch.append((person, cropped, vectors[0]))
            if len(batch) >= COMMIT:
                with writing():
                    add(batch)
                batch = []
        with writing():
            add(batch)
            if added and gallery is not None:
                tidy(gallery, runtime.notes, fpir)
    if not added and not known:
        if len(wanted) == 1 and skipped and skipped[0].cause is not None:
            raise skipped[0].cause
        reason = skipped[0].reason if skipped else "no photo was given"
        where = str(skipped[0].path) if len(wanted) == 1 and skipped else f"{len(wanted)} photos"
        raise NothingToDo(where, f"none of {len(wanted)} photos could be enrolled; the first: {reason}")
    return Enrolled(dict(added), known, tuple(skipped), guard.unchecked if guard else 0)


class _Guard:
    """Refuses photos closer to somebody else than to the person they are given to, by who was enrolled before this go.

    So a second name for somebody who is enrolled is refused too. The index is opened once.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery, self._index = gallery, open_index(gallery)
        stored = gallery.threshold()
        self._limit, self._by = stored.score if stored else None, way_of(stored)
        self.unchecked = 0

    def refusal(self, person: str, photo: Path, vector: F32) -> CloserToAnother | None:
        """Why a photo with this vector (d,) is not enrolled as person; None when nothing speaks against it. One search.

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
        return CloserToAnother(photo, person, match.person, match.score, match.support[0].source, own, self._limit)


def people_folders(root: Path) -> tuple[list[tuple[str, Path]], list[Skipped]]:
    """One folder a person below root, as (name, photo). Raises NotFound, NothingToDo."""
    if not root.is_dir():
        raise NotFound(root, "folder")
    photos: list[tuple[str, Path]] = []
    skipped: list[Skipped] = []
    for found in walk(root):
        if isinstance(found, Skipped):
            skipped.append(found)
        elif not is_text(str(found)):
            skipped.append(Skipped(found, NOT_TEXT))
        elif found.parent == root:
            skipped.append(Skipped(found, "not in a person's folder"))
        else:
            photos.append((found.relative_to(root).parts[0], found))
    if not photos:
        raise NothingToDo(str(root), "no photo in any person's folder (expected: one folder a person, photos in each)")
    return photos, skipped
