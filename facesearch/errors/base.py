"""The one class that cli.py catches."""

from __future__ import annotations


class FaceSearchError(Exception):
    """Base of all expected errors."""
