"""The audit of a served gallery: made in a thread of its own, once for each state of the gallery."""

from __future__ import annotations

import logging
import threading

from facesearch.api.audit import Audit, Finding, findings_in, with_confirmed
from facesearch.api.gallery import Gallery
from facesearch.api.state import State, state_of
from facesearch.errors import FacesearchError

LOG = logging.getLogger("facesearch.web")


class Checkup:
    """Asked for its findings, it begins the audit when the gallery has changed, and says so until it is
    done."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._guard = threading.Lock()
        self._done: tuple[State | None, list[Finding]] | None = None
        self._failed: tuple[State | None, FacesearchError] | None = None
        self._running = False

    def findings(self, limit: int) -> Audit:
        """What is known now, the most likely first. Raises what the last audit of this state of the gallery
        raised.
        """
        state = state_of(self._gallery)
        if state is None:
            return Audit("done")
        with self._guard:
            if self._failed is not None and self._failed[0] == state:
                raise self._failed[1]
            if self._done is None or self._done[0] != state:
                if not self._running:
                    self._running = True
                    threading.Thread(target=self._run, name="audit", daemon=True).start()
                return Audit("running")
            found = self._done[1]
        return Audit("done", with_confirmed(self._gallery, found[:limit]), max(0, len(found) - limit))

    def _run(self) -> None:
        state: State | None = None
        try:
            state = state_of(self._gallery)  # before the rows are read: changed since, it is audited again
            found = findings_in(self._gallery)
            with self._guard:
                self._done, self._failed = (state, found), None
        except FacesearchError as error:
            LOG.error("audit failed", exc_info=error)
            with self._guard:
                self._failed = state, error
        except Exception:
            LOG.exception("audit failed")
            with self._guard:
                self._failed = state, FacesearchError()
        finally:
            with self._guard:
                self._running = False
