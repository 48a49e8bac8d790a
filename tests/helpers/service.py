"""The service with stand-ins, and what is sent to it."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from facesearch.api.encoder import Encoder
from facesearch.api.opening import open_gallery
from facesearch.api.photos import DetectorLike
from facesearch.records import F32, U8, Face
from facesearch.web.app import Service
from facesearch.web.settings import Settings
from tests.helpers.drawn import ColourEncoder

RED, GREEN, BLUE = (220, 10, 10), (10, 220, 10), (10, 10, 220)


HOST = "http://127.0.0.1:8008"


class Halves:
    """A detector that sees a face in each half of a wide photo, the left one larger, and none in a tall
    one."""

    name = "halves"

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        if h > w:
            return []
        boxes = [(0, 0, w / 2 + 4, h), (w / 2 + 4, 0, w / 2 - 4, h)] if w > h else [(0, 0, w, h)]
        return [Face(np.array(box, np.float32), self._eyes(*box), 0.9, self.name) for box in boxes]

    def _eyes(self, x: float, y: float, w: float, h: float) -> F32:
        return np.array([[x + 0.35 * w, y + 0.4 * h], [x + 0.65 * w, y + 0.4 * h]], np.float32)

    def another(self) -> Halves:
        return Halves()


def service(
    folder: Path, *, detector: DetectorLike = "aligned", encoder: ColourEncoder | None = None, **given: Any
) -> Service:
    """The service over the gallery in this folder, with the stand-ins for the network and the detector."""
    settings = Settings(**given)
    limits = settings.limits
    opened = open_gallery(
        folder,
        encoder=Encoder.of(encoder or ColourEncoder()),
        detector=detector,
        workers=2,
        max_pixels=limits.pixels,
        max_faces=limits.faces,
    )
    return Service(settings, opened)


def png(colour: tuple[int, int, int], *, shade: int = 0, size: tuple[int, int] = (112, 112)) -> bytes:
    image = Image.new("RGB", size, colour)
    image.paste((shade, shade, shade), (0, size[1] * 3 // 4, size[0], size[1]))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def pair() -> bytes:
    """A photo with two faces, as Halves sees it: Ada's on the left, a little larger, and a stranger's."""
    wide = Image.new("RGB", (240, 112))
    wide.paste(Image.open(io.BytesIO(png(RED, shade=20, size=(124, 112)))), (0, 0))
    wide.paste(Image.open(io.BytesIO(png((200, 200, 10), shade=20, size=(116, 112)))), (124, 0))
    out = io.BytesIO()
    wide.save(out, "PNG")
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sent(
    client: TestClient, path: str, *pictures: bytes, headers: dict[str, str] | None = None, **fields: Any
) -> Any:
    """The answer to photos in a form."""
    files = [("photo", (f"{i}.png", data, "image/png")) for i, data in enumerate(pictures)]
    return client.post(path, files=files, data=fields, headers=headers)


def sent_in_json(client: TestClient, path: str, *pictures: bytes, **fields: Any) -> Any:
    photos = [
        {"name": f"{i}.png", "data": base64.b64encode(data).decode()} for i, data in enumerate(pictures)
    ]
    return client.post(path, json={"photos": photos, **fields})


def ask(client: TestClient, *pictures: bytes, **fields: Any) -> dict[str, Any]:
    answer = sent(client, "/v1/search", *pictures, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def enroll_face(client: TestClient, name: str, data: bytes, **fields: Any) -> Any:
    return client.post(
        "/v1/enroll", files={"photo": ("new.png", data, "image/png")}, data={"name": name, **fields}
    )


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The answer is problem details of this kind, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:facesearch:problem:{kind}" and body["status"] == status
    assert body["title"] and body["detail"] and body["instance"].startswith("urn:uuid:")
    return body
