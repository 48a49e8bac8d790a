"""An album's review as a CSV and as a page on which groups are named, split and joined. The page fetches and sends nothing."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from facesearch.files import make_folder, replace_csv, replace_file
from facesearch.gallery.album import Album
from facesearch.jobs.review import COLUMNS, NOBODY, REVIEW, ReviewRow, as_cell, review_rows
from facesearch.version import __version__

PAGE = "review.html"
SCRIPT = Path(__file__).with_suffix(".js")
STYLE = Path(__file__).with_name("report_page.css")
WRITTEN = "review_sha256"
"""Under this word the album remembers the review as it was written, to see whether somebody has changed it since."""

_MORE_STYLE = """
.bar-top { position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--rule);
  max-width: 1120px; margin: 0 auto; padding: 10px 20px; display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; }
.bar-top label { display: flex; align-items: center; gap: 6px; min-width: 0; }
.bar-top select { min-width: 0; max-width: 16em; }
button, select, input[type=text] { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--soft);
  border-radius: 6px; padding: 6px 10px; min-height: 36px; }
button { cursor: pointer; } button:disabled { opacity: .55; cursor: default; }
#save { background: var(--accent); color: var(--paper); border-color: var(--accent); font-weight: 600; }
:is(button, select, input):focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.head { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; margin: 0 0 10px; }
.head h2 { margin: 0; }
ul.crops { list-style: none; padding: 0; margin: 0; display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); }
ul.crops li { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 8px; font-size: .84rem;
  overflow-wrap: anywhere; }
ul.crops img { display: block; width: 96px; height: 96px; border-radius: 6px; margin: 4px 0; }
ul.crops label { display: block; cursor: pointer; }
section.group:not([data-kind=none]) .own-name { display: none; }
li input.own { width: 100%; }
main section:first-child { border-top: 0; margin-top: 0; }
@media (max-width: 620px) {
  .bar-top { padding: 8px 14px; gap: 6px 8px; font-size: .86rem; }
  .bar-top label span { position: absolute; left: -9999px; }
  .bar-top select { width: 8.5em; }
}
"""


@dataclass(frozen=True, slots=True)
class Written:
    """kept: where a review that somebody had changed and not applied was put; empty: there was none."""

    table: Path
    page: Path
    faces: int
    crops: int
    kept: Path | None


def write_review(album: Album, crops: dict[str, bytes] | None, command: str) -> Written:
    """Put review.csv and review.html into the album's folder, readable by their owner only. Raises CannotWrite.

    crops: a JPEG of each face by its key, or None for a page without pictures; command: how the saved review is applied.
    """
    folder = make_folder(album.folder)
    rows = review_rows(album)
    table, page = folder / REVIEW, folder / PAGE
    kept = _set_aside(album, table)
    shown = [(as_cell(row.group), as_cell(row.name), row.face, _photo_cell(row.photo), *astuple(row)[4:12]) for row in rows]
    lines = [(*cells, as_cell(row.nearest), row.nearest_score, row.state) for cells, row in zip(shown, rows, strict=True)]
    replace_csv(table, COLUMNS, [["" if cell is None else cell for cell in line] for line in lines])
    album.remember(WRITTEN, hashlib.sha256(table.read_bytes()).hexdigest())
    replace_file(page, review_page(album, rows, crops, command).encode())
    return Written(table, page, len(rows), len(crops or ()), kept)


def applied(album: Album) -> None:
    """The review that lies in the album's folder has just been applied: it may be written anew."""
    table = album.folder / REVIEW
    album.remember(WRITTEN, hashlib.sha256(table.read_bytes()).hexdigest())


def review_page(album: Album, rows: Sequence[ReviewRow], crops: dict[str, bytes] | None, command: str) -> str:
    """The whole page. It holds pictures of faces only when crops are given."""
    script = SCRIPT.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    csp = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    names = sorted({name for row in rows for name in (row.name, row.nearest if row.state == "known" else "") if name and name != NOBODY})
    grouped = [row for row in rows if _kind(row) == "group"]  # rows of one group stand together
    sections = [_section(album, "group", label, list(members), crops) for label, members in groupby(grouped, key=lambda row: row.group)]
    sections += [_section(album, kind, "", [row for row in rows if _kind(row) == kind], crops) for kind in ("none", "aside")]
    groups = len({row.group for row in rows if row.group})
    warning = (
        '<p class="warning">This page holds pictures of people\'s faces. Keep it as you keep the photos; delete it when done.</p>'
        if crops is not None
        else '<p class="soft">No picture is on this page. With <code>--with-photos</code> it shows the faces.</p>'
    )
    options = "".join(f'<option value="{escape(name)}"></option>' for name in names)
    blank = _section(album, "group", "", [], None)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{csp}">\n<meta name="robots" content="noindex">\n'
        f"<title>Who is in these photos?</title>\n<style>\n{STYLE.read_text('utf-8')}{_MORE_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#faces">Skip to the groups</a>\n'
        f"<header><h1>Who is in these photos?</h1><p>{len(rows)} faces, {groups} groups. Give each group a name. Faces that do not belong: "
        "tick them and move them. Two groups of one person: give both one name. A group without a name stays unnamed.</p>"
        f"<p>Then save, and run: <code>{escape(command)}</code></p>{warning}</header>\n"
        '<div class="bar-top" role="region" aria-label="Move and save"><button type="button" id="save">Save review.csv</button>'
        '<label><span>Move to</span> <select id="target"></select></label><button type="button" id="move" disabled>Move</button>'
        '<span id="picked">choose faces to move them</span><span id="status" role="status" class="soft"></span></div>\n'
        f'<main id="faces">{"".join(sections)}</main>\n<datalist id="people">{options}</datalist>\n'
        f'<template id="blank">{blank}</template>\n'
        f"<footer><p>Written by facesearch {escape(__version__)} scan. Nothing on this page is sent anywhere.</p></footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _kind(row: ReviewRow) -> str:
    return "aside" if row.state == "aside" else "group" if row.group else "none"


def _section(album: Album, kind: str, label: str, rows: Sequence[ReviewRow], crops: dict[str, bytes] | None) -> str:
    title = {"group": f"<b>{escape(label)}</b>", "none": "In no group", "aside": "Put aside: nobody's faces"}[kind]
    anchor = f"h-{label or kind}"
    name = next((row.name for row in rows if row.name), "") if kind == "group" else ""
    field = (
        f'<label>Name <input type="text" class="name" list="people" maxlength="200" autocomplete="off" value="{escape(name)}"></label>'
        if kind == "group"
        else ""
    )
    return (
        f'<section class="group" data-kind="{kind}" data-group="{escape(label)}" aria-labelledby="{anchor}"><div class="head">'
        f'<h2 id="{anchor}">{title} <small class="soft count">{len(rows)} faces</small></h2>{field}{_hint(rows) if kind == "group" else ""}'
        f'<label><input type="checkbox" class="all"> all</label></div><ul class="crops">'
        f"{''.join(_face(album, row, crops) for row in rows)}</ul></section>"
    )


def _hint(rows: Iterable[ReviewRow]) -> str:
    """Whom of the gallery most of a group's faces match, or the one that any of them resembles most."""
    matches = [row.nearest for row in rows if row.state == "known"]
    if matches:
        person = max(sorted(set(matches)), key=matches.count)
        words = f"{matches.count(person)} match {person}"
    else:
        near = [(row.nearest_score, row.nearest) for row in rows if row.nearest_score is not None and not row.name]
        if not near:
            return ""
        score, person = max(near)
        words = f"nearest: {person} {score:.2f}, no match"
    return (
        f'<span class="soft">{escape(words)}</span> <button type="button" class="use" data-name="{escape(person)}">use this name</button>'
    )


def _face(album: Album, row: ReviewRow, crops: dict[str, bytes] | None) -> str:
    crop = (crops or {}).get(row.face)
    picture = "" if crop is None else f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(crop).decode()}" width="96" height="96">'
    link = quote(Path(os.path.relpath(album.root / row.photo, album.folder.absolute())).as_posix())
    facts = [f"{row.size_px} px", f"detector {row.detector:.2f}", f"sharpness {row.sharpness}"]
    if row.fit is not None:
        facts.append(f"fit {row.fit:.2f}")
    if row.nearest_score is not None:
        facts.append(f"{'match' if row.state == 'known' else 'nearest'} {row.nearest} {row.nearest_score:.2f}")
    own = escape(row.name) if row.name != NOBODY else ""
    return (
        f'<li data-face="{escape(row.face)}" data-photo="{escape(_photo_cell(row.photo))}"><label><input type="checkbox"> {picture}'
        f'face {row.face.partition("/")[2]} of {escape(row.photo)}</label><a href="{escape(link)}">the photo</a> at {row.x},{row.y} '
        f'<span class="soft">{escape(", ".join(facts))}</span>'
        f'<label class="own-name">Name <input type="text" class="own" list="people" maxlength="200" autocomplete="off" value="{own}">'
        "</label>"
        "</li>"
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
