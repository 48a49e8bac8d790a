"""Who may talk to the service: the host a request names, the page it comes from, the token it shows, how much
it sends.

Against DNS rebinding a request must name a host that is ours. Against cross-site requests the browser's own
word counts: Sec-Fetch-Site must not be another site's, and an Origin must be the very host the request is
addressed to; programs send neither.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facesearch.web.forms import few_members
from facesearch.web.intake import Intake, too_large
from facesearch.web.places import UPLOADS, Left, Places
from facesearch.web.problems import Problem, answer, instance_of
from facesearch.web.settings import LOOPBACK_NAMES, Settings, is_loopback
from facesearch.web.slowing import Slowing

COOKIE = "facesearch_session"
MOST_SESSIONS = 1000
SMALL_BODY = 2**17
"""Bytes of a body without photos: a thousand photos' SHA-256 in JSON are half of it."""

MANY_MEMBERS = 1024
"""A body without photos from this size on is looked at for how much it holds before models are made of
it."""

MOST_HEAD = 2**14
"""Bytes of a request's head: its target, and its headers' names and values."""

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
        shown = _shown_token(headers)
        if shown and self.is_token(shown):
            return True
        return any(session in self._known for session in _cookies(headers))


def _shown_token(headers: Headers) -> str:
    """The token that a request shows, right or wrong; empty for none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _cookies(headers: Headers) -> list[str]:
    """The values of our own cookie. Others are passed over: each of them is looked at once."""
    pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
    return [value.strip('"') for name, _, value in pairs if name == COOKIE]


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
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:  # it is no address at all
        return True


class Guard:
    """Lets through what may come in, bounds what it sends, has it wait its turn, and puts our headers on
    every answer.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, sessions: Sessions, login: Callable[[], ASGIApp]
    ) -> None:
        """login makes the answer for a browser that has yet to show the token."""
        self._app, self._settings, self._sessions, self._login = app, settings, sessions, login
        limits = settings.limits
        self._intake = Intake(limits.bodies_bytes, limits.read_s)
        self.places = Places(limits.requests, limits.wait_s)
        self._slowing = Slowing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await (self._app(scope, receive, send) if scope["type"] == "lifespan" else _closed(send))
            return
        send = _with_headers(send)
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await (await self._refused(scope, refusal))(scope, receive, send)
            return
        try:
            await self._let_in(scope, receive, send)
        except Left:
            return
        except Problem as problem:  # before the app had it: of its body, or of its turn
            await answer(problem, instance_of(scope))(scope, receive, send)

    async def _refused(self, scope: Scope, refusal: Problem) -> ASGIApp:
        """The answer to what may not come in; a wrong token waits for it."""
        headers, path = Headers(scope=scope), scope["path"]
        if refusal.kind != "token-needed":
            return answer(refusal, instance_of(scope))
        if _shown_token(headers):
            await self._slowing.wrong(address_of(scope))
        wants_page = (
            scope["method"] == "GET"
            and "text/html" in headers.get("accept", "")
            and not path.startswith("/v1/")
        )
        return self._login() if wants_page else answer(refusal, instance_of(scope))

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem for a body that is too large or too slow, and when it is nobody's turn for long."""
        path = scope["path"]
        turns = self.places.of(scope["method"], path)
        held = await self._intake.whole(receive, self._most_of(path))
        async with AsyncExitStack() as stack:
            stack.callback(held.let_go)
            if path.startswith("/v1/") and path not in UPLOADS and held.size > MANY_MEMBERS:
                few_members(held.body)
            if turns is not None:
                await stack.enter_async_context(turns.turn(receive))
            sending = _slowed(_leaving(stack, send), scope, path, self._slowing)
            await self._app(scope, held.again(receive), sending)

    def _most_of(self, path: str) -> int:
        return self._settings.limits.body_bytes if path in UPLOADS else SMALL_BODY

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        path = scope["path"]
        target = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
        if target + sum(len(name) + len(value) for name, value in headers.raw) > MOST_HEAD:
            return Problem("too-large", 431, f"The head of a request may hold {MOST_HEAD // 1024} KiB.")
        if not is_our_host(headers.get("host", ""), self._settings):
            return Problem(
                "wrong-host",
                421,
                "This service answers to its own address only. Start it with --allow-host NAME for others.",
            )
        is_page = scope["method"] in ("GET", "HEAD") and not path.startswith(("/v1/", "/metrics"))
        if is_cross_origin(headers, navigation=is_page):
            return Problem("cross-origin", 403, "A page of another site sent this request. Nothing was done.")
        if not (is_open(path) or self._sessions.admits(headers)):
            return Problem(
                "token-needed",
                401,
                "Send the token that facesearch serve was started with: Authorization: Bearer TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        most, length = self._most_of(path), headers.get("content-length", "")
        if length and not (length.isascii() and length.isdigit()):
            return Problem("bad-request", 400, "The head's Content-Length is no number.")
        return too_large(most) if len(length) > 15 or int(length or 0) > most else None


def is_open(path: str) -> bool:
    """Whether a path is answered without a token."""
    return path in OPEN_PATHS or path.startswith("/static/")


def address_of(scope: Scope) -> str:
    """Where a request comes from."""
    return str((scope.get("client") or ("",))[0])


def _leaving(stack: AsyncExitStack, send: Send) -> Send:
    """Gives the place up when the answer begins: a client that is slow to take it keeps nobody out."""

    async def sending(message: Message) -> None:
        await stack.aclose()
        await send(message)

    return sending


def _slowed(send: Send, scope: Scope, path: str, slowing: Slowing) -> Send:
    """A login with a wrong token is answered late too."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 401:
            await slowing.wrong(address_of(scope))
        await send(message)

    return sending if path == "/login" and scope["method"] == "POST" else send


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
