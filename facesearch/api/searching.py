"""What is searched: the index of a gallery as one process holds it, shared by all its threads, and the
answers that come of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from facesearch.answers import FaceAnswer, PhotoAnswer, Searched
from facesearch.api.per_process import PerProcess
from facesearch.api.photos import Look
from facesearch.errors import CorruptGallery, IndexDiffers, counted
from facesearch.faces.quality import poor_because, quality_of
from facesearch.gallery.decision import DecisionRule, decide, undecided
from facesearch.gallery.detectors import other_detectors
from facesearch.gallery.index.faiss_index import open_for, refresh
from facesearch.gallery.milvus.projections import Access
from facesearch.gallery.nearest import Among, Nearest, nearest_people
from facesearch.gallery.store.store import State, Store
from facesearch.records import F32, ScoredBy, Tell


@dataclass(frozen=True, slots=True)
class SearchIn:
    """What is searched in. opened: opens it, and closes it when it is let go. alone: it must be closed before
    it is opened again, so those who search in it are waited for; otherwise each goes on with what it has."""

    opened: Callable[[Store], AbstractContextManager[Nearest]]
    alone: bool


OWN_INDEX = SearchIn(lambda store: nullcontext(open_for(store, store.notes.scored_by)), alone=False)
"""The gallery's own index."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What a search is asked with: people a face, the score that decides instead of the gallery's, most faces
    a photo, which people.
    """

    top: int
    threshold: float | None
    most: int
    among: tuple[str, ...]


def with_quality(
    whole: Searched, seen: Sequence[Look], lengths: Sequence[F32], notes: Mapping[str, Any]
) -> Searched:
    """The same answers, each with how good the photo of its face is.

    Args:
        whole: The answers.
        seen: What the photos showed.
        lengths: For each photo (faces,), the lengths of its faces' vectors before they were normalised.
        notes: Of the encoder: which lengths it gives to good photos.
    """
    photos = []
    for photo, found, own in zip(whole.photos, seen, lengths, strict=True):
        known = [
            (f.seen(float(length)), f.found_by, notes) for f, length in zip(found.faces, own, strict=False)
        ]
        faces = [
            replace(answer, quality=quality_of(*facts), poor=poor_because(*facts))
            for answer, facts in zip(photo.faces, known, strict=True)
        ]
        photos.append(replace(photo, faces=tuple(faces)))
    return replace(whole, photos=tuple(photos))


SAME = 0.99
"""The cosine of a vector with itself, but for its float16."""


Asked = ParamSpec("Asked")
Found = TypeVar("Found")


def by_a_right_index(
    work: Callable[Concatenate[Searcher, Asked], Found],
) -> Callable[Concatenate[Searcher, Asked], Found]:
    """What a method of Searcher gives, done again after the index was rebuilt where it showed other vectors
    than the rows have.
    """

    @wraps(work)
    def done(self: Searcher, /, *given: Asked.args, **named: Asked.kwargs) -> Found:
        try:
            return work(self, *given, **named)
        except IndexDiffers:
            if not self.rebuild():
                raise
            return work(self, *given, **named)

    return done


class Searcher:
    """The index of one gallery: mapped once a generation, let go as soon as somebody has enrolled or
    forgotten anybody.
    """

    def __init__(
        self, opened: Callable[[], AbstractContextManager[Store | None]], search_in: SearchIn
    ) -> None:
        """opened: opens the gallery for the thread that asks; search_in: opens its index."""
        self._opened, self._search_in = opened, search_in
        self._held: PerProcess[_Held] = PerProcess(_Held)

    @by_a_right_index
    def decided(
        self,
        seen: Sequence[Look],
        vectors: Sequence[F32],
        encoder_id: str,
        detector: str,
        asked: SearchOptions,
    ) -> Searched:
        """The answers for photos.

        Args:
            seen: What the photos showed.
            vectors: For each photo (faces, d), the unit vectors of its faces.
            encoder_id: Of what made the vectors.
            detector: The name of what found the faces.
            asked: What the search is asked with.

        Raises:
            EncoderMismatch: The gallery's vectors are another encoder's.
            UnknownPerson: One of asked.among is not enrolled.
            CorruptGallery: The gallery is damaged.
        """
        most = asked.most
        with self._opened() as store, self._index(store) as (index, built):
            if store is None or index is None:
                return Searched(
                    tuple(
                        _photo(found, [undecided(face) for face in found.chosen(most)], most)
                        for found in seen
                    ),
                    0,
                    False,
                )
            store.require_encoder(encoder_id)
            among = Among.of(store, index, asked.among) if asked.among else None
            missed = index.may_miss() if among is None else ""
            rule = DecisionRule.of(store, asked.threshold, (among or index).faces)
            photos = [
                _photo(
                    found,
                    [
                        decide(f, v, store, index, rule, asked.top, among)
                        for f, v in zip(found.chosen(most), own, strict=True)
                    ],
                    most,
                )
                for found, own in zip(seen, vectors, strict=True)
            ]
            notes = self._notes(store, built, rule, detector)
            return Searched(tuple(photos), rule.faces, rule.stale, (missed, *notes) if missed else notes)

    def _notes(self, store: Store, built: str, rule: DecisionRule, detector: str) -> tuple[str, ...]:
        """What should be known of the answers, in sentences."""
        held, state = self._held.get(), store.state
        noted = held.noted
        if noted is None or noted[:2] != (state, detector):
            noted = held.noted = state, detector, other_detectors(store, detector)
        said = [f"The index was rebuilt: {built}."] if built else []
        if rule.stale and rule.stored is not None:
            said.append(
                "The threshold is stale: it was set for"
                f" {counted(rule.stored.faces, 'face', commas=True)}, and {rule.faces:,}"
                " are enrolled now."
            )
        return (*said, noted[2]) if noted[2] else tuple(said)

    @by_a_right_index
    def try_out(self, encoder_id: str) -> bool:
        """Search with vectors that are enrolled.

        Returns:
            False while nobody is enrolled.

        Raises:
            EncoderMismatch: The gallery's vectors are not those of encoder_id.
            CorruptGallery: It is damaged, or its own index does not find such a face again.
        """
        with self._opened() as store:
            if store is None or store.faces.is_empty():
                return False
            store.require_encoder(encoder_id)
            with self._index(store) as (index, _):
                rows = store.templates if index is not None and index.finds == "templates" else store.faces
                for vector in rows.vectors_at(rows.some_ids()).values():
                    if index is None:  # everybody was forgotten meanwhile
                        return False
                    unit = vector / np.linalg.norm(vector)
                    erasures = store.notes.erasures
                    found = nearest_people(store, index, unit, 2)
                    again = bool(found) and found[0].score > SAME
                    if not again and not self._search_in.alone and erasures == index.erasures:
                        raise CorruptGallery(store.folder, "its index does not find a face that is enrolled")
        return True

    def rebuild(self) -> bool:
        """Rebuild the gallery's own index, which showed other vectors than the rows have; False where another
        engine is searched.
        """
        if self._search_in is not OWN_INDEX:
            return False
        self.let_go()
        with self._opened() as store:
            if store is not None:
                refresh(store, "it showed other vectors than the rows have")
        return True

    def refresh(self) -> int:
        """Let go of an index that another process has outdated, and map the new one. Returns how many faces
        it holds.
        """
        held = self._held.get()
        with self._opened() as store:
            index = held.index
            if store is not None and index is not None and index[0] != _state(store):
                with self._index(store):
                    index = held.index
        return 0 if index is None else index[1].faces

    def let_go(self) -> None:
        """A mapped file keeps its bytes on the disk although its name is gone."""
        held = self._held.get()
        with held.turn:
            held.let_go(alone=self._search_in.alone)

    @contextmanager
    def _index(self, store: Store | None) -> Iterator[tuple[Nearest | None, str]]:
        """The index as of now, open as long as this lasts, and why it was rebuilt; None while nobody is
        enrolled.
        """
        if store is None:
            yield None, ""
            return
        held, built = self._held.get(), ""
        with held.turn:
            while held.index is None or held.index[0] != _state(store):
                held.let_go(
                    alone=self._search_in.alone
                )  # it would hold the vectors of people who were forgotten
                if held.index is not None:
                    continue  # another thread was faster
                state = _state(store)
                if store.faces.is_empty():
                    break
                held.index = state, held.opened.enter_context(self._search_in.opened(store))
                built = held.index[1].built
            index = None if held.index is None else held.index[1].of(store)
            held.users += 1
        try:
            yield index, built
        finally:
            with held.turn:
                held.users -= 1
                held.turn.notify_all()


def _state(store: Store) -> tuple[State, ScoredBy]:
    """What an index in memory is of: the gallery as it is, and what a person's score is there."""
    return store.state, store.notes.scored_by


class _Held:
    """users: threads that search in the index now."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self.index: tuple[tuple[State, ScoredBy], Nearest] | None = None
        self.noted: tuple[State, str, str] | None = None
        """What was said of detectors, of which gallery, for which detector: counting them reads every row."""
        self.opened = ExitStack()
        self.users = 0

    def let_go(self, *, alone: bool) -> None:
        """Close the index, when alone not before nobody searches in it any more; one that another thread has
        opened meanwhile stays.
        """
        gone = self.index
        while alone and self.users and self.index is gone:
            self.turn.wait()
        if self.index is gone:
            self.index = None
            self.opened.close()


def projection(text: str, access: Access, tell: Tell) -> SearchIn:
    """How a Milvus engine's projection of a gallery is searched.

    Args:
        text: Where it is: "milvus:FILE.db" or "milvus:http(s)://HOST[:PORT][/DATABASE]".
        access: A server's token, and how long one answer may take.
        tell: Called with what its owner should know, in sentences, each time it is opened.

    Raises:
        BadStore: text names no such place.
    """
    from facesearch.gallery.milvus.index import open_projection
    from facesearch.gallery.milvus.projections import place_of

    place = place_of(text, access)

    @contextmanager
    def opened(store: Store) -> Iterator[Nearest]:
        with open_projection(store, place) as index:
            for line in index.notes:
                tell(line)
            yield index

    return SearchIn(opened, alone=True)


def _photo(found: Look, faces: Sequence[FaceAnswer], most: int) -> PhotoAnswer:
    return PhotoAnswer(
        found.photo, found.sha256, *found.size, found.skipped, tuple(faces), max(0, len(found.faces) - most)
    )
