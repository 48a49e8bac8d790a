"""Which album and which gallery a review is of, so that no other one takes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from facesearch.album.album import Album
from facesearch.album.table import Table
from facesearch.errors import CannotWrite, OtherReview, written
from facesearch.files import of_cell

ID = "review_id"
"""Under this word an album remembers what its reviews call it. It keeps that wherever its folder is moved;
made again in the same place, of the same photos, it is called the same, so that reviews that were kept apply.
"""


COLUMNS = ("album", "gallery")
"""Of a review, by which it says that."""


def album_id(album: Album) -> str:
    """What an album is called: a letter, so that no spreadsheet takes it for a number, and 12 digits."""
    if known := album.value(ID):
        return known
    of = "\0".join((written(album.root), written(album.folder.absolute()), album.encoder_id))
    new = "a" + hashlib.sha256(of.encode()).hexdigest()[:12]
    with contextlib.suppress(CannotWrite):  # where nothing may be written it is found again each time
        album.remember(ID, new)
    return new


def cells_of(album: Album, gallery: Path) -> tuple[str, str]:
    """What stands in those columns: the album's id and where it lies; where the gallery lies, and its
    encoder.
    """
    return (
        f"{album_id(album)} {written(album.folder.absolute())}",
        f"{written(os.path.realpath(gallery))} {album.encoder_id[:12]}",
    )


def require_own(album: Album, gallery: Path, review: Path) -> bool:
    """Whether a review says of which album and gallery it is: those before version 0.2 do not. Raises
    OtherReview where it is of others; NotFound, BadReview.
    """
    table, own = Table(review), cells_of(album, gallery)
    at = {name: table.header.index(name) for name in COLUMNS if name in table.header}
    checked = False
    for number, cells in table.rows():
        for name, mine in zip(COLUMNS, own, strict=True):
            said = of_cell(cells[at[name]].strip()) if at.get(name, len(cells)) < len(cells) else ""
            if said and _key(name, said) != _key(name, mine):
                raise OtherReview(review, number, name, said, mine)
            checked = checked or bool(said)
    return checked


def _key(column: str, cell: str) -> str:
    """What of a cell counts: an album may be moved."""
    return cell.partition(" ")[0] if column == "album" else cell
