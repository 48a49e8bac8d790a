"""The routes of /v1: each takes a request apart, calls the library in a thread, and puts the result into JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from facesearch.answers import Comparison, Detected, Embedded, Searched
from facesearch.api import photos as looking
from facesearch.api.gallery import Gallery
from facesearch.api.inputs import NamedPhoto
from facesearch.gallery.rows import LONGEST_NAME, clean_name
from facesearch.jobs.confirmed import confirm
from facesearch.report import plain
from facesearch.version import __version__
from facesearch.web import figures, models
from facesearch.web.checkup import Checkup
from facesearch.web.models import SHA
from facesearch.web.observe import Meters
from facesearch.web.originals import Originals, thumbnail
from facesearch.web.problems import Problem
from facesearch.web.roster import Roster
from facesearch.web.settings import Settings
from facesearch.web.shapes import model_of
from facesearch.web.uploads import Upload, read_uploads

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
NameQuery = Annotated[str, Query(min_length=1, max_length=LONGEST_NAME, examples=["Ada Lovelace"])]
ShaQuery = Annotated[str, Query(pattern="^[0-9a-f]{64}$", examples=[SHA])]


class SearchOptions(models.Model):
    """Of a search: how many people a face; decide by this score instead of the gallery's threshold; the largest face only."""

    model_config = models.asked({"top": 5})
    top: int = Field(default=5, ge=1, le=50)
    threshold: float | None = Field(default=None, ge=-1, le=1)
    largest: bool = False


class CompareOptions(models.Model):
    """Of a comparison: the share of pairs of different people that may be called the same; of several faces the largest."""

    model_config = models.asked({"fmr": 0.001})
    fmr: float = Field(default=0.001, gt=0, lt=1)
    largest: bool = False


class NoOptions(models.Model):
    """Nothing but photos."""

    model_config = models.asked({})


class EnrollOptions(models.Model):
    """Of an enrollment: under which name; which face, from 1, the largest first; force: although closer to somebody else."""

    model_config = models.asked({"name": "Ada Lovelace", "face": 1, "force": False})
    name: models.Name
    face: int | None = Field(default=None, ge=1)
    force: bool = False


def _body(options: type[BaseModel], photos: str, most: int | None, *, fewest: int = 1) -> dict[str, Any]:
    """OpenAPI's words for a request with photos, as a form or in JSON. photos: their key in JSON; most: how many, None for one."""
    schema = options.model_json_schema()
    photo = {
        "type": "object", "required": ["data"], "additionalProperties": False,
        "properties": {"name": {"type": "string", "maxLength": 255}, "data": {"type": "string", "format": "byte"}},
    }  # fmt: skip
    file = {"type": "string", "format": "binary"}
    required = schema.get("required", [])
    in_json = photo if most is None else {"type": "array", "items": photo, "minItems": fewest, "maxItems": most}
    in_form = file if most is None else {"type": "array", "items": file, "minItems": fewest, "maxItems": most}
    shared = {"type": "object", "additionalProperties": False}
    sample = {"name": "beach.jpg", "data": "/9j/4AAQSkZJRg=="}
    values = schema["examples"][0]
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {**shared, "properties": {"photo": in_form, **schema.get("properties", {})}, "required": ["photo", *required]}
                },
                "application/json": {
                    "schema": {**shared, "properties": {photos: in_json, **schema.get("properties", {})}, "required": [photos, *required]},
                    "example": {photos: sample if most is None else [sample] * fewest, **values},
                },
            },
        }
    }


async def _in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work)


def _options(kind: type[M], fields: dict[str, Any]) -> M:
    """Options of a request whose body was taken apart by hand. Raises Problem that names the first wrong one."""
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        wrong = [{"where": ".".join(map(str, entry["loc"])), "what": entry["msg"]} for entry in error.errors()]
        raise Problem("bad-request", 422, f"{wrong[0]['where']}: {wrong[0]['what']}.", errors=wrong) from error


def _named_only(store: str) -> str:
    """An engine's address without the folders of this machine."""
    kind, _, place = store.partition(":")
    return store if "://" in place else f"{kind}:{PurePath(place).name}"


def _named(uploads: list[Upload]) -> list[NamedPhoto]:
    return [NamedPhoto(upload.name, upload.data) for upload in uploads]


def _note(request: Request, photos: int, faces: int) -> None:
    """What the log says of the request besides."""
    request.scope["facesearch.facts"] = {"photos": photos, "faces": faces}


def router(
    settings: Settings, gallery: Gallery, checkup: Checkup, words: tuple[str, str], originals: Originals | None, meters: Meters
) -> APIRouter:  # fmt: skip
    """All routes. words: the encoder in words, and its id."""
    routes = APIRouter(prefix="/v1")
    limits, (encoder, encoder_id) = settings.limits, words
    roster = Roster(gallery)

    async def each_photo(request: Request, look: Callable[[Sequence[NamedPhoto]], Embedded | Detected]) -> Any:
        """What look makes of the photos of a request that has no options; counted, since the gallery does not see them."""
        uploads, fields = await read_uploads(request, limits, "photos")
        _options(NoOptions, fields)
        done = await _in_thread(lambda: look(_named(uploads)))
        for photo in done.photos:
            meters.on_look(photo)
        _note(request, len(done.photos), sum(map(len, done.photos)))
        return plain(done)

    @routes.get("/health", tags=["service"])
    async def health() -> models.Health:
        """Whether the service can answer, and how much is enrolled."""

        def look() -> models.Health:
            with gallery.store() as store:
                if store is None:
                    return models.Health(gallery="empty", people=0, faces=0, generation=0)
                faces = len(store)
                return models.Health(
                    gallery="ready" if faces else "empty", people=store.person_count(), faces=faces, generation=store.generation
                )

        return await _in_thread(look)

    @routes.get("/version", tags=["service"])
    async def version() -> models.Version:
        """What answers here, and what it takes at most."""
        return models.Version(
            facesearch=__version__, encoder=encoder, encoder_id=encoder_id, detector=gallery.detector.name, originals=originals is not None,
            limits={name: getattr(limits, name) for name in ("photos", "photo_bytes", "body_bytes", "pixels", "faces")},
        )  # fmt: skip

    @routes.post(
        "/search", tags=["search"], openapi_extra=_body(SearchOptions, "photos", limits.photos), response_model=model_of(Searched)
    )  # fmt: skip
    async def search(request: Request) -> Any:
        """Who is nearest to each face in these photos, or nobody. A photo that cannot be used is answered with the reason."""
        uploads, fields = await read_uploads(request, limits, "photos")
        asked = _options(SearchOptions, fields)
        found = await _in_thread(
            lambda: gallery.search_all(_named(uploads), top=asked.top, threshold=asked.threshold, largest=asked.largest)
        )  # fmt: skip
        _note(request, len(uploads), sum(map(len, found.photos)))
        return plain(found)

    @routes.post(
        "/compare", tags=["search"], openapi_extra=_body(CompareOptions, "photos", 2, fewest=2), response_model=model_of(Comparison)
    )  # fmt: skip
    async def compare(request: Request) -> Any:
        """Whether two photos show the same person, decided at the encoder's own false-match rate. No gallery takes part."""
        uploads, fields = await read_uploads(request, limits, "photos")
        asked = _options(CompareOptions, fields)
        if len(uploads) != 2:
            raise Problem("bad-request", 422, f"Two photos are compared; there are {len(uploads)}.")
        a, b = _named(uploads)

        def look() -> Comparison:
            return looking.compare(
                a, b, fmr=asked.fmr, largest=asked.largest, encoder=gallery.encoder, detector=gallery.detector, max_pixels=limits.pixels
            )

        done = await _in_thread(look)
        meters.photos.labels("faces").inc(2)
        _note(request, 2, 2)
        return plain(done)

    @routes.post(
        "/embed", tags=["search"], openapi_extra=_body(NoOptions, "photos", limits.photos), response_model=model_of(Embedded)
    )  # fmt: skip
    async def embed(request: Request) -> Any:
        """The vectors of the faces in these photos. They are biometric data: the service keeps none."""

        def look(photos: Sequence[NamedPhoto]) -> Embedded:
            each = looking.embed_each(
                photos, encoder=gallery.encoder, detector=gallery.detector, max_pixels=limits.pixels, max_faces=limits.faces
            )  # fmt: skip
            return Embedded(tuple(each))

        return await each_photo(request, look)

    @routes.post(
        "/detect", tags=["search"], openapi_extra=_body(NoOptions, "photos", limits.photos), response_model=model_of(Detected)
    )  # fmt: skip
    async def detect(request: Request) -> Any:
        """The faces in these photos: boxes and landmarks."""

        def look(photos: Sequence[NamedPhoto]) -> Detected:
            return Detected(
                tuple(looking.detect_each(photos, detector=gallery.detector, max_pixels=limits.pixels, max_faces=limits.faces))
            )  # fmt: skip

        return await each_photo(request, look)

    @routes.post("/enroll", tags=["people"], openapi_extra=_body(EnrollOptions, "photo", None))
    async def enroll(request: Request) -> models.Enrolled:
        """Enroll one face of a photo under a name, new or known. Closer to somebody else, it is refused unless forced."""
        uploads, fields = await read_uploads(request, limits, None)
        asked = _options(EnrollOptions, fields)
        (photo,) = _named(uploads)

        def write() -> models.Enrolled:
            done = gallery.enroll(asked.name, photo, face=asked.face, refuse_lookalikes=not asked.force)
            person = clean_name(asked.name)
            sha256 = hashlib.sha256(uploads[0].data).hexdigest()
            count = len(gallery.photos_of(person))
            return models.Enrolled(person=person, sha256=sha256, photos=count, known=bool(done.known), unchecked=bool(done.unchecked))

        return await _in_thread(write)

    @routes.get("/people", tags=["people"])
    async def people(
        search: Annotated[str, Query(max_length=LONGEST_NAME, description="Part of the name, in any case.")] = "",
        sort: Annotated[str, Query(pattern="^(separation|name|photos)$")] = "separation",
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> models.People:
        """Everybody enrolled: the worst separated first, or by name, or by the number of photos."""
        found = await _in_thread(roster.people)
        part = search.casefold()
        found = [person for person in found if part in person.name.casefold()]
        if sort == "name":
            found = sorted(found, key=lambda person: person.name.casefold())
        elif sort == "photos":
            found = sorted(found, key=lambda person: -person.photos)
        page = [models.Person(**asdict(person)) for person in found[offset : offset + limit]]
        return models.People(people=page, total=len(found), offset=offset)

    @routes.get("/people/photos", tags=["people"])
    async def photos(name: NameQuery) -> models.PersonPhotos:
        """One person's enrolled photos, by their names."""

        def look() -> models.PersonPhotos:
            with gallery.store() as store:
                if store is None:
                    raise Problem("unknown-person", 404, f"Nobody called {name!r} is enrolled.")
                rows = store.photos_of(name)
            return models.PersonPhotos(name=name, photos=[models.EnrolledPhoto(source=source, sha256=sha) for source, sha in rows])

        return await _in_thread(look)

    @routes.get(
        "/people/thumbnail", tags=["people"], response_class=Response,
        responses={200: {"description": "A small JPEG", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
    )  # fmt: skip
    async def small(name: NameQuery, sha256: ShaQuery) -> Response:
        """An enrolled photo, small, where the service was told where the originals lie."""

        def look() -> bytes | None:
            if originals is None:
                return None
            with gallery.store() as store:
                rows = store.photos_of(name) if store is not None else []
            for source in [source for source, content in rows if content == sha256]:
                data = originals.read(source, sha256)
                if data is not None:
                    return thumbnail(data, limits.pixels)
            return None

        picture = await _in_thread(look)
        if picture is None:
            raise Problem("no-photo", 404, "The original of this photo was not found below the folder given with --photos.")
        return Response(picture, media_type="image/jpeg")

    @routes.post("/rename", tags=["people"])
    async def rename(wanted: models.Rename) -> models.Renamed:
        """Give somebody another name; with join, put all photos under the name of somebody who is enrolled already."""
        moved = await _in_thread(lambda: gallery.rename(wanted.old, wanted.new, join=wanted.join))
        return models.Renamed(name=wanted.new, photos=moved)

    @routes.post("/move", tags=["people"])
    async def move(wanted: models.Move) -> models.Moved:
        """Give some of a person's photos to somebody else, new or known."""
        moved = await _in_thread(lambda: gallery.move(wanted.person, wanted.photos, wanted.to))
        return models.Moved(**asdict(moved))

    @routes.post("/forget", tags=["people"])
    async def forget(wanted: models.Forget) -> models.Receipt:
        """Erase a person, or some of their photos: rows, vectors, index; then prove it. This cannot be undone."""
        try:
            receipt, path = await _in_thread(lambda: gallery.forget(wanted.name, contents=wanted.photos))
        finally:
            roster.let_go()
        files = [{"file": file, "bytes": size} for file, size in receipt.files]
        engines = [{**asdict(there), "store": _named_only(there.store)} for there in receipt.projections]
        return models.Receipt.model_validate({**asdict(receipt), "files": files, "projections": engines, "file": path.name})

    @routes.get("/calibration", tags=["trust"])
    async def calibration() -> models.Calibration:
        """The threshold in use, and what other thresholds would let through and miss."""

        def look() -> models.Calibration:
            with gallery.store() as store:
                threshold, faces = (None, 0) if store is None else (store.threshold(), len(store))
            return figures.calibration(threshold, faces, settings.report, encoder_id)

        return await _in_thread(look)

    @routes.post("/calibration", tags=["trust"])
    async def calibrate(wanted: models.Calibrate) -> models.Calibration:
        """Set the threshold anew with the gallery's own people as strangers: an extrapolation. Strangers' photos: the command line."""

        await _in_thread(lambda: gallery.calibrate(fpir=wanted.fpir, keep_better=not wanted.replace))
        return await calibration()

    @routes.get("/evaluation", tags=["trust"])
    async def evaluation() -> models.Evaluation:
        """What was measured of the encoder, each figure with its interval and its meaning."""
        return await _in_thread(lambda: figures.evaluation(settings.report, encoder_id))

    @routes.get("/audit", tags=["trust"])
    async def audit(limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> models.Audit:
        """What is probably wrong in the gallery. The first time it runs in the background: ask again until state is done."""
        return await _in_thread(lambda: checkup.findings(limit))

    @routes.post("/audit/confirm", tags=["trust"], status_code=204)
    async def confirm_finding(wanted: models.Confirm) -> None:
        """Remember that a finding was looked at and is right as it is; or, with right false, that it was not."""

        def write() -> None:
            if not gallery.folder.is_dir():
                raise Problem("nobody-enrolled", 404, "There is no gallery yet, so there is nothing to confirm.")
            confirm(gallery.folder, wanted.finding, right=wanted.right)

        await _in_thread(write)

    return routes
