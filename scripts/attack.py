"""Attack a service and ask it something meanwhile: is anybody kept out?

    .venv/bin/python scripts/attack.py             # some six minutes; writes scripts/results/attack.json
    .venv/bin/python scripts/attack.py --quick     # under three: whether all is answered rightly
    .venv/bin/python scripts/attack.py --only cookie --only silent

Each attack has a `facesearch serve` of its own over a small drawn gallery. While it lasts, /v1/health and an
honest search are asked over and over, each on a new connection: their longest times, their wrong or missing
answers, and what memory the server took beside. AIM says what is wished on two cores. Attacks are answered
rightly when each request is refused in words or its connection ends, and none is a fault (5xx but 503).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import re
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from bench_serve import Question, form, is_right, questions
from benching import machine, write
from drawn_world import ROOT, facesearch, make_world, started

OUT = ROOT / "scripts" / "results" / "attack.json"
AIM = {"health_s": 0.5, "search_s": 3.0, "more_mb": 1024.0}
PATIENCE_S = 40.0
TOKEN = "a-long-secret-token-of-ours"
HOST = b"Host: 127.0.0.1\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"


@dataclass
class Seen:
    """What came of one attack and of those who asked beside it. Times in seconds, memory in MB."""

    attack: str
    seconds: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    health_s: float = 0.0
    health_asked: int = 0
    search_s: float = 0.0
    searches: int = 0
    missed: int = 0
    more_mb: float = 0.0

    @property
    def is_right(self) -> bool:
        """Nobody was kept out, and nothing was a fault."""
        faults = [word for word in self.answers if word.isdigit() and int(word) >= 500 and word != "503"]
        return not self.missed and self.searches > 0 and self.health_asked > 0 and not faults

    @property
    def is_within_aim(self) -> bool:
        """All figures are as wished."""
        return self.is_right and all(getattr(self, name) <= most for name, most in AIM.items())


@dataclass(frozen=True)
class Target:
    """Where the service is, until when to attack it, and how it answered."""

    host: str
    port: int
    until: float
    quick: bool
    gallery: Path
    photo: bytes = field(repr=False)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def is_over(self) -> bool:
        """Whether the attack's time has passed."""
        return time.monotonic() > self.until

    async def send(self, request: bytes) -> str:
        """Send all, count the status, or "closed" when no answer came."""
        word = "closed"
        with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                with contextlib.suppress(OSError):  # what is refused by its head is not read to its end
                    writer.write(request)
                    await writer.drain()
                line = await reader.readline()
                word = line.split(b" ")[1].decode() if line else "closed"
                await reader.read(2**20)
            finally:
                writer.close()
        self.answers[word] += 1
        return word

    async def again(self, request: bytes, at_once: int) -> None:
        """Send the same over and over, on so many connections at once."""

        async def one() -> None:
            while not self.is_over:
                if await self.send(request) == "closed":
                    await asyncio.sleep(0.02)

        await asyncio.gather(*(one() for _ in range(at_once)))

    async def drip(self, begin: bytes, at_once: int, every_s: float) -> None:
        """Begin and then send one byte now and then, on so many connections at once; for ever again."""

        async def one() -> None:
            while not self.is_over:
                try:
                    reader, writer = await asyncio.open_connection(self.host, self.port)
                except OSError:
                    await asyncio.sleep(0.1)
                    continue
                with contextlib.suppress(OSError):
                    writer.write(begin)
                    while not self.is_over:
                        with contextlib.suppress(TimeoutError):
                            line = await asyncio.wait_for(reader.readline(), every_s)
                            self.answers[line.split(b" ")[1].decode() if line else "closed"] += 1
                            break
                        writer.write(b"a")
                writer.close()

        await asyncio.gather(*(one() for _ in range(at_once)))


def request(path: str, kind: str, body: bytes, *more: str) -> bytes:
    """A whole POST with the token."""
    lines = [f"POST {path} HTTP/1.1".encode(), HOST.strip(), f"Content-Type: {kind}".encode()]
    lines += [f"Content-Length: {len(body)}".encode(), *(line.encode() for line in more)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def with_token(whole: bytes) -> bytes:
    """A request made without the token, with it."""
    return whole.replace(b"Host: 127.0.0.1\r\n", HOST, 1)


async def cookie(target: Target) -> None:
    """60 KB of a cookie, without a token."""
    line = b'Cookie: a="' + b"\\\\" * 30_000 + b'"'
    await target.again(b"GET /v1/people HTTP/1.1\r\nHost: 127.0.0.1\r\n" + line + b"\r\n\r\n", 4)


async def cookies_within(target: Target) -> None:
    """As long a cookie as a head may hold, without a token."""
    line = b'Cookie: a="' + b"\\\\" * 7_900 + b'"'
    await target.again(b"GET /v1/people HTTP/1.1\r\nHost: 127.0.0.1\r\n" + line + b"\r\n\r\n", 4)


async def wrong_tokens(target: Target) -> None:
    """Wrong tokens, one after the other."""
    head = b"GET /v1/people HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer wrong\r\n\r\n"
    await target.again(head, 32)


def unknown_members(size: int) -> bytes:
    """An object of very many members."""
    return b"{" + b",".join(b'"m%d":0' % i for i in range(size // 11)) + b"}"


async def json_small(target: Target) -> None:
    """15 MB of unknown members, where a few words are asked for."""
    await target.again(request("/v1/rename", "application/json", unknown_members(15_000_000)), 4)


async def json_large(target: Target) -> None:
    """15 MB of unknown members, and 60 MB of escaped quotation marks, where photos may come."""
    body = b'{"photos": [{"data": "' + b'\\"' * 30_000_000 + b'"}]}'
    await asyncio.gather(
        target.again(request("/v1/search", "application/json", unknown_members(15_000_000)), 3),
        target.again(request("/v1/search", "application/json", body), 1),
    )


async def faults(target: Target) -> None:
    """Many faults in a body of the largest size that is read."""
    await target.again(request("/v1/rename", "application/json", unknown_members(120_000)), 8)


async def crumbs(target: Target) -> None:
    """A body of chunks of a byte each."""
    head = b"POST /v1/search HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    await target.again(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 500_000, 8)


async def boundaries(target: Target) -> None:
    """A form of nearly nothing but line ends and beginnings of its boundary."""
    body = (
        b'--bb\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        + b"\r\n--b" * 3_000_000
        + b"\r\n--bb--\r\n"
    )
    await target.again(request("/v1/search", "multipart/form-data; boundary=bb", body), 3)


async def large_bodies(target: Target) -> None:
    """Sixteen uploads of 60 MB at once, which hold no photo."""
    body = b'{"photos": [' + b",".join([b'{"data": "' + b"A" * 15_000_000 + b'"}'] * 4) + b"]}"
    await target.again(request("/v1/search", "application/json", body), 16)


async def slow_bodies(target: Target) -> None:
    """A byte now and then in as many uploads as there are places, and more."""
    head = b"POST /v1/enroll HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    every_s = 0.5 if target.quick else 12.0
    await target.drip(head + b"Content-Length: 1000000\r\n\r\n", 100, every_s)


async def slow_heads(target: Target) -> None:
    """A byte of a head now and then."""
    await target.drip(b"GET /v1/people HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", 260, 0.5 if target.quick else 8.0)


async def silent(target: Target) -> None:
    """260 connections that say nothing, under 256 descriptors."""
    await target.drip(b"", 260, 1000.0 if not target.quick else 1.0)


async def unread(target: Target) -> None:
    """Answers that nobody takes."""
    ask = b"GET /v1/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    opened = []
    while not target.is_over:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(target.host, target.port, limit=1)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(ask * 200)
            opened.append(writer)
        await asyncio.sleep(0.05)
    for writer in opened:
        writer.transport.abort()


async def writers(target: Target) -> None:
    """64 uploads that wait for the gallery's lock, which somebody else holds."""
    locked = sqlite3.connect(target.gallery / "gallery.sqlite", isolation_level=None)
    try:
        locked.execute("BEGIN IMMEDIATE")
        whole = with_token(form(target.photo, "/v1/enroll"))
        named = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nZoe\r\n'
        named += b'--b\r\nContent-Disposition: form-data; name="force"\r\n\r\ntrue\r\n--b--\r\n'
        head, _, body = whole.partition(b"\r\n\r\n")
        body = body.replace(b"--b--\r\n", named)
        head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head)
        tasks = [asyncio.create_task(target.send(head + b"\r\n\r\n" + body)) for _ in range(64)]
        while not target.is_over:
            await asyncio.sleep(0.05)
    finally:
        locked.rollback()
        locked.close()
    await asyncio.wait(tasks, timeout=1.0)
    for task in tasks:
        task.cancel()


async def comments(target: Target) -> None:
    """A plain PPM of a megabyte of comments."""
    data = b"P3\n" + b"#\n" * 500_000 + b"2000 2000\n255\n" + b"0 " * 1000
    await target.again(with_token(form(data)), 2)


def grey_16(side: int) -> bytes:
    """A black 16-bit grey PNG of so many pixels a side: small as a file, 27 bytes a pixel when it is read."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = side.to_bytes(4, "big")
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + 2 * side)) for _ in range(side)) + rows.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + size + bytes([16, 0, 0, 0, 0]))
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


async def deep_grey(target: Target) -> None:
    """A 16-bit grey PNG of 97 KB and 49 megapixels, four at once."""
    await target.again(with_token(form(grey_16(7000))), 4)


ATTACKS: dict[str, Callable[[Target], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (
        cookie,
        cookies_within,
        wrong_tokens,
        json_small,
        json_large,
        faults,
        crumbs,
        boundaries,
        large_bodies,
        slow_bodies,
        slow_heads,
        silent,
        unread,
        writers,
        comments,
        deep_grey,
    )
}


async def ask(target: Target, whole: bytes) -> tuple[int, bytes]:
    """An honest request on a connection of its own."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        writer.write(whole)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        return int(head.split(b" ", 2)[1]), await reader.readexactly(int(length[1]))
    finally:
        writer.close()


async def beside(target: Target, seen: Seen, question: Question) -> None:
    """Ask for health and search until the attack is over: at least once."""
    health = b"GET /v1/health HTTP/1.1\r\n" + HOST + b"\r\n"

    async def over_and_over(whole: bytes, name: str, count: str, pause_s: float, search: bool) -> None:
        while True:
            began = time.monotonic()
            try:
                status, body = await asyncio.wait_for(ask(target, whole), PATIENCE_S)
                good = status == 200 and (not search or is_right(body, question.right))
            except (OSError, EOFError, TimeoutError):
                good = False
            setattr(seen, name, round(max(getattr(seen, name), time.monotonic() - began), 3))
            setattr(seen, count, getattr(seen, count) + 1)
            seen.missed += not good
            if target.is_over:
                return
            await asyncio.sleep(pause_s)

    await asyncio.gather(
        over_and_over(health, "health_s", "health_asked", 0.05, search=False),
        over_and_over(with_token(question.request), "search_s", "searches", 0.2, search=True),
    )


@contextlib.contextmanager
def served(gallery: Path, *, files: int, log: Path) -> Iterator[tuple[str, int, int]]:
    """A server with a token that may open so many files: its host, port and process."""
    token = gallery.parent / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    command = facesearch("serve", "--port", 0, "--gallery", gallery, "--token-file", token)
    limited = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
    with started(limited, gallery, log) as (url, process):
        to = urlsplit(url)
        assert to.hostname and to.port
        yield to.hostname, to.port, process.pid


def memory_mb(pid: int, what: str) -> float:
    """VmRSS or VmHWM, the most since it was reset."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def attacked(
    name: str, at: tuple[str, int, int], gallery: Path, asked: list[Question], seconds: float, *, quick: bool
) -> Seen:
    """One attack on one server, from a process of its own. The first search warms the server before."""
    host, port, pid = at
    seen = Seen(name)
    body = asked[1].request.partition(b"\r\n\r\n")[2]  # who is enrolled is not who is asked for
    photo = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--b--")[0]
    asyncio.run(beside(Target(host, port, 0.0, quick, gallery, photo), Seen(name), asked[0]))
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, began = memory_mb(pid, "VmRSS"), time.monotonic()
    target = Target(host, port, began + seconds, quick, gallery, photo)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    attacker = fork.Process(target=attack, args=(name, target, theirs))
    attacker.start()
    time.sleep(min(1.0, seconds / 3))
    asyncio.run(beside(target, seen, asked[0]))
    seen.seconds = round(time.monotonic() - began, 1)
    seen.more_mb = round(memory_mb(pid, "VmHWM") - before, 1)
    seen.answers = ours.recv() if ours.poll(10) else {"unfinished": 1}
    attacker.kill()
    attacker.join()
    return seen


def attack(name: str, target: Target, told: Connection) -> None:
    """Attack until it is over; then tell how it was answered."""

    async def bounded() -> None:
        left = target.until - time.monotonic() + 5
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ATTACKS[name](target), left)

    asyncio.run(bounded())
    told.send(dict(target.answers))


def run(names: list[str], seconds: float, *, quick: bool) -> list[Seen]:
    """All of these attacks, each on a server and a gallery of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as temp:
        world = Path(temp)
        gallery = make_world(world, calibrated=False)
        asked = questions(world / "honest", gallery, crops=False)
        for name in names:
            files = 256 if name in ("silent", "slow_heads", "unread") else 4096
            own = shutil.copytree(gallery, world / name / "gallery")
            with served(own, files=files, log=world / "log") as at:
                rows.append(attacked(name, at, own, asked, seconds, quick=quick))
            print(line(rows[-1]), flush=True)
    return rows


def line(seen: Seen) -> str:
    """A row of the table."""
    verdict = "aim" if seen.is_within_aim else "right" if seen.is_right else "WRONG"
    answers = ", ".join(f"{word} x{count}" for word, count in sorted(seen.answers.items())) or "none"
    return (
        f"{seen.attack:15} {verdict:6} health {seen.health_s:6.2f} s  search {seen.search_s:6.2f} s"
        f"  missed {seen.missed:2d}  memory +{seen.more_mb:5.0f} MB  {answers}"
    )


def main() -> None:
    """Attack, print, and write the figures."""
    parser = argparse.ArgumentParser(description="Attack the service, and ask it something meanwhile.")
    parser.add_argument("--quick", action="store_true", help="Short attacks: is all answered rightly?")
    parser.add_argument("--only", action="append", choices=sorted(ATTACKS), help="Only these attacks.")
    parser.add_argument("--seconds", type=float, help="How long each attack lasts.")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    about = machine()
    names = given.only or list(ATTACKS)
    rows = run(names, given.seconds or (2.0 if given.quick else 12.0), quick=given.quick)
    result = {"quick": given.quick, "aim": AIM, "rows": [asdict(row) for row in rows]}
    write(result, given.out, about)
    wrong = [row.attack for row in rows if not row.is_right]
    print(f"{len(rows) - len(wrong)} of {len(rows)} answered rightly; figures in {given.out}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
