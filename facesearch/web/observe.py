"""What an operator sees: one JSON line a request, and figures for Prometheus. Neither ever holds a name, a
path of a photo, or a vector.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facesearch.answers import DetectedPhoto, EmbeddedPhoto
from facesearch.api.photos import Look
from facesearch.errors import FacesearchError
from facesearch.web.problems import Problem, answer, instance_of

LOG = logging.getLogger("facesearch.web")
PRIVATE = ("name", "person", "other", "close", "source", "photo", "unknown", "missing", "text")
"""Fields of expected errors that hold who or what they are about."""
DEEPEST = 8
"""So many places of an unexpected error are told, the deepest."""
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BUCKETS_CROPS = (1, 2, 4, 8, 16, 32, 64)


class JsonLines(logging.Formatter):
    """A record as one JSON line: time, level, event, and the record's own fields; of an error its class and
    its reason. Of what others log, only what stands in their code is told: their values may hold anything.
    """

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.split(".")[0] in ("facesearch", "uvicorn")
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip() if ours else str(record.msg),
            **({} if ours else {"logger": record.name}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= _facts_of(record.exc_info[1])
        return json.dumps(line)


def _facts_of(error: BaseException) -> dict[str, object]:
    """What may be told of an error. Expected: its class and our words for it. Unexpected: its class, what the
    system said, and the places in the code; never its message.
    """
    told: dict[str, object] = {"error": type(error).__name__}
    system = _words_of_system(error)
    if isinstance(error, FacesearchError):
        told["reason"] = _without_names(error)
    elif isinstance(error, Problem):
        told |= {"error": error.kind, "reason": error.detail}
    else:
        if system:
            told["reason"] = system
        frames = traceback.extract_tb(error.__traceback__)[-DEEPEST:]
        told["at"] = [f"{_place(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    cause = error.__cause__
    if cause is not None and not isinstance(error, Problem):
        words = _words_of_system(cause)
        told["cause"] = f"{type(cause).__name__}: {words}" if words else type(cause).__name__
    return told


def _words_of_system(error: BaseException) -> str:
    """What the operating system or SQLite calls this error; empty where neither has raised it."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(getattr(error, "sqlite_errorname", "") or "")


def _without_names(error: FacesearchError) -> str:
    """The fact that an error states, without the people and photos that it is about."""
    text = error.what
    for field in PRIVATE:
        value = getattr(error, field, ())
        for word in value if isinstance(value, tuple) else (value,):
            text = text.replace(str(word), "…") if str(word) else text
    return text


def _place(file: str) -> str:
    """A file of code, without the folder that packages are installed in."""
    return "/".join(Path(file).parts[-3:])


def log_to(stream: TextIO = sys.stderr) -> Callable[[], None]:
    """Send all that this process logs to a stream as JSON lines: our log, what the server and other packages
    have to say, warnings, and what ends a thread. Returns what undoes that.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    undo: list[Callable[[], None]] = []
    for name, level in (("", logging.WARNING), (LOG.name, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        undo.append(partial(_set, logger, logger.handlers, logger.propagate, logger.level))
        _set(logger, [handler], False, level)
    inner = logging.getLogger("uvicorn.error")
    undo.append(partial(_set, inner, inner.handlers, inner.propagate, inner.level))
    _set(inner, [], True, logging.WARNING)
    hooks = warnings.showwarning, threading.excepthook, sys.unraisablehook

    def put_back() -> None:
        for step in undo:
            step()
        warnings.showwarning, threading.excepthook, sys.unraisablehook = hooks

    warnings.showwarning, threading.excepthook, sys.unraisablehook = _warned, _ended, _unraisable
    return put_back


def say(line: str) -> None:
    """A line of talk as a line of the log."""
    LOG.info("told", extra={"fields": {"says": line}})


def _set(logger: logging.Logger, handlers: list[logging.Handler], propagate: bool, level: int) -> None:
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    fields = {"warning": category.__name__, "at": [f"{_place(filename)}:{lineno}"]}
    LOG.warning("warning", extra={"fields": fields})


def _ended(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None:
        LOG.error("a thread has failed", exc_info=given.exc_value)


def _unraisable(given: sys.UnraisableHookArgs) -> None:
    if given.exc_value is not None:
        LOG.error("an error could not be raised", exc_info=given.exc_value)


class Meters:
    """The figures of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("facesearch_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "facesearch_request_seconds",
            "Time to the end of the answer",
            ("route",),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "facesearch_requests_in_flight", "Requests being answered", registry=self.registry
        )
        self.photos = Counter("facesearch_photos", "Photos looked at", ("outcome",), registry=self.registry)
        self.faces = Counter(
            "facesearch_faces_embedded", "Face crops that went through the encoder", registry=self.registry
        )
        self.batch = Histogram(
            "facesearch_batch_crops",
            "Face crops a pass through the encoder",
            buckets=BUCKETS_CROPS,
            registry=self.registry,
        )
        self.enrolled = Gauge(
            "facesearch_gallery_faces", "Faces enrolled, when last looked at", registry=self.registry
        )

    def on_look(self, photo: Look | DetectedPhoto | EmbeddedPhoto) -> None:
        self.photos.labels("faces" if photo.faces else "no face" if photo.sha256 else "refused").inc()

    def on_batch(self, crops: int, requests: int) -> None:
        self.faces.inc(crops)
        self.batch.observe(crops)


class Observed:
    """The outermost layer: gives each request an id, logs and counts it, and answers what nobody else has
    caught.
    """

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["facesearch.id"] = str(uuid.uuid4())
        status, started = 0, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._meters.in_flight.inc()
        try:
            await self._app(scope, receive, sending)
        except Exception:
            LOG.exception("fault", extra={"fields": {"id": scope["facesearch.id"], "route": _route(scope)}})
            if not status:
                fault = Problem(
                    "our-fault", 500, "Something went wrong on our side; the log says where it happened."
                )
                await answer(fault, instance_of(scope))(scope, receive, sending)
        finally:
            self._meters.in_flight.dec()
            self._report(scope, status, time.perf_counter() - started)

    def _report(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = _method(scope), _route(scope)
        self._meters.requests.labels(method, route, str(status)).inc()
        self._meters.seconds.labels(route).observe(seconds)
        fields = {
            "id": scope["facesearch.id"],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        if "facesearch.problem" in scope:
            fields["problem"] = scope["facesearch.problem"]
        LOG.log(
            logging.ERROR if status >= 500 else logging.INFO,
            "request",
            extra={"fields": {**fields, **scope.get("facesearch.facts", {})}},
            exc_info=scope.get("facesearch.error") if status >= 500 else None,
        )


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
    return scope["method"] if scope["method"] in known else "other"


def _route(scope: Scope) -> str:
    """The route's pattern, never the path that was asked for."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return str(getattr(scope.get("route"), "path", "none"))
