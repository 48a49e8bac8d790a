"""Milvus as a gallery uses it: one connection, one kind of collection, every answer within a time limit,
every error in our words.

A server is spoken to over its address. Milvus Lite runs inside this process; it is reached through a socket
in a folder of the owner's, not through a port of the machine, which any other user could read the vectors
from.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.errors import OtherCollection, PackageMissing, StoreRefused, StoreUnreachable
from facesearch.files import make_folder
from facesearch.gallery.milvus.projections import ID_LENGTH, Place
from facesearch.records import F32

MOST = 16384
"""So many rows at most Milvus returns at once, also of a search."""
NUMBERS = 10_000
"""Face numbers asked for at once; each is there once, so the answer stays below MOST."""
CONNECT_S = 10.0
PATIENCE = 20
"""A flush, a load or a drop may take so many times longer than a search."""
INDEXES: dict[str, tuple[str, dict[str, int], str]] = {
    "flat": ("FLAT", {}, ""),
    "hnsw": ("HNSW", {"M": 32, "efConstruction": 360}, "ef"),
    "diskann": ("DISKANN", {}, "search_list"),
    "ivf_sq8": ("IVF_SQ8", {"nlist": 4096}, "nprobe"),
}
"""Index kinds: Milvus' name, build parameters, and the parameter that trades time for recall at a search."""
ENCODER, STAMP = "facesearch.encoder", "facesearch.stamp"
UNFINISHED = "unfinished"
SEALED, DROPPED, DELETIONS = 3, 6, 1
"""Milvus' numbers for states of a segment (common.SegmentState), and for the level of those that hold
deletions alone (common.SegmentLevel.L0).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the engine has it. vector (d,) float32, None when it was not asked for."""

    id: str
    face: int
    vector: F32 | None = None


class Engine:
    """An open connection. Use it in a with statement; every method raises StoreUnreachable or
    StoreRefused."""

    def __init__(self, place: Place, client: Any) -> None:
        self.place = place
        self._client = client
        self._wait_s = place.access.wait_s

    @property
    def keeps_deleted_bytes(self) -> bool:
        """Whether deleted vectors stay in its files until the collection is dropped, for all that anybody
        does.
        """
        return self.place.local is not None

    def has(self, name: str) -> bool:
        return bool(self._ask("look for a collection", self._client.has_collection, name))

    def create(self, name: str, dimension: int, encoder_id: str, index: str) -> None:
        """Make an empty collection, indexed and loaded, that is marked as unfinished."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, max_length=ID_LENGTH, is_primary=True)
        schema.add_field("face", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        marks = {ENCODER: encoder_id, STAMP: UNFINISHED}
        self._ask(
            "make a collection",
            self._client.create_collection,
            name,
            schema=schema,
            consistency_level="Strong",
            properties=marks,
        )
        self._index(name, index)

    def check(self, name: str, dimension: int, encoder_id: str) -> None:
        """Make sure that a collection is one that `create` made for this encoder, loaded and indexed. Raises
        OtherCollection.
        """
        told = self._describe(name)
        found = {field["name"]: (field["type"].name, field["params"]) for field in told["fields"]}
        wanted = {
            "id": ("VARCHAR", {"max_length": ID_LENGTH}),
            "face": ("INT64", {}),
            "vector": ("FLOAT_VECTOR", {"dim": dimension}),
        }
        if wrong := next(
            (field for field in {**wanted, **found} if found.get(field) != wanted.get(field)), None
        ):
            raise OtherCollection(
                self.place.text,
                name,
                f"its field {wrong!r} is {_words(found.get(wrong))}, not {_words(wanted.get(wrong))}",
            )
        if (encoder := told["properties"].get(ENCODER)) != encoder_id:
            raise OtherCollection(
                self.place.text, name, f"it is of the encoder {str(encoder)[:12]}, not {encoder_id[:12]}"
            )

    def prepare(self, name: str, index: str) -> None:
        """Have a collection loaded, with this kind of index: after a kill between its making and its index,
        or when it had another.
        """
        if "vector" in self._ask("list its indexes", self._client.list_indexes, name):
            there = self._ask("describe its index", self._client.describe_index, name, "vector")
            if there["index_type"] != INDEXES[index][0]:
                self._slow("release the collection", self._client.release_collection, name)
                self._slow("drop its index", self._client.drop_index, name, "vector")
                self._index(name, index)
        else:
            self._index(name, index)
        self.load(name)

    def load(self, name: str) -> None:
        """Have a collection ready to be asked; nothing happens to one that is."""
        self._slow("load the collection", self._client.load_collection, name)

    def drop(self, name: str) -> None:
        """Drop a collection with all that is in it; it may be gone already, and Milvus Lite need not be able
        to read it.
        """
        if self.keeps_deleted_bytes or self.has(
            name
        ):  # Lite takes it for dropped when it is not there, but reads it to say that it is
            self._slow("drop the collection", self._client.drop_collection, name)

    def stamp(self, name: str) -> str:
        return str(self._describe(name)["properties"].get(STAMP, ""))

    def set_stamp(self, name: str, stamp: str) -> None:
        self._ask("note its state", self._client.alter_collection_properties, name, properties={STAMP: stamp})

    def count(self, name: str, which: str = "") -> int:
        """How many rows there are now, or of those that a filter chooses."""
        rows = self._slow(
            "count",
            self._client.query,
            name,
            filter=which,
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return int(rows[0]["count(*)"])

    def between(self, name: str, low: int, high: int, *, vectors: bool) -> Iterator[list[Row]]:
        """The rows of the faces low < number <= high, a few at a time, by number; of what was written some
        seconds ago or earlier.

        Count first to wait for everything: a server takes 0.2 s to be that sure, too long for each of many
        reads.
        """
        fields = ["id", "face", "vector"] if vectors else ["id", "face"]
        step = NUMBERS // 10 if vectors else NUMBERS
        for start in range(low, high, step):
            which = f"face > {start} and face <= {min(high, start + step)}"
            rows = self._ask(
                "read rows",
                self._client.query,
                name,
                filter=which,
                output_fields=fields,
                limit=MOST,
                consistency_level="Bounded",
            )
            found = [
                Row(row["id"], int(row["face"]), np.asarray(row["vector"], np.float32) if vectors else None)
                for row in rows
            ]
            yield sorted(found, key=lambda row: row.face)

    def unindexed(self, name: str) -> int:
        """How many rows are not searched by their index yet, but as they grow: approximately, so that a
        search may miss some of them.

        A server says early that its index is built; the rows are searched by it only when the segments that
        were written down are loaded instead of the growing ones, about 15 s later. Where it does not
        tell its segments, what it says of its index has to do. Milvus Lite compares all rows.
        """
        if self.place.local is not None:
            return 0
        told = self._ask("describe its index", self._client.describe_index, name, "vector") or {}
        unbuilt = max(0, int(told.get("total_rows", 0)) - int(told.get("indexed_rows", 0)))
        try:
            return max(unbuilt, self._growing(name))
        except (StoreRefused, StoreUnreachable):  # not everybody may list segments
            return unbuilt

    def index_failed(self, name: str) -> bool:
        """Whether the engine has given up making the index."""
        told = self._ask("describe its index", self._client.describe_index, name, "vector") or {}
        return str(told.get("state", "")) == "Failed"

    def send(self, name: str, rows: Sequence[Row]) -> None:
        """Add rows; what is there under the same id is replaced."""
        data = [{"id": row.id, "face": row.face, "vector": row.vector} for row in rows]
        self._ask("take rows", self._client.upsert, name, data)

    def delete(self, name: str, which: str) -> None:
        """Take away the rows that a filter chooses."""
        self._slow("delete rows", self._client.delete, name, filter=which)

    def settle(self, name: str, *, compact: bool) -> None:
        """Have everything written down; with compact, have what was deleted left out of the files that are
        written next.
        """
        self._slow("write its rows down", self._client.flush, name)
        if compact and not self.keeps_deleted_bytes:
            self._slow("compact", self._client.compact, name)

    def search(
        self, name: str, index: str, queries: F32, k: int, *, strong: bool
    ) -> list[list[tuple[str, int]]]:
        """For each of queries (q, d) float32 the (id, face) of its k nearest rows by inner product, best
        first.

        strong: see all that was written before, which a server takes up to 0.2 s for; else all but the last
        few seconds.
        """
        effort = INDEXES[index][2]
        params = {effort: min(4096, max(4 * k, 256))} if effort else {}
        hits = self._ask(
            "search",
            self._client.search,
            name,
            data=list(queries),
            limit=min(k, MOST),
            output_fields=["face"],
            anns_field="vector",
            search_params={"metric_type": "IP", "params": params},
            consistency_level="Strong" if strong else "Bounded",
        )
        return [[(hit["id"], int(hit["entity"]["face"])) for hit in found] for found in hits]

    def version(self) -> str:
        return str(self._ask("say its version", self._client.get_server_version))

    # ---- inside

    def _index(self, name: str, index: str) -> None:
        kind, build, _ = INDEXES[index]
        wanted = self._client.prepare_index_params()
        wanted.add_index("vector", index_type=kind, metric_type="IP", params=build)
        if not self.keeps_deleted_bytes and "face" not in self._ask(
            "list its indexes", self._client.list_indexes, name
        ):
            wanted.add_index(
                "face", index_type="STL_SORT"
            )  # comparing walks by face number; Lite scans, which is quick enough there
        self._slow("index the collection", self._client.create_index, name, wanted, sync=False)
        self.load(name)

    def _growing(self, name: str) -> int:
        """Rows of segments that are written down, and not loaded: each loaded one has its index."""
        doing, client = "list its segments", self._client
        loaded = self._ask(doing, client.list_loaded_segments, name)
        there = {segment.segment_id for segment in loaded if int(segment.state) == SEALED}
        written = self._ask(doing, client.list_persistent_segments, name)
        return sum(
            segment.num_rows
            for segment in written
            if int(segment.state) != DROPPED
            and int(segment.level) != DELETIONS
            and segment.segment_id not in there
            and not (segment.compaction_from and there.issuperset(segment.compaction_from))
        )

    def _describe(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = self._ask("describe its collection", self._client.describe_collection, name)
        return {**told, "properties": dict(told.get("properties") or {})}

    def _ask(self, doing: str, call: Any, *values: Any, **named: Any) -> Any:
        with engine_errors(self.place, doing, self._wait_s):
            return call(*values, timeout=self._wait_s, **named)

    def _slow(self, doing: str, call: Any, *values: Any, **named: Any) -> Any:
        with engine_errors(self.place, doing, PATIENCE * self._wait_s):
            return call(*values, timeout=PATIENCE * self._wait_s, **named)


@contextmanager
def connected(place: Place) -> Iterator[Engine]:
    """Connect to a server, or run Milvus Lite on a local file for as long as this lasts.

    Raises PackageMissing, StoreUnreachable, CannotWrite.
    """
    with _embedded(place.local) if place.local is not None else _remote(place) as address:
        limit = min(CONNECT_S, place.access.wait_s)
        with engine_errors(place, "answer", limit):
            from pymilvus import MilvusClient

            client = MilvusClient(
                address,
                token="" if place.local is not None else place.access.token,
                timeout=limit,
                dedicated=True,
            )
        try:
            yield Engine(place, client)
        finally:
            client.close()


@contextmanager
def engine_errors(place: Place, doing: str, limit_s: float) -> Iterator[None]:
    """Say in our words what pymilvus and gRPC report; never a vector, never the token."""
    try:
        import grpc
        from pymilvus.exceptions import MilvusException
    except ImportError as error:
        raise PackageMissing("pymilvus", "milvus", "a store in Milvus") from error
    try:
        yield
    except grpc.RpcError as error:
        raise StoreUnreachable(place.text, _status(error.code(), limit_s, doing)) from error
    except MilvusException as error:
        if isinstance(error.code, grpc.StatusCode):
            raise StoreUnreachable(place.text, _status(error.code, limit_s, doing)) from error
        said = str(error.message).strip()
        if place.local is not None:  # a client of the web service sees it, and is told no path
            said = said.replace(f"{place.local.parent}/", "")
        reason = next(iter(said.splitlines()), type(error).__name__)[:300].rstrip(".")
        if re.search("fail connecting", reason, re.IGNORECASE):
            raise StoreUnreachable(place.text, f"no connection within {limit_s:g} s") from error
        if re.search("deadline|timeout|timed out", reason, re.IGNORECASE):
            raise StoreUnreachable(
                place.text, f"it was asked to {doing} and had not within {limit_s:g} s"
            ) from error
        if re.search("authenticat|unauthorized|permission|token|password", reason, re.IGNORECASE):
            raise StoreRefused(place.text, doing, "it does not accept the token, or asks for one") from error
        raise StoreRefused(place.text, doing, reason) from error


@contextmanager
def _remote(place: Place) -> Iterator[str]:
    _quiet()
    yield place.uri


@contextmanager
def _embedded(path: Path) -> Iterator[str]:
    """Milvus Lite on a folder, behind a socket that only its owner can open."""
    place = Place(f"milvus:{path}", str(path), path)
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError
    except ImportError as error:
        raise PackageMissing("milvus-lite", "milvus", "a store in Milvus Lite") from error
    _quiet()
    make_folder(path)
    sockets = Path(tempfile.mkdtemp(prefix="facesearch-"))  # made for its owner only
    try:
        try:
            server, database, _ = start_server_in_thread(
                str(path), host="unix", port=sockets / "milvus"
            )  # gRPC's unix:PATH
        except DataDirLockedError as error:
            raise StoreUnreachable(
                place.text, "another process has it open, and Milvus Lite serves one at a time"
            ) from error
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise StoreUnreachable(
                place.text, f"Milvus Lite cannot open it ({type(error).__name__})"
            ) from error
        try:
            yield f"unix:{sockets / 'milvus'}"
        finally:
            server.stop(None).wait()
            database.close()
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _quiet() -> None:
    """What pymilvus would print of its own is said by our errors, and by nothing else."""
    try:
        import pymilvus  # noqa: F401
    except ImportError as error:
        raise PackageMissing("pymilvus", "milvus", "a store in Milvus") from error
    for name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False


def _status(code: Any, limit_s: float, doing: str) -> str:
    if code.name == "DEADLINE_EXCEEDED":
        return f"it was asked to {doing} and had not within {limit_s:g} s"
    return f"it was asked to {doing}; {code.name.lower().replace('_', ' ')}"


def _words(field: tuple[str, dict[str, Any]] | None) -> str:
    if field is None:
        return "not there"
    kind, params = field
    return kind + (f" {params}" if params else "")
