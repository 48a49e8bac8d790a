"""A gallery of people: the one way in, for programs, the command line and the service alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesearch.answers import (
    Calibrated,
    EnrolledPerson,
    EnrolledPhoto,
    EnrolledPhotos,
    EnrolledVectors,
    GalleryInfo,
    PersonPhotos,
    PhotoAnswer,
    Searched,
    SkippedPhoto,
    ThresholdInfo,
)
from facesearch.api import checks
from facesearch.api.detector import FaceDetector, as_detector
from facesearch.api.encoder import Encoder, EncoderLike, load_encoder
from facesearch.api.how import How, Locks, in_turn, quiet
from facesearch.api.inputs import PhotoLike, as_photos, read
from facesearch.api.per_process import PerProcess, in_this_process, run
from facesearch.api.photos import DetectorLike, Look, as_look, look, looks, usable_look
from facesearch.api.searching import Searcher, SearchIn, SearchOptions
from facesearch.encoder.stream import embedded
from facesearch.errors import (
    EmptyGallery,
    FacesearchError,
    GalleryBusy,
    NoGallery,
    NotErasedYet,
    NothingToDo,
    StillThere,
)
from facesearch.faces.by_hand import Box
from facesearch.gallery import enroll as enrolling
from facesearch.gallery.calibration import DEFAULT_FPIR
from facesearch.gallery.detectors import other_detectors
from facesearch.gallery.milvus.projections import Access
from facesearch.gallery.store.keys import Key, as_key
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.records import F32, U8, WAYS_TO_SCORE, Progress, ScoredBy, Skipped, Tell

if TYPE_CHECKING:
    from facesearch.api import results
    from facesearch.datasets.table import Dataset
    from facesearch.ranks import Ranks

WRITE_WAIT_S = 30.0
"""So long a writer waits for another one of this process."""


class Gallery:
    """People and their photos' vectors in a folder. open_gallery makes one; it may be used from many threads,
    and after a fork.

    A photo is a path, the bytes of a picture file, a Pillow image or an array (h, w, 3) uint8 RGB; NamedPhoto
    gives one in memory a name. No photo is kept. Nothing is read or written before a method is called, and
    none leaves the folder's file open.
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: Key | None,
        choose: Callable[[Key | None], Encoder],
        owns_encoder: bool,
        how: How,
        detector: DetectorLike,
        workers: int | None,
        search_in: SearchIn,
        access: Access,
        max_pixels: int,
        max_faces: int,
        tell: Tell,
    ) -> None:
        self.folder, self.key = folder, key
        self._choose, self._owns_encoder, self._how = choose, owns_encoder, how
        self._encoder: Encoder | None = None
        self._workers, self._detector = workers, None if detector is None else as_detector(detector, workers)
        self._access, self._tell = access, tell
        self._max_pixels, self._max_faces = max_pixels, max_faces
        self._locks = PerProcess(Locks)
        self._searcher = Searcher(self.store, search_in)
        self.on_look: Callable[[Look], None] = lambda found: None
        """Called with each photo that was looked at."""

    # ---- what it works with

    @property
    def exists(self) -> bool:
        """Whether the gallery is there; it is made when the first face is enrolled."""
        return (self.folder / FILE).is_file()

    @property
    def encoder(self) -> Encoder:
        """The encoder: the one it was opened with, or that the gallery was made with. Raises EncoderNotFound
        when that is not at hand.
        """
        with self._locks.get().choosing:
            self._encoder = self._encoder or self._choose(self.key)
        return self._encoder

    @property
    def detector(self) -> FaceDetector:
        """What finds faces in photos."""
        with self._locks.get().choosing:
            self._detector = self._detector or as_detector(None, self._workers)
        return self._detector

    @contextmanager
    def store(self) -> Iterator[Store | None]:
        """The gallery's file, opened for this thread alone; None while there is none. For what this class
        does not offer.
        """
        if not self.exists:
            yield None
            return
        with Store.open(self.folder, self.key) as store:
            yield store

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The same; raises NoGallery while there is none."""
        with self.store() as store:
            if store is None:
                raise NoGallery(self.folder)
            yield store

    def warm_up(self) -> None:
        """Make the encoder ready in the background, so that the first photo does not wait for it."""
        self.encoder.warm_up()

    def close(self) -> None:
        """Let go of the encoder's thread, unless the encoder was given, and of the index's file. Used again,
        all is made again.
        """
        if self._encoder is not None and self._owns_encoder:
            self._encoder.close()
        self._searcher.let_go()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Gallery {str(self.folder)!r}>"

    def __len__(self) -> int:
        """How many faces are enrolled."""
        with self.store() as store:
            return len(store or ())

    # ---- asking

    def search(
        self,
        photo: PhotoLike,
        *,
        top: int = 5,
        threshold: float | None = None,
        largest: bool = False,
        among: Sequence[str] | None = None,
    ) -> PhotoAnswer:
        """Who is nearest to each face of a photo: iterate over the answer, largest face first; empty when no
        face is found.

        top: how many people a face. threshold: decides in the place of the gallery's own. largest: only the
        largest face. among: only these people. Raises UnusablePhoto for a photo that cannot be read,
        TypeError for what is no photo; EncoderNotFound, EncoderMismatch, UnknownPerson, CorruptGallery.
        """
        among = checks.asked(top, threshold, among)
        found = look(photo, self.detector, self._max_pixels)
        usable_look(found)
        return self._answered([found], top, threshold, largest, among).photos[0]

    def search_all(
        self,
        photos: Iterable[PhotoLike | Skipped],
        *,
        top: int = 5,
        threshold: float | None = None,
        largest: bool = False,
        among: Sequence[str] | None = None,
    ) -> Searched:
        """The same for a few photos, whose faces go through the encoder together. What cannot be used is in
        it, with the reason.
        """
        among = checks.asked(top, threshold, among)
        few = checks.many("photos", photos)
        seen = (
            [look(few[0], self.detector, self._max_pixels)]
            if len(few) == 1
            else list(looks(few, self.detector, self._max_pixels))
        )
        return self._answered(seen, top, threshold, largest, among)

    def search_each(
        self,
        photos: Iterable[PhotoLike | Skipped],
        *,
        top: int = 5,
        threshold: float | None = None,
        largest: bool = False,
        among: Sequence[str] | None = None,
    ) -> Iterator[PhotoAnswer]:
        """The same for any number of photos, in order, as a stream: only a few are in memory. What cannot be
        used comes with the reason.
        """
        most = 1 if largest else self._max_faces
        asked = SearchOptions(top, threshold, most, tuple(checks.asked(top, threshold, among)))
        checks.no_single("photos", photos)

        def faces() -> Iterator[tuple[Look, list[U8]]]:
            for found in looks(photos, self.detector, self._max_pixels):
                self.on_look(found)
                yield found, [face.crop for face in found.chosen(most)]

        def answers() -> Iterator[PhotoAnswer]:
            for found, vectors in embedded(faces(), self.encoder.runtime):
                yield self._decided([found], [vectors], asked).photos[0]

        return answers()

    def _answered(
        self, seen: Sequence[Look], top: int, threshold: float | None, largest: bool, among: Sequence[str]
    ) -> Searched:
        for found in seen:
            self.on_look(found)
        most = 1 if largest else self._max_faces
        crops = [face.crop for found in seen for face in found.chosen(most)]
        vectors = self.encoder.runtime.embed(np.stack(crops)) if crops else np.empty((0, 0), np.float32)
        ends = np.cumsum([len(found.chosen(most)) for found in seen])
        return self._decided(
            seen,
            np.split(vectors, ends[:-1]) if seen else [],
            SearchOptions(top, threshold, most, tuple(among)),
        )

    def _decided(self, seen: Sequence[Look], vectors: Sequence[F32], asked: SearchOptions) -> Searched:
        encoder, detector = self.encoder.id, self.detector.name
        return run(lambda: self._searcher.decided(seen, vectors, encoder, detector, asked))

    # ---- people

    def enroll(
        self,
        person: str,
        photos: PhotoLike | Iterable[PhotoLike],
        *,
        largest: bool = False,
        refuse_lookalikes: bool = False,
        fpir: float | None = None,
        face: int | None = None,
        box: Box | None = None,
        progress: Progress = quiet,
    ) -> EnrolledPhotos:
        """Add a person's photo or photos, each with one face; the gallery is made when it is not there.

        largest: of several faces take the largest; face: take the one with this number, from 1, the largest
        first; box: the one in this box (x, y, width, height in pixels of the upright photo), whether a
        detector finds it or not. A photo without a face is skipped, and one that is enrolled under this name
        already is left as it is. refuse_lookalikes: skip what is closer to somebody else than the threshold
        allows. fpir: the rate that the threshold is set for from now on. Raises NothingToDo when every photo
        was skipped
        (CloserToAnother, UnusablePhoto, NoFace, SeveralFaces for a single one), BadName, EncoderMismatch,
        GalleryBusy, CannotWrite.
        """
        several = as_photos(photos)
        return self.enroll_many(
            [(person, photo) for photo in several],
            largest=largest,
            refuse_lookalikes=refuse_lookalikes,
            fpir=fpir,
            face=face,
            box=box,
            progress=progress,
        )

    @in_this_process
    def enroll_many(
        self,
        photos: Sequence[tuple[str, PhotoLike]],
        *,
        largest: bool = False,
        refuse_lookalikes: bool = False,
        fpir: float | None = None,
        face: int | None = None,
        box: Box | None = None,
        progress: Progress = quiet,
        skipped: Sequence[Skipped] = (),
    ) -> EnrolledPhotos:
        """The same for photos of several people, as (person, photo). skipped: what was left out before, to be
        told with the rest.
        """
        checks.share("fpir", fpir)
        checks.at_least("face", face, 1)
        checks.box(box, len(photos), self.detector.own is not None)
        encoder = self.encoder
        wanted = [(person, partial(read, photo, self._max_pixels)) for person, photo in photos]
        try:
            done = enrolling.enroll(
                wanted,
                self.folder,
                encoder.runtime,
                self.detector.own,
                largest=largest,
                face=face,
                box=box,
                fpir=fpir,
                progress=progress,
                refuse_lookalikes=refuse_lookalikes,
                key=self.key,
                encoder_file=encoder.note(),
                writing=self._writing,
                on_look=lambda found: self.on_look(as_look(found)),
            )
        except NothingToDo as error:
            error.left_out = (*skipped, *error.left_out)
            raise
        left_out = tuple(map(SkippedPhoto.of, (*skipped, *done.skipped)))
        return EnrolledPhotos(
            tuple(EnrolledPerson(name, n) for name, n in done.added.items()),
            done.known,
            done.unchecked,
            left_out,
        )

    @in_this_process
    def enroll_vectors(
        self,
        vectors: str | os.PathLike[str] | NDArray[np.floating],
        names: str | os.PathLike[str] | Sequence[str],
        *,
        encoder_id: str,
        fpir: float | None = None,
        progress: Progress = quiet,
    ) -> EnrolledVectors:
        """Add vectors that the encoder with this id has made elsewhere; the gallery is made when it is not
        there.

        vectors: a .npy file or an array (n, d) of floats; rows are made unit vectors. names: a row each, as a
        CSV file with the column name, and perhaps photo (its name) and sha256 (of its file), or a list of
        names. Everything is checked before anything is added; what a person has already is left as it is.
        Raises BadVectors, BadTable, CannotRead, NothingToDo, EncoderMismatch, GalleryBusy, CannotWrite;
        ValueError for what is no id.
        """
        from facesearch.api.bringing import encoder_named, made_by
        from facesearch.gallery.bring_in import bring_in, given

        checks.share("fpir", fpir)
        named = encoder_named(encoder_id)
        what = given(
            Path(vectors) if isinstance(vectors, str | os.PathLike) else vectors,
            Path(names) if isinstance(names, str | os.PathLike) else checks.many("names", names),
        )
        with self.store() as store:  # before an encoder is loaded
            if store is not None:
                store.require_encoder(named)
        of = made_by(named, self._encoder_with(named))
        return bring_in(
            what, of, self.folder, fpir=fpir, progress=progress, key=self.key, writing=self._writing
        )

    def require_people(self) -> None:
        """Raises NoGallery while there is none, EncoderMismatch when it is of another encoder, EmptyGallery
        while nobody is enrolled.
        """
        with self.opened() as store:
            store.require_encoder(self.encoder.id)
            if store.faces.is_empty():
                raise EmptyGallery(self.folder)

    def notes(self) -> tuple[str, ...]:
        """What should be known of how this gallery is used here, in sentences: that its faces were found by
        another detector.
        """
        with self.store() as store:
            said = (
                "" if store is None else other_detectors(store, self.detector.name, whose="the new photos'")
            )
        return (said,) if said else ()

    def people(self) -> list[PersonPhotos]:
        """Everybody enrolled, by name."""
        with self.store() as store:
            return (
                []
                if store is None
                else [PersonPhotos(person.name, person.faces) for person in store.faces.people()]
            )

    def photos_of(self, person: str) -> list[EnrolledPhoto]:
        """Somebody's enrolled photos, by name. Raises UnknownPerson, NoGallery."""
        with self.opened() as store:
            return [EnrolledPhoto(source, sha256) for source, sha256 in store.faces.photos_of(person)]

    def rename(self, old: str, new: str, *, join: bool = False) -> int:
        """Give somebody another name; join: add their photos to somebody who has that name. Returns how many
        photos moved.

        Raises UnknownPerson, BadName, NameTaken, NoGallery.
        """
        from facesearch.gallery.rename import rename

        with self._writing():
            return rename(old, new, self.folder, join=join, key=self.key)

    @in_this_process
    def move(self, person: str, photos: Sequence[str], to: str) -> results.Moved:
        """Give photos, by the SHA-256 of their files, to somebody else, new or known. Raises UnknownPerson,
        UnknownPhoto, BadName.
        """
        from facesearch.gallery.move import move

        with self._erasing():
            return move(
                person,
                checks.several("photos", photos),
                to,
                self.folder,
                self._tell,
                key=self.key,
                access=self._access,
            )

    @in_this_process
    def forget(
        self,
        person: str,
        photos: Sequence[str | os.PathLike[str]] | None = None,
        *,
        contents: Sequence[str] | None = None,
    ) -> tuple[results.Receipt, Path]:
        """Erase a person, or some of their photos: rows, vectors, index; then prove that the bytes are gone.
        This cannot be undone.

        photos: their files, or the names they were enrolled under; contents: the SHA-256 of their files; the
        whole person when neither is given. Returns the receipt and where it lies. Raises ValueError for an
        empty list, which would be neither; UnknownPerson, UnknownPhoto, NotErasedYet, StillThere,
        StillProjected.
        """
        from facesearch.gallery.forget import forget

        given = [os.fspath(photo) for photo in checks.several("photos", photos)]
        hashes = checks.several("contents", contents)
        with self._erasing():
            return forget(
                person, self.folder, given, self._tell, contents=hashes, key=self.key, access=self._access
            )

    @in_this_process
    def separations(self) -> list[results.Separation]:
        """How well each person stands apart from the others, the worst first. See evaluation.separation."""
        from facesearch.evaluation.separation import separations

        with self.store() as store:
            return [] if store is None else separations(store)

    # ---- trust

    def info(self) -> GalleryInfo:
        """What the gallery is: size, encoder, threshold, index. Raises NoGallery, CorruptGallery."""
        from facesearch.gallery.describe import describe

        with self.opened() as store:
            return describe(store)

    def threshold(self) -> ThresholdInfo | None:
        """The score from which a match is believed, and what that rests on; None while there is none."""
        from facesearch.gallery.describe import threshold_info

        with self.store() as store:
            return None if store is None else threshold_info(store.notes.threshold())

    @in_this_process
    def calibrate(
        self,
        strangers: str | os.PathLike[str] | None = None,
        *,
        fpir: float = DEFAULT_FPIR,
        by: ScoredBy | None = None,
        largest: bool = False,
        split: str = "open",
        seed: int = 0,
        keep_better: bool = False,
        progress: Progress = quiet,
    ) -> Calibrated:
        """Set the threshold so that this share of strangers' searches gets a name (false-positive
        identification rate, FPIR).

        strangers: people who are not enrolled: a folder with one folder a person, or a prepared dataset (then
        of this split). None: the gallery's own people play them, each searched among the others, which is an
        extrapolation. by: what a person's score is from now on. keep_better: do not let that extrapolation
        replace a threshold that was set on real strangers. Raises TooFewSearches, NothingToDo,
        ReplacesBetter: then nothing is changed.
        """
        from facesearch.api.calibrating import calibrated

        checks.share("fpir", fpir)
        checks.one_of("by", by, WAYS_TO_SCORE)
        folder = None if strangers is None else Path(strangers)
        return calibrated(self, folder, fpir, by, largest, split, seed, keep_better, progress, self._writing)

    @in_this_process
    def verify(
        self, *, repair: bool = True, rebuild: bool = False, index: str | None = None
    ) -> results.Verified:
        """Check every page, row, checksum and count, and the index.

        repair: rebuild the index where it is not right. rebuild: whatever state it is in; index: from now on
        of this kind (auto, flat, bits1, bits2). Raises NoGallery, CorruptGallery, BadIndex.
        """
        from facesearch.gallery.verify import verify

        with self._writing():
            return verify(self.folder, repair=repair, rebuild=rebuild, index=index, key=self.key)

    # ---- as a whole

    def export(self, out: str | os.PathLike[str]) -> results.Exported:
        """Write everything that is enrolled, with the threshold, into one new file. Raises OutputExists,
        CannotWrite, NotErasedYet.
        """
        from facesearch.gallery.transfer import export

        return export(self.folder, Path(out), key=self.key)

    @in_this_process
    def import_from(
        self,
        source: str | os.PathLike[str],
        *,
        source_key: Key | bytes | str | os.PathLike[str] | None = None,
        progress: Progress = quiet,
    ) -> results.Imported:
        """Add everybody from an exported file or from another gallery's folder; made when it is not there.
        Every row is checked first.

        source_key: the source's key, where it is another. Raises NotFound, CorruptGallery, EncoderMismatch,
        WrongKey.
        """
        from facesearch.gallery.transfer import import_into

        theirs = as_key(source_key)
        with self._writing():
            done = import_into(Path(source), self.folder, progress, theirs, key=self.key)
            with Store.open(self.folder, self.key or theirs, either=True) as store:
                self.key = self.key or (
                    theirs if store.encrypted else None
                )  # what was encrypted stays so, with its own key
        return done

    @in_this_process
    def build(
        self,
        datasets: Sequence[Dataset],
        *,
        splits: Sequence[str] = (),
        fpir: float | None = None,
        index: str | None = None,
        progress: Progress = quiet,
        ranks: Ranks | None = None,
    ) -> results.Built:
        """Enroll all photos of prepared datasets that name a person. See gallery.build."""
        from facesearch.gallery.build import build_index
        from facesearch.ranks import ALONE

        with self._writing():
            checks.share("fpir", fpir)
            encoder = self.encoder
            return build_index(
                datasets,
                self.folder,
                encoder.runtime,
                splits=tuple(splits),
                fpir=fpir,
                progress=progress,
                ranks=ranks or ALONE,
                index=index,
                key=self.key,
                encoder_file=encoder.note(),
            )

    @in_this_process
    def reindex(
        self,
        encoder: EncoderLike,
        *,
        photos: Sequence[str | os.PathLike[str]] = (),
        datasets: Sequence[Dataset] = (),
        drop_missing: bool = False,
        progress: Progress = quiet,
    ) -> results.Reindexed:
        """Embed the enrolled photos with another encoder; they are found in these folders and datasets by
        their content.

        The old vectors serve until all new ones are there. Raises PhotosMissing, and then the work done is
        kept.
        """
        from facesearch.gallery.reindex import reindex

        folders = [Path(folder) for folder in checks.many("photos", photos)]
        new = encoder if isinstance(encoder, Encoder) else load_encoder(encoder, **asdict(self._how))
        with self._writing():
            done = reindex(
                self.folder,
                new.runtime,
                datasets,
                folders,
                self.detector.own if folders else None,
                drop_missing=drop_missing,
                progress=progress,
                key=self.key,
                encoder_file=new.note(),
            )
        if self._encoder is not None and self._owns_encoder:
            self._encoder.close()
        self._encoder, self._owns_encoder = new, not isinstance(encoder, Encoder)
        self._searcher.let_go()
        return done

    @in_this_process
    def encrypt(self, new_key: Key | bytes | str | os.PathLike[str] | None = None) -> results.Encrypted:
        """Encrypt a plain gallery with its key, or exchange the key for new_key, and prove that nothing of
        before is left.
        """
        from facesearch.gallery.encrypt import encrypt

        before, fresh = self.key, as_key(new_key)
        self.key = fresh or before
        try:
            with self._erasing():
                return encrypt(self.folder, before, fresh)
        except (
            NotErasedYet,
            StillThere,
        ):  # it is encrypted; what is left is to prove that nothing of before is there
            raise
        except BaseException:
            self.key = before
            raise

    def decrypt(self) -> results.Encrypted:
        """Write an encrypted gallery in plain again."""
        from facesearch.gallery.encrypt import decrypt

        with self._writing():
            done = decrypt(self.folder, self.key)
        self.key = None
        self._searcher.let_go()
        return done

    # ---- inside

    def _encoder_with(self, encoder_id: str) -> Encoder | None:
        """The gallery's encoder when it has this id. None when it is another one, or not at hand: vectors
        that are there already do not need it.
        """
        with self._locks.get().choosing:
            try:
                chosen = self._encoder or self._choose(self.key)
            except FacesearchError:
                return None
            if chosen.id != encoder_id:  # and a new gallery's is not chosen by that
                return None
            self._encoder = chosen
        return chosen

    @in_this_process
    def refresh(self) -> int:
        """Let go of an index that another process has outdated, and map the new one. Returns how many faces
        it holds.
        """
        return self._searcher.refresh()

    @in_this_process
    def try_out(self) -> bool:
        """Search with a few vectors that are enrolled, as a question would; False while nobody is enrolled.
        Raises what loading the encoder and a search raise, and CorruptGallery where such a face is not found.
        """
        return self._searcher.try_out(self.encoder.runtime.encoder_id)

    @contextmanager
    def _erasing(self) -> Iterator[None]:
        """As _writing, without an index open in this process: it would keep what is erased, or keep an engine
        from erasing it.
        """
        with self._writing():
            self._searcher.let_go()
            try:
                yield
            finally:
                self._searcher.let_go()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer of this process at a time; others wait for a bounded time. Raises GalleryBusy."""
        with in_turn(self._locks.get().writing, WRITE_WAIT_S, GalleryBusy(self.folder, WRITE_WAIT_S)):
            yield
