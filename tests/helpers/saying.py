"""What is said: expected errors, and lines and progress that nobody looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from facesearch.errors import FacesearchError


@contextmanager
def refused(error: type[FacesearchError], words: str) -> Iterator[pytest.ExceptionInfo[FacesearchError]]:
    """What the command line prints of an error of this class, fact and advice, has a place that fits the
    pattern `words`.
    """
    with pytest.raises(error) as caught:
        yield caught
    assert re.search(words, caught.value.message()), caught.value.message()


def quiet(done: int, total: int) -> None:
    pass


def tell(line: str) -> None:
    pass
