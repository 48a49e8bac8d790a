"""One gallery, asked and changed from many threads and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import facesearch
from facesearch.api.per_process import PerProcess

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_eight_threads_enroll_search_and_forget_at_once(weights: Path, tmp_path: Path, album: Path):
    """Whoever is enrolled for good is found by every search, with the same score; nothing is lost."""
    gallery = facesearch.open_gallery(tmp_path / "g", encoder=weights, detector="aligned")
    photos = sorted(album.rglob("*.png"))
    gallery.enroll("stays", photos[0])
    calm = gallery.search(photos[0])[0].matches[0].score
    scores: list[float] = []
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for shot in range(4):
                gallery.enroll(f"p{number}", photos[1 + (number * 4 + shot) % 40])
                scores.append(gallery.search(photos[0])[0].matches[0].score)
            if number % 2:
                gallery.forget(f"p{number}")
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(scores) == 32 and scores == pytest.approx([calm] * 32, abs=1e-4)
    assert [person.person for person in gallery.people()] == [
        "p0",
        "p2",
        "p4",
        "p6",
        "stays",
    ] and gallery.verify().problems == ()


FORKED = """
import multiprocessing, os, sys, threading, time
from pathlib import Path
import facesearch

folder, weights, photos = Path(sys.argv[1]), sys.argv[2], sorted(Path(sys.argv[3]).rglob("*.png"))
gallery = facesearch.open_gallery(folder, encoder=weights,
                                  detector=None if sys.argv[4] == "detect" else "aligned")
gallery.enroll_many([(path.parent.name, path) for path in photos[:20]], largest=True)
assert gallery.verify(rebuild=True, index="bits1" if sys.argv[4] == "aligned" else "flat")
here = [face.matches[0] for path in photos[:6] for face in gallery.search(path)]
stop = threading.Event()
busy = threading.Thread(target=lambda: [gallery.search(photos[1]) for _ in iter(stop.is_set, True)])
busy.start()  # so that locks are held and work is under way while the process forks

def ask(number):
    found = [face.matches[0] for path in photos[:6] for face in gallery.search(path)]
    together = gallery.search_all(photos[:6])
    assert sum(map(len, together.photos)) == len(found)
    if number == 0:
        gallery.enroll("child", photos[30], largest=True)
    return os.getpid(), found

with multiprocessing.get_context("fork").Pool(2) as pool:
    results = [pool.apply_async(ask, (number,)) for number in range(4)]
    there = [result.get(timeout=60) for result in results]
stop.set()
busy.join()
assert os.getpid() not in {pid for pid, _ in there}
for _, found in there:
    assert [m.person for m in found] == [m.person for m in here]
    assert all(abs(a.score - b.score) < 1e-4 for a, b in zip(found, here))
assert "child" in [person.person for person in gallery.people()]
print("ok", len(here))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["aligned", "detect"])
def test_forked_processes_ask_the_gallery_that_was_open_before(
    how: str, weights: Path, album: Path, tmp_path: Path
):
    """As a server with workers does: the parent has searched already, and another of its threads is at it
    while it forks.
    """
    code = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        FORKED,
        str(tmp_path / "g"),
        str(weights),
        str(album),
        how,
    ]
    done = subprocess.run(code, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith("ok"), done.stderr[-3000:]
    assert int(done.stdout.split()[1]) >= 4


def test_what_is_made_once_a_process_is_made_once_and_again_after_an_error():
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        if len(made) == 1:
            raise OSError("not yet")
        return len(made)

    value = PerProcess(make)
    with pytest.raises(OSError, match="not yet"):
        value.get()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: value.get(), range(50))) == {2}
    assert (
        len(made) == 2
        and value.peek() == 2
        and value.drop() == 2
        and value.peek() is None
        and value.get() == 3
    )
