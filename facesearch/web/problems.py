"""Every error as RFC 9457 problem details: a kind, a status, a sentence. No path of this machine and no photo's bytes are in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from facesearch import errors
from facesearch.errors import FaceSearchError

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:facesearch:problem:"

TITLES = {
    "bad-request": "The request cannot be understood",
    "bad-photo": "The photo cannot be used",
    "no-face": "There is no such face in the photo",
    "closer-to-another": "This face is closer to somebody else",
    "token-needed": "A token is needed",
    "wrong-host": "The request is addressed to another host",
    "cross-origin": "Another web page sent this request",
    "too-large": "The upload is too large",
    "too-slow": "The upload stopped",
    "too-busy": "Too much at once",
    "not-found": "There is nothing here",
    "no-such-method": "This cannot be done here",
    "no-photo": "The original photo was not found",
    "no-evaluation": "Nothing has been measured yet",
    "replaces-better": "A better threshold would be replaced",
    "our-fault": "Something went wrong on our side",
    "bad-name": "This cannot be a name",
    "unknown-person": "Nobody of this name is enrolled",
    "unknown-photo": "This person has no such photo",
    "name-taken": "Somebody of this name is enrolled already",
    "nobody-enrolled": "Nobody is enrolled yet",
    "gallery-busy": "The gallery is being written to",
    "gallery-changed": "The gallery has changed",
    "other-encoder": "The gallery belongs to another encoder",
    "not-erased-yet": "Deleted, but not yet erased from the disk",
    "still-there": "Deleted, but bytes are left on the disk",
    "too-few": "There are too few photos for this",
    "gallery-damaged": "The gallery is damaged",
    "cannot-write": "The gallery cannot be written",
    "could-not": "It could not be done",
}

_KINDS: dict[type[FaceSearchError], tuple[str, int, str]] = {
    errors.NoGallery: ("nobody-enrolled", 404, "There is no gallery yet. It is made when the first face is enrolled."),
    errors.EmptyGallery: ("nobody-enrolled", 404, "Nobody is enrolled yet, so there is nobody to find."),
    errors.BadName: ("bad-name", 422, ""),
    errors.UnknownPerson: ("unknown-person", 404, ""),
    errors.UnknownPhoto: ("unknown-photo", 404, ""),
    errors.NameTaken: ("name-taken", 409, ""),
    errors.GalleryBusy: ("gallery-busy", 503, "Somebody else is writing to the gallery. Nothing was changed; try again in a moment."),
    errors.GalleryChanged: ("gallery-changed", 409, "The gallery was embedded anew with another encoder meanwhile. Nothing was changed."),
    errors.EncoderMismatch: (
        "other-encoder", 409, "The gallery was built with another encoder than the one serving it: start facesearch serve again.",
    ),
    errors.NotErasedYet: (
        "not-erased-yet", 503,
        "They are deleted and named no more, but another process is reading the gallery, so the bytes are still in its log. Try again.",
    ),
    errors.StillThere: (
        "still-there", 500,
        "They are deleted and named no more, but another file in the gallery's folder still holds their bytes. Delete it; try again.",
    ),
    errors.TooFewSearches: ("too-few", 409, ""),
    errors.NothingToDo: ("too-few", 409, ""),
    errors.CorruptGallery: ("gallery-damaged", 500, "The gallery is damaged. Look at it with: facesearch verify"),
    errors.CannotWrite: ("cannot-write", 500, "The gallery's folder cannot be written: full, or read-only. Nothing was changed."),
    errors.CannotRead: ("could-not", 500, "A file beside the gallery cannot be read."),
}  # fmt: skip


class Problem(HTTPException):
    """An answer that says what is wrong. kind is a key of TITLES; more goes into the answer as members of its own."""

    def __init__(self, kind: str, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.kind, self.more = kind, more


def problem_of(error: FaceSearchError) -> Problem:
    """What a client is told of an error of the jobs: in words for a page, without this machine's paths."""
    for cls in type(error).__mro__:
        if cls in _KINDS:
            kind, status, words = _KINDS[cls]
            headers = {"Retry-After": "1"} if status == 503 else None
            return Problem(kind, status, words or _own_words(error), headers=headers)
    return Problem("could-not", 500, f"It could not be done ({type(error).__name__}). The machine that serves this page knows more.")


def _own_words(error: FaceSearchError) -> str:
    match error:
        case errors.UnknownPerson(name, close):
            return f"Nobody called {name!r} is enrolled." + (f" Did you mean {close[0]!r}?" if close else "")
        case errors.UnknownPhoto(name):
            return f"{name!r} has no such photo. Perhaps it was moved or forgotten meanwhile."
        case errors.NameTaken(name):
            return f"Somebody called {name!r} is enrolled already. Join both to put all photos under that name."
        case errors.NothingToDo(_, reason):
            return f"{reason[:1].upper()}{reason[1:]}."
    text = str(error)
    return text[:1].upper() + text[1:]


def answer(problem: Problem, instance: str = "") -> JSONResponse:
    """The problem as a response. instance: which request it was."""
    body = {"type": TYPE + problem.kind, "title": TITLES[problem.kind], "status": problem.status_code, "detail": problem.detail}
    if instance:
        body["instance"] = instance
    return JSONResponse({**body, **problem.more}, problem.status_code, dict(problem.headers or {}), media_type=MEDIA_TYPE)


def instance_of(scope: Mapping[str, Any]) -> str:
    """The request's own URN."""
    request_id = scope.get("facesearch.id", "")
    return f"urn:uuid:{request_id}" if request_id else ""


def install(app: FastAPI) -> None:
    """Make the app answer all errors so, unexpected ones too."""

    def respond(request: Request, error: Exception) -> JSONResponse:
        problem = _as_problem(error)
        documented = app.openapi()["paths"].get(request.scope["path"]) if problem.status_code == 405 else None
        if documented:  # one path may have a route a method, of which the router names the first only
            problem.headers = {"Allow": ", ".join(sorted(method.upper() for method in documented))}
        return answer(problem, instance_of(request.scope))

    for cls in (FaceSearchError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(cls, respond)


def _as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, FaceSearchError):
        return problem_of(error)
    if isinstance(error, RequestValidationError):
        wrong = [{"where": ".".join(str(part) for part in entry["loc"]), "what": entry["msg"]} for entry in error.errors()]
        first = f"{wrong[0]['where']}: {wrong[0]['what']}" if wrong else "A value is not as it should be"
        return Problem("bad-request", 422, f"{first}.", errors=wrong)
    if isinstance(error, HTTPException):
        kinds = {404: "not-found", 405: "no-such-method", 413: "too-large"}
        return Problem(kinds.get(error.status_code, "bad-request"), error.status_code, str(error.detail), headers=error.headers)
    return Problem("our-fault", 500, "Something went wrong on our side. Nothing is known to have changed; the log says where it happened.")
