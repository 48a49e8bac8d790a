"""The files that belong to a photo and lie beside it: what other programs noted of it, the short film that a
phone takes with it, the RAW of the same shot.
"""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from facesearch.faces.kinds import RAW_SUFFIXES

_OF_STEM = frozenset({".xmp", ".aae", ".mov", ".mp4", ".json", *RAW_SUFFIXES})
"""Instead of the photo's suffix."""
_TAKEOUT = ".supplemental-metadata"
"""Google's notes; it cuts the word off where the whole name would be too long."""


@dataclass(frozen=True, slots=True)
class Side:
    """A file beside a photo. rest: what follows in its name on the photo's, with its suffix (whole) or
    without.
    """

    path: Path
    rest: str
    whole: bool

    def name_for(self, photo: str) -> str:
        """What it is called beside a photo of this name."""
        return (photo if self.whole else Path(photo).stem) + self.rest


@dataclass(slots=True)
class Beside:
    """Finds the side files of photos; a folder is listed once. photos: which are none themselves."""

    photos: Container[Path] = ()
    _listed: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)

    def of(self, photo: Path) -> list[Side]:
        """Those of this photo, in order of their names."""
        by_stem = self._listed.get(photo.parent)
        if by_stem is None:
            by_stem = self._listed[photo.parent] = _by_stem(photo.parent)
        found = []
        for path in by_stem.get(photo.stem.casefold(), ()):
            if path == photo or path in self.photos:
                continue
            whole = path.name.casefold().startswith(photo.name.casefold() + ".")
            rest = path.name[len(photo.name if whole else photo.stem) :]
            if _is_of_name(rest) if whole else _is_of_stem(rest):
                found.append(Side(path, rest, whole))
        return found


def _is_of_name(rest: str) -> bool:
    """Whether this can follow on the whole name of a photo."""
    name, dot, suffix = rest.casefold().rpartition(".")
    if dot + suffix not in (".xmp", ".json"):
        return False
    return not name or (suffix == "json" and len(name) > 1 and _TAKEOUT.startswith(name))


def _is_of_stem(rest: str) -> bool:
    """Whether this can follow on a photo's name without its suffix: a suffix, or a RAW's and that of its
    sidecar.
    """
    suffixes = PurePath("x" + rest.casefold()).suffixes
    if len(suffixes) == 2 and suffixes[0] in RAW_SUFFIXES:
        return _is_of_name(suffixes[1])
    return len(suffixes) == 1 and suffixes[0] in _OF_STEM and rest.casefold() == suffixes[0]


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """The files there that can be side files, by what their photo's stem can be."""
    found: dict[str, list[Path]] = {}
    try:
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing if not entry.name.startswith("."))
    except OSError:
        return found
    for name in names:
        path = folder / name
        if path.suffix.lower() not in _OF_STEM or not path.is_file():
            continue
        stems = {path.stem.casefold()}
        rest = path.stem
        while "." in rest:
            rest = rest.rpartition(".")[0]
            stems.add(rest.casefold())
        for stem in stems:
            found.setdefault(stem, []).append(path)
    return found
