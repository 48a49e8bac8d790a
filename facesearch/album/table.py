"""A review's file as a table, from any program that saved it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from facesearch.errors import BadReview, NotFound, reason_of

LARGEST_REVIEW_BYTES = 256 * 2**20


class Table:
    """header, and then the rows, each with the number of its line. Raises NotFound, BadReview."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = _text(path)
        first = text.partition("\n")[0]
        self._rows = csv.reader(text.splitlines(keepends=True), delimiter=max(",;\t", key=first.count))
        self.header = [word.strip() for word in next(self._lines(), [])]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Those in which anything is written."""
        for cells in self._lines():
            if any(cells):
                yield self._rows.line_num, cells

    def _lines(self) -> Iterator[list[str]]:
        try:
            yield from self._rows
        except csv.Error as error:
            raise BadReview(self._path, self._rows.line_num, str(error)) from error


def _text(path: Path) -> str:
    if not path.is_file():
        raise NotFound(path, "review", "facesearch scan writes one; a page of it saves one too.")
    try:
        if path.stat().st_size > LARGEST_REVIEW_BYTES:
            raise BadReview(path, 0, f"it is larger than {LARGEST_REVIEW_BYTES >> 20} MiB")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadReview(path, 0, f"it cannot be read: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise BadReview(path, 0, 'it is not UTF-8; let your spreadsheet save it as "CSV UTF-8"') from error
