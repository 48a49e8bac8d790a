"""What answers here, and whether it can."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from facesearch.answers import Health, Version
from facesearch.api import state
from facesearch.report.lines import plain
from facesearch.version import __version__
from facesearch.web.routes.context import Context, in_thread
from facesearch.web.shapes import model_of

LIMITS = ("photos", "photo_bytes", "body_bytes", "pixels", "faces")
"""What a client is told of settings.Limits."""


def service_routes(context: Context) -> APIRouter:
    """Of the service itself."""
    routes = APIRouter(prefix="/v1", tags=["service"])

    @routes.get("/health", response_model=model_of(Health))
    async def health() -> Any:
        """Whether the service can answer, and how much is enrolled."""
        return plain(await in_thread(lambda: state.health(context.gallery)))

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
