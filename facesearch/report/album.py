"""An album's review as a CSV and as a page on which groups are named, split and joined. The page fetches and
sends nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from facesearch.album.album import Album
from facesearch.album.belongs import COLUMNS as OWN_COLUMNS
from facesearch.album.belongs import cells_of
from facesearch.album.review import COLUMNS, NOBODY, REVIEW, SEVERAL, ReviewRow, review_rows
from facesearch.errors import unshown
from facesearch.files import make_folder, replace_csv, replace_file

PAGE = "review.html"
SCRIPT = Path(__file__).with_name("album.js")
WRITTEN = "review_sha256"
"""Under this word the album remembers the review as it was written, to see whether somebody has changed it
since.
"""


@dataclass(frozen=True, slots=True)
class Face:
    """A face on the page: what it is called in the review, what stands beside it, and its picture, which may
    be empty.
    """

    key: str
    number: str
    photo: str
    cell: str
    link: str
    x: int
    y: int
    facts: str
    own: str
    picture: str


@dataclass(frozen=True, slots=True)
class Group:
    """Faces that stand together. kind: group, none, poor or aside; person: whose name may be used, with the
    reason in hint; sure: how sure the group is, in words; perhaps: groups that are perhaps the same person's.
    """

    kind: str
    label: str = ""
    faces: Sequence[Face] = ()
    name: str = ""
    person: str = ""
    hint: str = ""
    sure: str = ""
    perhaps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """kept: where a review that somebody had changed and not applied was put; empty: there was none."""

    table: Path
    page: Path
    faces: int
    crops: int
    kept: Path | None


def write_review(
    album: Album, crops: dict[str, bytes] | None, command: str, gallery: Path = Path("index")
) -> Written:
    """Put review.csv and review.html into the album's folder, readable by their owner only. Raises
    CannotWrite.

    crops: a JPEG of each face by its key, or None for a page without pictures; command: how the saved review
    is applied, and gallery: to which.
    """
    folder = make_folder(album.folder)
    rows = review_rows(album)
    table, page = folder / REVIEW, folder / PAGE
    kept = _set_aside(album, table)
    lines = [(*astuple(row)[:3], _photo_cell(row.photo), *astuple(row)[4:]) for row in rows]
    own = cells_of(album, gallery)
    filled = [[*("" if cell is None else cell for cell in line), *own] for line in lines]
    replace_csv(table, (*COLUMNS, *OWN_COLUMNS), filled)
    album.remember(WRITTEN, hashlib.sha256(table.read_bytes()).hexdigest())
    replace_file(page, review_page(album, rows, crops, command, own).encode())
    return Written(table, page, len(rows), len(crops or ()), kept)


def applied(album: Album) -> None:
    """The review that lies in the album's folder has just been applied: the next one may take its place."""
    table = album.folder / REVIEW
    album.remember(WRITTEN, hashlib.sha256(table.read_bytes()).hexdigest())


def review_page(
    album: Album,
    rows: Sequence[ReviewRow],
    crops: dict[str, bytes] | None,
    command: str,
    own: tuple[str, str] = ("", ""),
) -> str:
    """The whole page. It holds pictures of faces only when crops are given. own: of which album and gallery
    it is, which the saved review says too."""
    from markupsafe import Markup

    from facesearch.report.pages import rendered

    script = SCRIPT.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = {row.name for row in rows} | {row.nearest for row in rows if row.state == "known"}
    grouped = [row for row in rows if _kind(row) == "group"]  # rows of one group stand together
    groups = [
        _group(album, label, list(members), crops)
        for label, members in groupby(grouped, key=lambda row: row.group)
    ]
    groups += [
        Group(kind, "", [_face(album, row, crops) for row in rows if _kind(row) == kind])
        for kind in ("none", "poor", "aside")
    ]
    return rendered(
        "album.html",
        faces=len(rows),
        count=len({row.group for row in rows if row.group}),
        command=command,
        own=own,
        with_photos=crops is not None,
        groups=groups,
        blank=Group("group"),
        names=sorted(names - {"", NOBODY}),
        script=Markup(script),
        script_digest=digest,
    )


def _kind(row: ReviewRow) -> str:
    return row.state if row.state in ("aside", "poor") else "group" if row.group else "none"


def _group(album: Album, label: str, rows: Sequence[ReviewRow], crops: dict[str, bytes] | None) -> Group:
    name = next((row.name for row in rows if row.name), "")
    person, hint = _likely(rows)
    first, sure = rows[0], ""
    if first.likely is not None:
        # a share that is rounded up to all of them would promise too much
        share = f"{min(99, int(100 * first.likely))} %"
        sure = f"sure: {share}" if first.level == "sure" else f"perhaps one person: {share}"
    perhaps = first.perhaps.split(SEVERAL) if first.perhaps else ()
    return Group(
        "group", label, [_face(album, row, crops) for row in rows], name, person, hint, sure, perhaps
    )


def _likely(rows: Sequence[ReviewRow]) -> tuple[str, str]:
    """Whom of the gallery most of a group's faces match, or the one that any of them resembles most; and the
    reason. Empty where there is nobody.
    """
    matches = [row.nearest for row in rows if row.state == "known"]
    if matches:
        person = max(sorted(set(matches)), key=matches.count)
        return person, f"{matches.count(person)} match {person}"
    near = [
        (row.nearest_score, row.nearest) for row in rows if row.nearest_score is not None and not row.name
    ]
    if not near:
        return "", ""
    score, person = max(near)
    return person, f"nearest: {person} {score:.2f}, no match"


def _face(album: Album, row: ReviewRow, crops: dict[str, bytes] | None) -> Face:
    from facesearch.report.pages import data_url

    crop = (crops or {}).get(row.face)
    real = os.path.relpath(album.root / unshown(row.photo), album.folder.absolute())
    link = quote(os.fsencode(Path(real).as_posix()))
    facts = [f"{row.size_px} px", f"detector {row.detector:.2f}", f"sharpness {row.sharpness}"]
    if row.fit is not None:
        facts.append(f"fit {row.fit:.2f}")
    if row.perhaps and not row.group:
        facts.append(f"perhaps {row.perhaps}")
    if row.nearest_score is not None:
        word = "match" if row.state == "known" else "nearest"
        facts.append(f"{word} {row.nearest} {row.nearest_score:.2f}")
    return Face(
        row.face,
        row.face.partition("/")[2],
        row.photo,
        _photo_cell(row.photo),
        link,
        row.x,
        row.y,
        ", ".join(facts),
        row.name if row.name != NOBODY else "",
        "" if crop is None else data_url(crop, "jpeg"),
    )


def _photo_cell(path: str) -> str:
    """A photo's path that no spreadsheet takes for a formula."""
    return "./" + path if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


def _set_aside(album: Album, table: Path) -> Path | None:
    """A review that was changed and not applied is renamed, never overwritten."""
    if not table.is_file() or hashlib.sha256(table.read_bytes()).hexdigest() == album.value(WRITTEN):
        return None
    number = 1
    while (kept := table.with_name(f"review-{number}.csv")).exists():
        number += 1
    table.rename(kept)
    return kept
