"""A study, and not maintained: could a gallery lie in an SQLCipher file instead of sealing row by row?

Asked was: "Try `sqlcipher3` behind `tests/test_encrypted.py`: if proof of erasure, WAL and speed hold, say so
with figures; do not change the format yet." What came of it stands in scripts/LOG-sqlcipher.md.

    pip install sqlcipher3 cryptography          # beside facesearch
    python scripts/studies/sqlcipher.py --out scripts/results/studies/sqlcipher.json
    PYTHONPATH=scripts pytest -p studies.sqlcipher tests/gallery/test_encrypt*.py

The second runs every measurement and prints it; the third runs the tests of encrypted galleries with the
gallery's own code over SQLCipher: rows plain, the whole file encrypted. Nothing of facesearch is changed; its
`sqlite3` and a few methods of Gallery are exchanged while the study runs.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import platform
import random
import secrets
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sqlcipher3.dbapi2 as sqlcipher

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from facesearch.gallery.care import verify

from facesearch.errors import CorruptGallery, KeyMissing, NotEncrypted, WrongKey
from facesearch.gallery import forget as erase
from facesearch.gallery.store import remains
from facesearch.gallery.store import sqlite as store_sqlite
from facesearch.gallery.store.cipher import PLAIN, new_cipher
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace, Unfinished
from facesearch.gallery.store.store import FILE, Gallery

PAGE, RESERVED, IV, MAC = 4096, 80, 16, 64
FRAME = 24 + PAGE
WAL_HEADER, WAL_MAGIC = 32, (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
KEY, OTHER = Key(bytes(range(32)), "a study"), Key(bytes(32), "another")
WAYS = ("plain", "control", "rows", "whole")
"""plain: Python's SQLite; control: the same through sqlcipher3 without a key; rows: sealed as today; whole:
SQLCipher."""
D = 512
REAL = {
    name: Gallery.__dict__[name]
    for name in ("create", "open", "open_snapshot", "snapshot", "sealed")
    if name in Gallery.__dict__
}


# ---- the gallery's code over SQLCipher


class Now:
    """Which module connects, and under which key a file is opened next."""

    way = "plain"
    key: Key | None = None


def pragma(key: Key) -> str:
    return f"\"x'{key.secret.hex()}'\""


class Keyed(sqlcipher.Connection):
    """A connection that gives the key along where another file is attached."""

    key: Key | None = None

    def execute(self, sql: str, *values: Any) -> Any:
        if sql.startswith("ATTACH ?") and self.key:
            sql += f" KEY {pragma(self.key)}"
        return super().execute(sql, *values)


class Shim:
    """Stands for the module sqlite3 in the gallery's code."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3 if Now.way in ("plain", "rows") else sqlcipher, name)

    @staticmethod
    def connect(path: Any, **how: Any) -> Any:
        if Now.way in ("plain", "rows"):
            return sqlite3.connect(path, **how)
        db = sqlcipher.connect(str(path), factory=Keyed, **how)
        db.execute("PRAGMA cipher_log_level = NONE")
        if Now.way == "whole" and Now.key is not None and path != ":memory:":
            db.key = Now.key
            db.execute(f"PRAGMA key = {pragma(Now.key)}")
        return db


@contextmanager
def under(key: Key | None) -> Iterator[None]:
    before, Now.key = Now.key, key
    try:
        yield
    finally:
        Now.key = before


def whole_open(opener: str, cls: Any, path: Path, key: Key | None, either: bool) -> Gallery:
    """Open what may be encrypted. SQLCipher tells a wrong key from damage no more than from a plain file."""
    for tried in (key, None) if key else (None,):
        try:
            with under(tried):
                args = {} if opener == "open_snapshot" else {"either": True}
                gallery: Gallery = REAL[opener].__func__(cls, path, None, **args)
        except CorruptGallery as error:
            if "not a database" not in str(error):
                raise
            continue
        if tried is None and key and not either:
            gallery.close()
            raise NotEncrypted(path, key.origin)
        gallery.key = tried
        return gallery
    if key is None:
        raise KeyMissing(path)
    raise WrongKey(path, key.origin)


def open_gallery(cls: Any, folder: Path, key: Key | None = None, *, either: bool = False) -> Gallery:
    if Now.way == "whole":
        return whole_open("open", cls, folder, key, either)
    return REAL["open"].__func__(cls, folder, key, either=either)


def open_snapshot(cls: Any, path: Path, key: Key | None = None) -> Gallery:
    if Now.way == "whole":
        return whole_open("open_snapshot", cls, path, key, True)
    return REAL["open_snapshot"].__func__(cls, path, key)


def create(
    cls: Any,
    folder: Path,
    encoder_id: str,
    dimension: int,
    encoder: str,
    key: Key | None = None,
    *,
    like: Gallery | None = None,
    encoder_file: str = "",
) -> Gallery:
    make = REAL["create"].__func__
    if Now.way != "whole":
        return make(cls, folder, encoder_id, dimension, encoder, key, like=like, encoder_file=encoder_file)
    key = like.key if like is not None else key
    if (folder / FILE).exists() and (folder / FILE).stat().st_size:
        return open_gallery(cls, folder, key, either=like is not None)
    with under(key):
        made = {"encoder_file": encoder_file}
        Gallery.open = classmethod(lambda c, f, k=None, either=False: (f, k))
        try:
            make(cls, folder, encoder_id, dimension, encoder, None, **made)
        finally:
            Gallery.open = classmethod(open_gallery)
    return open_gallery(cls, folder, key, either=like is not None)


def snapshot(gallery: Gallery, path: Path) -> None:
    with under(gallery.key if Now.way == "whole" else None):
        REAL["snapshot"](gallery, path)


def is_sealed(gallery: Gallery) -> bool:
    return bool(gallery.cipher.description) or (Now.way == "whole" and gallery.key is not None)


REAL_CHANGE = Gallery.change_cipher


def change_cipher(gallery: Gallery, cipher: Any, key: Key | None) -> Unfinished | None:
    """Under SQLCipher: PRAGMA rekey, or sqlcipher_export into a new file that takes the old one's place."""
    if Now.way != "whole":
        return REAL_CHANGE(gallery, cipher, key)
    note = Unfinished(secrets.token_hex(16), "", len(gallery), gallery.generation, "encrypt") if key else None
    with gallery._transaction():
        for rows in gallery._stored(1000):
            for row in rows:
                gallery._opened(row)
        if note:
            gallery._note(note)
    if gallery.key is not None and key is not None:
        gallery._db.execute(f"PRAGMA rekey = {pragma(key)}")
        gallery._db.key = key
    else:
        exchange(gallery, key)
    gallery.key = key
    return note


def exchange(gallery: Gallery, key: Key | None) -> None:
    """Write the gallery into a new file under this key, or in plain, and put it into the first one's
    place."""
    path, new = gallery.folder / FILE, gallery.folder / f"{FILE}.new"
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_RDWR, 0o600))
    db = gallery._db
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.execute(f"ATTACH '{new}' AS new KEY {pragma(key) if key else chr(39) * 2}")
    db.execute("SELECT sqlcipher_export('new')")
    db.execute(f"PRAGMA new.application_id = {store_sqlite.APPLICATION_ID}")
    db.execute("DETACH new")
    db.close()
    for end in ("-wal", "-shm"):
        path.with_name(FILE + end).unlink(missing_ok=True)
    new.replace(path)
    with under(key):
        gallery._db = store_sqlite.connect(path)
        gallery._db.execute("PRAGMA journal_mode = WAL")


def install(way: str = "whole") -> None:
    """From now on galleries go this way. Twice is as good as once."""
    Now.way = way
    store_sqlite.sqlite3 = Shim()
    Gallery.open, Gallery.create = classmethod(open_gallery), classmethod(create)
    Gallery.open_snapshot, Gallery.snapshot = classmethod(open_snapshot), snapshot
    Gallery.sealed, Gallery.change_cipher = property(is_sealed), change_cipher
    erase._look = look


# ---- the search that a proof of erasure would need


def decrypted(data: bytes, key: bytes) -> Iterator[bytes]:
    """What a file holds under a key, whatever file it is: pages of an SQLCipher file, frames of its log, and
    of anything else (a journal, a torn copy) every block as AES-CBC reads it, from every fourth byte."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def blocks(part: bytes) -> np.ndarray:
        made = Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(part)
        return np.frombuffer(made, np.uint8).reshape(-1, 16)

    def paged(stored: np.ndarray, skip: int = 0) -> bytes:
        """Whole pages (n, PAGE): the first block against the page's own IV, the others against the one
        before."""
        body = np.ascontiguousarray(stored[:, skip : PAGE - RESERVED])
        plain = blocks(body.tobytes()).reshape(len(body), -1, 16)
        before = np.concatenate(
            [stored[:, None, PAGE - RESERVED :][:, :, :IV], body.reshape(len(body), -1, 16)[:, :-1]], axis=1
        )
        return (plain ^ before).tobytes()

    if data[:4] in WAL_MAGIC:
        count = (len(data) - WAL_HEADER) // FRAME
        frames = np.frombuffer(data, np.uint8, count * FRAME, WAL_HEADER).reshape(count, FRAME)
        first = (frames[:, :4] == (0, 0, 0, 1)).all(1)
        yield paged(frames[~first, 24:])
        yield paged(frames[first, 24:], 16)
    elif verified(data[:PAGE], key, data[:16])[0]:
        pages = np.frombuffer(data, np.uint8, len(data) // PAGE * PAGE).reshape(-1, PAGE)
        yield paged(pages[:1], 16)
        yield paged(pages[1:])
    else:
        for shift in range(0, 16, 4):
            part = data[shift : shift + (len(data) - shift) // 16 * 16]
            if len(part) > 16:
                every = np.frombuffer(part, np.uint8).reshape(-1, 16)
                yield (blocks(part)[1:] ^ every[:-1]).tobytes()


def verified(data: bytes, key: bytes, salt: bytes) -> tuple[int, int]:
    """How many pages (or frames) of a file fit their HMAC under a key, of how many."""
    mac_key = hashlib.pbkdf2_hmac("sha512", key, bytes(byte ^ 0x3A for byte in salt), 2, 32)
    if data[:4] in WAL_MAGIC:
        starts = range(WAL_HEADER, len(data) - FRAME + 1, FRAME)
        pages = [(int.from_bytes(data[at : at + 4], "big"), data[at + 24 : at + FRAME]) for at in starts]
    else:
        pages = [(at // PAGE + 1, data[at : at + PAGE]) for at in range(0, len(data) - PAGE + 1, PAGE)]
    fit = 0
    for number, page in pages:
        told = page[16 if number == 1 else 0 : PAGE - MAC] + number.to_bytes(4, "little")
        fit += hmac.digest(mac_key, told, "sha512") == page[-MAC:]
    return fit, len(pages)


def deep_search(task: dict[str, Any]) -> list[dict[str, Any]]:
    """As facesearch.gallery.store.remains searches, but in what the files hold under the key, too."""
    wanted = remains.Wanted([bytes.fromhex(blob) for blob in task["vectors"]], task["texts"])
    found = []
    for path in sorted(Path(task["folder"]).rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            pieces, texts = wanted.held(path) if data else (set(), set())
            plain = len(pieces) + len(texts)
            for part in decrypted(data, bytes.fromhex(task["key"])):
                if wanted._pieces:
                    pieces = pieces | wanted._pieces_in(part)
                if wanted._texts:
                    texts = texts | wanted._texts_in(part)
            told = {"name": str(path.relative_to(task["folder"])), "bytes": len(data), "plain": plain}
            found.append({**told, "pieces": [piece.hex() for piece in pieces], "texts": sorted(texts)})
    return found


def deep(folder: Path, vectors: Sequence[bytes], texts: Sequence[str], key: Key) -> list[dict[str, Any]]:
    """The same by a process of its own, as SQLite's locks demand; the key goes through a pipe."""
    task = {
        "folder": str(folder),
        "vectors": [v.hex() for v in vectors],
        "texts": list(texts),
        "key": key.secret.hex(),
    }
    done = subprocess.run(
        [sys.executable, __file__, "--search"],
        input=json.dumps(task),
        text=True,
        capture_output=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


REAL_LOOK = erase._look


def look(gallery: Gallery, parts: Any, codes: tuple[bytes, ...]) -> Any:
    """The proof's search: that of today, and with a whole file's key the deep one instead."""
    if Now.way != "whole" or gallery.key is None:
        return REAL_LOOK(gallery, parts, codes)
    key = gallery.key

    def look_for(folder: Path, vectors: Any, texts: Any, is_alive: Any) -> remains.Looked:
        bad = set()
        found = deep(folder, vectors, texts, key)
        for each in found:
            held = [*each["texts"], *map(bytes.fromhex, each["pieces"])]
            if each["plain"] or not all(map(is_alive, held)):  # nobody who is alive lies there in plain
                bad.add(each["name"])
        short = sum(len(text.encode()) < remains.SHORTEST_TEXT for text in texts)
        return remains.Looked(tuple((f["name"], f["bytes"]) for f in found), tuple(sorted(bad)), short)

    before, erase.look_for = erase.look_for, look_for
    try:
        if before is not REAL_LOOK_FOR:  # a test has put its own there
            erase.look_for = before
        return REAL_LOOK(gallery, parts, codes)
    finally:
        erase.look_for = before


REAL_LOOK_FOR = erase.look_for


# ---- as a plugin of pytest


def pages_at_rest(folder: Path, person: str) -> set[bytes]:
    """In the place of a test's at_rest: pieces of the ciphertext of all pages that hold something of a
    person."""
    with Gallery.open(folder, KEY) as gallery:
        vectors = gallery.vectors_of(person).astype("<f2")
        gallery.sweep()
    data = subprocess.run(["cat", folder / FILE], capture_output=True, check=True).stdout
    wanted = remains.Wanted([vector.tobytes() for vector in vectors], [person])
    first, others = decrypted(data, KEY.secret)
    size = PAGE - RESERVED
    plain = [first, *(others[at : at + size] for at in range(0, len(others), size))]
    held = [n for n, page in enumerate(plain) if wanted._texts_in(page) or wanted._pieces_in(page)]
    assert held
    return {data[n * PAGE + at : n * PAGE + at + 16] for n in held for at in range(16, size, 16)}


def pytest_collection_modifyitems(items: Any) -> None:
    """What reads ciphertexts row by row reads them page by page."""
    for module in {item.module for item in items}:
        if hasattr(module, "at_rest"):
            module.at_rest = pages_at_rest


def pytest_configure(config: Any) -> None:
    """Every gallery of this run, and of the processes that tests start, lies in an SQLCipher file."""
    place = tempfile.mkdtemp()
    Path(place, "sitecustomize.py").write_text(
        f"import sys\nsys.path[:0] = [{str(ROOT / 'scripts')!r}, {str(ROOT)!r}]\n"
        "if not any('--search' in word or 'remains' in word for word in sys.orig_argv):\n"
        "    from studies import sqlcipher\n    sqlcipher.install()\n"
    )
    os.environ["PYTHONPATH"] = place
    install()


# ---- what is measured


def faces(start: int, count: int) -> list[NewFace]:
    """Ten photos a person, each a vector drawn from its number."""
    vectors = np.random.default_rng(start).normal(size=(count, D)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = range(start, start + count)
    return [
        NewFace(
            f"Person number {i // 10:06d}",
            hashlib.sha256(str(i).encode()).hexdigest(),
            f"holiday-{i:07d}.jpg",
            vector,
        )
        for i, vector in zip(numbers, vectors, strict=True)
    ]


def key_of(way: str) -> Key | None:
    return KEY if way in ("rows", "whole") else None


@contextmanager
def going(way: str) -> Iterator[None]:
    before, Now.way = Now.way, way
    try:
        yield
    finally:
        Now.way = before


def timed(deed: Callable[[], Any]) -> float:
    start = time.perf_counter()
    deed()
    return time.perf_counter() - start


class Clock:
    """Times of all ways side by side: every round asks each way once, in changing order."""

    def __init__(self) -> None:
        self.times: dict[str, dict[str, list[float]]] = {}

    def rounds(self, what: str, count: int, deed: Callable[[str, int], Any], ways: Any = WAYS) -> None:
        kept = self.times.setdefault(what, {way: [] for way in ways})
        for number in range(count):
            for way in random.Random(number).sample(ways, len(ways)):
                with going(way):
                    kept[way].append(timed(lambda way=way, number=number: deed(way, number)))

    def table(self) -> dict[str, dict[str, float]]:
        """Medians in ms, and the median over rounds of the ratio to plain."""
        out = {}
        for what, kept in self.times.items():
            base = kept.get("plain") or kept["rows"]
            out[what] = {
                f"{way}_ms": round(1000 * statistics.median(times), 3) for way, times in kept.items()
            }
            out[what] |= {
                f"{way}_x": round(statistics.median([a / b for a, b in zip(times, base, strict=True)]), 2)
                for way, times in kept.items()
            }
        return out


def speed(place: Path, size: int) -> dict[str, Any]:
    """Everything a gallery does often, four ways at once."""
    clock = Clock()
    galleries: dict[str, Gallery] = {}
    for way in WAYS:
        with going(way):
            galleries[way] = Gallery.create(place / way, "e" * 64, D, "a study", key_of(way))
    step = 1000
    for start in range(0, size, step):
        batch = faces(start, step)
        what = "add_1000" if start >= size - 10 * step else "earlier"
        clock.rounds(what, 1, lambda way, _, batch=batch: galleries[way].add(batch))
    del clock.times["earlier"]
    for way, gallery in galleries.items():
        with going(way):
            gallery.sweep()
    sizes = {way: (place / way / FILE).stat().st_size for way in WAYS}
    clock.rounds("open", 21, lambda way, _: Gallery.open(place / way, key_of(way)).close())
    clock.rounds("read_all_vectors", 9 if size < 50_000 else 5, lambda way, _: galleries[way].vectors())
    clock.rounds(
        "read_one_person", 41, lambda way, i: galleries[way].vectors_of(f"Person number {i * 7:06d}")
    )
    clock.rounds("list_names", 7, lambda way, _: galleries[way].people())
    clock.rounds("forget_rows", 7, lambda way, i: galleries[way].forget(f"Person number {i + 300:06d}"))
    for gallery in galleries.values():
        gallery._db.execute("DELETE FROM meta WHERE key = 'erasing'")
    for gallery in galleries.values():
        gallery.sweep()
        gallery.close()
    for way in WAYS:  # the job as a command does it, without an index: that is the plain ones' alone
        for path in (place / way).glob("vectors*"):
            path.unlink()
    clock.rounds(
        "forget_and_prove",
        3,
        lambda way, i: erase.forget(
            f"Person number {i + 500:06d}", place / way, (), lambda line: None, key=key_of(way)
        ),
        ("rows", "whole"),
    )
    memory = {
        way: int(
            subprocess.run(
                [sys.executable, __file__, "--memory", way, str(place / way)],
                text=True,
                capture_output=True,
                check=True,
            ).stdout
        )
        for way in WAYS
    }
    rewriting: dict[str, float] = {}
    changing: dict[str, float] = {}
    for way in WAYS:
        with going(way), Gallery.open(place / way, key_of(way)) as gallery:
            rewriting[way] = round(timed(gallery.rewrite), 3)
            gallery.sweep()
            if way in ("rows", "whole"):
                cipher = new_cipher(OTHER) if way == "rows" else PLAIN
                changing[way] = round(
                    timed(lambda g=gallery, c=cipher: (g.change_cipher(c, OTHER), g.sweep())), 3
                )
    return {
        "rows": size,
        "times": clock.table(),
        "file_bytes": sizes,
        "peak_rss_kb": memory,
        "vacuum_s": rewriting,
        "key_change_and_checkpoint_s": changing,
    }


def memory_of(way: str, folder: Path) -> None:
    """Run apart: print the peak memory of reading all vectors, in kB."""
    install(way)
    with Gallery.open(folder, key_of(way)) as gallery:
        gallery.vectors()
    print(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    )


def erasure(place: Path) -> dict[str, Any]:
    """Can erasure be proved: what does the search of today find, what the deep one, and can either fail?"""
    out: dict[str, Any] = {}
    batch = faces(0, 2000)
    people = {face.person for face in batch[700:900]}
    gone = [face.vector.astype("<f2").tobytes() for face in batch if face.person in people]
    texts = [*people, *(face.source for face in batch if face.person in people)]

    def seen(folder: Path) -> dict[str, dict[str, int]]:
        raw = {f.name: len(f.pieces) + len(f.texts) for f in remains.search(folder, gone, texts)}
        under_key = {f["name"]: len(f["pieces"]) + len(f["texts"]) for f in deep(folder, gone, texts, KEY)}
        return {"raw": raw, "deep": under_key}

    for secure in ("ON", "OFF"):
        folder = place / f"erase-{secure}"
        with going("whole"), Gallery.create(folder, "e" * 64, D, "", KEY) as gallery:
            default = gallery._db.execute("PRAGMA secure_delete").fetchone()[0]
            gallery._db.execute(f"PRAGMA secure_delete = {secure}")
            gallery.add(batch)
            gallery.sweep()
            steps: dict[str, Any] = {}
            copy = place / f"copy-{secure}"
            for step, deed in (
                ("enrolled", lambda: None),
                ("rows deleted", lambda g=gallery: [g.forget(p) for p in people]),
                ("log cut", gallery.sweep),
                ("file rewritten", lambda g=gallery: (g.rewrite(), g.sweep())),
            ):
                deed()
                shutil.rmtree(copy, ignore_errors=True)
                subprocess.run(["cp", "-r", folder, copy], check=True)  # apart: SQLite's locks
                steps[step] = seen(copy)
                if step == "rows deleted":
                    steps["free pages"] = gallery._db.execute("PRAGMA freelist_count").fetchone()[0]
                    salt = (copy / FILE).read_bytes()[:16]
                    steps["pages that fit their HMAC"] = {
                        name: verified((copy / name).read_bytes(), KEY.secret, salt)
                        for name in (FILE, f"{FILE}-wal")
                    }
        out[f"secure_delete {secure}"] = steps
    out["secure_delete as connect leaves it"] = default
    with going("whole"):
        with Gallery.create(place / "uncut", "e" * 64, D, "", KEY) as gallery:
            gallery.add(batch)
        real, Gallery.sweep = Gallery.sweep, lambda gallery: True
        tries, erase.TRIES = erase.TRIES, 1
        try:
            out["forget, where the log is not cut"] = said(
                lambda: erase.forget(min(people), place / "uncut", (), lambda line: None, key=KEY)
            )
        finally:
            Gallery.sweep, erase.TRIES = real, tries
        out["forget, where it is cut"] = said(
            lambda: erase.forget(min(people), place / "uncut", (), lambda line: None, key=KEY)[0].verified
        )
    out["temporary files of VACUUM"] = {}
    for way in WAYS:
        with going(way), Gallery.create(place / f"temp-{way}", "e" * 64, D, "", key_of(way)) as gallery:
            gallery.add(batch)
            open_files: set[str] = set()

            def watch(open_files: set[str] = open_files) -> int:
                for entry in Path("/proc/self/fd").iterdir():
                    try:
                        name = str(entry.readlink())
                    except OSError:
                        continue
                    if "etilqs" in name:
                        open_files.add(str(Path(name.split(" (deleted)")[0]).parent))
                return 0

            gallery._db.set_progress_handler(watch, 100)
            gallery.rewrite()
            out["temporary files of VACUUM"][way] = sorted(open_files)
    with going("whole"):  # a journal instead of the log
        with Gallery.create(place / "journal", "e" * 64, D, "", KEY) as gallery:
            gallery.add(batch)
            gallery._db.execute("PRAGMA journal_mode = DELETE")
            gallery._db.execute("PRAGMA cache_size = 5")
            gallery._db.execute("BEGIN")
            gallery._db.execute("UPDATE faces SET vector = zeroblob(1024)")
            subprocess.run(["cp", "-r", place / "journal", place / "journal-copy"], check=True)
            gallery._db.execute("ROLLBACK")
        out["journal"] = seen(place / "journal-copy")
    return out


WRITER = """
import sys
sys.path.insert(0, {scripts!r})
from studies import sqlcipher as s
s.install()
from pathlib import Path
with s.Gallery.open(Path({folder!r}), s.KEY) as gallery:
    at = {start}
    while True:
        gallery.add(s.faces(at, 20))
        at += 20
        print(at, flush=True)
        if at % 200 == 0:
            gallery._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
"""
READER = """
import sys
sys.path.insert(0, {scripts!r})
from studies import sqlcipher as s
s.install()
from pathlib import Path
last = reads = 0
with s.Gallery.open(Path({folder!r}), s.KEY) as gallery:
    while not Path({folder!r}, "stop").exists():
        now = len(gallery)
        assert now >= last and now % 20 == 0, (last, now)
        last = now
        gallery.vectors_of("Person number 000001")
        reads += 1
print(reads)
"""
REKEYER = """
import sys
sys.path.insert(0, {scripts!r})
from studies import sqlcipher as s
s.install()
from pathlib import Path
with s.Gallery.open(Path({folder!r}), s.KEY) as gallery:
    print("now", flush=True)
    gallery._db.execute("PRAGMA rekey = " + s.pragma(s.OTHER))
    gallery.sweep()
    print("done", flush=True)
"""


def started(code: str, folder: Path, start: int = 0) -> subprocess.Popen[str]:
    code = code.format(scripts=str(ROOT / "scripts"), folder=str(folder), start=start)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def wal(place: Path) -> dict[str, Any]:
    """Several processes, kill -9, and the cutting of the log while somebody reads."""
    folder = place / "wal"
    with going("whole"):
        Gallery.create(folder, "e" * 64, D, "", KEY).close()
        readers = [started(READER, folder) for _ in range(2)]
        lost, confirmed, rounds, problems, alarms = 0, 0, 6, [], 0
        for number in range(rounds):
            with Gallery.open(folder, KEY) as gallery:
                start = len(gallery)
            writer = started(WRITER, folder, start)
            assert writer.stdout is not None
            for _ in range(5 + 7 * number):
                confirmed = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            confirmed = max([confirmed, *map(int, writer.stdout.read().split())])
            writer.wait()
            with Gallery.open(folder, KEY) as gallery:
                lost += len(gallery) < confirmed
                problems += gallery.problems()
                alarms += len(gallery._db.execute("PRAGMA cipher_integrity_check").fetchall())
                while not gallery.sweep():
                    time.sleep(0.01)
                problems += [row[0] for row in gallery._db.execute("PRAGMA cipher_integrity_check")]
        (folder / "stop").touch()
        reads = [int(reader.communicate()[0] or -1) for reader in readers]
        with Gallery.open(folder, KEY) as gallery, Gallery.open(folder, KEY) as reader:
            gallery.add(faces(500_000, 20))
            gallery._db.execute("PRAGMA busy_timeout = 50")
            with reader._reading():
                len(reader)
                gallery.add(faces(500_020, 20))
                while_read = gallery.sweep()
            after = gallery.sweep()
        return {
            "kills": rounds,
            "commits_lost": lost,
            "problems": problems,
            "alarms of cipher_integrity_check before the log is written back": alarms,
            "reads": reads,
            "reader_exit_codes": [reader.returncode for reader in readers],
            "cut_while_somebody_reads": while_read,
            "cut_afterwards": after,
        }


def rekey(place: Path) -> dict[str, Any]:
    """PRAGMA rekey: what is left of the old key, what others see, and kill -9 at any moment."""
    first = place / "rekey"
    rows = 4000
    with going("whole"):
        with Gallery.create(first, "e" * 64, D, "", KEY) as gallery:
            for start in range(0, rows, 1000):
                gallery.add(faces(start, 1000))
            gallery.sweep()
        before = (first / FILE).read_bytes()
        salt = before[:16]
        old_pages = {before[at : at + 64] for at in range(16, len(before), PAGE)}
        out: dict[str, Any] = {}

        def left(folder: Path) -> dict[str, Any]:
            copy = place / "rekey-copy"
            shutil.rmtree(copy, ignore_errors=True)
            subprocess.run(["cp", "-r", folder, copy], check=True)
            out = {}
            for path in sorted(copy.iterdir()):
                data = path.read_bytes()
                if path.name.endswith("-shm") or not data:
                    continue
                out[path.name] = {
                    "old pages": sum(piece in data for piece in old_pages),
                    "fit old key": verified(data, KEY.secret, salt)[0],
                    "fit new key": verified(data, OTHER.secret, salt)[0],
                }
            return out

        killed = place / "rekey-killed"
        shutil.copytree(first, killed)
        with Gallery.open(first, KEY) as gallery, Gallery.open(first, KEY) as late:
            late.people()
            gallery._db.execute(f"PRAGMA rekey = {pragma(OTHER)}")
            out["before the log is cut"] = left(first)
            out["cut"] = gallery.sweep()
            out["after the log is cut"] = left(first)
            for what, deed in (("read", late.people), ("write", lambda: late.add(faces(9_000_000, 10)))):
                try:
                    deed()
                    out[f"an old-key connection's {what}"] = "goes through"
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                    out[f"an old-key connection's {what}"] = f"{type(error).__name__}: {error}"
            with Gallery.open(first, OTHER) as fresh:
                out["rows afterwards"], out["problems"] = len(fresh), fresh.problems()
        out["same salt"] = (first / FILE).read_bytes()[:16] == salt
        outcomes: dict[str, int] = {}
        for number in range(12):
            folder = place / "killed-now"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(killed, folder)
            child = started(REKEYER, folder)
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.004 * number)
            child.send_signal(signal.SIGKILL)
            finished = "done" in child.stdout.read()
            child.wait()
            good = []
            for name, key in (("old", KEY), ("new", OTHER)):
                try:
                    with Gallery.open(folder, key) as gallery:
                        if len(gallery) == rows and not gallery.problems():
                            good.append(name)
                except WrongKey:
                    pass
            what = f"{'finished' if finished else 'killed'}: {' and '.join(good) or 'NO'} key opens it"
            outcomes[what] = outcomes.get(what, 0) + 1
        out["kill -9"] = outcomes
    return out


def said(deed: Callable[[], Any]) -> str:
    try:
        return str(deed())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return f"{type(error).__module__.split('.')[0]}.{type(error).__name__}: {error}"[:160]


def damaged(folder: Path, way: str) -> dict[str, str]:
    """One byte of the vector of face 50 changes on disk: who can still be read, and forgotten?"""
    batch = faces(0, 100)
    with going(way):
        with Gallery.create(folder, "e" * 64, D, "", KEY) as gallery:
            gallery.add(batch)
            gallery.sweep()
            (stored,) = gallery._db.execute("SELECT vector FROM faces WHERE face_id = 50").fetchone()
        data = bytearray((folder / FILE).read_bytes())
        if way == "rows":
            place = data.index(stored) + 300
        else:
            _, others = decrypted(bytes(data), KEY.secret)
            within = others.index(stored) + 300
            place = PAGE + within // (PAGE - RESERVED) * PAGE + within % (PAGE - RESERVED)
        data[place] ^= 0x55
        (folder / FILE).write_bytes(data)
        out, read = {}, 0
        people = sorted({face.person for face in batch})
        broken = []
        for person in people:
            try:
                with Gallery.open(folder, KEY) as gallery:
                    read += len(gallery.vectors_of(person))
            except CorruptGallery:
                broken.append(person)
        out["photos of people that can be read"] = f"{read} of 100"
        out["verify says"] = said(lambda: verify(folder, repair=False, key=KEY).problems)
        for person in broken[:1]:
            out["forget somebody who is damaged"] = said(
                lambda person=person: erase.forget(person, folder, (), lambda line: None, key=KEY)[0].photos
            )
        out["forget somebody else"] = said(
            lambda: erase.forget(people[0], folder, (), lambda line: None, key=KEY)[0].photos
        )
    return out


def behaviour(place: Path) -> dict[str, Any]:
    """Wrong keys, plain files, VACUUM INTO, ATTACH, sqlcipher_export, flipped bits."""

    def raw(path: Path, key: Key | None, sql: str = "PRAGMA application_id") -> str:
        db = sqlcipher.connect(str(path))
        db.execute("PRAGMA cipher_log_level = NONE")
        if key:
            db.execute(f"PRAGMA key = {pragma(key)}")
        try:
            return said(lambda: db.execute(sql).fetchone())
        finally:
            db.close()

    out: dict[str, Any] = {}
    with going("plain"), Gallery.create(place / "p", "e" * 64, D, "") as plain:
        plain.add(faces(0, 5000))
        plain.sweep()
    with going("whole"):
        with Gallery.create(place / "w", "e" * 64, D, "", KEY) as gallery:
            gallery.add(faces(0, 100))
            gallery.sweep()
            gallery.snapshot(place / "out.fs")
        whole, bare = place / "w" / FILE, place / "p" / FILE
        out["application_id, right key"] = raw(whole, KEY)
        out["application_id, no key"] = raw(whole, None)
        out["wrong key"] = raw(whole, OTHER)
        out["plain file with a key"] = raw(bare, KEY)
        out["Python's sqlite3 on it"] = said(lambda: sqlite3.connect(whole).execute("SELECT 1 FROM meta"))
        out["VACUUM INTO"] = (
            "encrypted, same key and salt"
            if ((place / "out.fs").read_bytes()[:16] == whole.read_bytes()[:16])
            else "encrypted, another salt"
        )
        with Gallery.create(place / "n", "e" * 64, D, "", KEY) as other:
            other.add(faces(0, 10))
        db = sqlcipher.connect(str(whole))
        out["the key as a bound parameter"] = said(lambda: db.execute("PRAGMA key = ?", ("x",)).fetchone())
        db.execute(f"PRAGMA key = {pragma(KEY)}")
        db.execute("PRAGMA cipher_log_level = NONE")
        out["ATTACH without KEY, same key, other salt"] = said(
            lambda: db.execute(f"ATTACH '{place / 'n' / FILE}' AS next").fetchone()
        )
        out["ATTACH with KEY"] = said(
            lambda: db.execute(f"ATTACH '{place / 'n' / FILE}' AS n KEY {pragma(KEY)}").fetchone() or "goes"
        )
        db.close()
        data = whole.read_bytes()
        noticed = {"cipher_integrity_check": 0, "a reading of all rows": 0, "places": 0, "wrong answers": 0}
        flipped = place / "flip"
        flipped.mkdir()
        with Gallery.open(place / "w", KEY) as gallery:
            expected = gallery.vectors()[1].tobytes()
        for at in range(0, len(data), 1511):
            changed = bytearray(data)
            changed[at] ^= 0x55
            (flipped / FILE).write_bytes(changed)
            for end in ("-wal", "-shm"):
                (flipped / (FILE + end)).unlink(missing_ok=True)
            noticed["places"] += 1
            noticed["cipher_integrity_check"] += (
                raw(flipped / FILE, KEY, "PRAGMA cipher_integrity_check") != "None"
            )
            try:
                with Gallery.open(flipped, KEY) as gallery:
                    noticed["wrong answers"] += gallery.vectors()[1].tobytes() != expected
            except (CorruptGallery, WrongKey):
                noticed["a reading of all rows"] += 1
        out["one flipped bit"] = noticed
        out["one damaged place"] = {way: damaged(place / f"damaged-{way}", way) for way in ("rows", "whole")}
        db = sqlcipher.connect(str(bare))
        new = place / "exported.sqlite"
        db.execute(f"ATTACH '{new}' AS new KEY {pragma(KEY)}")
        out["sqlcipher_export of 5,000 rows, s"] = round(
            timed(lambda: db.execute("SELECT sqlcipher_export('new')").fetchone()), 3
        )
        out["application_id after sqlcipher_export"] = str(db.execute("PRAGMA new.application_id").fetchone())
        out["journal after sqlcipher_export"] = str(db.execute("PRAGMA new.journal_mode").fetchone())
        out["AUTOINCREMENT after sqlcipher_export"] = str(
            db.execute(
                "SELECT (SELECT count(*) FROM new.faces), (SELECT max(seq) FROM new.sqlite_sequence "
                "WHERE name = 'faces')"
            ).fetchone()
        )
        out["rekey of a plain file"] = said(lambda: db.execute(f"PRAGMA rekey = {pragma(KEY)}").fetchall())
        db.close()
    return out


def about() -> dict[str, str]:
    db = sqlcipher.connect(":memory:")
    db.execute("PRAGMA key = 'x'")
    facts = {
        name: str(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("cipher_version", "cipher_provider_version", "cipher_memory_security")
    }
    return {
        **facts,
        "sqlite in sqlcipher3": sqlcipher.sqlite_version,
        "sqlite in Python": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[12_000, 100_000])
    parser.add_argument("--search", action="store_true", help="inside: answer what deep() asks")
    parser.add_argument("--memory", nargs=2, help="inside: print the peak memory of a reading")
    given = parser.parse_args()
    if given.search:
        json.dump(deep_search(json.load(sys.stdin)), sys.stdout)
        return
    if given.memory:
        memory_of(given.memory[0], Path(given.memory[1]))
        return
    install("plain")
    out: dict[str, Any] = {"about": about()}
    with tempfile.TemporaryDirectory() as place:
        for name, part in (("erasure", erasure), ("wal", wal), ("rekey", rekey), ("behaviour", behaviour)):
            Path(place, name).mkdir()
            out[name] = part(Path(place, name))
            print(name, json.dumps(out[name], indent=1), flush=True)
        out["speed"] = []
        for size in given.rows:
            out["speed"].append(speed(Path(place, f"speed-{size}"), size))
            print(json.dumps(out["speed"][-1], indent=1), flush=True)
            shutil.rmtree(Path(place, f"speed-{size}"))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
