"""What answers here, and whether it can."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from facesearch.api.state import Health, Ready, Version
from facesearch.report.lines import plain
from facesearch.version import __version__
from facesearch.web.routes.context import Context, in_thread
from facesearch.web.shapes import model_of

OPEN: dict[str, Any] = {"security": []}
"""No token is asked for."""
LIMITS = ("photos", "photo_bytes", "body_bytes", "pixels", "faces")
"""What a client is told of settings.Limits."""


def service_routes(context: Context) -> APIRouter:
    """Of the service itself."""
    routes = APIRouter(prefix="/v1", tags=["service"])

    @routes.get("/health", response_model=model_of(Health), openapi_extra=OPEN)
    async def health() -> Any:
        """That the service is alive, and how much is enrolled. Asks for no token."""
        return plain(await in_thread(context.readiness.health))

    @routes.get("/ready", response_model=model_of(Ready), openapi_extra=OPEN)
    async def ready() -> Any:
        """Whether a search would be answered now; 503 with the reason while it would not: the gallery is of
        another encoder or cannot be read, the index is damaged and cannot be rebuilt, or not opened yet.
        Asks for no token.
        """
        return plain(await in_thread(context.readiness.ready))

    @routes.get("/version", response_model=model_of(Version))
    async def version() -> Any:
        """What answers here, and what it takes at most."""
        told = Version(
            facesearch=__version__,
            encoder=context.encoder,
            encoder_id=context.encoder_id,
            detector=context.gallery.detector.name,
            originals=context.originals is not None,
            limits={name: getattr(context.settings.limits, name) for name in LIMITS},
        )
        return plain(told)

    return routes
