"""Files in a folder that an album is sorted into: put there, moved and taken away, without ever losing or
overwriting anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Literal

import numpy as np

from facesearch.album.journal import Placed
from facesearch.errors import CannotRead, writing
from facesearch.faces.photos import read_photo
from facesearch.files import new_file_beside, open_regular, sha256_of
from facesearch.records import Skipped

State = Literal["gone", "ours", "changed"]


def state_of(placed: Placed, target: Path, source: Path) -> State:
    """What has become of a file that was placed: ours is a link as it was made, or a copy that nobody has
    changed.
    """
    if not os.path.lexists(target):
        return "gone"
    if target.is_symlink():
        return "ours" if placed.way == "sym" and str(target.readlink()) == placed.link else "changed"
    if placed.way == "sym" or not target.is_file():
        return "changed"
    if placed.way == "hard" and _is_same_file(target, source):
        return "ours"
    facts = target.stat()
    return "ours" if (facts.st_size, facts.st_mtime_ns) == (placed.bytes, placed.mtime_ns) else "changed"


def is_it(target: Path, source: Path, way: str) -> bool:
    """Whether what lies there is this file: a link to it, or a copy of its content."""
    if target.is_symlink():
        return os.path.realpath(target) == os.path.realpath(source)
    if not target.is_file():
        return False
    return (way == "hard" and _is_same_file(target, source)) or is_copy(target, source)


def is_copy(target: Path, source: Path) -> bool:
    """Whether two regular files hold the same bytes."""
    try:
        if target.stat().st_size != source.stat().st_size:
            return False
        return sha256_of(target) == sha256_of(source)
    except (OSError, CannotRead):
        return False


def shows_same(target: Path, source: Path) -> bool:
    """Whether two photos show the same picture, whatever programs have noted beside it."""
    one, other = read_photo(target), read_photo(source)
    if isinstance(one, Skipped) or isinstance(other, Skipped) or one.size != other.size:
        return False
    return np.array_equal(one.pixels, other.pixels)


def put(source: Path, target: Path, way: str) -> bool:
    """Copy or link without ever replacing anything; False when something is there. A copy appears whole or
    not at all.
    """
    with writing(target):
        try:
            if way == "sym":
                target.symlink_to(link_of(source, target))
            elif way == "hard":
                os.link(source.resolve(), target)
            else:
                _copy(source, target)
        except FileExistsError:
            return False
    return True


def link_of(source: Path, target: Path) -> str:
    """What a symbolic link at target says."""
    return os.path.relpath(source.resolve(), target.parent.resolve())


def move(old: Path, new: Path) -> bool:
    """Another name for a regular file, without replacing anything; False when something is there."""
    with writing(new):
        try:
            _rename(old, new)
        except FileExistsError:
            return False
    return True


def renew(source: Path, target: Path, way: str) -> None:
    """Put what a source holds now instead of what was made of it before."""
    with writing(target):
        beside, opened = new_file_beside(target)
        opened.close()
        beside.unlink()
        try:
            if put(source, beside, way):
                beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


def is_stale(target: Path, source: Path, way: str) -> bool:
    """Whether the source of a side file was changed after it was copied or linked. Clocks of some disks are
    two seconds coarse."""
    try:
        if way == "sym":
            return False
        if way == "hard":
            return not _is_same_file(target, source)
        now, then = source.stat(), target.stat()
    except OSError:
        return False
    return now.st_size != then.st_size or abs(now.st_mtime_ns - then.st_mtime_ns) > 2 * 10**9


def remove_empty(folder: Path, out: Path) -> None:
    """Remove folders that nothing is left in, up to out itself."""
    while folder != out and folder.is_relative_to(out):
        with contextlib.suppress(OSError):
            folder.rmdir()
        folder = folder.parent


def _is_same_file(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def _copy(source: Path, target: Path) -> None:
    fresh, copy = new_file_beside(target)
    try:
        with copy, open_regular(source) as file:
            shutil.copyfileobj(file, copy, 2**20)
        facts = source.stat()
        os.utime(fresh, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        _rename(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _rename(old: Path, new: Path) -> None:
    """Raises FileExistsError where something is, which a rename would replace."""
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(new):
            raise FileExistsError(new) from None
        old.rename(new)
    else:
        old.unlink()
