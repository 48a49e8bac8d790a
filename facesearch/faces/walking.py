"""All photos below a folder, whatever they are called, and what looks like one and is not read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from facesearch.errors import NotFound, reason_of
from facesearch.faces.kinds import Judge
from facesearch.records import Skipped

ABOVE = "a link to a folder above, which is not followed"
AGAIN = "a link to a folder that is looked through already"
NOWHERE = "a link that leads nowhere"

Look = Callable[[Path], "Path | Skipped | None"]


class _Names(NamedTuple):
    """What is in a folder: files, folders of its own, and links to folders, each in order."""

    files: list[Path]
    folders: list[Path]
    skipped: list[Skipped]


def walk(root: Path, look: Look | None = None, *, name_links: bool = False) -> Iterator[Path | Skipped]:
    """Yield every photo under root, in path order; hidden files and folders are passed over.

    A folder that is a link is followed once, wherever it leads, but not to a folder above root, nor where its
    photos are met anyway. What looks like a picture or a video and is not read comes out as Skipped, so does
    a folder that cannot be listed. look: what a file is, see Judge.look; name_links: links that are not
    followed come out as Skipped, though no photo is left out. Raises NotFound when root is not there.
    """
    if not root.exists():
        raise NotFound(root, "file or folder")
    if root.is_file():
        yield root
        return
    look = look or Judge().look
    tree = _Tree(root, name_links)
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            names = tree.listed(folder)
        except OSError as error:
            yield Skipped(folder, f"folder cannot be listed: {reason_of(error)}")
            continue
        yield from names.skipped
        for file in names.files:
            try:
                found = look(file)
            except OSError as error:
                found = Skipped(file, f"cannot be read: {reason_of(error)}")
            if found is not None:
                yield found
        waiting += reversed(names.folders)


class _Tree:
    """Which folders have been met, by device and inode: each is looked through once."""

    def __init__(self, root: Path, name_links: bool) -> None:
        real = root.resolve()
        self._root, self._names_links = real, name_links
        self._above = {_place(folder) for folder in real.parents}
        self._met: set[tuple[int, int]] = set()

    def listed(self, folder: Path) -> _Names:
        """What is in a folder and not hidden; nothing in one that was met before. Raises OSError."""
        names = _Names([], [], [])
        if (place := _place(folder)) in self._met:
            return names
        self._met.add(place)
        with os.scandir(folder) as listing:
            entries = sorted((e for e in listing if not e.name.startswith(".")), key=lambda e: e.name)
        for entry in entries:
            if entry.is_symlink():
                self._link(folder / entry.name, names)
            elif entry.is_dir(follow_symlinks=False):
                names.folders.append(folder / entry.name)
            else:
                names.files.append(folder / entry.name)
        return names

    def _link(self, path: Path, names: _Names) -> None:
        try:
            facts = path.stat()
        except OSError:
            names.skipped.append(Skipped(path, NOWHERE))
            return
        if not stat.S_ISDIR(facts.st_mode):
            names.files.append(path)
        elif (facts.st_dev, facts.st_ino) in self._above:
            names.skipped.append(Skipped(path, ABOVE))
        elif self._is_met_anyway(path) or (facts.st_dev, facts.st_ino) in self._met:
            if self._names_links:
                names.skipped.append(Skipped(path, AGAIN))
        else:
            names.folders.append(path)

    def _is_met_anyway(self, path: Path) -> bool:
        """Whether a link leads to a folder below root that is looked through without it: none on the way
        there is hidden.
        """
        real = path.resolve()
        return real.is_relative_to(self._root) and not any(
            part.startswith(".") for part in real.relative_to(self._root).parts
        )


def _place(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino
