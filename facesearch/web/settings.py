"""What a served gallery works with, frozen at its start."""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from facesearch.errors import BadToken, reason_of

SHORTEST_TOKEN = 16
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may ask of the service. photo_bytes and pixels are of one photo; bodies_bytes: of all
    bodies in memory together; requests: searches worked on at once; wait_s: how long others wait for their
    turn; read_s: seconds without a byte after which a body is given up."""

    photos: int = 16
    photo_bytes: int = 20 * 2**20
    body_bytes: int = 64 * 2**20
    pixels: int = 50_000_000
    faces: int = 100
    bodies_bytes: int = 256 * 2**20
    requests: int = 64
    wait_s: float = 20.0
    read_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """token: what a client must show, empty where nothing is asked. hosts: names besides the loopback's that
    a request may be addressed to. photos: where the originals lie; report: what evaluate wrote."""

    host: str = "127.0.0.1"
    token: str = field(default="", repr=False)
    hosts: frozenset[str] = frozenset()
    photos: Path | None = None
    report: Path = Path("report")
    limits: Limits = Limits()


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_for(host: str, file: Path | None) -> tuple[str, bool]:
    """The token that clients must show, and whether it was made up here. None is needed on the loopback
    without a file.

    Raises BadToken for a file that cannot be read, is readable by others, or holds a token that could be
    guessed.
    """
    if file is None:
        return ("", False) if is_loopback(host) else (secrets.token_urlsafe(32), True)
    try:
        mode, token = file.stat().st_mode, file.read_text("utf-8").strip()
    except OSError as error:
        raise BadToken(file, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise BadToken(file, "it is not text") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadToken(file, "others than its owner may read it")
    if len(token) < SHORTEST_TOKEN or not token.isascii() or any(character.isspace() for character in token):
        raise BadToken(file, f"it must hold one word of at least {SHORTEST_TOKEN} ASCII characters")
    return token, False
