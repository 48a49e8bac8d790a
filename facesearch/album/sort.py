"""Copy or link an album's photos into one folder a person. Nothing is overwritten, and done again it does
nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from facesearch.album.album import Album, AlbumFile
from facesearch.errors import CannotRead, InsideAlbum, NotFound, NothingToDo, counted, writing
from facesearch.files import make_folder, new_file_beside, open_regular, sha256_of
from facesearch.records import Progress, Skipped

UNKNOWN = "_unknown"
WAYS = ("copy", "hard", "sym")
LONGEST_FOLDER_BYTES = 100


@dataclass(frozen=True, slots=True)
class Sorted:
    """folders: photos by folder, as they lie there now; made: what this run put there (or would); there: what
    was there already; faceless: photos without a face, which are put nowhere."""

    folders: dict[str, int]
    made: int
    there: int
    faceless: int
    skipped: tuple[Skipped, ...]


def sort_album(
    album: Album,
    out: Path,
    progress: Progress,
    *,
    way: str = "copy",
    root: Path | None = None,
    dry_run: bool = False,
) -> Sorted:
    """Put each photo into the folder of everybody in it whom a review or the gallery names; with nobody
    named, into `_unknown`, there into its group's folder.

    way: copy, hard or sym(bolic links). root: where the album lies now, if it was moved. A file of that name
    and other content is left as it is, and the photo goes beside it under a name with its content hash.
    Raises NotFound, NothingToDo, InsideAlbum, CannotWrite.
    """
    root = (root or album.root).absolute()
    if not root.is_dir():
        raise NotFound(root, "folder of photos", "If the album was moved, pass --photos FOLDER.")
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise InsideAlbum(out, root)
    plan, faceless = _plan(album)
    if not plan:
        raise NothingToDo(str(album.folder), "no photo with a face is in this scan")
    folders: Counter[str] = Counter()
    made = there = 0
    skipped: list[Skipped] = []
    taken: dict[Path, str] = {}
    progress(0, len(plan))
    for number, (file, folder) in enumerate(plan, 1):
        state = _place(root, file, out, folder, way, taken, dry_run=dry_run)
        if isinstance(state, Skipped):
            skipped.append(state)
        else:
            made, there = made + state, there + (not state)
            folders[folder] += 1
        progress(number, len(plan))
    if not made and not there:
        said = f"none of {counted(len(plan), 'photo')} could be sorted; the first: {skipped[0].reason}"
        raise NothingToDo(str(root), said, left_out=tuple(skipped))
    return Sorted(dict(sorted(folders.items())), made, there, faceless, tuple(skipped))


def folder_names(people: Iterable[str]) -> dict[str, str]:
    """A folder's name for each person: their own where every file system takes it, else with what it cannot
    take replaced and a piece of the name's hash added. No two people share a folder, even where upper and
    lower case are one."""
    wanted = {name: _safe(name) for name in people}
    count = Counter(safe.casefold() for safe in wanted.values())
    return {
        name: safe if count[safe.casefold()] == 1 else _marked(safe, name) for name, safe in wanted.items()
    }


def _plan(album: Album) -> tuple[list[tuple[AlbumFile, str]], int]:
    """(file, folder) for each content, once a folder; and how many readable photos show no face."""
    faces = album.faces()
    folder_of = folder_names({face.person for face in faces if face.person})
    wanted: dict[str, set[str]] = {}
    for face in faces:
        if face.person:
            wanted.setdefault(face.sha256, set()).add(folder_of[face.person])
    for face in faces:
        if (
            not face.nobody
            and not face.person
            and not (wanted.get(face.sha256, set()) - _unknowns(wanted.get(face.sha256, set())))
        ):
            place = f"{UNKNOWN}/g{face.group}" if face.group else UNKNOWN
            wanted.setdefault(face.sha256, set()).add(place)
    for face in faces:  # photos in which every face was put aside
        wanted.setdefault(face.sha256, {UNKNOWN})
    first: dict[str, AlbumFile] = {}
    for file in album.files().values():
        if file.sha256:
            first.setdefault(file.sha256, file)
    reasons = album.photos()
    faceless = sum(sha not in wanted and not reasons.get(sha) for sha in first)
    return [(first[sha], folder) for sha in first for folder in sorted(wanted.get(sha, ()))], faceless


def _unknowns(folders: set[str]) -> set[str]:
    return {folder for folder in folders if folder.split("/")[0] == UNKNOWN}


def _place(
    root: Path, file: AlbumFile, out: Path, folder: str, way: str, taken: dict[Path, str], *, dry_run: bool
) -> bool | Skipped:
    """Put one photo into one folder: True when that was to be done, False when it is there already.

    taken: what this run has put where, by content, so that a dry run foresees the same.
    """
    source = file.below(root)
    name = source.name
    if source.is_symlink() and not source.resolve().is_relative_to(root.resolve()):
        return Skipped(source, "it leads out of the album")
    for choice in (name, f"{Path(name).stem}~{file.sha256[:8]}{Path(name).suffix}"):
        target = out / folder / choice
        if taken.get(target) == file.sha256:
            return False
        if target in taken:
            continue
        if os.path.lexists(target):
            if _is_it(target, source, file, way):
                taken[target] = file.sha256
                return False
            continue
        try:
            if sha256_of(source) != file.content:
                return Skipped(source, "it has changed since the scan; scan again")
        except CannotRead as error:
            return Skipped(source, f"cannot be read: {error.reason}")
        taken[target] = file.sha256
        if not dry_run:
            make_folder(target.parent)
            if not _put(source, target, way):
                return Skipped(source, f"{target} appeared meanwhile")
        return True
    return Skipped(source, f"both names are taken in {out / folder} by other files; nothing is overwritten")


def _is_it(target: Path, source: Path, file: AlbumFile, way: str) -> bool:
    """Whether what lies there is this photo: a link to it, or a file of the same content."""
    if target.is_symlink():
        return os.path.realpath(target) == os.path.realpath(source)
    if not target.is_file() or target.stat().st_size != file.bytes:
        return False
    if way == "hard" and source.exists() and target.samefile(source):
        return True
    try:
        return sha256_of(target) == file.content
    except CannotRead:
        return False


def _put(source: Path, target: Path, way: str) -> bool:
    """Copy or link without ever replacing anything; False when something is there. A copy appears whole or
    not at all.
    """
    with writing(target):
        try:
            if way == "sym":
                target.symlink_to(os.path.relpath(source.resolve(), target.parent.resolve()))
            elif way == "hard":
                os.link(source.resolve(), target)
            else:
                _copy(source, target)
        except FileExistsError:
            return False
    return True


def _copy(source: Path, target: Path) -> None:
    fresh, copy = new_file_beside(target)
    try:
        with copy, open_regular(source) as file:
            shutil.copyfileobj(file, copy, 2**20)
        facts = source.stat()
        os.utime(fresh, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        try:
            os.link(fresh, target)  # fails where something is, as a rename would not
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                raise FileExistsError(target) from None
            fresh.rename(target)
    finally:
        fresh.unlink(missing_ok=True)


def _safe(name: str) -> str:
    """The name as a folder's, on any file system."""
    plain = re.sub(r'[<>:"/\\|?*]', "_", name)
    plain = "".join("_" if unicodedata.category(c).startswith("C") else c for c in plain).rstrip(". ")
    plain = plain.encode()[:LONGEST_FOLDER_BYTES].decode(errors="ignore")
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", plain)
    return (
        plain
        if plain == name and not reserved and not plain.startswith((".", "_", "-", "~"))
        else _marked(plain, name)
    )


def _marked(plain: str, name: str) -> str:
    start = plain.lstrip("._-~ ") or "person"
    return f"{start}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
