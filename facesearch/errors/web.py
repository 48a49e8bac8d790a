"""What can stop the web service from starting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class CannotListen(FaceSearchError):
    host: str
    port: int
    reason: str

    def __str__(self) -> str:
        return f"cannot listen on {self.host}:{self.port}: {self.reason}.\nChoose another port with --port, or 0 for any that is free."


@dataclass(eq=False)
class BadToken(FaceSearchError):
    path: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} is no token file: {self.reason}.\n"
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE; chmod 600 FILE"
        )
