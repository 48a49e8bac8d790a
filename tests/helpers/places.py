"""Where the real data and models lie, if they are there."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"


MOBILEFACENET = SHARED / "models" / "mobilefacenet.onnx"
