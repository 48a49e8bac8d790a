"""Everybody enrolled, as the page of people asks for them: a list of names that is read once for each state
of the gallery, and how well each stands apart, which takes long and is computed in a thread of its own.

One computation is for all who ask; at most one runs. What it found is shown until the next one has ended,
with its age, and it holds no name: people have numbers in it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from facesearch.api.gallery import Gallery
from facesearch.api.people import Listing, People, Separations, how_apart, listing, people_page
from facesearch.api.results import Apart
from facesearch.api.state import State, state_of
from facesearch.errors import FacesearchError

LOG = logging.getLogger("facesearch.web")
MOST_PEOPLE = 200_000
"""Everybody is compared with everybody: twice the people take four times as long."""
FEW, FEW_WAIT_S = 2000, 0.3
"""So few people are compared while one waits, so long at most."""
LONGEST_NAP_S = 0.2
END_WAIT_S = 3.0
RETRY_S = 60.0
"""What has failed is tried again after so long, or when the gallery has changed."""


class _Stopped(Exception):
    """The service is to end."""


@dataclass(frozen=True, slots=True)
class _Result:
    """apart: None where the computation failed."""

    state: State
    apart: Apart | None
    computed_at: str

    def is_of(self, now: State | None) -> bool:
        """Whether it may be shown for a gallery in this state: the same file, of the same encoder, and not
        put back to a moment before.
        """
        return now is not None and self.state[:3] == now[:3] and self.state[3] <= now[3]


class Roster:
    """Safe to ask from many threads."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._listing_turn = threading.Lock()
        self._listing: Listing | None = None
        self._guard = threading.Condition()
        self._result: _Result | None = None
        self._failed: State | None = None
        self._failed_at = 0.0
        self._wanted: State | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def page(self, *, search: str, sort: str, offset: int, limit: int) -> People:
        """A page of people, see people_page. Raises CorruptGallery."""
        everybody = self._everybody()
        apart, known = self._separations(everybody)
        if known.state == "running" and len(everybody.names) <= FEW:
            with self._guard:
                self._guard.wait_for(lambda: self._is_known(everybody.state), FEW_WAIT_S)
            apart, known = self._separations(everybody)
        return people_page(everybody, apart, known, search=search, sort=sort, offset=offset, limit=limit)

    def let_go(self) -> None:
        """Of names that were forgotten."""
        with self._listing_turn:
            self._listing = None

    def close(self) -> None:
        """End what is being computed; no more is begun."""
        self._ending.set()
        thread = self._thread
        if thread is not None:
            thread.join(END_WAIT_S)

    # ---- names

    def _everybody(self) -> Listing:
        """The people as of now. Those who ask at once wait for one of them to read."""
        with self._listing_turn:
            known = self._listing
            if known is None or known.state != state_of(self._gallery):
                known = self._listing = listing(self._gallery, known)
            return known

    # ---- separations

    def _separations(self, everybody: Listing) -> tuple[Apart | None, Separations]:
        """What is known, and what to say of it; begins to compute what is not."""
        state = everybody.state
        if state is None:
            return None, Separations("done")
        with self._guard:
            found = self._result
            if found is not None and not found.is_of(state):
                found = self._result = None
            shown = (found.state[3], found.computed_at) if found else (None, None)
            apart = found.apart if found else None
            if found is not None and found.state == state:
                return apart, Separations("done", *shown)
            if self._failed == state and time.monotonic() - self._failed_at < RETRY_S:
                return apart, Separations("failed", *shown)
            if len(everybody.names) > MOST_PEOPLE:
                return apart, Separations("too-many", *shown)
            self._wanted = state
            if self._thread is None and not self._ending.is_set():
                self._thread = threading.Thread(target=self._work, name="separations", daemon=True)
                self._thread.start()
            return apart, Separations("running", *shown)

    def _is_known(self, state: State | None) -> bool:
        return self._failed == state or (self._result is not None and self._result.state == state)

    def _work(self) -> None:
        """Compute, until it is of the state that was last asked for. A gallery that changes all the time is
        not compared all the time: between two computations it rests as long as one took.
        """
        while True:
            began = time.monotonic()
            done = self._computed()
            with self._guard:
                self._guard.notify_all()
                if not done or self._is_known(self._wanted):
                    self._thread = None
                    return
            if self._ending.wait(time.monotonic() - began):
                with self._guard:
                    self._thread = None
                return

    def _computed(self) -> bool:
        """Whether the work may go on."""
        state: State | None = None
        try:
            state = state_of(self._gallery)
            of, apart = how_apart(self._gallery, _Pause(self._ending))
        except _Stopped:
            return False
        except FacesearchError as error:
            LOG.error("separations failed", exc_info=error)
        except Exception:
            LOG.exception("separations failed")
        else:
            with self._guard:
                if of is not None and apart is not None:
                    self._result = _Result(of, apart, datetime.now(UTC).isoformat(timespec="seconds"))
                self._failed = None
            return of is not None
        with self._guard:
            self._failed, self._failed_at = state, time.monotonic()
        return state is not None


class _Pause:
    """Called between two pieces of the work: rests as long as the piece computed, so that searches have half
    of the machine; ends the work with the service.
    """

    def __init__(self, ending: threading.Event) -> None:
        self._ending, self._last = ending, time.thread_time()

    def __call__(self) -> None:
        if self._ending.wait(min(time.thread_time() - self._last, LONGEST_NAP_S)):
            raise _Stopped
        self._last = time.thread_time()
