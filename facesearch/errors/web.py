"""What can stop the web service from starting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import ServiceError


@dataclass(eq=False)
class CannotListen(ServiceError):
    """The service cannot listen on this address."""

    host: str
    port: int
    reason: str

    advice = "Choose another port with --port, or 0 for any that is free."

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def what(self) -> str:
        return f"The service cannot listen on this address: {self.reason}."


@dataclass(eq=False)
class BadToken(ServiceError):
    """A file is no token file."""

    path: Path
    reason: str

    about = "path"
    advice = (
        "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE; chmod 600 FILE"
    )

    @property
    def what(self) -> str:
        return f"This is no token file: {self.reason}."
