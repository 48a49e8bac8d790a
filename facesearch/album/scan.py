"""Find and embed every face under a folder, once: photos are known by what they show, and a later scan looks
only at what is new.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from facesearch.album.album import FILE, Album, AlbumFace, AlbumFile, FoundFace, FoundPhoto
from facesearch.datasets.table import landmarks_text
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import Embedded, detected, embedded_batches
from facesearch.errors import NotFound, NothingToDo, unshown, written
from facesearch.faces.align import scaled
from facesearch.faces.cutting import cut_faces, portrait, sharpness_of
from facesearch.faces.detect import Detector
from facesearch.faces.found_by import ALIGNED
from facesearch.faces.kinds import Facts, Judge, is_read_now
from facesearch.faces.photos import photo_of, read_bytes, read_photo, walk
from facesearch.gallery.decision import DecisionRule
from facesearch.gallery.index.faiss_index import open_for
from facesearch.gallery.nearest import Nearest, nearest_people, nearest_to_each
from facesearch.gallery.store.store import Store
from facesearch.records import F32, U8, Face, Photo, Progress, Skipped


@dataclass(frozen=True, slots=True)
class Scanned:
    """files looked at now, and how many were known already (unchanged, moved, copied or rewritten around the
    same picture) or have gone; renamed: files that have gone and whose photo is another file's now, which are
    not among the gone; copies: files beside the first of each photo; faces found now and in all; faceless:
    photos in which there is no face; skipped: what could not be read, now or before."""

    folder: Path
    files: int
    looked: int
    known: int
    gone: int
    renamed: int
    copies: int
    new_faces: int
    faces: int
    faceless: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _Looked:
    """One file after a worker has looked at it: found holds its faces with their crops, or is None for a
    known photo. picture: its pixels' hash, where they were decoded.
    """

    file: AlbumFile
    reason: str = ""
    found: tuple[tuple[Face | None, U8], ...] | None = None
    picture: str = ""


class _Seen:
    """What was looked into already, shared by all workers: the photos, and by which contents and pictures
    they are known."""

    def __init__(self, album: Album) -> None:
        reasons = album.photos()
        self.photos = set(reasons)
        self.pictures = album.pictures()
        self._contents = {photo: photo for photo in self.photos}
        for file in album.files().values():
            if file.content and file.sha256 in self.photos:
                self._contents[file.content] = file.sha256
        known = set(self.pictures.values())
        self._old = {photo for photo, reason in reasons.items() if not reason and photo not in known}
        self._lock = threading.Lock()

    def content(self, content: str) -> str:
        """The photo that a file of this content shows; empty where it is to be decoded. Of two files of one
        content only the first is; so is a photo of format 1, of whose pixels no hash is known."""
        with self._lock:
            photo = self._contents.setdefault(content, content)
            first = photo not in self.photos
            self.photos.add(photo)
            return "" if first or photo in self._old else photo

    def picture(self, content: str, picture: str) -> tuple[str, bool]:
        """The photo that shows these pixels, and whether it is still to be looked into."""
        with self._lock:
            if (photo := self._contents[content]) in self._old:
                self.pictures.setdefault(picture, photo)
                return photo, False
            photo = self._contents[content] = self.pictures.setdefault(picture, content)
            return photo, photo == content


def album_folder(root: Path) -> Path:
    """Where the scan of an album lies unless another place is named: beside it."""
    whole = root.absolute()
    return whole.with_name(whole.name + ".scan")


def scan(
    root: Path,
    folder: Path,
    runtime: Runtime,
    detector: Detector | None,
    progress: Progress,
    *,
    workers: int = os.cpu_count() or 1,
) -> Scanned:
    """Bring the scan in folder up to date with the photos under root. Without a detector each photo is one
    aligned crop.

    A file is opened only when its size or time has changed; its content is looked into only when no file had
    it before. Interrupted, the same call goes on. Raises NotFound, NothingToDo, OtherAlbum, CorruptAlbum,
    CannotWrite.
    """
    if not root.is_dir():
        raise NotFound(root, "folder of photos")
    root = root.absolute()
    judge = Judge(_judged_before(folder, root))
    there, skipped = _files_under(root, judge)
    if not there:
        reason = (
            f"no photo there; the first of {len(skipped)} skipped: {skipped[0]}"
            if skipped
            else "no photo there"
        )
        raise NothingToDo(str(root), reason, left_out=tuple(skipped))
    found_by = detector.name if detector is not None else ALIGNED
    with Album.create(
        folder,
        root,
        encoder_id=runtime.encoder_id,
        dimension=runtime.dimension,
        encoder=runtime.words,
        detector=found_by,
        notes={"impostors": runtime.notes.get("impostors")},
    ) as album:
        album.require(runtime.encoder_id, found_by, root)
        album.drop_photos([sha for sha, reason in album.photos().items() if is_read_now(reason)])
        before, seen = album.files(), _Seen(album)
        todo = [
            file
            for path, file in there.items()
            if path not in before or _is_to_look_at(before[path], file, seen.photos)
        ]
        gone = before.keys() - there.keys()
        album.drop_files(gone)
        _keep_judged(album, root, judge)
        looks = _look_at_all(root, todo, seen, detector, workers)
        looked_into, faces = _take_in_all(
            album, looks, runtime, len(there) - len(todo), len(there), progress, before
        )
        after, reasons = album.files(), album.photos()
        lost = [(file, file.reason or reasons.get(file.sha256, "")) for file in after.values()]
        skipped += [Skipped(file.below(root), reason) for file, reason in lost if reason]
        every = album.faces()
        with_face = {face.sha256 for face in every}
        renamed = _renamed(before, after)
        photos = [file.sha256 for file, reason in lost if file.sha256 and not reason]
        return Scanned(
            folder=folder,
            files=len(there),
            looked=looked_into,
            known=len(there) - looked_into,
            gone=len(gone) - renamed,
            renamed=renamed,
            copies=len(photos) - len(set(photos)),
            new_faces=faces,
            faces=len(every),
            faceless=sum(not reason and file.sha256 not in with_face for file, reason in lost),
            skipped=tuple(skipped),
        )


def _renamed(before: dict[str, AlbumFile], after: dict[str, AlbumFile]) -> int:
    """How many files have gone while a new one shows their photo."""
    gone = Counter(file.sha256 for path, file in before.items() if path not in after and file.sha256)
    new = Counter(file.sha256 for path, file in after.items() if path not in before)
    return (gone & new).total()


def _take_in_all(
    album: Album,
    looks: Iterable[_Looked],
    runtime: Runtime,
    done: int,
    total: int,
    progress: Progress,
    before: dict[str, AlbumFile],
) -> tuple[int, int]:
    """Embed and keep what was found; returns how many files were looked into, and how many faces are new."""
    looked_into = faces = 0
    progress(done, total)
    crops = ((look, [crop for _, crop in look.found or ()]) for look in looks)

    def keep(batch: Sequence[Embedded[_Looked]]) -> None:
        nonlocal looked_into, faces, done
        into, count = _take_in(album, batch)
        _carry(
            album, [(before[look.file.path].sha256, look) for look, _, _ in batch if look.file.path in before]
        )
        looked_into, faces, done = looked_into + into, faces + count, done + len(batch)
        progress(done, total)

    for batch in embedded_batches(crops, runtime, keep):
        keep(batch)
    return looked_into, faces


def recognise(album: Album, gallery: Store | None, *, threshold: float | None = None) -> int:
    """Say of every face which person of the gallery it resembles most, and whether that is a match; returns
    how many are.

    Where neither the gallery nor what was said has changed since the last time, only faces that are new are
    asked about; without a gallery, or with an empty one, nobody is known. threshold overrides the gallery's
    own; where there is none, resemblances are told and nobody is known. A face never resembles a person that
    a reviewer said that it is not. Raises EncoderMismatch.
    """
    faces = album.faces()
    state, seen = _asked_before(album, faces, gallery, threshold)
    todo = [i for i, face in enumerate(faces) if face.face_id > seen]
    if not todo:
        return sum(face.known for face in faces)
    faces, vectors = album.faces_and_vectors()
    nearest: list[tuple[str, float | None, bool]] = [("", None, False)] * len(todo)
    if gallery is not None and not gallery.faces.is_empty():
        gallery.require_encoder(album.encoder_id)
        index = open_for(gallery, gallery.notes.scored_by)
        rule = DecisionRule.of(gallery, threshold, index.faces)
        for at, (person, score) in enumerate(nearest_to_each(gallery, index, vectors[todo], rule.by)):
            i = todo[at]
            if person in faces[i].refused:
                person, score = _nearest_but(gallery, index, vectors[i], rule, faces[i].refused)
            if person:
                nearest[at] = (person, round(score, 4), rule.limit is not None and score >= rule.limit)
    changes: dict[int, dict[str, object]] = {}
    known = {face.face_id: face.known for face in faces}
    for i, (person, near, is_match) in zip(todo, nearest, strict=True):
        face = faces[i]
        known[face.face_id] = is_match
        if (face.nearest, face.nearest_score, face.known) != (person, near, is_match):
            changes[face.face_id] = {"nearest": person, "nearest_score": near, "known": is_match}
    album.change(changes)
    album.remember(_RECOGNISED, json.dumps([state, max(known)]))
    return sum(known.values())


_RECOGNISED = "recognised"
"""Under this word an album remembers which state of which gallery named its faces, and up to which face."""


def _asked_before(
    album: Album, faces: Sequence[AlbumFace], gallery: Store | None, threshold: float | None
) -> tuple[str, int]:
    """The state of the gallery and of what was said, in short, and up to which face (its number) it has been
    asked; 0 where it is another state than then, or nothing says whose it is."""
    refused = [(face.face_id, face.refused) for face in faces if face.refused]
    facts = "none" if gallery is None else (gallery.state, gallery.notes.threshold())
    state = hashlib.sha256(repr((facts, threshold, refused)).encode()).hexdigest()
    try:
        before, seen = json.loads(album.value(_RECOGNISED) or "[0, 0]")
        return state, int(seen) if before == state else 0
    except (ValueError, TypeError):
        return state, 0


def _nearest_but(
    gallery: Store, index: Nearest, vector: F32, rule: DecisionRule, refused: Sequence[str]
) -> tuple[str, float]:
    """The nearest person but for those that somebody said this is not; no name and 0 where there is none."""
    found = nearest_people(gallery, index, vector, 1 + len(refused), by=rule.by)
    return next(((one.person, one.score) for one in found if one.person not in refused), ("", 0.0))


def _files_under(root: Path, judge: Judge) -> tuple[dict[str, AlbumFile], list[Skipped]]:
    """Every picture file under root by its path below it, as it is now; sha256 is still unknown."""
    there: dict[str, AlbumFile] = {}
    skipped: list[Skipped] = []
    for path in walk(root, judge.look):
        if isinstance(path, Skipped):
            skipped.append(path)
            continue
        name = written(path.relative_to(root).as_posix())
        try:
            facts = path.stat()
        except OSError:  # a link to nowhere: the worker will say what is wrong
            there[name] = AlbumFile(name, -1, 0, "", "")
            continue
        there[name] = AlbumFile(name, facts.st_size, facts.st_mtime_ns, "", "")
    return there, skipped


JUDGED = "judged"
"""Under this word an album remembers what the files are whose suffix does not tell, so that none is opened
again as long as it stays as it is."""


def _judged_before(folder: Path, root: Path) -> dict[Path, tuple[Facts, str]]:
    """What an earlier scan has found of files: see Judge. An album may come from anybody."""
    if not (folder / FILE).is_file():
        return {}
    with Album.open(folder) as album:
        try:
            noted = json.loads(album.value(JUDGED) or "{}")
            return {
                root / unshown(path): ((int(size), int(time)), str(kind))
                for path, (size, time, kind) in noted.items()
            }
        except (ValueError, TypeError, AttributeError):
            return {}


def _keep_judged(album: Album, root: Path, judge: Judge) -> None:
    noted = {
        written(path.relative_to(root).as_posix()): (*facts, kind)
        for path, (facts, kind) in judge.found.items()
    }
    if (text := json.dumps(noted)) != album.value(JUDGED):
        album.remember(JUDGED, text)


def _is_to_look_at(before: AlbumFile, now: AlbumFile, seen: set[str]) -> bool:
    """Whether a file is another than it was, or a run was killed between two files of one content, so that it
    was never looked into.
    """
    changed = (before.bytes, before.mtime_ns) != (now.bytes, now.mtime_ns)
    return changed or (bool(before.sha256) and before.sha256 not in seen)


def _look_at_all(
    root: Path, files: Sequence[AlbumFile], seen: _Seen, detector: Detector | None, workers: int
) -> Iterator[_Looked]:
    """Read, decode and detect in threads, in order, never more than a bounded number ahead."""

    def look(file: AlbumFile, own: Detector | None) -> _Looked:
        path = file.below(root)
        data = read_bytes(path)
        if isinstance(data, Skipped):
            return _Looked(file, data.reason)
        content = hashlib.sha256(data).hexdigest()
        if known := seen.content(content):
            return _Looked(replace(file, sha256=known, content=content))
        photo = photo_of(data, path)
        if isinstance(photo, Skipped):
            return _Looked(replace(file, sha256=content, content=content), photo.reason, ())
        picture = picture_of(photo)
        known, is_new = seen.picture(content, picture)
        file = replace(file, sha256=known, content=content)
        if not is_new:
            return _Looked(file, picture=picture)
        found, refused = cut_faces(photo, own)
        return _Looked(file, refused, tuple((one.face, one.crop) for one in found), picture)

    return detected(look, files, detector, workers=workers)


def picture_of(photo: Photo) -> str:
    """The hash of what a photo shows: its upright pixels. A comment, a rating, a preview or another packing
    of the same picture changes nothing of it; what a program does to the picture does."""
    digest = hashlib.sha256(f"{photo.size} {photo.pixels.shape}".encode())
    digest.update(np.ascontiguousarray(photo.pixels).data)
    return digest.hexdigest()


SAME_FACE = 0.9
"""From this cosine on a face in a photo that was worked on is the one that was in it before: photos of two
moments hardly ever come as near."""


def _carry(album: Album, rewritten: Sequence[tuple[str, _Looked]]) -> None:
    """What was said of the faces of a photo stays said of them when the photo was worked on: turned, cropped,
    saved again. They are known by the file's path and their vectors. rewritten: (photo that the file showed
    before, what it shows now)."""
    changes: dict[int, dict[str, object]] = {}
    pairs: list[tuple[tuple[str, int], tuple[str, int]]] = []
    for old_photo, look in rewritten:
        if not old_photo or old_photo == look.file.sha256 or not look.found:
            continue
        (old, old_vectors), (new, vectors) = album.faces_of(old_photo), album.faces_of(look.file.sha256)
        if not old or not new:
            continue
        cosines = old_vectors @ vectors.T
        for i, j in enumerate(cosines.argmax(axis=1).tolist()):
            if cosines[i, j] >= SAME_FACE and cosines[:, j].argmax() == i:
                kept = ("group", "name", "reviewed", "nobody", "enrolled")
                changes[new[j].face_id] = {field: getattr(old[i], field) for field in kept}
                pairs.append(((old[i].sha256, old[i].number), (new[j].sha256, new[j].number)))
    if pairs:
        album.change(changes)
        album.said.carry(pairs)


def _take_in(album: Album, batch: Sequence[Embedded[_Looked]]) -> tuple[int, int]:
    """Commit a batch: what was looked at, with the vectors of its faces. Returns how many photos were new,
    and how many faces.
    """
    photos = [
        FoundPhoto(
            look.file.sha256,
            tuple(
                _found(i, *found, vector)
                for i, (found, vector) in enumerate(zip(look.found, vectors, strict=True), 1)
            ),
            look.reason,
            look.picture,
        )
        for look, vectors, _ in batch
        if look.found is not None
    ]
    album.add(
        [replace(look.file, reason=look.reason if look.found is None else "") for look, _, _ in batch], photos
    )
    if again := {
        look.file.sha256: look.picture for look, _, _ in batch if look.found is None and look.picture
    }:
        album.note_pictures(again)
    return len(photos), sum(len(photo.faces) for photo in photos)


def _found(number: int, face: Face | None, crop: U8, vector: F32) -> FoundFace:
    """Without a face the photo is an aligned crop, and all of it."""
    sharpness = sharpness_of(crop)
    if face is None:
        side = float(crop.shape[0])
        return FoundFace(number, (0.0, 0.0, side, side), "", 1.0, side, sharpness, vector)
    x, y, w, h = (float(value) for value in face.box)
    return FoundFace(
        number, (x, y, w, h), landmarks_text(face.landmarks), face.score, min(w, h), sharpness, vector
    )


def face_pictures(
    album: Album, side_px: int, progress: Progress, have: Container[str] = ()
) -> dict[str, bytes]:
    """A JPEG of each face, by its key, cut again from the photos where they lie; of changed or unreadable
    photos there are none. have: faces of which there is one already, which are left out.
    """
    faces: dict[str, list[AlbumFace]] = {}
    for face in album.faces():
        if face.key not in have:
            faces.setdefault(face.sha256, []).append(face)
    pictures: dict[str, bytes] = {}
    files = {file.sha256: file for file in album.files().values() if file.sha256 in faces}
    progress(0, len(files))
    for number, (sha256, file) in enumerate(files.items(), 1):
        photo = read_photo(file.below(album.root))
        if isinstance(photo, Photo) and photo.sha256 == file.content:
            for face in faces[sha256]:
                points = face.points()
                box = [value / photo.scale for value in face.box]
                shown = portrait(photo.pixels, box, (points / photo.scale).tolist(), side_px)
                out = io.BytesIO()
                Image.fromarray(shown if len(points) else scaled(photo.pixels, side_px)).save(
                    out, "JPEG", quality=80
                )
                pictures[face.key] = out.getvalue()
        progress(number, len(files))
    return pictures
