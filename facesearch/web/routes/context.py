"""What all groups of routes work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio.to_thread
from fastapi import Request

from facesearch.api.gallery import Gallery
from facesearch.api.originals import Originals
from facesearch.web.checkup import Checkup
from facesearch.web.observe import Meters
from facesearch.web.readiness import Readiness
from facesearch.web.roster import Roster
from facesearch.web.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One service's parts. originals: None where enrolled photos cannot be shown; encoder: in words."""

    settings: Settings
    gallery: Gallery
    checkup: Checkup
    roster: Roster
    readiness: Readiness
    originals: Originals | None
    meters: Meters
    encoder: str
    encoder_id: str


async def in_thread(work: Callable[[], T]) -> T:
    """What work gives, while other requests go on."""
    return await anyio.to_thread.run_sync(work)


def note(request: Request, photos: int, faces: int) -> None:
    """What the log says of the request besides."""
    request.scope["facesearch.facts"] = {"photos": photos, "faces": faces}
