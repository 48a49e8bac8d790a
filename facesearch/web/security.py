"""Who may talk to the service: the host a request names, the page it comes from, the token it shows, how much
it sends.

Against DNS rebinding a request must name a host that is ours. Against cross-site requests the browser's own
word counts: Sec-Fetch-Site must not be another site's, and an Origin must be the very host the request is
addressed to; programs send neither.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facesearch.web.problems import Problem, answer, instance_of
from facesearch.web.settings import LOOPBACK_NAMES, Settings, is_loopback

COOKIE = "facesearch_session"
MOST_SESSIONS = 1000
SMALL_BODY = 2**20
UPLOADS = frozenset({"/v1/search", "/v1/compare", "/v1/embed", "/v1/detect", "/v1/enroll"})
OPEN_PATHS = frozenset({"/login", "/favicon.ico", "/v1/health", "/v1/ready"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
    " trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Sessions:
    """Browsers that have shown the token: random cookies, in memory only."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._known: dict[str, None] = {}

    def begin(self, token: str) -> str | None:
        """A new session's cookie, or None for a wrong token. The oldest session ends when there are very
        many.
        """
        if not self.is_token(token):
            return None
        session = secrets.token_urlsafe(32)
        self._known[session] = None
        if len(self._known) > MOST_SESSIONS:
            del self._known[next(iter(self._known))]
        return session

    def is_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def admits(self, headers: Headers) -> bool:
        """Whether a request shows the token itself, or a session that did."""
        if not self._token:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and cookie.value in self._known


def is_our_host(host: str, settings: Settings) -> bool:
    """Whether a Host header, with or without a port, names this service.

    The address that it listens on, the loopback's own names, and the names given; on another address than the
    loopback's also bare IP addresses, which no rebinding can put into a browser's address bar.
    """
    name = host_name(host)
    if name in LOOPBACK_NAMES or name in settings.hosts:
        return True
    if name == settings.host.lower() or name == f"[{settings.host.lower()}]":
        return True
    return not is_loopback(settings.host) and _is_ip(name)


def host_name(host: str) -> str:
    """A Host header without its port, in lower case."""
    host = host.strip().lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_cross_origin(headers: Headers, *, navigation: bool) -> bool:
    """Whether a browser says that another site's page made this request. navigation: a link to a page of ours
    may be followed.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if navigation and headers.get("sec-fetch-mode", "navigate") == "navigate":
        return False
    if site is not None and site not in ("same-origin", "none"):
        return True
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class Guard:
    """Lets through what may come in, bounds what it sends, and puts our headers on every answer."""

    def __init__(
        self, app: ASGIApp, settings: Settings, sessions: Sessions, login: Callable[[], ASGIApp]
    ) -> None:
        """login makes the answer for a browser that has yet to show the token."""
        self._app, self._settings, self._sessions, self._login = app, settings, sessions, login
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await (self._app(scope, receive, send) if scope["type"] == "lifespan" else _closed(send))
            return
        headers, path = Headers(scope=scope), scope["path"]
        send = _with_headers(send)
        if path in UPLOADS and self._uploads >= self._settings.limits.requests:
            busy = Problem(
                "too-busy",
                503,
                "Too many photos are being looked at. Try again in a moment.",
                headers={"Retry-After": "1"},
            )
            await answer(busy, instance_of(scope))(scope, receive, send)
            return
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            wants_page = (
                scope["method"] == "GET"
                and "text/html" in headers.get("accept", "")
                and not path.startswith("/v1/")
            )
            response = (
                self._login()
                if refusal.kind == "token-needed" and wants_page
                else answer(refusal, instance_of(scope))
            )
            await response(scope, receive, send)
            return
        most = self._settings.limits.body_bytes if path in UPLOADS else SMALL_BODY
        self._uploads += path in UPLOADS
        try:
            await self._app(scope, _bounded(receive, most, self._settings.limits.read_s), send)
        finally:
            self._uploads -= path in UPLOADS

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        path = scope["path"]
        if not is_our_host(headers.get("host", ""), self._settings):
            return Problem(
                "wrong-host",
                421,
                "This service answers to its own address only. Start it with --allow-host NAME for others.",
            )
        is_page = scope["method"] in ("GET", "HEAD") and not path.startswith(("/v1/", "/metrics"))
        if is_cross_origin(headers, navigation=is_page):
            return Problem("cross-origin", 403, "A page of another site sent this request. Nothing was done.")
        if not (path in OPEN_PATHS or path.startswith("/static/") or self._sessions.admits(headers)):
            return Problem(
                "token-needed",
                401,
                "Send the token that facesearch serve was started with: Authorization: Bearer TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        most = self._settings.limits.body_bytes if path in UPLOADS else SMALL_BODY
        length = headers.get("content-length", "")
        return _too_large(most) if length.isdigit() and int(length) > most else None


def _too_large(most: int) -> Problem:
    return Problem(
        "too-large",
        413,
        f"A request may hold {most / 2**20:.0f} MiB. Send fewer or smaller photos at a time.",
    )


def _bounded(receive: Receive, most: int, wait_s: float) -> Receive:
    """The same body, but no more of it than `most` bytes, and no longer silence in it than wait_s."""
    taken, whole = 0, False

    async def bounded() -> Message:
        nonlocal taken, whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), wait_s)
        except TimeoutError:
            raise Problem(
                "too-slow", 408, f"Nothing came for {wait_s:.0f} s, so the upload was given up."
            ) from None
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > most:
            raise _too_large(most)
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _closed(send: Send) -> Awaitable[None]:
    return send({"type": "websocket.close", "code": 1008})
