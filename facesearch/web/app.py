"""The app as a whole: page, service, figures for operators; and the layers around them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp

from facesearch.api.gallery import Gallery
from facesearch.api.originals import Originals
from facesearch.api.state import State, require_own_encoder, state_of
from facesearch.errors import FacesearchError
from facesearch.version import __version__
from facesearch.web import pages, problems
from facesearch.web.checkup import Checkup
from facesearch.web.examples import EXAMPLES
from facesearch.web.observe import LOG, Meters, Observed
from facesearch.web.readiness import Readiness
from facesearch.web.roster import Roster
from facesearch.web.routes.context import Context
from facesearch.web.routes.people import people_routes
from facesearch.web.routes.search import search_routes
from facesearch.web.routes.service import service_routes
from facesearch.web.routes.trust import trust_routes
from facesearch.web.security import Guard, Sessions
from facesearch.web.settings import Settings
from facesearch.web.wrong import told

LOOK_EVERY_S = 2.0
SUMMARY = (
    "Who is in this photo, and can the answer be trusted? The same jobs as the facesearch command line, over"
    " HTTP."
)


class Service:
    """The app with what it holds. asgi: what a server serves; api: the FastAPI app inside, for its schema."""

    def __init__(self, settings: Settings, gallery: Gallery) -> None:
        """Raises NotFound when settings.photos is no folder; EncoderMismatch, CorruptGallery for a gallery
        that cannot be served.
        """
        self.settings, self.gallery = settings, gallery
        self.meters = Meters()
        self._written = b""
        gallery.on_look, gallery.encoder.on_batch = self.meters.on_look, self.meters.on_batch
        require_own_encoder(gallery)
        self._roster = Roster(gallery)
        context = Context(
            settings=settings,
            gallery=gallery,
            checkup=Checkup(gallery),
            roster=self._roster,
            readiness=Readiness(gallery),
            originals=Originals(settings.photos) if settings.photos else None,
            meters=self.meters,
            encoder=gallery.encoder.words,
            encoder_id=gallery.encoder.id,
        )
        sessions = Sessions(settings.token)
        self.api = FastAPI(
            title="facesearch",
            version=__version__,
            summary=SUMMARY,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,  # made and written once, below
            lifespan=self._lifespan,
            redirect_slashes=False,
        )
        problems.install(self.api)
        self.api.add_exception_handler(RequestValidationError, _few_of_many)
        for group in (service_routes, search_routes, people_routes, trust_routes):
            self.api.include_router(group(context))
        self.api.include_router(pages.router(settings, sessions, self.meters))
        self.api.mount("/static", pages.static_files(), name="static")
        self.api.add_api_route("/v1/openapi.json", self._schema, include_in_schema=False)
        self.api.openapi = self._openapi  # type: ignore[method-assign]
        self._guard = Guard(self.api, settings, sessions, pages.login_page)
        self.asgi: ASGIApp = Observed(self._guard, self.meters)

    def close(self) -> None:
        """Let what is under way end, but for what is computed in the background; then stop the encoder's
        thread.
        """
        self._roster.close()
        self.gallery.close()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._guard.places.threads
        watching = asyncio.create_task(self._watch())
        LOG.info("started", extra={"fields": {"facesearch": __version__}})
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await anyio.to_thread.run_sync(self.close)
            LOG.info("stopped")

    async def _watch(self) -> None:
        """Every two seconds: has another process changed the gallery?"""
        seen: State | None = None
        told = ""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                seen = await anyio.to_thread.run_sync(self._refresh, seen)
                told = ""
            except FacesearchError as error:  # the next one who asks is told
                if str(error) != told:  # once, not every two seconds
                    LOG.error("the gallery could not be looked at", exc_info=error)
                told = str(error)
            except Exception:  # noqa: BLE001 - a fault must not end the watch
                LOG.exception("the gallery could not be looked at")

    def _refresh(self, seen: State | None) -> State | None:
        """Let go of an outdated index; count the faces when the gallery's state is not the one seen. Returns
        the state.
        """
        self.gallery.refresh()
        state = state_of(self.gallery)
        if state != seen:
            self.meters.enrolled.set(len(self.gallery))
        return state

    async def _schema(self) -> Response:
        """The service's description, written once: it is some hundred kilobytes."""
        self._written = self._written or json.dumps(self._openapi(), ensure_ascii=False).encode()
        return Response(self._written, media_type="application/json")

    def _openapi(self) -> dict[str, Any]:
        """FastAPI's schema, with our problem details instead of its own error models."""
        if self.api.openapi_schema is None:
            schema = FastAPI.openapi(self.api)
            shapes = schema.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                shapes.pop(name, None)
            shapes["Problem"] = problems.ProblemDetails.model_json_schema()
            for cls, example in EXAMPLES.items():
                shapes[cls.__name__]["examples"] = [example]
            content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            for operation in [operation for path in schema["paths"].values() for operation in path.values()]:
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = {
                    "description": "What is wrong (RFC 9457)",
                    "content": content,
                }
            if self.settings.token:
                schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"token": []}]
            self.api.openapi_schema = schema
        return self.api.openapi_schema


def _few_of_many(request: Request, error: Exception) -> JSONResponse:
    """The answer to a body or a query that is not as it should be: a few faults, none of its values."""
    assert isinstance(error, RequestValidationError)
    return problems.answer(problems.wrong_in(told(error.errors())), problems.instance_of(request.scope))
