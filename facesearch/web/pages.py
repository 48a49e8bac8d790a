"""What a browser is given: the page, its files, the login, the evaluation's report; and /metrics."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.staticfiles import StaticFiles

from facesearch.api.measured import PAGE
from facesearch.version import __version__
from facesearch.web.observe import Meters
from facesearch.web.problems import Problem
from facesearch.web.security import COOKIE, Sessions
from facesearch.web.settings import Settings

REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none';"
    " sandbox"
)
TEMPLATES = Environment(
    loader=PackageLoader("facesearch.web"), autoescape=select_autoescape(), undefined=StrictUndefined
)


def static_files() -> StaticFiles:
    """The page's own scripts and styles: nothing comes from another host."""
    return StaticFiles(directory=Path(__file__).parent / "static")


def login_page(*, wrong: bool = False) -> HTMLResponse:
    """Asks for the token."""
    return HTMLResponse(TEMPLATES.get_template("login.html").render(wrong=wrong, version=__version__), 401)


def router(settings: Settings, sessions: Sessions, meters: Meters) -> APIRouter:
    """The routes that are not the service's; they are not in its schema."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> HTMLResponse:
        text = TEMPLATES.get_template("page.html").render(
            version=__version__, originals=settings.photos is not None
        )
        return HTMLResponse(text)

    @routes.post("/login")
    async def login(token: str = Form(max_length=1000)) -> Response:
        session = sessions.begin(token.strip())
        if session is None:
            return login_page(wrong=True)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")
        return answer

    @routes.get("/report")
    def report() -> Response:
        path = settings.report / PAGE
        if not path.is_file():
            raise Problem("no-evaluation", 404, "There is no report yet. Make one with: facesearch evaluate")
        return HTMLResponse(path.read_text("utf-8"), headers={"content-security-policy": REPORT_CSP})

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/favicon.ico")
    async def icon() -> Response:
        return Response(status_code=204)

    return routes
