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
from facesearch.api.known import known_photos
from facesearch.api.per_process import PerProcess, in_this_process, run
from facesearch.api.photos import DetectorLike, Look, as_look, look, looks, usable_look
from facesearch.api.searching import Searcher, SearchIn, SearchOptions, with_quality
from facesearch.encoder.runtime import measured
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
    """People and their photos' vectors in a folder. open_gallery makes one.

    It may be used from many threads, and after a fork. A photo is a path, the bytes of a picture file, a
    Pillow image or an array (h, w, 3) uint8 RGB; NamedPhoto gives one in memory a name. No photo is kept.
    Nothing is read or written before a method is called, and none leaves the folder's file open.
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
        """What makes vectors here, as given to open_gallery or as the gallery was made with.

        Raises:
            EncoderNotFound: It is not at hand.
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
        """The gallery's file, opened for this thread alone.

        Raises:
            NoGallery: There is none.
        """
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
        """Who is nearest to each face of a photo.

        Args:
            photo: The photo.
            top: How many people for each face.
            threshold: Decides instead of the gallery's own, from -1 to 1.
            largest: Only the largest face of a photo.
            among: Only these people; None for everybody.

        Returns:
            The answer; iterating over it gives its faces, largest first. Empty when no face is found.

        Raises:
            UnusablePhoto: The photo cannot be read.
            TypeError: It is no photo at all.
            UnknownPerson: Somebody in `among` is not enrolled.
            EncoderNotFound: The gallery's encoder is not at hand.
            EncoderMismatch: The gallery is of another encoder.
            CorruptGallery: The gallery is damaged.
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
        """Who is nearest to each face of a few photos; their faces go through the encoder together.

        Args:
            photos: The photos.
            top: How many people for each face.
            threshold: Decides instead of the gallery's own, from -1 to 1.
            largest: Only the largest face of a photo.
            among: Only these people; None for everybody.

        Returns:
            An answer for each photo, in order; one that cannot be used has the reason in `skipped`.

        Raises:
            FacesearchError: As search, but for UnusablePhoto.
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
        """The same for any number of photos, as a stream: only a few are in memory.

        Args:
            photos: The photos, of which only some are read ahead.
            top: How many people for each face.
            threshold: Decides instead of the gallery's own, from -1 to 1.
            largest: Only the largest face of a photo.
            among: Only these people; None for everybody.

        Yields:
            An answer for each photo, in order; one that cannot be used has the reason in `skipped`.

        Raises:
            FacesearchError: As search, but for UnusablePhoto.
        """
        most = 1 if largest else self._max_faces
        asked = SearchOptions(top, threshold, most, tuple(checks.asked(top, threshold, among)))
        checks.no_single("photos", photos)

        def faces() -> Iterator[tuple[Look, list[U8]]]:
            for found in looks(photos, self.detector, self._max_pixels):
                self.on_look(found)
                yield found, [face.crop for face in found.chosen(most)]

        def answers() -> Iterator[PhotoAnswer]:
            for found, vectors, lengths in embedded(faces(), self.encoder.runtime):
                yield self._decided([found], [vectors], [lengths], asked).photos[0]

        return answers()

    def _answered(
        self, seen: Sequence[Look], top: int, threshold: float | None, largest: bool, among: Sequence[str]
    ) -> Searched:
        for found in seen:
            self.on_look(found)
        most = 1 if largest else self._max_faces
        crops = [face.crop for found in seen for face in found.chosen(most)]
        none = np.empty((0, 0), np.float32), np.empty(0, np.float32)
        both = measured(self.encoder.runtime, np.stack(crops)) if crops else none
        ends = np.cumsum([len(found.chosen(most)) for found in seen])
        vectors, lengths = (np.split(part, ends[:-1]) if seen else [] for part in both)
        return self._decided(seen, vectors, lengths, SearchOptions(top, threshold, most, tuple(among)))

    def _decided(
        self, seen: Sequence[Look], vectors: Sequence[F32], lengths: Sequence[F32], asked: SearchOptions
    ) -> Searched:
        encoder, detector = self.encoder.id, self.detector.name
        whole = run(lambda: self._searcher.decided(seen, vectors, encoder, detector, asked))
        if not any(map(len, vectors)):
            return whole
        return with_quality(whole, seen, lengths, self.encoder.runtime.notes)

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
        """Add a person's photo or photos, each with one face. A gallery that is not there is made.

        A photo without a face is skipped, and one that is enrolled under this name already is left as it is.

        Args:
            person: The name.
            photos: One photo, or several.
            largest: Of several faces take the largest.
            refuse_lookalikes: Skip a photo that is closer to somebody else than the threshold allows.
            fpir: The rate that the threshold is set for from now on; None for the one it has.
            face: Take the face with this number, from 1, the largest first.
            box: Take the face in this box (x, y, width, height in pixels of the upright photo), whether the
                detector finds it or not.
            progress: Called with (done, total).

        Returns:
            What was added, known already, or skipped; and warnings.

        Raises:
            NothingToDo: Every photo was skipped. Of a single photo the reason: UnusablePhoto, NoFace,
                SeveralFaces, CloserToAnother.
            BadName: The name cannot be a person's.
            EncoderMismatch: The gallery is of another encoder.
            GalleryBusy: Another process has been writing for too long.
            CannotWrite: The gallery cannot be written.
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
        """Add photos of several people.

        Args:
            photos: (person, photo) of each.
            largest: See enroll.
            refuse_lookalikes: See enroll.
            fpir: See enroll.
            face: See enroll.
            box: See enroll.
            progress: Called with (done, total).
            skipped: What was left out before, which is told with the rest.

        Returns:
            What was added, known already, or skipped; and warnings.

        Raises:
            FacesearchError: As enroll.
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
            done.warnings,
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
        """Add vectors that an encoder made elsewhere. A gallery that is not there is made.

        Everything is checked before anything is added; what a person has already is left as it is.

        Args:
            vectors: A .npy file or an array (n, d) of floats; rows are brought to length 1.
            names: One for each row: a list, or a CSV file with the column name, and perhaps photo (its name)
                and sha256 (of its file).
            encoder_id: The id of the encoder that made them.
            fpir: See enroll.
            progress: Called with (done, total).

        Returns:
            How many were added, and known already.

        Raises:
            BadVectors: A row cannot be enrolled.
            BadTable: A line of the names cannot.
            CannotRead: A file cannot be read.
            NothingToDo: There is no row.
            EncoderMismatch: The gallery is of another encoder.
            GalleryBusy: Another process has been writing for too long.
            CannotWrite: The gallery cannot be written.
            ValueError: encoder_id is no id.
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
        """Nothing, where the gallery can be searched.

        Raises:
            NoGallery: There is none.
            EncoderMismatch: It is of another encoder.
            EmptyGallery: Nobody is enrolled.
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
        """Somebody's enrolled photos, by name.

        Raises:
            UnknownPerson: Nobody of this name is enrolled.
            NoGallery: There is no gallery.
        """
        with self.opened() as store:
            return known_photos(store, person)

    def rename(self, old: str, new: str, *, join: bool = False) -> int:
        """Give somebody another name.

        Args:
            old: The name.
            new: The new name.
            join: Add the photos to somebody who has that name already.

        Returns:
            How many photos moved.

        Raises:
            UnknownPerson: Nobody of the old name is enrolled.
            BadName: The new name cannot be a person's.
            NameTaken: Somebody has it, and `join` is not set.
            NoGallery: There is no gallery.
        """
        from facesearch.gallery.rename import rename

        with self._writing():
            return rename(old, new, self.folder, join=join, key=self.key)

    @in_this_process
    def move(self, person: str, photos: Sequence[str], to: str) -> results.Moved:
        """Give some of a person's photos to somebody else, new or known.

        Args:
            person: The name they are under.
            photos: The SHA-256 of their files.
            to: The other name.

        Raises:
            UnknownPerson: Nobody of the first name is enrolled.
            UnknownPhoto: The person has no such photo.
            BadName: The other name cannot be a person's.
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

        This cannot be undone. Without photos and contents the whole person is erased.

        Args:
            person: The name.
            photos: Files, or the names they were enrolled under.
            contents: The SHA-256 of their files.

        Returns:
            The receipt, and where it lies.

        Raises:
            UnknownPerson: Nobody of this name is enrolled.
            UnknownPhoto: The person has no such photo.
            NotErasedYet: A reader keeps the log from being cut; the same call ends it later.
            StillThere: Some file of the folder still holds what was to go.
            StillProjected: Another engine could not be reached; the same call ends it later.
            ValueError: An empty list, which would mean neither all nor some.
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
        """What the gallery is: size, encoder, threshold, index.

        Raises:
            NoGallery: There is none.
            CorruptGallery: It is damaged.
        """
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
        """Set the threshold so that this share of strangers' searches gets a name (FPIR).

        Args:
            strangers: People who are not enrolled: a folder with one folder a person, or a prepared dataset.
                None: the gallery's own people, each searched among the others, which is an extrapolation.
            fpir: The share, above 0 and at most 0.5.
            by: What a person's score is from now on, "best-photo" or "mean-template"; None for what it is.
            largest: Of several faces in a stranger's photo take the largest.
            split: The split of a prepared dataset.
            seed: Of the searches that are drawn, and of the interval.
            keep_better: Do not let the extrapolation replace a threshold that was set on real strangers.
            progress: Called with (done, total).

        Returns:
            The threshold, with its interval; photos that were skipped; photos that draw most strangers.

        Raises:
            TooFewSearches: Fewer than 3 / fpir; nothing is changed.
            NothingToDo: Every photo was skipped; nothing is changed.
            ReplacesBetter: keep_better is set; nothing is changed.
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

        Args:
            repair: Rebuild the index where it is not right.
            rebuild: Rebuild it whatever state it is in.
            index: Its kind from now on: "auto", "flat", "bits1" or "bits2".

        Returns:
            What was found, and what was done about it.

        Raises:
            NoGallery: There is none.
            CorruptGallery: The file cannot be opened as a gallery.
            BadIndex: There is no such kind.
        """
        from facesearch.gallery.verify import verify

        with self._writing():
            return verify(self.folder, repair=repair, rebuild=rebuild, index=index, key=self.key)

    @in_this_process
    def look_again(
        self, photos: Sequence[str | os.PathLike[str]], *, progress: Progress = quiet
    ) -> results.LookedAgain:
        """Compare enrolled faces with what the detector finds in their photos now.

        Rows that were made before galleries kept where a face lies learn it.

        Args:
            photos: Folders below which the photos lie.
            progress: Called with (done, total).

        Raises:
            NoGallery: There is none.
            EncoderMismatch: It is of another encoder.
            NotFound: There is no such folder.
            ValueError: The detector is for aligned crops.
        """
        from facesearch.gallery.look_again import look_again

        if (detector := self.detector.own) is None:
            raise ValueError("nothing is looked for in photos that are taken as aligned crops")
        folders = [Path(folder) for folder in checks.many("photos", photos)]
        return look_again(self.folder, self.encoder.runtime, folders, detector, progress, key=self.key)

    # ---- as a whole

    def export(self, out: str | os.PathLike[str]) -> results.Exported:
        """Write everything that is enrolled, with the threshold, into one new file.

        Args:
            out: The file.

        Raises:
            OutputExists: It is there already.
            CannotWrite: It cannot be written.
            NotErasedYet: An erasure is under way.
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
        """Add everybody from an exported file or from another gallery's folder. Every row is checked first.

        Args:
            source: The file or folder.
            source_key: Its key, where that is another than the gallery's.
            progress: Called with (done, total).

        Returns:
            How many faces and people were added.

        Raises:
            NotFound: It is not there.
            CorruptGallery: A row or a note in it is not right; nothing was added.
            EncoderMismatch: It is of another encoder.
            WrongKey: It is encrypted with another key.
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
        """Embed the enrolled photos with another encoder. The old vectors serve until all new ones are there.

        Args:
            encoder: The other encoder: an Encoder, a file, or the folder of a training run.
            photos: Folders in which the photos are found by their content.
            datasets: Prepared datasets in which they are found likewise.
            drop_missing: Drop faces whose photos are not found.
            progress: Called with (done, total).

        Raises:
            PhotosMissing: Photos are not found; the work done is kept.
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
        """Encrypt a plain gallery with the key it was opened with, or exchange the key; then prove that
        nothing is left.

        Args:
            new_key: The key to exchange it for: a Key, 32 bytes, 64 hexadecimal digits, or a file.
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
        """Let go of an index that another process has outdated, and map the new one.

        Returns:
            How many faces it holds.
        """
        return self._searcher.refresh()

    @in_this_process
    def try_out(self) -> bool:
        """Search with a few vectors that are enrolled, as a question would.

        Returns:
            False while nobody is enrolled.

        Raises:
            CorruptGallery: Such a face is not found.
            FacesearchError: What loading the encoder and a search raise.
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
