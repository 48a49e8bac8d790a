"""An album's review as a CSV and as a page on which groups are named, split and joined. The page fetches and
sends nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from facesearch.album.album import Album
from facesearch.album.belongs import COLUMNS as OWN_COLUMNS
from facesearch.album.belongs import cells_of
from facesearch.album.review import COLUMNS, NOBODY, REVIEW, SEVERAL, ReviewRow, review_rows
from facesearch.errors import counted, unshown
from facesearch.files import make_folder, replace_csv, replace_file

PAGE = "review.html"
GROUPS_A_PAGE, LOOSE_A_PAGE = 500, 2_000
"""Groups on one page at most, and faces in none or put aside: a browser shows so many at once."""
FOLDED, FEW_GROUPS = 3, 30
"""Groups of so few faces are folded, where a page has more groups than that."""
SCRIPT = Path(__file__).with_name("album.js")
WRITTEN = "review_sha256"
"""Under this word the album remembers the review as it was written, to see whether somebody has changed it
since.
"""


@dataclass(frozen=True, slots=True)
class Face:
    """A face on the page: what it is called in the review, what stands beside it, and its picture, which may
    be empty. suggested: who it may be, refused: who it is not; was: its group and name as they are shown;
    also: other files of the same photo.
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
    suggested: str
    refused: str
    was: str
    also: str


@dataclass(frozen=True, slots=True)
class Group:
    """Faces that stand together. kind: group, none, poor or aside; person: whose name may be used, with the
    reason in hint; is_match: it may be rejected too; is_new: nobody has looked at these yet, in a group that
    has a name; folded: its faces are shown when asked for. sure: how sure the group is, in words; perhaps:
    groups that are perhaps the same person's.
    """

    kind: str
    label: str = ""
    faces: Sequence[Face] = ()
    name: str = ""
    person: str = ""
    hint: str = ""
    is_match: bool = False
    is_new: bool = False
    sure: str = ""
    perhaps: Sequence[str] = ()
    folded: bool = False

    @property
    def anchor(self) -> str:
        """What its heading is called on the page, and what it was typed in when the page is opened again."""
        return f"{'new-' if self.is_new else ''}{self.label or self.kind}"


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
    for number, part in enumerate(parts := pages_of(album, rows, crops), 1):
        text = review_page(part, rows, command, own, crops is not None, (number, len(parts)))
        replace_file(folder / page_name(number), text.encode())
    number = len(parts) + 1
    while (folder / page_name(number)).exists():  # of a time when there were more
        (folder / page_name(number)).unlink()
        number += 1
    return Written(table, page, len(rows), len(crops or ()), kept)


def page_name(number: int) -> str:
    """The file of each page; the first is the one that is told."""
    return PAGE if number == 1 else f"review-{number}.html"


def pictures_on_pages(album: Album) -> dict[str, bytes]:
    """The pictures that the pages in the album's folder show, by face: none where they show none."""
    pictures: dict[str, bytes] = {}
    number = 1
    while (page := album.folder / page_name(number)).is_file():
        for key, picture in _SHOWN.findall(page.read_bytes()):
            pictures[key.decode()] = base64.b64decode(picture)
        number += 1
    return pictures


_SHOWN = re.compile(
    rb'data-face="([0-9a-f]{12}/[0-9]+)"[^>]*>[^<]*<label><input[^>]*>[^<]*'
    rb'<img alt="" src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"'
)


def applied(album: Album) -> None:
    """The review that lies in the album's folder has just been applied: the next one may take its place."""
    table = album.folder / REVIEW
    album.remember(WRITTEN, hashlib.sha256(table.read_bytes()).hexdigest())


def pages_of(album: Album, rows: Sequence[ReviewRow], crops: dict[str, bytes] | None) -> list[list[Group]]:
    """The groups of each page: what nobody has looked at in groups with a name first, and the faces in no
    group on every page as a place to move to, with as many of them as it can show.
    """
    grouped = [row for row in rows if _kind(row) == "group"]  # rows of one group stand together
    groups: list[Group] = []
    for label, members in groupby(grouped, key=lambda row: row.group):
        groups += _groups(album, label, list(members), crops)
    groups.sort(key=lambda group: not group.is_new)
    parts = [groups[i : i + GROUPS_A_PAGE] for i in range(0, len(groups), GROUPS_A_PAGE)] or [[]]
    loose = {kind: [row for row in rows if _kind(row) == kind] for kind in ("none", "poor", "aside")}
    if len(parts) > 1 or sum(map(len, loose.values())) > LOOSE_A_PAGE:
        parts += [[]] * -(-max(map(len, loose.values())) // LOOSE_A_PAGE)
    size = LOOSE_A_PAGE if len(parts) > 1 else max(1, len(rows))
    first = len(parts) - max(1, -(-max(map(len, loose.values())) // size))
    out = []
    for number, part in enumerate(parts):
        start = (number - first) * size
        ends = {kind: own[start : start + size] if start >= 0 else [] for kind, own in loose.items()}
        many = len(part) > FEW_GROUPS
        folded = [replace(one, folded=many and len(one.faces) <= FOLDED and not one.is_new) for one in part]
        out.append(
            folded
            + [Group(kind, "", [_face(album, row, crops) for row in own]) for kind, own in ends.items()]
        )
    return out


def review_page(
    groups: Sequence[Group],
    rows: Sequence[ReviewRow],
    command: str,
    own: tuple[str, str],
    with_photos: bool,
    at: tuple[int, int],
) -> str:
    """One whole page. own: of which album and gallery it is, which the saved review says too; at: which page
    of how many.
    """
    from markupsafe import Markup

    from facesearch.report.pages import rendered

    script = SCRIPT.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = {row.name for row in rows} | {row.suggested for row in rows} | {row.in_photo for row in rows}
    saved = REVIEW if at[0] == 1 else f"review-page{at[0]}.csv"
    return rendered(
        "album.html",
        faces=len(rows),
        count=len({row.group for row in rows if row.group}),
        command=saved.join(command.rsplit(REVIEW, 1)),
        saved=saved,
        own=own,
        at=at,
        pages=[page_name(number) for number in range(1, at[1] + 1)],
        with_photos=with_photos,
        groups=groups,
        blank=Group("group"),
        names=sorted(names - {"", NOBODY}),
        script=Markup(script),
        script_digest=digest,
    )


def _kind(row: ReviewRow) -> str:
    return row.state if row.state in ("aside", "poor") else "group" if row.group else "none"


def _groups(
    album: Album, label: str, rows: Sequence[ReviewRow], crops: dict[str, bytes] | None
) -> list[Group]:
    """A group, and apart from it those who came to it after it was named."""
    name = next((row.name for row in rows if row.name), "")
    new = [row for row in rows if name and not row.name]
    faces = {row.face: _face(album, row, crops) for row in rows}
    person, hint = _likely(rows)
    is_match = any(row.state == "known" or row.in_photo for row in rows)
    own = [faces[row.face] for row in rows if row not in new]
    perhaps = rows[0].perhaps.split(SEVERAL) if rows[0].perhaps else ()
    groups = [
        Group(
            "group",
            label,
            own,
            name,
            "" if name else person,
            hint,
            is_match,
            sure=_sure(rows[0]),
            perhaps=perhaps,
        )
    ]
    if new:
        hint = f"new here: is this {name}?"
        groups.append(Group("group", label, [faces[row.face] for row in new], "", name, hint, True, True))
    return groups


def _sure(row: ReviewRow) -> str:
    """How sure the group of this face is, in words."""
    if row.likely is None:
        return ""
    # a share that is rounded up to all of them would promise too much
    share = f"{min(99, int(100 * row.likely))} %"
    return f"sure: {share}" if row.level == "sure" else f"perhaps one person: {share}"


def _likely(rows: Sequence[ReviewRow]) -> tuple[str, str]:
    """The person that most of a group's faces match in the gallery, what most photos call them, or the one
    that any of them resembles most; and the reason. Empty where there is nobody.
    """
    matches = [row.nearest for row in rows if row.state == "known"]
    if matches:
        person = max(sorted(set(matches)), key=matches.count)
        return person, f"{matches.count(person)} match {person}"
    if called := [row.in_photo for row in rows if row.in_photo and not row.name]:
        person = max(sorted(set(called)), key=called.count)
        return person, f"{counted(called.count(person), 'photo says', 'photos say')} {person}"
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
    if row.in_photo:
        facts.append(f"the photo says {row.in_photo}")
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
        row.suggested,
        row.refused,
        row.was,
        row.also,
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
