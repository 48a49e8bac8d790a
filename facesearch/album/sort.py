"""Copy or link an album's photos into one folder a person, and bring that up to date when the names have
changed. Nothing is overwritten, what somebody changed is left, and done again it does nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from facesearch.album.album import Album, AlbumFile
from facesearch.album.belongs import album_id
from facesearch.album.folders import UNKNOWN, folder_names
from facesearch.album.journal import Journal, Placed, journal_of
from facesearch.album.placing import (
    State,
    is_copy,
    is_it,
    is_stale,
    link_of,
    move,
    put,
    remove_empty,
    renew,
    shows_same,
    state_of,
)
from facesearch.album.sides import Beside, Side
from facesearch.errors import CannotRead, InsideAlbum, NotFound, NothingToDo, counted, written
from facesearch.files import make_folder, sha256_of
from facesearch.records import Progress, Skipped

WAYS = ("copy", "hard", "sym")
MOST_NAMES = 100
"""That are tried for one photo in one folder."""
CHANGED = "it was changed since it was sorted; it is left as it is, nothing is overwritten"
LAST = "its photo is gone from the album or has changed: it may be the last copy, and is left"


@dataclass(frozen=True, slots=True)
class Sorted:
    """folders: photos by folder, as they lie there now; made: what this run put there (or would); moved, and
    taken away; there: what was there already; sides: files put or moved along with their photos; faceless:
    photos without a face, which are put nowhere; left: what an earlier run placed and this one does not
    touch."""

    folders: dict[str, int]
    made: int
    moved: int
    taken: int
    there: int
    sides: int
    faceless: int
    left: tuple[Skipped, ...]
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
    """Put each photo into the folder of everybody in it who is named by a review or the gallery; with nobody
    named, into `_unknown`, there into its group's folder. What an earlier run put elsewhere is moved, or
    taken away.

    way: copy, hard or sym(bolic links). root: where the album lies now, if it was moved. A file of that name
    and other content is left as it is, and the photo goes beside it under a name with its content hash.
    Raises NotFound, NothingToDo, InsideAlbum, SortBusy, CannotWrite.
    """
    root = _root(album, out, root)
    plan, faceless = _plan(album)
    if not plan:
        raise NothingToDo(str(album.folder), "no photo with a face is in this scan")
    with journal_of(out, dry_run=dry_run) as journal:
        run = _Run(album, root, out, way, journal, dry_run=dry_run)
        run.place(plan, progress)
        run.take_rest()
        if not any((run.made, run.moved, run.there)):
            said = (
                f"none of {counted(len(plan), 'photo')} could be sorted; the first: {run.skipped[0].reason}"
            )
            raise NothingToDo(str(root), said, left_out=tuple(run.skipped))
        return run.result(faceless)


def unsort_album(
    album: Album, out: Path, progress: Progress, *, root: Path | None = None, dry_run: bool = False
) -> Sorted:
    """Take back what sort has put there of this album; what somebody changed, and what may be the last copy,
    is left. Raises NotFound, InsideAlbum, NothingToDo, SortBusy, CannotWrite.
    """
    root = _root(album, out, root)
    if not out.is_dir():
        raise NotFound(out, "folder that was sorted into")
    with journal_of(out, dry_run=dry_run) as journal:
        run = _Run(album, root, out, "copy", journal, dry_run=dry_run)
        if not run.old:
            raise NothingToDo(str(out), "no photo of this album was placed there by sort")
        run.take_rest(progress)
        return run.result(0)


def _root(album: Album, out: Path, root: Path | None) -> Path:
    root = album.photos_at(root)
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise InsideAlbum(out, root)
    return root


def _plan(album: Album) -> tuple[list[tuple[AlbumFile, str]], int]:
    """(file, folder) for each file, once a folder; and how many readable photos show no face. A photo that is
    in somebody's folder is not in `_unknown`, and one that is in a group's there is not in `_unknown` itself.
    """
    faces = album.faces()
    folder_of = folder_names({face.person for face in faces if face.person})
    people: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for face in faces:
        if face.person:
            people[face.sha256].add(folder_of[face.person])
        elif face.group and not face.nobody:
            groups[face.sha256].add(f"{UNKNOWN}/g{face.group}")
    wanted = {
        face.sha256: sorted(people.get(face.sha256) or groups.get(face.sha256) or {UNKNOWN}) for face in faces
    }
    files = [file for file in album.files().values() if file.sha256]
    reasons = album.photos()
    faceless = sum(file.sha256 not in wanted and not reasons.get(file.sha256) for file in files)
    return [(file, folder) for file in files for folder in wanted.get(file.sha256, ())], faceless


@dataclass(slots=True)
class _Run:
    """One run of sorting one album into one folder. old: what earlier runs placed there of it."""

    album: Album
    root: Path
    out: Path
    way: str
    journal: Journal
    dry_run: bool
    id: str = field(init=False)
    old: dict[str, Placed] = field(init=False)
    sides_of: dict[str, list[Placed]] = field(init=False)
    files: dict[str, AlbumFile] = field(init=False)
    of_content: dict[str, list[AlbumFile]] = field(init=False)
    beside: Beside = field(init=False)
    kept: set[str] = field(default_factory=set)
    freed: set[str] = field(default_factory=set)
    inside: dict[str, bool] = field(default_factory=dict)
    folders: Counter[str] = field(default_factory=Counter)
    made: int = 0
    moved: int = 0
    taken: int = 0
    there: int = 0
    sides: int = 0
    left: list[Skipped] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = album_id(self.album)
        self.files = self.album.files()
        self.of_content = defaultdict(list)
        for file in self.files.values():
            self.of_content[file.sha256].append(file)
        own = {target: one for target, one in self.journal.placed.items() if one.album == self.id}
        self.old = {target: one for target, one in own.items() if not one.of}
        self.sides_of = defaultdict(list)
        for one in own.values():
            if one.of:
                self.sides_of[one.of].append(one)
        self.beside = Beside({file.below(self.root) for file in self.files.values()})

    def result(self, faceless: int) -> Sorted:
        folders = dict(sorted(self.folders.items()))
        numbers = (self.made, self.moved, self.taken, self.there, self.sides, faceless)
        return Sorted(folders, *numbers, tuple(self.left), tuple(self.skipped))

    # ---- photos

    def place(self, plan: list[tuple[AlbumFile, str]], progress: Progress) -> None:
        """Each file into each of its folders: what lies right stays, what lies elsewhere is moved, what is
        missing is put.
        """
        progress(0, len(plan))
        waiting = self._stay(plan, lambda one, file: one.source == file.path)
        waiting = self._stay(waiting, lambda one, file: True)
        spare = defaultdict(list)
        for one in self.old.values():
            if one.target not in self.kept and self._state(one, self._source(one)) == "ours":
                spare[one.sha256].append(one)
        done = len(plan) - len(waiting)
        for number, (file, folder) in enumerate(waiting, done + 1):
            mine = spare[file.sha256]
            if mine and self._is_inside(folder) and not self._is_outside(file.below(self.root)):
                own = next((i for i, one in enumerate(mine) if one.source == file.path), 0)
                self._move(mine.pop(own), file, folder)
            else:
                self._put(file, folder)
            progress(number, len(plan))

    def _stay(
        self, plan: list[tuple[AlbumFile, str]], fits: Callable[[Placed, AlbumFile], bool]
    ) -> list[tuple[AlbumFile, str]]:
        """What is still to be placed when all that lies in the right folder has been found."""
        there: dict[tuple[str, str], list[Placed]] = defaultdict(list)
        for one in list(self.old.values()):
            if one.target not in self.kept:
                there[one.sha256, one.folder].append(one)
        waiting = []
        for file, folder in plan:
            choice = there[file.sha256, folder]
            fit = next((one for one in choice if fits(one, file)), None)
            if fit is not None:
                choice.remove(fit)
            if fit is None or not self._stays(fit, file, folder):
                waiting.append((file, folder))
        return waiting

    def _stays(self, one: Placed, file: AlbumFile, folder: str) -> bool:
        source, target = file.below(self.root), self.out / one.target
        state = self._state(one, source)
        dead = one.way == "sym" and state == "ours" and not target.exists()
        if state == "gone" or dead:  # a link whose photo was renamed is made again
            if dead and not self.dry_run:
                target.unlink(missing_ok=True)
            self.freed.add(one.target)
            self.old.pop(one.target)
            self.journal.drop(one.target)
            return False
        self.kept.add(one.target)
        self.there += 1
        self.folders[folder] += 1
        if state == "changed":
            self.left.append(Skipped(target, CHANGED))
        if one.source != file.path:
            self._note(replace(one, source=file.path))
        self._sides(one.target, source)
        return True

    def _put(self, file: AlbumFile, folder: str) -> None:
        source = file.below(self.root)
        if (problem := self._problem(file, source, folder)) is not None:
            self.skipped.append(problem)
            return
        for name in _names(source.name, file.sha256):
            target = f"{folder}/{name}"
            if target in self.kept or target in self.journal.placed:
                continue
            if self._lies(target):
                if is_it(self.out / target, source, self.way):
                    self.kept.add(target)
                    self.there += 1
                    self.folders[folder] += 1
                    return
                continue
            if self._make(source, target, file, of=""):
                self.made += 1
                self.folders[folder] += 1
                self._sides(target, source)
                return
        self.skipped.append(Skipped(source, f"all names for it are taken in {self.out / folder}"))

    def _move(self, one: Placed, file: AlbumFile, folder: str) -> None:
        source, old = file.below(self.root), one.target
        for name in _names(source.name, file.sha256):
            target = f"{folder}/{name}"
            if target in self.kept or target in self.journal.placed or self._lies(target):
                continue
            if self._shift(replace(one, source=file.path), source, target):
                break
        else:
            self.skipped.append(Skipped(source, f"all names for it are taken in {self.out / folder}"))
            return
        self.old.pop(old)
        self.moved += 1
        self.folders[folder] += 1
        photo = PurePath(target).name
        for side in self.sides_of.pop(old, []):
            beside = self._source(side)
            rest = next((one for one in self.beside.of(source) if one.path == beside), None)
            if rest is None or self._state(side, beside) != "ours":
                self._take(side)
                continue
            place = f"{folder}/{rest.name_for(photo)}"
            if place in self.journal.placed or self._lies(place):
                self._take(side)
            elif self._shift(replace(side, of=target), beside, place):
                self.sides_of[target].append(self.journal.placed[place])
                self.sides += 1
        self._sides(target, source)

    # ---- side files

    def _sides(self, photo: str, source: Path) -> None:
        """Put what lies beside a photo beside where it was put, and bring up to date what lies there."""
        folder, _, name = photo.rpartition("/")
        before = {one.target: one for one in self.sides_of.get(photo, ())}
        for side in self.beside.of(source):
            target = f"{folder}/{side.name_for(name)}"
            if (one := before.get(target)) is not None:
                self._side_stays(one, side)
                continue
            if target in self.kept or target in self.journal.placed:
                continue  # it goes with another photo of the same shot
            if self._is_outside(side.path):
                self.skipped.append(Skipped(side.path, "it leads out of the album"))
            elif self._lies(target):
                if not is_it(self.out / target, side.path, self.way):
                    said = f"{self.out / target} is another file; nothing is overwritten"
                    self.skipped.append(Skipped(side.path, said))
            elif self._make(side.path, target, None, of=photo):
                self.sides += 1

    def _side_stays(self, one: Placed, side: Side) -> None:
        target = self.out / one.target
        self.kept.add(one.target)
        state = self._state(one, side.path)
        if state == "changed":
            self.left.append(Skipped(target, CHANGED))
        elif state == "gone":
            if self._make(side.path, one.target, None, of=one.of):
                self.sides += 1
        elif is_stale(target, side.path, one.way) and not self._is_outside(side.path):
            if not self.dry_run:
                renew(side.path, target, one.way)
                facts = target.stat()
                self._note(replace(one, bytes=facts.st_size, mtime_ns=facts.st_mtime_ns))
            self.sides += 1

    # ---- taking away

    def take_rest(self, progress: Progress | None = None) -> None:
        """Take away what earlier runs placed and no folder wants any more, with its side files."""
        rest = [one for one in self.old.values() if one.target not in self.kept]
        for number, one in enumerate(rest, 1):
            for beside in self.sides_of.get(one.target, ()):
                if beside.target not in self.kept:
                    self._take(beside)
            self._take(one)
            if progress is not None:
                progress(number, len(rest))
        orphans = [
            side
            for photo, sides in self.sides_of.items()
            for side in sides
            if photo not in self.journal.placed and side.target in self.journal.placed
        ]
        for side in orphans:
            if side.target not in self.kept:
                self._take(side)

    def _take(self, one: Placed) -> None:
        target = self.out / one.target
        state = self._state(one, self._source(one))
        if state == "changed":
            self.left.append(Skipped(target, CHANGED))
            return
        if state == "ours":
            if one.way != "sym" and not self._is_elsewhere(one, target):
                self.left.append(Skipped(target, LAST))
                return
            if not self.dry_run:
                target.unlink(missing_ok=True)
                remove_empty(target.parent, self.out)
            self.freed.add(one.target)
            self.taken += not one.of
        self.journal.drop(one.target)

    def _is_elsewhere(self, one: Placed, target: Path) -> bool:
        """Whether the album holds what this copy holds."""
        sources = [self._source(one)]
        if not one.of:
            sources += [file.below(self.root) for file in self.of_content.get(one.sha256, ())]
        return any(is_copy(target, source) for source in sources) or (
            not one.of and any(shows_same(target, source) for source in sources)
        )

    # ---- files

    def _make(self, source: Path, target: str, file: AlbumFile | None, *, of: str) -> bool:
        """Put a file where nothing is. False: something appeared there."""
        place = self.out / target
        if not self.dry_run:
            make_folder(place.parent)
        link = link_of(source, place) if self.way == "sym" else ""
        facts = source.stat()
        path = file.path if file else written(source.relative_to(self.root).as_posix())
        sha256 = file.sha256 if file else ""
        one = Placed(target, self.id, path, sha256, of, self.way, link, facts.st_size, facts.st_mtime_ns)
        self.journal.note(one)
        self.kept.add(target)
        self.freed.discard(target)
        if self.dry_run:
            return True
        if not put(source, place, self.way):
            self.journal.drop(target)
            return False
        self._note_as_it_is(one)
        return True

    def _shift(self, one: Placed, source: Path, target: str) -> bool:
        """Move what was placed to where nothing is, in the way in which it was placed."""
        old, new = self.out / one.target, self.out / target
        if not self.dry_run:
            make_folder(new.parent)
        link = link_of(source, new) if one.way == "sym" else ""
        moved = replace(one, target=target, link=link)
        self.journal.note(moved)
        self.kept.add(target)
        if not self.dry_run:
            done = put(source, new, "sym") if one.way == "sym" else move(old, new)
            if not done:
                self.journal.drop(target)
                return False
            if one.way == "sym":
                old.unlink(missing_ok=True)
            remove_empty(old.parent, self.out)
        self.journal.drop(one.target)
        self.freed.add(one.target)
        self.freed.discard(target)
        return True

    def _note_as_it_is(self, one: Placed) -> None:
        """A disk may keep times less finely than the one that a file came from."""
        if one.way != "sym":
            facts = (self.out / one.target).stat()
            if (facts.st_size, facts.st_mtime_ns) != (one.bytes, one.mtime_ns):
                self._note(replace(one, bytes=facts.st_size, mtime_ns=facts.st_mtime_ns))

    def _note(self, one: Placed) -> None:
        self.journal.note(one)
        if one.target in self.old:
            self.old[one.target] = one

    def _state(self, one: Placed, source: Path) -> State:
        """What has become of it; what lies behind a link that leads out of the folder is none of sort's."""
        state = state_of(one, self.out / one.target, source)
        return state if state == "gone" or self._is_inside(one.folder) else "changed"

    def _is_inside(self, folder: str) -> bool:
        if folder not in self.inside:
            self.inside[folder] = (self.out / folder).resolve().is_relative_to(self.out.resolve())
        return self.inside[folder]

    def _lies(self, target: str) -> bool:
        return target not in self.freed and ((self.out / target).is_symlink() or (self.out / target).exists())

    def _source(self, one: Placed) -> Path:
        file = self.files.get(one.source) or AlbumFile(one.source, 0, 0, "", "")
        return file.below(self.root)

    def _problem(self, file: AlbumFile, source: Path, folder: str) -> Skipped | None:
        """Why a photo cannot be put there."""
        if not self._is_inside(folder):
            return Skipped(source, f"{self.out / folder} is a link that leads elsewhere")
        if self._is_outside(source):
            return Skipped(source, "it leads out of the album")
        try:
            if not _is_as_scanned(source, file):
                return Skipped(source, "it has changed since the scan; scan again")
        except CannotRead as error:
            return Skipped(source, f"cannot be read: {error.reason}")
        return None

    def _is_outside(self, source: Path) -> bool:
        return source.is_symlink() and not source.resolve().is_relative_to(self.root.resolve())


def _names(name: str, sha256: str) -> list[str]:
    """What a photo may be called in a folder, best first."""
    stem, suffix = Path(name).stem, Path(name).suffix
    marked = f"{stem}~{sha256[:8]}"
    return [name, f"{marked}{suffix}", *(f"{marked}-{i}{suffix}" for i in range(2, MOST_NAMES))]


def _is_as_scanned(source: Path, file: AlbumFile) -> bool:
    """Whether a file is what was looked into: by size and time, as a scan does, else by its bytes. Raises
    CannotRead.
    """
    try:
        facts = source.stat()
    except OSError:
        facts = None
    if facts is not None and (facts.st_size, facts.st_mtime_ns) == (file.bytes, file.mtime_ns):
        return True
    return sha256_of(source) == file.content
