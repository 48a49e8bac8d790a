"""Everything at once: searches, writers, lists and health checks against a service with 50,000 people, for
ten minutes. Measures times and memory, and whether anything was lost or stale.

    .venv/bin/python scripts/bench_mixed.py            # ten minutes; the README's figures
    .venv/bin/python scripts/bench_mixed.py --quick    # half a minute: proves that it works

People are vectors like those of the shipped gallery (scripts/bench_search.py), photos are drawn. A writer
enrolls a photo and, once that was confirmed, asks for it: it must be named. Then it forgets the person and
asks again: it must not be. What a writer leaves behind must be there in the end.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from bench_search import CHUNK, PHOTOS, content, name_of, people_of, photos_of
from bench_serve import multipart, resident_mb
from benching import machine, write
from drawn_world import ROOT, served
from PIL import Image

from facesearch.datasets.toy import draw_photo, invent_person
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store

OUT = ROOT / "scripts" / "results" / "web" / "mixed.json"
A_CHUNK = CHUNK // PHOTOS
EACH = 2
"""Photos a person."""
SAME = 0.98


def make_gallery(folder: Path, people: int) -> None:
    """So many people, EACH vectors each, of the shipped encoder's space."""
    with Store.open(ROOT / "index") as shipped:
        about = shipped.encoder_id, shipped.dimension, shipped.notes.encoder
    with Store.create(folder, *about) as store:
        for first in range(0, people, A_CHUNK):
            drawn = people_of("face", first // A_CHUNK)[: people - first]
            for shot in range(EACH):
                rows = photos_of("face", drawn, first + shot)
                store.faces.add(
                    [
                        NewFace(name_of(first + i), content(EACH * (first + i) + shot), f"{shot}.jpg", row)
                        for i, row in enumerate(rows)
                    ]
                )


def picture(seed: int, shot: int = 0) -> bytes:
    """A drawn photo as PNG."""
    image = Image.fromarray(draw_photo(invent_person(seed), 100 * seed + shot))
    data = io.BytesIO()
    image.resize((3 * image.width, 3 * image.height), Image.Resampling.LANCZOS).save(data, "PNG")
    return data.getvalue()


class Load:
    """What was asked of one service, how long it took, and what was wrong."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.ended = threading.Event()
        self.took: dict[str, list[float]] = {}
        self.statuses: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.left: set[str] = set()
        self._turn = threading.Lock()

    def ask(self, what: str, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, Any]:
        """A request on a connection of its own: status, and the answer. Status 0: no answer."""
        started = time.perf_counter()
        link = HTTPConnection(self.host, self.port, timeout=120)
        try:
            link.request(method, path, body or None, {"Content-Type": kind} if kind else {})
            answer = link.getresponse()
            status, data = answer.status, answer.read()
        except (OSError, HTTPException):
            status, data = 0, b""
        finally:
            link.close()
        with self._turn:
            self.took.setdefault(what, []).append(time.perf_counter() - started)
            self.statuses[f"{what} {status}"] += 1
        return status, json.loads(data) if status == 200 else None

    def send(self, what: str, path: str, photo: bytes, **fields: str) -> tuple[int, Any]:
        body, kind = multipart(photo, **fields)
        return self.ask(what, "POST", path, body, kind)

    def note(self, what: str) -> None:
        with self._turn:
            self.wrong[what] += 1

    # ---- who asks

    def searcher(self, number: int) -> None:
        photos = [picture(9000 + 10 * number + k) for k in range(4)]
        while not self.ended.is_set():
            self.send("search", "/v1/search", random.choice(photos), top="3")

    def writer(self, number: int) -> None:
        chance, done = random.Random(number), 0
        photos = [picture(20_000 + 100 * number + k) for k in range(6)]
        while not self.ended.is_set():
            photo, name = photos[done % len(photos)], f"written {number} {done}"
            done += 1
            status, _ = self.send("enroll", "/v1/enroll", photo, name=name, force="true")
            if status != 200:
                continue
            if self._first(photo) != name:
                self.note("an enrolled person was not named")
            if chance.random() < 0.1 and len(photos) > 1:
                photos.remove(photo)  # somebody who stays; nobody else has this photo
                self.left.add(name)
                continue
            body = json.dumps({"name": name}).encode()
            status, _ = self.ask("forget", "POST", "/v1/forget", body, "application/json")
            if status == 200 and self._first(photo) == name:
                self.note("a forgotten person was named")
            if status != 200:
                photos.remove(photo)
                if not photos:
                    return

    def _first(self, photo: bytes) -> str:
        status, found = self.send("search after a write", "/v1/search", photo, top="1")
        faces = found["photos"][0]["faces"] if status == 200 else []
        match = faces[0]["matches"][0] if faces and faces[0]["matches"] else None
        return match["person"] if match and match["score"] > SAME else ""

    def every(self, seconds: float, what: str, path: str) -> None:
        while not self.ended.wait(seconds):
            self.ask(what, "GET", path)

    def command_line(self, gallery: Path) -> None:
        """Writers beside the service."""
        number = 0
        while not self.ended.wait(2):
            with Store.open(gallery) as store:
                vector = photos_of("face", people_of("face", -1)[:1], 7_000_000 + number)[0]
                store.faces.add([NewFace(f"beside {number}", content(-1 - number), "a.jpg", vector)])
                self.left.add(f"beside {number}")
                number += 1


def run(people: int, seconds: float, searchers: int, writers: int) -> dict[str, Any]:
    """Serve, ask, and look whether all is there."""
    with tempfile.TemporaryDirectory() as made:
        gallery, log = Path(made) / "gallery", Path(made) / "log"
        make_gallery(gallery, people)
        with served(gallery, log=log) as (url, process):
            load = Load(url)
            load.send("first", "/v1/search", picture(1))
            memory: list[float] = []
            asking: list[Callable[[], None]] = [
                *(lambda n=n: load.searcher(n) for n in range(searchers)),
                *(lambda n=n: load.writer(n) for n in range(writers)),
                lambda: load.every(1, "people", "/v1/people?limit=50&sort=name"),
                lambda: load.every(1, "health", "/v1/health"),
                lambda: load.every(5, "ready", "/v1/ready"),
                lambda: load.command_line(gallery),
            ]
            with ThreadPoolExecutor(len(asking)) as pool:
                running = [pool.submit(one) for one in asking]
                ends = time.monotonic() + seconds
                while time.monotonic() < ends:
                    time.sleep(min(5, max(0.1, seconds / 20)))
                    memory.append(resident_mb(process.pid))
                load.ended.set()
                for one in running:
                    one.result()
            lost = [name for name in load.left if not _is_listed(load, name)]
        return {
            "people": people,
            "seconds": seconds,
            "searchers": searchers,
            "writers": writers,
            "requests": dict(sorted(load.statuses.items())),
            "times_s": {what: _times(took) for what, took in sorted(load.took.items())},
            "memory_mb": {"first": memory[0], "last": memory[-1], "most": max(memory), "samples": memory},
            "left_behind": len(load.left),
            "lost": len(lost),
            "wrong": dict(load.wrong),
        }


def _is_listed(load: Load, name: str) -> bool:
    status, page = load.ask("look", "GET", f"/v1/people?limit=50&search={name.replace(' ', '%20')}")
    return status == 200 and any(person["name"] == name for person in page["people"])


def _times(took: list[float]) -> dict[str, float]:
    p50, p95, most = np.percentile(took, [50, 95, 100])
    return {"count": len(took), "p50": round(p50, 3), "p95": round(p95, 3), "most": round(most, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--searchers", type=int, default=8)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    about = machine()
    people, seconds = (2000, 20.0) if given.quick else (given.people, given.seconds)
    result = run(people, seconds, given.searchers, given.writers)
    for what, times in result["times_s"].items():
        print(
            f"{what:22} {times['count']:7}  p50 {times['p50']:.3f} s  p95 {times['p95']:.3f} s "
            f" most {times['most']:.3f} s"
        )
    memory = result["memory_mb"]
    print(f"memory {memory['first']:.0f} MB, in the end {memory['last']:.0f}, at most {memory['most']:.0f}")
    print(f"answers {result['requests']}")
    print(f"left behind {result['left_behind']}, lost {result['lost']}, wrong {result['wrong'] or 'none'}")
    write(result, given.out, about)


if __name__ == "__main__":
    main()
