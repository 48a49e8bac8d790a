"""What an operator sees: one JSON line a request, and figures for Prometheus. Neither ever holds a name, a
path of a photo, or a vector.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
import uuid
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facesearch.answers import DetectedPhoto, EmbeddedPhoto
from facesearch.api.photos import Look
from facesearch.web.problems import Problem, answer, instance_of

LOG = logging.getLogger("facesearch.web")
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BUCKETS_CROPS = (1, 2, 4, 8, 16, 32, 64)


class JsonLines(logging.Formatter):
    """A record as one JSON line: time, level, event, and the record's own fields. A traceback becomes places,
    without its message.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["at"] = [
                f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(record.exc_info[2])[-6:]
            ]
        return json.dumps(line)


def log_to(stream: TextIO = sys.stderr) -> None:
    """Send our log, and what the server has to say of itself, to a stream as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name in (LOG.name, "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = (
            [handler] if name != "uvicorn.error" else [],
            name == "uvicorn.error",
        )
        logger.setLevel(logging.INFO if name == LOG.name else logging.WARNING)


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
        LOG.info("request", extra={"fields": {**fields, **scope.get("facesearch.facts", {})}})


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
    return scope["method"] if scope["method"] in known else "other"


def _route(scope: Scope) -> str:
    """The route's pattern, never the path that was asked for."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return str(getattr(scope.get("route"), "path", "none"))
