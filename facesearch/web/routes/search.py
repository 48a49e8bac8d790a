"""Photos are searched in the gallery, compared, and made into vectors and boxes; nothing of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request

from facesearch.answers import Comparison, Detected, Embedded, Searched
from facesearch.api import photos as looking
from facesearch.api.inputs import NamedPhoto
from facesearch.report.lines import plain
from facesearch.web.bodies import many_photos
from facesearch.web.problems import Problem
from facesearch.web.requests import CompareOptions, NoOptions, SearchOptions, options_in
from facesearch.web.routes.context import Context, in_thread, note
from facesearch.web.shapes import model_of
from facesearch.web.uploads import Upload, read_uploads


def search_routes(context: Context) -> APIRouter:
    """Of what is asked about photos."""
    routes = APIRouter(prefix="/v1", tags=["search"])
    _search(routes, context)
    _compare(routes, context)
    _embed(routes, context)
    _detect(routes, context)
    return routes


def _search(routes: APIRouter, context: Context) -> None:
    gallery, limits = context.gallery, context.settings.limits

    @routes.post(
        "/search", openapi_extra=many_photos(SearchOptions, limits.photos), response_model=model_of(Searched)
    )
    async def search(request: Request) -> Any:
        """Who is nearest to each face in these photos, or nobody. A photo that cannot be used is answered
        with the reason.
        """
        uploads, fields = await read_uploads(request, limits, "photos")
        asked = options_in(SearchOptions, fields)
        found = await in_thread(
            lambda: gallery.search_all(
                _named(uploads), top=asked.top, threshold=asked.threshold, largest=asked.largest
            )
        )
        note(request, len(uploads), sum(map(len, found.photos)))
        return plain(found)


def _compare(routes: APIRouter, context: Context) -> None:
    gallery, limits = context.gallery, context.settings.limits

    @routes.post(
        "/compare",
        openapi_extra=many_photos(CompareOptions, 2, fewest=2),
        response_model=model_of(Comparison),
    )
    async def compare(request: Request) -> Any:
        """Whether two photos show the same person, decided at the encoder's own false-match rate. No gallery
        takes part.
        """
        uploads, fields = await read_uploads(request, limits, "photos")
        asked = options_in(CompareOptions, fields)
        if len(uploads) != 2:
            raise Problem("bad-request", 422, f"Two photos are compared; there are {len(uploads)}.")
        a, b = _named(uploads)

        def look() -> Comparison:
            return looking.compare(
                a,
                b,
                fmr=asked.fmr,
                largest=asked.largest,
                encoder=gallery.encoder,
                detector=gallery.detector,
                max_pixels=limits.pixels,
            )

        done = await in_thread(look)
        context.meters.photos.labels("faces").inc(2)
        note(request, 2, 2)
        return plain(done)


def _embed(routes: APIRouter, context: Context) -> None:
    gallery, limits = context.gallery, context.settings.limits

    @routes.post(
        "/embed", openapi_extra=many_photos(NoOptions, limits.photos), response_model=model_of(Embedded)
    )
    async def embed(request: Request) -> Any:
        """The vectors of the faces in these photos. They are biometric data: the service keeps none."""

        def look(photos: Sequence[NamedPhoto]) -> Embedded:
            each = looking.embed_each(
                photos,
                encoder=gallery.encoder,
                detector=gallery.detector,
                max_pixels=limits.pixels,
                max_faces=limits.faces,
            )
            return Embedded(tuple(each))

        return await _each_photo(request, context, look)


def _detect(routes: APIRouter, context: Context) -> None:
    gallery, limits = context.gallery, context.settings.limits

    @routes.post(
        "/detect", openapi_extra=many_photos(NoOptions, limits.photos), response_model=model_of(Detected)
    )
    async def detect(request: Request) -> Any:
        """The faces in these photos: boxes and landmarks."""

        def look(photos: Sequence[NamedPhoto]) -> Detected:
            each = looking.detect_each(
                photos, detector=gallery.detector, max_pixels=limits.pixels, max_faces=limits.faces
            )
            return Detected(tuple(each))

        return await _each_photo(request, context, look)


async def _each_photo(
    request: Request, context: Context, look: Callable[[Sequence[NamedPhoto]], Embedded | Detected]
) -> Any:
    """What look makes of the photos of a request that has no options; counted, since the gallery does not
    see them.
    """
    uploads, fields = await read_uploads(request, context.settings.limits, "photos")
    options_in(NoOptions, fields)
    done = await in_thread(lambda: look(_named(uploads)))
    for photo in done.photos:
        context.meters.on_look(photo)
    note(request, len(done.photos), sum(map(len, done.photos)))
    return plain(done)


def _named(uploads: Sequence[Upload]) -> list[NamedPhoto]:
    return [NamedPhoto(upload.name, upload.data) for upload in uploads]
