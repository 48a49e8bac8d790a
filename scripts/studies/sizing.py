"""How many bytes a face takes, measured, and what 100 million and a billion faces take by that: memory, disk,
machines.

    .venv/bin/python scripts/studies/sizing.py
        measures the gallery, its index and Milvus Lite; prints the table
    .venv/bin/python scripts/studies/sizing.py --server milvus:http://127.0.0.1:19530 --server-data DIR
        --server-start COMMAND

The second form measures a Milvus server too, a standalone one that COMMAND runs on this machine: what each
kind of index adds to its files, and to its process when a freshly started one loads it. What was measured
is kept in scripts/results/past/measured.json; without a server its last figures serve. Where Milvus'
documentation gives a formula, it stands beside the measured figure. Writes
scripts/results/past/sizing.json.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benching import machine

from facesearch.errors import FacesearchError
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.milvus.engine import INDEXES, connected
from facesearch.gallery.milvus.projections import Place, collection_of, place_of
from facesearch.gallery.milvus.sync import drop, sync
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.records import Progress

RESULTS = Path(__file__).resolve().parents[1] / "results" / "past"
D = 512
A_PERSON = 10
SIZES = (100_000_000, 1_000_000_000)
MACHINE = {"memory_gb": 512, "usable": 0.75, "nvme_tb": 15.0, "nvme_usable": 0.8, "copies": 2}
"""A machine of the table: so much of its memory may be filled (the rest is for growing segments, compaction
and searches), so much of its NVMe; each row is held by so many machines, so that one may fail."""
ROW_BYTES = 20 + 32 + 8 + 16 + 8
"""A row without its vector, where no server was measured: id and its string's header, face number, its index,
time stamp.
"""
GB = 1e9
PARTS = ("insert_log", "index_files")


def formulas(m: int) -> dict[str, tuple[float, float, str]]:
    """Bytes a vector in memory and on a query node's disk by index kind, and where the formula is from."""
    raw = D * 4
    node = raw + 4 + 56 * 4
    return {
        "hnsw": (
            raw + 2 * m * 4 * (1 + 1 / m),
            0.0,
            f"vector + 2M links of 4 B on the lowest level, M above; M={m}",
        ),
        "ivf_sq8": (D + 8, 0.0, "one byte a number + id"),
        "diskann": (
            raw * (0.125 + 0.10),
            4096 / max(1, 4096 // node),
            "PQ codes 0.125 and cached nodes 0.10 of the raw vectors; "
            f"on disk nodes of {node:,} B, in sectors of 4 KB",
        ),
        "flat": (raw, 0.0, "the vectors"),
    }


def unit(rng: np.random.Generator, n: int) -> Any:
    vectors = rng.normal(size=(n, D)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filled(folder: Path, faces: int, progress: Progress) -> Store:
    """A gallery of random unit vectors: sizes do not depend on what is in them."""
    rng = np.random.default_rng(1)
    gallery = Store.create(folder, "e" * 64, D, "random")
    for start in range(0, faces, 1000):
        numbers = range(start, min(faces, start + 1000))
        vectors = unit(rng, len(numbers))
        gallery.faces.add(
            [
                NewFace(f"person-{i // A_PERSON:09d}", f"{i:064x}", f"{i:06d}.jpg", v)
                for i, v in zip(numbers, vectors, strict=True)
            ]
        )
        progress(numbers[-1] + 1, faces)
    return gallery


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure_here(faces: int) -> dict[str, Any]:
    """Bytes a face in the gallery's SQLite file, in the index beside it and in Milvus Lite's folder; rows a
    second of a sync.
    """
    root = Path(tempfile.mkdtemp(prefix="facesearch-sizing-"))
    try:
        with filled(root / "g", faces, quiet) as gallery:
            gallery.eraser.cut_log()
            store = size_of(root / "g")
            refresh(gallery, "sizing")
            index = sum(path.stat().st_size for path in (root / "g").glob("vectors-*"))
            lite = place_of(f"milvus:{root / 'faces.db'}")
            started = time.perf_counter()
            sync(gallery, lite, progress=quiet)
            seconds = time.perf_counter() - started
            return {
                "faces": faces, "store_bytes": store / faces, "faiss_bytes": index / faces,
                "lite_bytes": size_of(root / "faces.db") / faces, "lite_rows_per_s": faces / seconds,
            }  # fmt: skip
    finally:
        shutil.rmtree(root)


class Server:
    """A standalone Milvus that is started and ended here. Its process is the only child of the command, or
    the command itself.
    """

    def __init__(self, command: str, place: Place) -> None:
        self.command, self.place = command, place
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            shlex.split(self.command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, 180)
        time.sleep(15)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        for pid in {self.pid, self._process.pid}:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        time.sleep(3)

    @property
    def pid(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else self._process.pid

    def _answers(self) -> bool:
        def ask() -> None:
            with connected(self.place) as engine:
                engine.has("anything")

        return works(ask)


def measure_server(server: Server, data: Path, faces: int) -> dict[str, Any]:
    """What each kind of index adds to a server's files and, loaded after a fresh start, to its process; bytes
    a row.
    """
    root = Path(tempfile.mkdtemp(prefix="facesearch-sizing-"))
    found: dict[str, Any] = {"faces": faces, "indexes": {}}
    place = server.place
    try:
        with filled(root / "g", faces, quiet) as gallery:
            for kind in INDEXES:
                before = {part: size_of(data / part) for part in PARTS}
                started = time.perf_counter()
                sync(gallery, place, index=kind, progress=quiet)
                seconds = time.perf_counter() - started
                name = collection_of(gallery)
                with connected(place) as engine:
                    client = engine._client
                    found["version"] = engine.version()
                    time.sleep(5)
                    built = wait_for(lambda client=client, name=name: is_built(client, name, faces))
                    client.release_collection(name)
                time.sleep(60)  # compacted segments are indexed too, and what they replace is swept away
                files = {part: (size_of(data / part) - before[part]) / faces for part in PARTS}
                server.restart()
                with connected(place) as engine:
                    idle = resident(server.pid)
                    wait_for(
                        lambda engine=engine, name=name, kind=kind: works(lambda: engine.prepare(name, kind)),
                        120,
                    )
                    engine.search(name, kind, unit(np.random.default_rng(2), 1), 10, strong=True)
                    time.sleep(15)
                    grown = resident(server.pid) - idle
                found["indexes"][kind] = {
                    "rows_per_s": faces / seconds, "index_built_s": built, "log_bytes": files["insert_log"],
                    "index_bytes": files["index_files"], "loaded_bytes": grown / faces,
                }  # fmt: skip
                click.echo(f"{kind}: {found['indexes'][kind]}", err=True)
                drop(gallery, place, abandon=False)
                time.sleep(45)  # so that the next kind starts from clean files
        return found
    finally:
        shutil.rmtree(root)


def works(call: Callable[[], object]) -> bool:
    """Whether a call goes through; a server that has just started refuses some for a while."""
    try:
        call()
    except FacesearchError:
        return False
    return True


def is_built(client: Any, name: str, faces: int) -> bool:
    told = client.describe_index(name, "vector")
    return int(told["indexed_rows"]) >= faces and int(told["pending_index_rows"]) == 0


def wait_for(is_so: Callable[[], bool], limit_s: float = 1200) -> float:
    started = time.perf_counter()
    while not is_so():
        if time.perf_counter() - started > limit_s:
            raise TimeoutError("the server did not build its index")
        time.sleep(1)
    return time.perf_counter() - started


def resident(pid: int) -> int:
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) * 1024


def quiet(done: int, total: int) -> None:
    pass


def row_bytes(measured: dict[str, Any]) -> float:
    """What a loaded row takes beside its vector: by how much a process grew that loaded rows without any
    index, less the vector.
    """
    flat = measured.get("server", {}).get("indexes", {}).get("flat")
    return max(ROW_BYTES, flat["loaded_bytes"] - D * 4) if flat else ROW_BYTES


def table(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """For each size and index: memory and disk of all query nodes, and how many machines that takes.

    Memory by the formula: what a process has grown by after loading a graph holds buffers of the loading too,
    a segment at a time.
    """
    here, server, row_b = measured["here"], measured.get("server", {}), row_bytes(measured)
    rows = []
    for faces in SIZES:
        for kind, (memory, disk, basis) in formulas(INDEXES["hnsw"][1]["M"]).items():
            if kind == "flat":
                continue
            there = server.get("indexes", {}).get(kind, {})
            memory_b = memory + row_b
            stored_b = server["indexes"]["flat"]["log_bytes"] if server else D * 4
            stored_b += there.get("index_bytes") or max(memory, disk)
            total_gb = faces * memory_b / GB
            disk_gb = faces * disk / GB
            by_memory = total_gb * MACHINE["copies"] / (MACHINE["memory_gb"] * MACHINE["usable"])
            by_disk = disk_gb * MACHINE["copies"] / (MACHINE["nvme_tb"] * 1000 * MACHINE["nvme_usable"])
            rows.append(
                {
                    "faces": faces,
                    "index": kind,
                    "formula": basis,
                    "memory_bytes_a_face": memory_b,
                    "disk_bytes_a_face": disk,
                    "measured_index_bytes": there.get("index_bytes"),
                    "measured_loaded_bytes": there.get("loaded_bytes"),
                    "memory_gb": total_gb,
                    "nvme_gb": disk_gb,
                    "object_storage_gb": faces * stored_b / GB,
                    "machines": max(MACHINE["copies"], math.ceil(max(by_memory, by_disk))),
                    "store_gb": faces * here["store_bytes"] / GB,
                }
            )
    return rows


def lines(measured: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    here = measured["here"]
    out = [
        (
            f"Measured with {here['faces']:,} faces of {D} numbers on this machine, bytes a face: gallery"
            f" (SQLite) {here['store_bytes']:.0f}, its FAISS index {here['faiss_bytes']:.0f}, Milvus Lite"
            f" {here['lite_bytes']:.0f}."
        ),
        "",
    ]
    if server := measured.get("server"):
        out += [
            (
                f"Milvus {server['version']}, standalone on this machine, {server['faces']:,} faces, bytes a"
                " face:"
            ),
            "",
            (
                "| index | its file, compressed | formula | process grows by, just loaded | formula with the"
                " row | its rows' files |"
            ),
            "|---|---|---|---|---|---|",
        ]
        for kind, (memory, disk, _) in formulas(INDEXES["hnsw"][1]["M"]).items():
            there = server["indexes"].get(kind)
            if there is None:
                continue
            file = disk + D * 4 * 0.125 if disk else memory
            out.append(
                f"| {kind} | {there['index_bytes']:,.0f} | {file:,.0f} | {there['loaded_bytes']:,.0f} "
                f"| {memory + row_bytes(measured):,.0f} | {there['log_bytes']:,.0f} |"
            )
        out.append("")
    out += [
        (
            f"Machines with {MACHINE['memory_gb']} GB ({MACHINE['usable']:.0%} of it used) and"
            f" {MACHINE['nvme_tb']:.0f} TB NVMe ({MACHINE['nvme_usable']:.0%}), every row on"
            f" {MACHINE['copies']} of them:"
        ),
        "",
        (
            "| faces | index | memory, one copy | NVMe, one copy | object storage | query machines | gallery"
            " (SQLite) |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        nvme = f"{row['nvme_gb']:,.0f} GB" if row["nvme_gb"] else "-"
        out.append(
            f"| {row['faces'] / 1e6:,.0f} M | {row['index']} | {row['memory_gb']:,.0f} GB | {nvme} |"
            f" {row['object_storage_gb']:,.0f} GB | {row['machines']} | {row['store_gb']:,.0f} GB |"
        )
    return out


@click.command()
@click.option("--faces", default=20_000, show_default=True, help="How many faces to measure with.")
@click.option("--server", default=None, help="milvus:http://... of a standalone server on this machine.")
@click.option(
    "--server-data",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder with its insert_log and index_files.",
)
@click.option("--server-start", default=None, help="The command that runs it, until it is killed.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default="scripts/results/past")
def main(
    faces: int, server: str | None, server_data: Path | None, server_start: str | None, out: Path
) -> None:
    kept = out / "measured.json" if (out / "measured.json").is_file() else RESULTS / "measured.json"
    measured: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    measured["here"] = measure_here(faces)
    measured["machine"] = machine()
    if server is not None:
        if server_data is None or server_start is None:
            raise click.UsageError("--server needs --server-data and --server-start too")
        running = Server(server_start, place_of(server))
        try:
            measured["server"] = measure_server(running, server_data, faces)
        finally:
            running.stop()
    rows = table(measured)
    out.mkdir(parents=True, exist_ok=True)
    (out / "measured.json").write_text(json.dumps(measured, indent=2) + "\n")
    (out / "sizing.json").write_text(
        json.dumps({"machine": MACHINE, "row_bytes": row_bytes(measured), "rows": rows}, indent=2) + "\n"
    )
    click.echo("\n".join(lines(measured, rows)))


if __name__ == "__main__":
    main()
