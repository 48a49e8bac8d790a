"""The library from outside: what is public of it, and what it leaves alone of the process that uses it."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import facesearch
from facesearch import errors
from facesearch.gallery.store.store import Store

ROOT = Path(__file__).resolve().parents[2]


# ---- what it is


def test_every_public_name_is_there_documented_and_imported_at_its_first_use():
    code = (
        "import sys, facesearch\n"
        "assert not {'numpy', 'cv2', 'faiss', 'PIL', 'openvino', 'torch', 'click'} & sys.modules.keys()\n"
        "assert set(facesearch.__all__) <= set(dir(facesearch))\n"
        "for name in facesearch.__all__: assert getattr(facesearch, name) is not None, name\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert all(getattr(facesearch, name).__doc__ for name in facesearch.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="no attribute 'enrol'"):
        _ = facesearch.enrol  # type: ignore[attr-defined]
    assert (ROOT / "facesearch" / "py.typed").is_file()


@pytest.mark.slow
def test_a_strict_type_checker_knows_it(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(
        textwrap.dedent("""
            import facesearch
            import numpy as np

            gallery = facesearch.open_gallery("people")
            gallery.enroll("Ada", ["ada.jpg", np.zeros((2, 2, 3), np.uint8), b""], largest=True)
            for face in gallery.search("group.jpg", top=5):
                reveal_type(face.matches[0].score)
            reveal_type(facesearch.compare("a.jpg", "b.jpg").decision)
            reveal_type(facesearch.embed("a.jpg").vectors)
            """)
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            str(tmp_path / "cache"),
            str(tmp_path / "user.py"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )
    told = done.stdout
    assert "error" not in told and 'type is "float"' in told.replace("builtins.", "")
    assert "'same'" in told and "ndarray" in told


# ---- what the host process does not notice


@pytest.mark.slow
def test_a_host_process_notices_nothing(weights: Path, album: Path, tmp_path: Path):
    """No environment is read, nothing is printed, planted, handled or changed that is the process's own."""
    code = textwrap.dedent(f"""
        import os, signal, sys, threading, warnings
        import cv2, faiss, numpy
        for name in ("KEY", "KEY_FILE", "GALLERY", "YUNET", "ENGINE", "STORE", "PRECISION",
                     "STORE_TIMEOUT_S", "MILVUS_TOKEN_FILE"):
            os.environ["FACESEARCH_" + name] = "nothing of this name"
        before = (dict(os.environ), cv2.getNumThreads(), faiss.omp_get_max_threads(), os.umask(0o022),
                  os.getcwd(),
                  [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], list(sys.meta_path),
                  list(sys.path), warnings.filters[:],
                  sys.excepthook, threading.excepthook)
        os.umask(0o022)
        import facesearch
        gallery = facesearch.open_gallery({str(tmp_path / "g")!r}, encoder={str(weights)!r})
        photos = sorted(__import__("pathlib").Path({str(album)!r}).rglob("*.png"))
        with gallery:
            gallery.enroll_many([(path.parent.name, path) for path in photos[:12]], largest=True)
            gallery.warm_up()
            for photo in gallery.search_each(photos[:6]): pass
            gallery.forget("p000")
            facesearch.compare(photos[20], photos[21], encoder={str(weights)!r}, detector="aligned")
        after = (dict(os.environ), cv2.getNumThreads(), faiss.omp_get_max_threads(), os.umask(0o022),
                 os.getcwd(),
                 [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], list(sys.meta_path),
                 list(sys.path), warnings.filters[:],
                 sys.excepthook, threading.excepthook)
        for one, two in zip(before, after): assert one == two, (one, two)
        assert all(module is not None for module in sys.modules.values())
        assert "click" not in sys.modules and "torch" not in sys.modules
        import logging
        assert not logging.root.handlers
        import openvino
        assert openvino.convert_model
        """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for path in (tmp_path / "g").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_errors_say_the_fact_and_the_command_line_the_advice_too(gallery: facesearch.Gallery):
    with pytest.raises(facesearch.FacesearchError) as caught:
        gallery.photos_of("redd")
    error = caught.value
    assert (error.kind, error.what) == (
        "unknown-person",
        "Nobody called 'redd' is enrolled. Did you mean 'red'?",
    )
    assert "facesearch" not in str(error) and isinstance(
        pickle.loads(pickle.dumps(error)), errors.UnknownPerson
    )


def test_a_gallery_goes_on_after_it_was_closed(gallery: facesearch.Gallery, tmp_path: Path):
    with gallery:
        assert gallery.search(tmp_path / "red20.png")[0].matches
    assert gallery.search(tmp_path / "red20.png")[0].matches[0].person == "red" and gallery.refresh() == 6
    with Store.open(gallery.folder) as store:
        store.eraser.delete("green")
    assert gallery.refresh() == 4


def test_what_is_warmed_up_and_fails_is_raised_by_who_needs_it(tmp_path: Path, weights: Path):
    broken = tmp_path / "w.safetensors"
    data = bytearray(weights.read_bytes())
    data[-9] ^= 1
    broken.write_bytes(data)
    encoder = facesearch.load_encoder(broken)
    encoder.warm_up()
    with pytest.raises(facesearch.EncoderError, match="damaged"):
        encoder.embed(np.zeros((1, 112, 112, 3), np.uint8))
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(1))
    assert facesearch.load_encoder(weights).words
