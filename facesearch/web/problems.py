"""Every error as RFC 9457 problem details: a kind, a status, a sentence. No path of this machine and no
photo's bytes are in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from facesearch.errors import FacesearchError

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:facesearch:problem:"


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. Some kinds have members of their own."""

    model_config = ConfigDict(
        title="Problem",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:facesearch:problem:unknown-person",
                    "title": "Unknown person",
                    "status": 404,
                    "detail": "Nobody called 'Ada' is enrolled.",
                    "instance": "urn:uuid:6f1c8a0e-4a53-4a0e-9a6c-2f5b8d1f8f00",
                }
            ]
        },
    )
    type: str
    title: str
    status: int
    detail: str
    instance: str = ""


class Problem(HTTPException):
    """An answer that says what is wrong. kind is a slug; more goes into the answer as members of its own."""

    def __init__(
        self, kind: str, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.kind, self.more = kind, more


def problem_of(error: FacesearchError) -> Problem:
    """What a client is told of an error of the jobs: the fact, which holds no path of this machine."""
    return Problem(
        error.kind, error.status, error.what, headers={"Retry-After": "1"} if error.status == 503 else None
    )


def wrong_in(entries: Sequence[Any]) -> Problem:
    """What a client is told of values that are not as they should be, as pydantic lists them: the first one
    in the sentence, all of them in `errors`.
    """
    wrong = [{"where": ".".join(map(str, entry["loc"])), "what": entry["msg"]} for entry in entries]
    first = f"{wrong[0]['where']}: {wrong[0]['what']}" if wrong else "A value is not as it should be"
    return Problem("bad-request", 422, f"{first}.", errors=wrong)


def title_of(kind: str) -> str:
    """unknown-person -> Unknown person."""
    return kind.replace("-", " ").capitalize()


class _Answer(JSONResponse):
    """Leaves with the request which problem it was, and why, for the log."""

    media_type = MEDIA_TYPE
    problem: Problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["facesearch.problem"] = self.problem.kind
        scope.setdefault("facesearch.error", self.problem.__cause__ or self.problem)
        await super().__call__(scope, receive, send)


def answer(problem: Problem, instance: str = "") -> JSONResponse:
    """The problem as a response. instance: which request it was."""
    body = {
        "type": TYPE + problem.kind,
        "title": title_of(problem.kind),
        "status": problem.status_code,
        "detail": problem.detail,
    }
    if instance:
        body["instance"] = instance
    told = _Answer({**body, **problem.more}, problem.status_code, dict(problem.headers or {}))
    told.problem = problem
    return told


def instance_of(scope: Mapping[str, Any]) -> str:
    """The request's own URN."""
    request_id = scope.get("facesearch.id", "")
    return f"urn:uuid:{request_id}" if request_id else ""


def install(app: FastAPI) -> None:
    """Make the app answer all errors so, unexpected ones too."""

    def respond(request: Request, error: Exception) -> JSONResponse:
        problem = _as_problem(error)
        if isinstance(error, FacesearchError):
            request.scope["facesearch.error"] = error
        documented = app.openapi()["paths"].get(request.scope["path"]) if problem.status_code == 405 else None
        if documented:  # one path may have a route a method, of which the router names the first only
            problem.headers = {"Allow": ", ".join(sorted(method.upper() for method in documented))}
        return answer(problem, instance_of(request.scope))

    for cls in (FacesearchError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(cls, respond)


def _as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, FacesearchError):
        return problem_of(error)
    if isinstance(error, RequestValidationError):
        return wrong_in(error.errors())
    if isinstance(error, HTTPException):
        kinds = {404: "not-found", 405: "no-such-method", 413: "too-large"}
        return Problem(
            kinds.get(error.status_code, "bad-request"),
            error.status_code,
            str(error.detail),
            headers=error.headers,
        )
    return Problem(
        "our-fault",
        500,
        "Something went wrong on our side. Nothing is known to have changed; the log says where it happened.",
    )
