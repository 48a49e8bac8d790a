"""Feed damaged and hostile files to everything that reads files of others: only our own errors may come out.

    .venv/bin/python scripts/fuzz.py --inputs 2000
    .venv/bin/python scripts/fuzz.py --atheris 300
        led by coverage, 300 seconds a target; needs `pip install atheris`

Each target takes a whole file as it should be, and a mutation of it: bytes overwritten, cut out, doubled,
numbers made huge, the end cut off; with --atheris what a coverage-guided fuzzer makes of it, which climbs
over checks where blind changes fail. What may happen: the thing is read, or a FacesearchError (or a
Skipped) says what is wrong. What may not: any other exception, more than a few seconds, a file outside the
folder. Prints a table and writes scripts/results/fuzz.json, or crypt/atheris.json. ONNX files run in
processes of their own, since onnxruntime is not ours: a crash of theirs is counted apart.
"""

from __future__ import annotations

import io
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pillow_heif
from benching import machine, write
from PIL import Image

from facesearch.datasets.pairs import read_pairs
from facesearch.datasets.prepare import PrepareConfig, prepare
from facesearch.datasets.sources import read_source
from facesearch.datasets.table import open_dataset
from facesearch.datasets.toy import draw_people
from facesearch.encoder.checkpoint import load_encoder, save_encoder
from facesearch.errors import CorruptGallery, FacesearchError
from facesearch.faces.photos import read_photo
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.cipher import CannotDecrypt, cipher_for
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rewriting import snapshot
from facesearch.gallery.store.rows import NewFace, Row, vector_bytes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from facesearch.records import Skipped
from facesearch.training.recipe_files import load_recipe

ROOT = Path(__file__).resolve().parent.parent
SLOW_S = 20.0
D = 16
KEPT = Path(tempfile.gettempdir()) / "facesearch-fuzz"
"""What atheris brought a target down with is kept here."""
TEXT = ("recipe", "prepared dataset, m", "prepared dataset, f", "photo source", "pairs", "encoder")
"""Targets whose files are read as text, so that numbers in them are worth changing."""

Target = Callable[[bytes], object]


def mutated(data: bytes, rng: random.Random, text: bool) -> bytes:
    """Between one and four changes of a file."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(
            ("set", "cut", "double", "end", "number", "insert")
            if text
            else ("set", "set", "cut", "double", "end", "insert")
        )
        here = (
            rng.randrange(len(out) + 1) if rng.random() < 0.5 else rng.randrange(min(len(out), 256) + 1)
        )  # headers matter most
        size = rng.choice((1, 1, 2, 4, 16, 300))
        if kind == "set":
            out[here : here + size] = rng.choice((rng.randbytes(size), b"\xff" * size, b"\x00" * size))
        elif kind == "cut":
            del out[here : here + size]
        elif kind == "double":
            out[here:here] = out[here : here + size]
        elif kind == "insert":
            out[here:here] = rng.choice(
                (
                    b"\x00",
                    b"\n",
                    b"../../../etc/passwd",
                    b"\xff\xfe",
                    b'"',
                    b"-1",
                    b"1e999",
                    "\u202e𝕏".encode(),
                )
            )
        elif kind == "end":
            del out[here:]
        else:
            numbers = [found.span() for found in re.finditer(rb"\d+", bytes(out))]
            if numbers:
                start, end = rng.choice(numbers)
                out[start:end] = rng.choice(
                    (b"0", b"-1", b"99999999999999999999", b"4294967296", b"1e308", b"nan", b"0.5")
                )
    return bytes(out)


def photos(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    targets: dict[str, tuple[bytes, Target]] = {}
    pillow_heif.register_heif_opener()  # to write one
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        path = scratch / f"photo.{kind.lower()}"

        def target(data: bytes, path: Path = path) -> object:
            path.write_bytes(data)
            photo = read_photo(path)
            assert isinstance(photo, Skipped) or (photo.pixels.ndim == 3 and photo.pixels.shape[2] == 3)
            return photo

        targets[f"photo, {kind}"] = (buffer.getvalue(), target)
    return targets


def recipes(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    def target(data: bytes) -> object:
        path = scratch / "recipe.toml"
        path.write_bytes(data)
        return load_recipe(path)

    return {"recipe": ((ROOT / "scripts/recipes/distil.toml").read_bytes(), target)}


def datasets(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    draw_people(scratch / "album", people=3, photos=2, seed=1)
    prepare(
        read_source(scratch / "album"),
        None,
        PrepareConfig(out=scratch / "dataset", aligned=True),
        lambda done, total: None,
    )
    targets: dict[str, tuple[bytes, Target]] = {}
    for name in ("manifest.json", "faces.csv", "crops.npy"):
        path = scratch / "dataset" / name
        whole = path.read_bytes()

        def target(data: bytes, path: Path = path, whole: bytes = whole) -> object:
            try:
                path.write_bytes(data)
                return len(open_dataset(scratch / "dataset").people)
            finally:
                path.write_bytes(whole)

        targets[f"prepared dataset, {name}"] = (whole, target)
    return targets


def sources(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    """CelebA-500's tables and the identification-rate table; no file outside the folder may be named."""
    root = scratch / "celeba"
    (root / "celebA_imgs").mkdir(parents=True)
    for i in range(6):
        Image.new("RGB", (178, 218), (i, i, i)).save(root / "celebA_imgs" / f"{i:06d}.jpg")
    (root / "celebA_anno.txt").write_text("".join(f"{i:06d}.jpg {i // 2}\n" for i in range(6)))
    (root / "celebA_train_split.txt").write_text("".join(f"{i:06d}.jpg {i % 2}\n" for i in range(6)))
    targets: dict[str, tuple[bytes, Target]] = {}
    for name in ("celebA_anno.txt", "celebA_train_split.txt"):
        path = root / name
        whole = path.read_bytes()

        def target(data: bytes, path: Path = path, whole: bytes = whole) -> object:
            try:
                path.write_bytes(data)
                source = read_source(root)
                for entry in source.entries:
                    assert entry.path.resolve().is_relative_to(root.resolve()), entry.path
                return len(source.entries)
            finally:
                path.write_bytes(whole)

        targets[f"photo source, {name}"] = (whole, target)
    return targets


def pair_lists(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    """LFW's pairs.txt; what is read must be whole, and name no file outside the folder."""
    same = [f"Ana_{i}\t1\t{i + 2}\n" for i in range(3)]
    different = [f"Ana_{i}\t1\tBen_{i}\t12\n" for i in range(3)]
    whole = "".join(["2\t3\n", *same, *different, *same, *different]).encode()

    def target(data: bytes) -> object:
        path = scratch / "pairs.txt"
        path.write_bytes(data)
        pairs = read_pairs(path)
        assert len(pairs) == len(pairs.same) == len(pairs.fold) and pairs.folds >= 2
        assert pairs.first.max(initial=0) < len(pairs.photos) and pairs.second.max(initial=0) < len(
            pairs.photos
        )
        assert not (pairs.first == pairs.second).any()
        for photo in pairs.photos:
            assert photo.find(scratch).resolve().is_relative_to(scratch.resolve()), photo
        return pairs

    return {"pairs": (whole, target)}


def encoders(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    import torch

    from facesearch.encoder.config import EncoderConfig
    from facesearch.encoder.network import Encoder

    torch.manual_seed(0)
    path = scratch / "encoder.safetensors"
    save_encoder(path, Encoder(EncoderConfig(backbone="resnet18", embedding_size=8, size_px=32)).eval(), {})
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")

    def target(data: bytes) -> object:
        path.write_bytes(data + whole[header:])
        return load_encoder(path)

    return {"encoder, header": (whole[:header], target)}


def drawn_vectors() -> Any:
    vectors = np.random.default_rng(0).normal(size=(40, D)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def encrypted(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    """An encrypted export, one of its rows as it is stored, and what it says of its cipher: whatever is
    changed does not open.
    """
    key = Key(bytes(range(32)), "the fuzzer")
    vectors = drawn_vectors()
    with Store.create(scratch / "sealed", "e" * 64, D, "fuzz", key) as gallery:
        gallery.faces.add([NewFace(f"p{i % 5}", f"{i:064x}", f"{i}.jpg", v) for i, v in enumerate(vectors)])
        snapshot(gallery, scratch / "sealed.out")
        cipher = gallery.cipher
    row = Row("p1", f"{1:064x}", "1.jpg", vector_bytes(vectors[1], D))
    stored = cipher.encrypt("e" * 64, row)
    expected = {(f"p{i % 5}", f"{i:064x}", f"{i}.jpg") for i in range(40)}

    def brought_in(data: bytes) -> object:
        shutil.rmtree(scratch / "opened", ignore_errors=True)
        (scratch / "hostile.sealed").write_bytes(data)
        import_into(scratch / "hostile.sealed", scratch / "opened", lambda done, total: None, key)
        with Store.open(scratch / "opened", key, either=True) as gallery:
            assert gallery.faces.known_photos() <= expected
        return None

    def opened(data: bytes) -> object:
        """Four values, each after its length in four bytes."""
        values, rest = [], data
        for _ in stored:
            size = int.from_bytes(rest[:4], "little")
            values.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        try:
            assert cipher.decrypt("e" * 64, *values) == row
        except CannotDecrypt as error:
            raise CorruptGallery(scratch, str(error)) from error
        return None

    def described(data: bytes) -> object:
        return cipher_for(scratch, data.decode("utf-8", "surrogateescape"), key, either=True)

    packed = b"".join(
        len(value).to_bytes(4, "little") + bytes(value) for value in stored if isinstance(value, bytes)
    )
    return {
        "encrypted export": ((scratch / "sealed.out").read_bytes(), brought_in),
        "encrypted row": (packed, opened),
        "encrypted, its description": (cipher.description.encode(), described),
    }


def galleries(scratch: Path) -> dict[str, tuple[bytes, Target]]:
    vectors = drawn_vectors()
    with Store.create(scratch / "gallery", "e" * 64, D, "fuzz") as gallery:
        gallery.faces.add([NewFace(f"p{i % 5}", f"{i:064x}", f"{i}.jpg", v) for i, v in enumerate(vectors)])
        open_index(gallery)
        gallery.eraser.cut_log()
    export(scratch / "gallery", scratch / "exported")
    expected = {(f"p{i % 5}", f"{i:064x}", f"{i}.jpg") for i in range(40)}
    targets: dict[str, tuple[bytes, Target]] = {}

    def brought_in(data: bytes) -> object:
        shutil.rmtree(scratch / "new", ignore_errors=True)
        (scratch / "hostile").write_bytes(data)
        import_into(scratch / "hostile", scratch / "new", lambda done, total: None)
        with Store.open(scratch / "new") as gallery:
            assert gallery.faces.known_photos() <= expected
        return None

    targets["exported gallery"] = ((scratch / "exported").read_bytes(), brought_in)
    for path in sorted((scratch / "gallery").iterdir()):
        whole = path.read_bytes()

        def asked(data: bytes, path: Path = path, whole: bytes = whole) -> object:
            for rest in (scratch / "asked").glob("*"):
                rest.unlink()
            (scratch / "asked").mkdir(exist_ok=True)
            for file in (scratch / "gallery").iterdir():
                (scratch / "asked" / file.name).write_bytes(data if file == path else file.read_bytes())
            with Store.open(scratch / "asked") as gallery:
                best = nearest_people(gallery, open_index(gallery), vectors[7], 1)
                assert not best or best[0].person in {f"p{i}" for i in range(5)}, best
            return None

        kind = FILE if path.name == FILE else "vectors.faiss" if path.suffix == ".faiss" else path.name
        if whole and path.suffix in (".sqlite", ".faiss", ".json"):
            targets[f"gallery in use, {kind}"] = (whole, asked)
    return targets


ONNX = """
import sys
from pathlib import Path
from facesearch.errors import FacesearchError
from facesearch.encoder.runtime import load_runtime
for name in sys.argv[1:]:
    print("begin", name, flush=True)
    try:
        load_runtime(Path(name), device="cpu")
        print("read", flush=True)
    except FacesearchError:
        print("refused", flush=True)
    except Exception as error:
        print("crash", repr(error)[:200].replace(chr(10), " "), flush=True)
"""


def onnx_files(scratch: Path, inputs: int, rng: random.Random) -> dict[str, Any]:
    """Damaged ONNX files, a batch of them a process."""
    import onnx

    node, shape = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    kernel = onnx.numpy_helper.from_array(np.ones((4, 3, 16, 16), np.float32), "k")
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["x", "k"], ["m"], strides=[16, 16]),
            node("GlobalAveragePool", ["m"], ["g"]),
            node("Flatten", ["g"], ["v"]),
        ],
        "g",
        [shape("x", 1, [1, 3, 112, 112])],
        [shape("v", 1, [1, 4])],
        [kernel],
    )
    whole = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    counted: Counter[str] = Counter()
    messages: set[str] = set()
    for start in range(0, inputs, 50):
        names = []
        for i in range(start, min(start + 50, inputs)):
            path = scratch / f"{i}.onnx"
            path.write_bytes(mutated(whole, rng, text=False))
            names.append(str(path))
        while names:
            done = subprocess.run(
                [sys.executable, "-c", ONNX, *names], capture_output=True, text=True, timeout=600
            )
            lines = [line for line in done.stdout.splitlines() if not line.startswith("begin")]
            for line in lines:
                counted[line.split()[0]] += 1
                if line.startswith("crash"):
                    messages.add(line)
            begun = done.stdout.count("begin")
            if begun > len(lines):  # the process itself died in the last one
                counted["onnxruntime died"] += 1
            names = names[begun:]
    return {"inputs": inputs, **counted, "messages": sorted(messages)}


def fuzz(name: str, whole: bytes, target: Target, inputs: int, rng: random.Random) -> dict[str, Any]:
    """Feed `inputs` mutations to a target."""
    counted: Counter[str] = Counter()
    messages: set[str] = set()
    slowest = 0.0
    for _ in range(inputs):
        data = mutated(whole, rng, text=name.startswith(TEXT))
        started = time.monotonic()
        try:
            result = target(data)
            counted["skipped" if isinstance(result, Skipped) else "read"] += 1
        except FacesearchError:
            counted["refused"] += 1
        except Exception as error:  # noqa: BLE001  (a crash is what is looked for)
            counted["crash"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            messages.add(
                f"{type(error).__name__}: {str(error)[:120]} at {Path(where.filename).name}:{where.lineno}"
            )
        slowest = max(slowest, time.monotonic() - started)
    counted["slow"] += slowest > SLOW_S
    return {"inputs": inputs, **counted, "slowest_s": round(slowest, 2), "messages": sorted(messages)}


ATHERIS = """
import sys, tempfile
from pathlib import Path
import atheris
sys.path[:0] = sys.argv.pop(1).split(":")
name = sys.argv.pop(1)
with atheris.instrument_imports(include=["facesearch"], enable_loader_override=False):
    import fuzz
whole, target = fuzz.targets_in(Path(tempfile.mkdtemp(dir=sys.argv[-1] + "/..")), name)[name]
(Path(sys.argv[-1]) / "whole").write_bytes(whole)
def one(data):
    try:
        target(data)
    except fuzz.FacesearchError:
        pass
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def led_by_coverage(name: str, seconds: int, corpus: Path) -> dict[str, Any]:
    """Let atheris look for a crash of one target, in a process of its own: libFuzzer ends with its process.

    edges: branches of our own code that were reached, at first (by the whole file) and at last.
    """
    corpus.mkdir(parents=True)
    KEPT.mkdir(exist_ok=True)
    limits = [
        f"-max_total_time={seconds}",
        "-max_len=65536",
        f"-timeout={SLOW_S:.0f}",
        f"-artifact_prefix={corpus.parent}/",
    ]
    command = [sys.executable, "-c", ATHERIS, f"{ROOT / 'scripts'}:{ROOT}", name, *limits, str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + 600)
    progress = re.findall(r"#(\d+)\s+\S+\s+cov: (\d+)", done.stderr)
    first, last = (progress[0], progress[-1]) if progress else (("0", "0"), ("0", "0"))
    crash = int(done.returncode != 0)
    messages = (
        [line for line in done.stderr.splitlines() if "error" in line.lower() or "exception" in line.lower()][
            -3:
        ]
        if crash
        else []
    )
    for culprit in corpus.parent.glob("*-*"):
        if culprit.is_file():
            shutil.copy(culprit, KEPT)
    return {
        "inputs": int(last[0]),
        "edges at first": int(first[1]),
        "edges": int(last[1]),
        "crash": crash,
        "messages": messages,
    }


def targets_in(scratch: Path, only: str = "") -> dict[str, tuple[bytes, Target]]:
    """Everything that reads files, by name: a whole file, and what reads it. only: where names begin so."""
    makers = {
        "photo,": photos,
        "recipe": recipes,
        "prepared": datasets,
        "photo source": sources,
        "pairs": pair_lists,
        "encoder": encoders,
        "exported gallery": galleries,
        "gallery in use": galleries,
        "encrypted": encrypted,
    }
    wanted = dict.fromkeys(
        make for begin, make in makers.items() if begin.startswith(only) or only.startswith(begin)
    )
    return {
        name: target for make in wanted for name, target in make(scratch).items() if name.startswith(only)
    }


@click.command()
@click.option("--inputs", default=2000, show_default=True, help="A target.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", default="", help="Targets whose name begins so.")
@click.option("--atheris", "seconds", default=0, help="Seconds a target, led by coverage.")
def main(inputs: int, seed: int, only: str, seconds: int) -> None:
    """Run all targets."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name, (whole, target) in targets_in(scratch, only).items():
            if seconds:
                results[name] = led_by_coverage(name, seconds, scratch / "atheris" / name / "corpus")
            else:
                count = inputs // 10 if name.startswith("encoder") else inputs
                results[name] = fuzz(name, whole, target, count, random.Random(f"{seed} {name}"))
        if not seconds and "onnx".startswith(only[:4]):
            results["onnx"] = onnx_files(scratch, max(50, inputs // 10), random.Random(f"{seed} onnx"))
    for name, facts in results.items():
        click.echo(
            f"{name:34} " + ", ".join(f"{value} {key}" for key, value in facts.items() if key != "messages")
        )
        for message in facts["messages"]:
            click.echo(f"    {message}")
    if not only:
        write(
            results, ROOT / "scripts/results" / ("crypt/atheris.json" if seconds else "fuzz.json"), machine()
        )
    sys.exit(1 if any(facts.get("crash", 0) or facts.get("slow", 0) for facts in results.values()) else 0)


if __name__ == "__main__":
    main()
