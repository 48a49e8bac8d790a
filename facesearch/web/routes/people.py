"""The people enrolled are listed, shown, enrolled, renamed, moved and forgotten."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from facesearch.answers import Enrolled, PhotosOfPerson, Renamed
from facesearch.api.erasing import Forgotten
from facesearch.api.erasing import forget as erase
from facesearch.api.names import LONGEST_NAME
from facesearch.api.people import ORDERS, People, enroll_file, photos_of
from facesearch.api.results import Moved
from facesearch.report.lines import plain
from facesearch.web.bodies import one_photo
from facesearch.web.problems import Problem
from facesearch.web.requests import SHA, EnrollOptions, Forget, Move, Rename, options_in
from facesearch.web.routes.context import Context, in_thread
from facesearch.web.shapes import model_of
from facesearch.web.uploads import read_uploads

NameQuery = Annotated[str, Query(min_length=1, max_length=LONGEST_NAME, examples=["Ada Lovelace"])]
ShaQuery = Annotated[str, Query(pattern="^[0-9a-f]{64}$", examples=[SHA])]
JPEG = {
    "description": "A small JPEG",
    "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
}


def people_routes(context: Context) -> APIRouter:
    """Of what is done with people."""
    routes = APIRouter(prefix="/v1", tags=["people"])
    _enroll(routes, context)
    _list(routes, context)
    _show(routes, context)
    _mend(routes, context)
    _forget(routes, context)
    return routes


def _enroll(routes: APIRouter, context: Context) -> None:
    gallery, limits = context.gallery, context.settings.limits

    @routes.post("/enroll", openapi_extra=one_photo(EnrollOptions), response_model=model_of(Enrolled))
    async def enroll(request: Request) -> Any:
        """Enroll one face of a photo under a name, new or known. Closer to somebody else, it is refused
        unless forced.
        """
        (photo,), fields = await read_uploads(request, limits, None)
        asked = options_in(EnrollOptions, fields)
        done = await in_thread(
            lambda: enroll_file(
                gallery, asked.name, photo.name, photo.data, face=asked.face, force=asked.force
            )
        )
        return plain(done)


def _list(routes: APIRouter, context: Context) -> None:
    gallery = context.gallery

    @routes.get("/people", response_model=model_of(People))
    async def people(
        search: Annotated[
            str, Query(max_length=LONGEST_NAME, description="Part of the name, in any case.")
        ] = "",
        sort: Annotated[str, Query(pattern=f"^({'|'.join(ORDERS)})$")] = "separation",
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Any:
        """Everybody enrolled: the worst separated first, or by name, or by the number of photos. Separations
        are computed in the background: ask again until their state is done; older ones are given meanwhile.
        """
        page = await in_thread(
            lambda: context.roster.page(search=search, sort=sort, offset=offset, limit=limit)
        )
        return plain(page)

    @routes.get("/people/photos", response_model=model_of(PhotosOfPerson))
    async def photos(name: NameQuery) -> Any:
        """One person's enrolled photos, by their names."""
        return plain(await in_thread(lambda: photos_of(gallery, name)))


def _show(routes: APIRouter, context: Context) -> None:
    gallery, originals = context.gallery, context.originals

    @routes.get("/people/thumbnail", response_class=Response, responses={200: JPEG})
    async def small(name: NameQuery, sha256: ShaQuery) -> Response:
        """An enrolled photo, small, where the service was told where the originals lie."""

        def look() -> bytes | None:
            if originals is None or not gallery.exists:
                return None
            for photo in gallery.photos_of(name):
                if photo.sha256 == sha256:
                    picture = originals.thumbnail(photo, context.settings.limits.pixels)
                    if picture is not None:
                        return picture
            return None

        picture = await in_thread(look)
        if picture is None:
            raise Problem(
                "no-photo",
                404,
                "The original of this photo was not found below the folder given with --photos.",
            )
        return Response(picture, media_type="image/jpeg")


def _mend(routes: APIRouter, context: Context) -> None:
    gallery = context.gallery

    @routes.post("/rename", response_model=model_of(Renamed))
    async def rename(wanted: Rename) -> Any:
        """Give somebody another name; with join, put all photos under the name of somebody who is enrolled
        already.
        """
        moved = await in_thread(lambda: gallery.rename(wanted.old, wanted.new, join=wanted.join))
        return plain(Renamed(wanted.new, moved))

    @routes.post("/move", response_model=model_of(Moved))
    async def move(wanted: Move) -> Any:
        """Give some of a person's photos to somebody else, new or known."""
        return plain(await in_thread(lambda: gallery.move(wanted.person, wanted.photos, wanted.to)))


def _forget(routes: APIRouter, context: Context) -> None:
    gallery = context.gallery

    @routes.post("/forget", response_model=model_of(Forgotten))
    async def forget(wanted: Forget) -> Any:
        """Erase a person, or some of their photos: rows, vectors, index; then prove it. This cannot be
        undone.
        """
        try:
            return plain(await in_thread(lambda: erase(gallery, wanted.name, wanted.photos)))
        finally:
            await in_thread(context.roster.let_go)
            if context.originals is not None:
                context.originals.let_go()
