"""Whether a search would be answered now: found out by searching, once for all who ask at the same time."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future

from facesearch.api import state
from facesearch.api.gallery import Gallery
from facesearch.api.state import Health, Ready
from facesearch.errors import FacesearchError
from facesearch.web.problems import Problem

LOG = logging.getLogger("facesearch.web")
WAIT_S = 2.0
"""An answer is given by then; an index of a million faces takes longer to be written."""
AGAIN_S = "5"
FAILED_FOR_S = 60.0
"""So long health tells what was found, where nobody has tried again since."""


class Readiness:
    """Safe to ask from many threads."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._guard = threading.Lock()
        self._trying: Future[Ready] | None = None
        self._known: tuple[state.State | None, Health] | None = None
        self._failed_at: float | None = None

    def ready(self) -> Ready:
        """That the service answers searches. Raises Problem, 503, with the reason why it does not."""
        try:
            return self._try().result(WAIT_S)
        except TimeoutError:
            detail = "The encoder is being loaded, or the index is being opened or written."
            raise _not_ready("not-ready-yet", detail) from None
        except FacesearchError as error:
            raise _not_ready(error.kind, error.what) from error
        except Exception as error:
            detail = "Something went wrong on our side; the log says where it happened."
            raise _not_ready("our-fault", detail) from error

    def health(self) -> Health:
        """That the service is alive. A gallery that was found not to be ready is not called so."""
        told = self._counted()
        failed_at = self._failed_at
        failed = failed_at is not None and time.monotonic() - failed_at < FAILED_FOR_S
        if not failed or told.gallery == "empty":
            return told
        return Health(gallery="not-ready", people=told.people, faces=told.faces, generation=told.generation)

    def _counted(self) -> Health:
        """How the gallery stands, counted once for each state of it."""
        try:
            now = state.state_of(self._gallery)
        except FacesearchError:
            return state.health(self._gallery)
        known = self._known
        if known is None or known[0] != now:
            known = self._known = now, state.health(self._gallery)
        return known[1]

    def _try(self) -> Future[Ready]:
        with self._guard:
            if self._trying is None:
                self._trying = Future()
                threading.Thread(target=self._run, args=(self._trying,), name="ready", daemon=True).start()
            return self._trying

    def _run(self, answer: Future[Ready]) -> None:
        try:
            found: Ready | Exception = state.ready(self._gallery)
        except Exception as error:
            found = error
            if not isinstance(error, FacesearchError):
                LOG.exception("not ready")
        with self._guard:
            self._trying = None
            self._failed_at = time.monotonic() if isinstance(found, Exception) else None
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)


def _not_ready(kind: str, detail: str) -> Problem:
    return Problem(kind, 503, detail, headers={"Retry-After": AGAIN_S})
