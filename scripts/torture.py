"""Writers, readers, kill -9 at random, a full disk, flipped bytes, a clock that goes back: is anything lost,
or answered wrongly?

    .venv/bin/python scripts/torture.py --seconds 120

Writers enroll, rename and forget people of their own and note in a journal what they are about to do and what
was confirmed. Readers ask for people who are always there. A killer ends one of them every few tenths of a
second; it begins again. At the end everything that was confirmed must be there, to the byte, everything
forgotten must be gone, raw bytes too, and every error must have been one of ours. Prints a table and writes
scripts/results/torture.json. Exit code 1 when anything was lost.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import benching
import click
import numpy as np

from facesearch.errors import CannotWrite, CorruptGallery, FacesearchError, GalleryBusy, NotErasedYet
from facesearch.gallery import forget as erase
from facesearch.gallery.forget import forget
from facesearch.gallery.index.choice import choose_index
from facesearch.gallery.index.faiss_index import open_index, refresh
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.rename import rename
from facesearch.gallery.store.checks import problems
from facesearch.gallery.store.rows import NewFace, vector_bytes
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify

ROOT = Path(__file__).resolve().parent.parent
D = 64
STABLE = 300
KILL_EVERY_S = (0.5, 2.0)
ASKED = 40


def unit(*seed: int) -> Any:
    vector = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    return vector / np.linalg.norm(vector)


def new_face(person: str, *seed: int) -> NewFace:
    return NewFace(
        person,
        "".join(f"{part:016x}" for part in (*seed, 0, 0, 0))[:64],
        f"{'-'.join(map(str, seed))}.jpg",
        unit(*seed),
    )


def quiet(line: str) -> None:
    pass


# ---- the processes


def write(folder: Path, journal: Path, number: int, seed: int) -> None:
    """Enroll, rename, forget, for ever; a line before each action, a line after it."""
    rng = random.Random(seed)
    log = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    mine, counter = replay(journal)[0], len(journal.read_text().splitlines())
    while True:
        counter += 1
        action = rng.choices(["add", "rename", "forget"], [6, 1, 2])[0] if mine else "add"
        name = f"writer {number} person {counter} of {seed}" if action == "add" else rng.choice(sorted(mine))
        seeds = [[number, counter, k] for k in range(rng.randint(1, 5))] if action == "add" else mine[name]
        to = f"{name}, renamed {counter}" if action == "rename" else ""
        os.write(log, (json.dumps(["begin", action, name, to, seeds]) + "\n").encode())
        try:
            if action == "add":
                with Store.open(folder) as gallery:
                    gallery.faces.add([new_face(name, *each) for each in seeds])
                    if rng.random() < 0.1:
                        refresh(gallery, "torture")
            elif action == "rename":
                rename(name, to, folder, join=False)
            else:
                forget(name, folder, (), quiet)
        except (GalleryBusy, NotErasedYet) as error:
            os.write(log, (json.dumps(["waited", action, name, to, type(error).__name__]) + "\n").encode())
            if isinstance(error, GalleryBusy):
                continue  # nothing was changed
        os.write(log, (json.dumps(["done", action, name, to, seeds]) + "\n").encode())
        mine.pop(name, None)
        if action != "forget":
            mine[to or name] = seeds


def read(folder: Path, journal: Path, number: int, seed: int) -> None:
    """Ask for people who are always there; anything but the right answer goes into the journal as wrong."""
    rng = random.Random(seed)
    log = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        with Store.open(folder) as gallery:
            index = open_index(gallery)
            for _ in range(20):
                who = rng.randrange(STABLE)
                best = nearest_people(gallery, index, unit(777, who), 1)[0]
                right = best.person == f"stable {who}" and best.score > 0.999
                row = ["right" if right else "wrong", "query", f"stable {who}", best.person, best.score]
                os.write(log, (json.dumps(row) + "\n").encode())


def guarded(job: Any, folder: Path, journal: Path, number: int, seed: int) -> None:
    """An error of ours or of anybody's is noted before the process ends."""
    try:
        job(folder, journal, number, seed)
    except BaseException as error:
        kind = "error" if isinstance(error, FacesearchError) else "crash"
        with journal.open("a") as log:
            log.write(json.dumps([kind, job.__name__, type(error).__name__, "", str(error)[:300]]) + "\n")
        raise


def replay(journal: Path) -> tuple[dict[str, list[list[int]]], list[Any]]:
    """Who must be there by a journal, and the last action whose end is not known."""
    there: dict[str, list[list[int]]] = {}
    open_action: list[Any] = []
    for line in journal.read_text().splitlines() if journal.exists() else ():
        try:
            state, action, name, to, seeds = json.loads(line)
        except ValueError:
            continue  # torn by the kill itself
        if state == "begin":
            if open_action:  # killed between the two lines: either may be true
                there.pop(open_action[2], None)
            open_action = [state, action, name, to, seeds]
        elif state == "done":
            open_action = []
            there.pop(name, None)
            if action != "forget":
                there[to or name] = seeds
    if open_action:
        there.pop(open_action[2], None)
    return there, open_action


# ---- the trials


def kills(seconds: float, writers: int, readers: int, seed: int, choice: str) -> dict[str, Any]:
    """N writers and M readers with kill -9 at random moments."""
    scratch = Path(tempfile.mkdtemp())
    folder, rng = scratch / "g", random.Random(seed)
    with Store.create(folder, "e" * 64, D, "torture") as gallery:
        gallery.faces.add([new_face(f"stable {i}", 777, i) for i in range(STABLE)])
        choose_index(gallery, choice)
        refresh(gallery, "begin")
    jobs = [(write, i) for i in range(writers)] + [(read, i) for i in range(readers)]
    context = mp.get_context("spawn")  # FAISS's threads do not survive a fork

    def start(slot: int, life: int) -> Any:
        job, number = jobs[slot]
        process = context.Process(
            target=guarded,
            args=(job, folder, scratch / f"{job.__name__}-{number}.log", number, 1000 * life + slot),
        )
        process.start()
        return process

    running = [start(slot, 0) for slot in range(len(jobs))]
    end, killed, lives = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        time.sleep(rng.uniform(*KILL_EVERY_S))
        slot = rng.randrange(len(jobs))
        lives += 1
        if running[slot].is_alive():
            os.kill(running[slot].pid, signal.SIGKILL)
            killed += 1
        running[slot].join()
        running[slot] = start(slot, lives)
    for process in running:
        process.kill()
        process.join()
    counted: Counter[str] = Counter()
    messages = set()
    for log in scratch.glob("*.log"):
        for line in log.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            counted[row[0]] += 1
            if row[0] in ("wrong", "error", "crash"):
                messages.add(json.dumps(row))
    lost, left = settle(folder, [scratch / f"write-{i}.log" for i in range(writers)])
    shutil.rmtree(scratch)
    return {
        "seconds": seconds,
        "writers": writers,
        "readers": readers,
        "kills": killed,
        "actions confirmed": counted["done"],
        "queries": counted["right"] + counted["wrong"],
        "wrong answers": counted["wrong"],
        "waited for another": counted["waited"],
        "errors": counted["error"],
        "crashes": counted["crash"],
        "losses": lost,
        "bytes of forgotten people left": left,
        "messages": sorted(messages)[:10],
    }


def settle(folder: Path, journals: list[Path]) -> tuple[int, int]:
    """After everybody is dead: how many confirmed faces are not there to the byte, and how many forgotten
    ones still are.
    """
    result = verify(folder, repair=True)
    lost = len(result.problems)
    with Store.open(folder) as gallery:
        rows = {
            (name, sha256): blob for rows in gallery.faces.batches() for _, name, sha256, _, blob, _ in rows
        }
        for i in range(STABLE):
            face = new_face(f"stable {i}", 777, i)
            lost += rows.get((face.person, face.sha256)) != vector_bytes(face.vector, D)
        gone: list[bytes] = []
        for journal in journals:
            there, _ = replay(journal)
            for name, seeds in there.items():
                for seed in seeds:
                    face = new_face(name, *seed)
                    lost += rows.get((name, face.sha256)) != vector_bytes(face.vector, D)
            for line in journal.read_text().splitlines():
                try:
                    state, action, _, _, seeds = json.loads(line)
                except ValueError:
                    continue
                if state == "done" and action == "forget":
                    gone += [vector_bytes(unit(*seed), D) for seed in seeds]
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return lost, sum(blob in raw for blob in gone)


def full_disk() -> dict[str, Any]:
    """A tmpfs of 2 MB, filled up by enrolling: what was confirmed stays, the error says it, and there is a
    way on.
    """
    place = Path(tempfile.mkdtemp())
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True
    ).returncode:
        return {"left out": "no tmpfs can be mounted here"}
    try:
        confirmed, refusals = 0, 0
        with Store.create(place / "g", "e" * 64, D, "torture") as gallery:
            for i in range(100_000):
                try:
                    gallery.faces.add([new_face(f"p{i}", 1, i, k) for k in range(20)])
                    confirmed += 20
                except CannotWrite as error:
                    assert "full" in str(error), error
                    refusals += 1
                    if refusals == 5:
                        break
        with Store.open(place / "g") as gallery:
            there, wrong = len(gallery), len(problems(gallery))
        forgotten = ""
        try:
            forgotten = f"{forget('p0', place / 'g', (), quiet)[0].photos} forgotten on the full disk"
        except FacesearchError as error:
            forgotten = error.what
        return {
            "confirmed": confirmed,
            "there": there,
            "refusals": refusals,
            "problems": wrong,
            "losses": confirmed - there,
            "forget": forgotten,
        }
    finally:
        subprocess.run(["umount", str(place)], check=False)
        place.rmdir()


def flipped_bytes(stride: int, choice: str) -> dict[str, Any]:
    """One bit flipped in each file of the gallery in turn, many places: noticed, corrected, or of no
    consequence; never a wrong answer.
    """
    scratch = Path(tempfile.mkdtemp())
    with Store.create(scratch / "g", "e" * 64, D, "torture") as gallery:
        gallery.faces.add([new_face(f"stable {i}", 777, i) for i in range(STABLE)])
        choose_index(gallery, choice)
        refresh(gallery, "begin")
        gallery.eraser.cut_log()
    counted: Counter[str] = Counter()
    whole = {path.name: path.read_bytes() for path in (scratch / "g").iterdir()}
    for name, data in whole.items():
        for place in range(0, len(data), stride):
            shutil.rmtree(scratch / "g")
            (scratch / "g").mkdir()
            for other, content in whole.items():
                (scratch / "g" / other).write_bytes(content)
            broken = bytearray(data)
            broken[place] ^= 1 << (place % 8)
            (scratch / "g" / name).write_bytes(broken)
            try:
                with Store.open(scratch / "g") as gallery:
                    index = open_index(gallery)
                    asked = range(place % 7, STABLE, STABLE // ASKED)
                    found = [nearest_people(gallery, index, unit(777, who), 1)[0] for who in asked]
                right = all(
                    best.person == f"stable {who}" and best.score > 0.99
                    for who, best in zip(asked, found, strict=True)
                )
                counted["of no consequence" if right else "wrong"] += 1
            except CorruptGallery:
                counted["damage noticed"] += 1
            except FacesearchError:
                counted["another error of ours"] += 1
    shutil.rmtree(scratch)
    return {"flips": sum(counted.values()), **counted, "wrong": counted["wrong"]}


def clock_back() -> dict[str, Any]:
    """Every change is made an hour before the one before it: generations go on growing and nothing is
    lost."""

    class Back:
        UTC = erase.datetime.UTC
        hours = 0

        class datetime:
            @staticmethod
            def now(zone: Any) -> Any:
                import datetime as real

                Back.hours += 1
                return real.datetime.now(zone) - real.timedelta(hours=Back.hours)

    scratch = Path(tempfile.mkdtemp())
    real, erase.datetime = erase.datetime, Back  # type: ignore[assignment]
    try:
        generations = []
        with Store.create(scratch / "g", "e" * 64, D, "torture") as gallery:
            gallery.faces.add([new_face(f"p{i}", 1, i) for i in range(20)])
        for i in range(10):
            receipt, _ = forget(f"p{i}", scratch / "g", (), quiet)
            generations.append(receipt.generation_after)
        with Store.open(scratch / "g") as gallery:
            return {
                "actions": 10,
                "losses": 10 - len(gallery),
                "generations grow": generations == sorted(set(generations)),
            }
    finally:
        erase.datetime = real  # type: ignore[assignment]
        shutil.rmtree(scratch)


@click.command()
@click.option("--seconds", default=120.0, show_default=True)
@click.option("--writers", default=3, show_default=True)
@click.option("--readers", default=2, show_default=True)
@click.option(
    "--stride", default=61, show_default=True, help="Every so many bytes of each file one is flipped."
)
@click.option("--index", "choice", default="auto", show_default=True, help="As `facesearch index` takes it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=ROOT / "scripts/results/torture.json",
    show_default=False,
)
@click.option("--seed", default=0, show_default=True)
def main(seconds: float, writers: int, readers: int, stride: int, choice: str, out: Path, seed: int) -> None:
    """Run all trials."""
    about = benching.machine()
    results = {
        "kills": kills(seconds, writers, readers, seed, choice),
        "full disk": full_disk(),
        "flipped bytes": flipped_bytes(stride, choice),
        "clock back": clock_back(),
    }
    for trial, facts in results.items():
        click.echo(f"{trial}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))
    benching.write(results, out, about)
    harm = (
        "losses",
        "wrong",
        "wrong answers",
        "crashes",
        "errors",
        "problems",
        "bytes of forgotten people left",
    )
    bad = sum(facts.get(name, 0) for facts in results.values() for name in harm)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
