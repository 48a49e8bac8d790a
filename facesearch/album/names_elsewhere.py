"""Names that an album shares with other programs: written into sidecar files beside the photos, and read from
sidecars and photos as suggestions.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facesearch.album.album import Album, AlbumFace, AlbumFile
from facesearch.album.xmp import ON, BadXmp, Region, packets, regions_in, with_regions
from facesearch.errors import BadName, CannotWrite, NothingToDo, reason_of
from facesearch.faces.decoding import shape_of
from facesearch.faces.names import clean_name
from facesearch.faces.photos import read_bytes
from facesearch.files import make_folder, read_regular, replace_file
from facesearch.records import Progress, Skipped

Naming = Literal["full", "stem"]
"""Of a sidecar: photo.jpg.xmp, or photo.xmp."""
SUGGESTED = "names_in_photos"
"""Under this word an album remembers what photos and sidecars say: {face id: name}."""


@dataclass(frozen=True, slots=True)
class Exported:
    """sidecars written, for how many photos there are names; regions in them; same: sidecars that were right
    already."""

    sidecars: int
    same: int
    regions: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Suggested:
    """photos in which names stand; names: as many regions with one; faces that got a suggestion; no_face:
    regions where the album has no face."""

    photos: int
    names: int
    faces: int
    no_face: int
    skipped: tuple[Skipped, ...]


def export_xmp(
    album: Album,
    progress: Progress,
    *,
    root: Path | None = None,
    into: Path | None = None,
    naming: Naming = "full",
) -> Exported:
    """Write a sidecar for each photo in which a review has named a face, with its face regions; beside the
    photo, or at the same place below another folder. Where one lies there it keeps all else that it holds.
    No photo is touched.

    root: where the album lies now, if it was moved. Raises NotFound, NothingToDo, CannotWrite.
    """
    root = album.photos_at(root)
    by_photo = _by_photo(album)
    known = {photo for photo, faces in by_photo.items() if any(_own(face) for face in faces)}
    files = [file for file in album.files().values() if file.sha256 in by_photo]
    if not known:
        said = "no face in it has a name that a review gave; apply one first: facesearch scan --apply"
        raise NothingToDo(str(album.folder), said)
    written = same = regions = 0
    skipped: list[Skipped] = []
    progress(0, len(files))
    for number, file in enumerate(files, 1):
        place = _sidecar(file, root, into or root, naming)
        if file.sha256 in known or place.is_file():
            done = _write(file, by_photo[file.sha256], root, place)
            if isinstance(done, Skipped):
                skipped.append(done)
            elif file.sha256 in known:
                written, same = written + done, same + (not done)
                regions += sum(bool(_own(face)) for face in by_photo[file.sha256])
        progress(number, len(files))
    return Exported(written, same, regions, tuple(skipped))


def suggest_names(album: Album, progress: Progress) -> Suggested:
    """Read the names in the photos and in the sidecars beside them, and keep them as suggestions for the
    faces on which they lie. XMP that cannot be read is skipped with its reason. Raises CannotWrite.
    """
    by_photo = _by_photo(album)
    files = [file for file in album.files().values() if file.sha256 in by_photo]
    suggested: dict[str, str] = {}
    skipped: list[Skipped] = []
    photos = names = no_face = 0
    progress(0, len(files))
    for number, file in enumerate(files, 1):
        photo = file.below(album.root)
        data = read_bytes(photo)
        if isinstance(data, Skipped):
            skipped.append(data)
            continue
        found, bad = _regions_of(photo, data, album.root)
        skipped += bad
        photos, names = photos + bool(found), names + len(found)
        try:
            shape = shape_of(data) if found else ((1, 1), 1)
        except ValueError as error:
            skipped.append(Skipped(photo, str(error)))
            continue
        for region in found:
            face = _on(region, by_photo[file.sha256], *shape)
            if face is None:
                no_face += 1
            else:
                suggested.setdefault(str(face.face_id), region.name)
        progress(number, len(files))
    album.remember(SUGGESTED, json.dumps(suggested))
    return Suggested(photos, names, len(suggested), no_face, tuple(skipped))


def names_in_photos(album: Album, faces: Sequence[AlbumFace]) -> dict[str, str]:
    """What photos and sidecars called these faces of the album when they were last asked, by the faces'
    keys.
    """
    if not (noted := album.value(SUGGESTED)):
        return {}
    try:
        names = {int(face): str(name) for face, name in json.loads(noted).items()}
    except (ValueError, AttributeError):
        return {}
    return {
        face.key: name for face in faces if (name := names.get(face.face_id)) and name not in face.refused
    }


# ---- writing


def _write(file: AlbumFile, faces: list[AlbumFace], root: Path, place: Path) -> bool | Skipped:
    """Bring a photo's sidecar up to date; False where it is right already."""
    photo = file.below(root)
    if place.is_symlink():
        return Skipped(place, "it is a link; it is left as it is")
    try:
        size, turn = _shape(photo)
        regions = [_region(face, size, turn, _own(face)) for face in faces if _own(face)]
        old = read_regular(place) if os.path.lexists(place) else None
        new = with_regions(old, regions, size)
    except BadXmp as error:
        return Skipped(place, f"{error}; it is left as it is")
    except ValueError as error:
        return Skipped(photo, str(error))
    except OSError as error:
        return Skipped(place, f"cannot be read: {reason_of(error)}")
    if new == old:
        return False
    try:
        make_folder(place.parent)
        mode = (place if old is not None else photo).stat().st_mode & 0o666 | 0o600
        replace_file(place, new)
        place.chmod(mode)  # who may read the photo may read who is in it
    except (CannotWrite, OSError) as error:
        reason = error.reason if isinstance(error, CannotWrite) else reason_of(error)
        return Skipped(place, f"cannot be written: {reason}")
    return True


def _sidecar(file: AlbumFile, root: Path, into: Path, naming: Naming) -> Path:
    """Where a photo's sidecar lies: the one that is there already, else by its naming. photo.xmp is taken for
    this photo's only where no other file of that name lies there.
    """
    place = into / file.below(root).relative_to(root)
    full, stem = place.with_name(place.name + ".xmp"), place.with_suffix(".xmp")
    if naming == "full":
        alone = stem.is_file() and not full.exists() and _is_alone(file.below(root))
        return stem if alone else full
    return full if full.exists() and not stem.exists() else stem


def _is_alone(photo: Path) -> bool:
    try:
        names = [path for path in photo.parent.iterdir() if path.stem == photo.stem]
    except OSError:
        return False
    return {path.suffix.lower() for path in names} <= {photo.suffix.lower(), ".xmp"}


# ---- reading


def _regions_of(photo: Path, data: bytes, root: Path) -> tuple[list[Region], list[Skipped]]:
    """The names in a photo's sidecars, else in itself (data: its bytes), of the stored picture."""
    skipped: list[Skipped] = []
    sources: list[tuple[Path, bytes]] = []
    for place in (photo.with_name(photo.name + ".xmp"), photo.with_suffix(".xmp")):
        if place.is_file() and place.resolve().is_relative_to(root.resolve()):
            try:
                sources.append((place, read_regular(place)))
            except OSError as error:
                skipped.append(Skipped(place, f"cannot be read: {reason_of(error)}"))
    sources += [(photo, packet) for packet in packets(data)]
    found: list[Region] = []
    for place, xmp in sources:
        try:
            regions = regions_in(xmp)
        except BadXmp as error:
            skipped.append(Skipped(place, str(error)))
            continue
        for region in regions:
            if any(one.overlap(region) > ON for one in found):
                continue  # a sidecar goes before its photo
            try:
                clean_name(region.name)
            except BadName as error:
                skipped.append(Skipped(place, f"a name in its XMP is none: {error.what}"))
                continue
            found.append(region)
    return [region for region in found if not region.ours], skipped


def _on(region: Region, faces: list[AlbumFace], size: tuple[int, int], turn: int) -> AlbumFace | None:
    """The face on which a region lies most of all: the face's middle is within it."""
    best: tuple[float, AlbumFace] | None = None
    for face in faces:
        own = _region(face, size, turn, "")
        inside = abs(own.x - region.x) < region.w / 2 and abs(own.y - region.y) < region.h / 2
        overlap = own.overlap(region)
        if inside and overlap > LEAST_OVERLAP and (best is None or overlap > best[0]):
            best = overlap, face
    return None if best is None else best[1]


LEAST_OVERLAP = 0.15
"""Of a region and the face on which it lies: people draw whole heads, and some programs little squares."""


# ---- both


def _by_photo(album: Album) -> dict[str, list[AlbumFace]]:
    by_photo: dict[str, list[AlbumFace]] = defaultdict(list)
    for face in album.faces():
        by_photo[face.sha256].append(face)
    return by_photo


def _own(face: AlbumFace) -> str:
    """The name that a review gave; what a gallery only resembles is written nowhere."""
    return "" if face.nobody else face.name


def _shape(photo: Path) -> tuple[tuple[int, int], int]:
    """Size as stored and EXIF's orientation. Raises ValueError with the reason."""
    data = read_bytes(photo)
    if isinstance(data, Skipped):
        raise ValueError(data.reason)
    return shape_of(data)


def _region(face: AlbumFace, size: tuple[int, int], turn: int, name: str) -> Region:
    """Where a face lies in the stored picture; its box is of the upright one."""
    w, h = size[::-1] if turn in (5, 6, 7, 8) else size
    x0, y0 = max(face.box[0], 0.0), max(face.box[1], 0.0)
    x1, y1 = min(face.box[0] + face.box[2], w), min(face.box[1] + face.box[3], h)
    upright = Region(name, (x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h)
    return upright.stored(turn)
