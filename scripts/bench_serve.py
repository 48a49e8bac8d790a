"""Load the service from a second process and measure it: requests/s and p95 at several numbers of clients,
with and without batches, the server's memory over many requests, and whether every answer is right.

    .venv/bin/python scripts/bench_serve.py            # some minutes; the README's figures
    .venv/bin/python scripts/bench_serve.py --quick
        under a minute: proves that it works, its times mean little

A world of drawn people is served (scripts/drawn_world.py). "crops" are aligned face crops, so that the
encoder is nearly all of the work; "photos" are whole pictures, on which faces are found first. Right
answers are those of the library, as `facesearch query` has them, asked in this process before the server
starts: the first person must be the same and every score within 0.01 (bfloat16 rounds by the batch).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from benching import machine, write
from drawn_world import NAMES, ROOT, draw, make_world, served
from PIL import Image

from facesearch.api.opening import open_gallery
from facesearch.api.photos import detect

OUT = ROOT / "scripts" / "results" / "web" / "serve.json"
TOLERANCE = 0.01


@dataclass(frozen=True)
class Question:
    """A request's bytes, and for each of its faces the right first person and score."""

    request: bytes
    right: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Measured:
    what: str
    batched: bool
    clients: int
    requests: int
    per_s: float
    p50_ms: float
    p95_ms: float
    wrong: int
    refused: int
    crops_a_batch: float


def multipart(photo: bytes, **fields: str) -> tuple[bytes, str]:
    """A body with one photo and these fields, and its content type."""
    lines = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = '--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n'
    start = "".join(lines) + head + "Content-Type: image/png\r\n\r\n"
    return start.encode() + photo + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def form(data: bytes, path: str = "/v1/search") -> bytes:
    """A whole HTTP request with one photo."""
    body, kind = multipart(data)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def questions(folder: Path, gallery: Path, *, crops: bool) -> list[Question]:
    """One photo of each person that is not enrolled, as a photo or as an aligned crop, with the library's own
    answer.
    """
    folder.mkdir()
    found = []
    with open_gallery(gallery, detector="aligned" if crops else None) as library:
        for name in NAMES:
            path = folder / f"{name}.png"
            draw(name, 30).save(path)
            faces = detect(path)
            if not len(faces):
                continue
            if crops:
                Image.fromarray(faces[0].crop).save(path)
            right = tuple(
                (face.matches[0].person, face.matches[0].score) for face in library.search(path, top=1)
            )
            found.append(Question(form(path.read_bytes()), right))
    return found


def is_right(body: bytes, right: tuple[tuple[str, float], ...]) -> bool:
    """Whether an answer names the same first people with nearly the same scores."""
    told = [
        (face["matches"][0]["person"], face["matches"][0]["score"])
        for face in json.loads(body)["photos"][0]["faces"]
    ]
    return len(told) == len(right) and all(
        a == c and abs(b - d) < TOLERANCE for (a, b), (c, d) in zip(told, right, strict=True)
    )


class Client:
    """One connection that is kept open: HTTP by hand, so that the load costs little beside what is
    measured."""

    def __init__(self, host: str, port: int) -> None:
        self._at = host, port

    async def open(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection(*self._at)
        return self

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        return int(head.split(b" ", 2)[1]), await self._reader.readexactly(int(length[1]))

    def close(self) -> None:
        self._writer.close()


async def load(
    url: str, asked: list[Question], clients: int, requests: int
) -> tuple[float, list[float], int, int]:
    """So many requests by so many clients at once: seconds in all, seconds each, wrong answers, refusals."""
    to = urlsplit(url)
    assert to.hostname and to.port
    connections = [await Client(to.hostname, to.port).open() for _ in range(clients)]
    numbers = iter(range(requests))
    times: list[float] = []
    wrong = refused = 0

    async def work(client: Client) -> None:
        nonlocal wrong, refused
        for number in numbers:
            question = asked[number % len(asked)]
            started = time.perf_counter()
            status, body = await client.ask(question.request)
            times.append(time.perf_counter() - started)
            if status == 503:
                refused += 1
            elif status != 200 or not is_right(body, question.right):
                wrong += 1

    started = time.perf_counter()
    await asyncio.gather(*(work(client) for client in connections))
    seconds = time.perf_counter() - started
    for client in connections:
        client.close()
    return seconds, times, wrong, refused


async def figure(url: str, name: str) -> float:
    """One number of /metrics."""
    to = urlsplit(url)
    client = await Client(to.hostname or "", to.port or 0).open()
    _, body = await client.ask(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    client.close()
    found = re.search(rf"^{re.escape(name)} (\S+)$", body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def resident_mb(pid: int) -> float:
    """What a process holds in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) / 1024


async def measure(
    url: str, what: str, asked: list[Question], clients: int, requests: int, *, batched: bool
) -> Measured:
    """One row: a short warming, then the load."""
    await load(url, asked, clients, min(requests, clients))
    before = (
        await figure(url, "facesearch_batch_crops_sum"),
        await figure(url, "facesearch_batch_crops_count"),
    )
    seconds, times, wrong, refused = await load(url, asked, clients, requests)
    crops = await figure(url, "facesearch_batch_crops_sum") - before[0]
    batches = await figure(url, "facesearch_batch_crops_count") - before[1]
    p95 = float(np.quantile(times, 0.95)) * 1000
    return Measured(
        what,
        batched,
        clients,
        requests,
        round(requests / seconds, 1),
        round(statistics.median(times) * 1000, 1),
        round(p95, 1),
        wrong,
        refused,
        round(crops / max(1.0, batches), 1),
    )


async def memory(url: str, pid: int, asked: list[Question], requests: int, clients: int) -> dict[str, object]:
    """The server's memory after each tenth of many requests. Growth is from the second tenth on: the first
    warms caches.
    """
    points = [round(resident_mb(pid), 1)]
    wrong = refused = 0
    for _ in range(10):
        _, _, bad, busy = await load(url, asked, clients, requests // 10)
        wrong, refused = wrong + bad, refused + busy
        points.append(round(resident_mb(pid), 1))
    return {
        "requests": requests,
        "clients": clients,
        "rss_mb": points,
        "growth_mb": round(points[-1] - points[2], 1),
        "wrong": wrong,
        "refused": refused,
    }


def run(quick: bool, requests: int, many: int) -> dict[str, object]:
    """All rows, and the memory."""
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as temp:
        world = Path(temp)
        gallery = make_world(world, calibrated=False)
        asked = {
            what: questions(world / what, gallery, crops=what == "crops") for what in ("crops", "photos")
        }
        for what, batch in (("crops", 32), ("crops", 1), ("photos", 32)):
            options = ["--batch", batch, *(["--aligned"] if what == "crops" else [])]
            with served(gallery, *options, log=world / "log") as (url, process):
                for clients in (8,) if quick and what == "photos" else (1, 8, 64):
                    wanted = max(requests, clients)
                    rows.append(
                        asyncio.run(measure(url, what, asked[what], clients, wanted, batched=batch > 1))
                    )
                    print(rows[-1], flush=True)
                if what == "crops" and batch > 1:
                    held = asyncio.run(memory(url, process.pid, asked[what], many, 8))
                    print(held, flush=True)
    wrong = sum(row.wrong for row in rows) + int(str(held["wrong"]))
    return {"quick": quick, "rows": [asdict(row) for row in rows], "memory": held, "wrong_answers": wrong}


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description="Load the service and measure it.")
    parser.add_argument("--quick", action="store_true", help="Few requests: whether it works.")
    parser.add_argument(
        "--requests", type=int, default=1500, help="Requests a row; the memory is always over 10,000."
    )
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    about = machine()
    result = run(given.quick, *((24, 200) if given.quick else (given.requests, 10_000)))
    write(result, given.out, about)
    print(f"{result['wrong_answers']} wrong answers; figures in {given.out}")
    raise SystemExit(1 if result["wrong_answers"] else 0)


if __name__ == "__main__":
    main()
