"""The commands with Milvus, and what its libraries print: nothing of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facesearch.errors import StoreRefused
from facesearch.gallery.milvus.engine import connected
from facesearch.gallery.milvus.projections import Place, collection_of, place_of
from facesearch.gallery.milvus.sync import sync
from facesearch.gallery.store.store import Store
from tests.helpers.milvus import lite_only
from tests.helpers.rows import unit
from tests.helpers.saying import quiet


@pytest.fixture
def gallery(forty_people: Store) -> Store:
    return forty_people


@pytest.mark.slow
@lite_only
def test_the_commands(run: Any, album: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    given = ["--aligned", "--weights", weights]
    run("enroll", "--from", album, *given)
    photo = next(album.rglob("*.png"))
    assert "say where: --store" in run("sync", code=2).stderr
    assert (
        "exclude each other" in run("sync", "--store", "milvus:faces.db", "--check", "--full", code=2).stderr
    )
    refused = run("query", photo, *given, "--store", "milvus:faces.db", code=1)
    assert "nothing was ever sent there.\nRun: facesearch sync --store milvus:" in refused.stderr
    first = run("sync", "--store", "milvus:faces.db")
    assert first.stdout == f"milvus:{tmp_path}/faces.db: 48 added, 0 removed, 0 same\n" and first.stderr == ""
    own = run("query", photo, *given, "--json").stdout
    there = run("query", photo, *given, "--json", "--store", "milvus:faces.db").stdout
    mine, theirs = (json.loads(said)["photos"][0]["faces"][0]["matches"] for said in (own, there))
    assert len(mine) == 5
    for here, elsewhere in zip(mine, theirs, strict=True):
        assert here["person"] == elsewhere["person"] and here["score"] == pytest.approx(
            elsewhere["score"], abs=1e-6
        )
    monkeypatch.setenv("FACESEARCH_STORE", "milvus:faces.db")
    assert json.loads(run("sync", "--json").stdout)["same"] == 48
    line = next(line for line in run("info").stdout.splitlines() if line.startswith("projection"))
    assert f"milvus:{tmp_path}/faces.db" in line and "48 faces, flat; as of the last sync" in line
    assert json.loads(run("info", "--json").stdout)["projections"] == [
        {"store": f"milvus:{tmp_path}/faces.db", "faces": 48, "index": "flat", "synced": True, "pending": 0}
    ]
    assert run("sync", "--check").stdout.endswith("0 missing, 0 too many, 0 with another vector, 48 right\n")
    with connected(place_of("milvus:faces.db")) as engine, Store.open(Path("index")) as gallery:
        engine.delete(collection_of(gallery), "face == 3")
    failed = run("sync", "--check", "--json", code=1)
    assert (
        json.loads(failed.stdout)["missing"] == 1
        and "1 row missing" in failed.stderr
        and "sync --full --store" in failed.stderr
    )
    run("sync", "--full")
    person = sorted(path.name for path in album.iterdir() if path.is_dir())[0]
    gone = run("forget", person)
    assert "8 photos forgotten" in gone.stdout and "its files were deleted and rewritten" in gone.stderr
    assert run("sync").stdout.endswith("0 added, 0 removed, 40 same\n")
    assert run("sync", "--drop").stdout == f"milvus:{tmp_path}/faces.db: dropped\n"
    assert "not encrypted" in run("sync", "--store", "milvus:http://milvus.invalid:1", code=1).stderr


def test_pymilvus_prints_nothing_of_its_own(gallery: Store, place: Place, capfd: pytest.CaptureFixture[str]):
    sync(gallery, place, progress=quiet)
    with connected(place) as engine, pytest.raises(StoreRefused, match="refused to search"):
        engine.search("no_such_collection", "flat", unit(1), 3, strong=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_grpc_prints_nothing_when_a_server_leaves_in_the_middle_of_a_call(
    gallery: Store, place: Place, tmp_path: Path
):
    """In a process of its own, since gRPC reads how much to tell only once: as the program, which sets that
    up, and then goes on here.
    """
    script = """
import sys, time
from types import SimpleNamespace
from concurrent.futures import ThreadPoolExecutor
from facesearch.cli import main as cli

def work():
    from facesearch.gallery.milvus.engine import connected
    from facesearch.gallery.milvus.projections import place_of

    with connected(place_of(sys.argv[1])):
        pass
    import grpc

    class Slow(grpc.GenericRpcHandler):
        def service(self, call):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: time.sleep(1))

    for i in range(3):
        server = grpc.server(ThreadPoolExecutor(1))
        server.add_generic_rpc_handlers((Slow(),))
        server.add_insecure_port(f"unix:{sys.argv[2]}{i}")
        server.start()
        channel = grpc.insecure_channel(f"unix:{sys.argv[2]}{i}")
        channel.unary_unary("/a/b").future(b"")
        time.sleep(0.3)
        server.stop(None).wait()
        time.sleep(0.1)
        channel.close()
    print("all done")

assert "grpc" not in sys.modules  # what the program sets is read when gRPC is imported
cli.main = SimpleNamespace(main=lambda standalone_mode: work())
cli.run()
"""
    given = [place.text, str(tmp_path / "s")]
    done = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all done\n", "")
