"""What a person in front of the screen sees: answers on stdout; on stderr one line at a time, what was left
out, progress bars.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facesearch.errors import NotKept, PhotosSkipped, calm, counted, shown, written

if TYPE_CHECKING:
    from facesearch.answers import EnrolmentWarning
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


@dataclass(frozen=True, slots=True)
class Skips:
    """What is done about what was left out: the options of `skips` as one value. to: a file for all of it."""

    strict: bool = False
    to: Path | None = None


def report_skips(skipped: Sequence[Skipped], skips: Skips = Skips(), *, whole: str = "") -> None:
    """Say what was left out, what is to be looked after first. whole: where all of it is told too. Raises
    PhotosSkipped, CannotWrite.
    """
    keep_skips(skipped, skips)
    for item in sorted(skipped, key=lambda item: bool(item.unread))[:SHOWN_SKIPS]:
        tell(f"skipped {shown(item)}")
    if len(skipped) > SHOWN_SKIPS:
        place = (
            f"{shown(skips.to)} names them all" if skips.to else whole or "--skipped-to FILE writes them all"
        )
        tell(f"... and {len(skipped) - SHOWN_SKIPS} more; {place}")
    if skipped:
        tell(f"{len(skipped)} skipped{_unread(skipped)}")
        if skips.strict:
            raise PhotosSkipped(len(skipped))


def report_warnings(warnings: Sequence[EnrolmentWarning]) -> None:
    """A line each, those first that are worst for a gallery."""
    worst = ("twice", "nearer", "unlike", "poor")
    found = shown(sorted(warnings, key=lambda warning: worst.index(warning.kind)))
    for item in found[:SHOWN_SKIPS]:
        tell(f"warning: {item.person}, {item.photo}: {item.reason}")
    if len(found) > SHOWN_SKIPS:
        tell(f"... and {len(found) - SHOWN_SKIPS} more (--json tells all)")
    if found:
        tell(f"{counted(len(found), 'warning')}; the photos are enrolled all the same")


def report_all_skipped(skipped: Sequence[Skipped], skips: Skips) -> None:
    """The same where nothing is left but an error, which names the first."""
    keep_skips(skipped, skips)
    if len(skipped) > 1:
        place = f"{shown(skips.to)} names them" if skips.to else "--skipped-to FILE writes them"
        tell(f"{len(skipped)} skipped{_unread(skipped)}; {place}")


def keep_skips(skipped: Sequence[Skipped], skips: Skips) -> None:
    """Write all of it where it was asked for, readable by its owner only. Raises CannotWrite."""
    if skips.to is not None:
        from facesearch.files import replace_csv

        replace_csv(skips.to, ("path", "reason"), [(written(item.path), item.reason) for item in skipped])


def keep_missing(names: Sequence[str], skips: Skips) -> None:
    """The same of enrolled photos that are not found. Raises CannotWrite."""
    from facesearch.records import Skipped

    keep_skips([Skipped(Path(name), "not found") for name in names], skips)


def _unread(skipped: Sequence[Skipped]) -> str:
    """What of it are pictures and videos of kinds that are not read, as `; 3 videos, 1 RAW not read`."""
    count = Counter(item.unread for item in skipped if item.unread)
    words = [f"{n} {kind}{'s' if kind == 'video' and n > 1 else ''}" for kind, n in count.most_common()]
    return f"; {', '.join(words)} not read" if words else ""


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
