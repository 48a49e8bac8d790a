"""What a person in front of the screen sees: answers on stdout; on stderr one line at a time, what was left
out, progress bars.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from facesearch.errors import NotKept, PhotosSkipped, calm, shown

if TYPE_CHECKING:
    from facesearch.records import Progress, Skipped

SHOWN_SKIPS = 20


def say(text: str, *, nl: bool = True) -> None:
    """Put an answer on stdout. No character of it is one that a terminal obeys; names in it are `shown`."""
    click.echo(calm(text), nl=nl)


def _on_stderr(line: str) -> None:
    click.echo(calm(line), err=True)


_say: Callable[[str], None] = _on_stderr


def tell(line: str) -> None:
    """Say one line on stderr; the same holds for it."""
    _say(line)


@contextmanager
def saying(say: Callable[[str], None]) -> Iterator[None]:
    """Within, in every thread, what is told goes there: stderr is a log then."""
    global _say
    _say = say
    try:
        yield
    finally:
        _say = _on_stderr


@contextmanager
def telling_of_warnings() -> Iterator[None]:
    """Within, what could not be kept is told, in our own words and once."""
    told: set[str] = set()
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if not isinstance(message, NotKept):
                before(message, category, *place)
            elif str(message) not in told:
                told.add(str(message))
                tell(shown(str(message)))

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def report_skips(skipped: Sequence[Skipped], strict: bool) -> None:
    for item in skipped[:SHOWN_SKIPS]:
        tell(f"skipped {shown(item)}")
    if len(skipped) > SHOWN_SKIPS:
        tell(f"... and {len(skipped) - SHOWN_SKIPS} more")
    if skipped:
        tell(f"{len(skipped)} skipped")
        if strict:
            raise PhotosSkipped(len(skipped))


@contextmanager
def bar(what: str, unit: str) -> Iterator[Progress]:
    """A progress bar on stderr with rate and time left; silent when stderr is no terminal."""
    from tqdm import tqdm

    shown = tqdm(desc=what, unit=unit, file=sys.stderr, disable=None, leave=False, dynamic_ncols=True)

    def show(done: int, total: int) -> None:
        if total != shown.total or done < shown.n:
            shown.reset(total)
            shown.n = shown.initial = shown.last_print_n = (
                done  # what an earlier run did is no speed of this one
            )
            shown.refresh()
        shown.update(done - shown.n)

    try:
        yield show
    finally:
        shown.close()


@contextmanager
def epochs_bar() -> Iterator[tuple[Any, Any]]:
    """One bar an epoch, with img/s and the time left."""
    from tqdm import tqdm

    shown = tqdm(unit="img", file=sys.stderr, disable=None, leave=False, dynamic_ncols=True)

    def on_step(step: Any) -> None:
        total = step.steps * step.photos
        if shown.total != total or step.step * step.photos <= shown.n:
            shown.reset(total)
            shown.set_description(f"epoch {step.epoch + 1}/{step.epochs}")
        shown.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
        shown.update(step.step * step.photos - shown.n)

    try:
        yield on_step, shown.clear
    finally:
        shown.close()
