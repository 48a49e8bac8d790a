"""The library from outside: what a program can do with it, from many threads and after a fork, and what it leaves alone."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facesearch
from facesearch import errors
from facesearch.answers import AMBIGUOUS_GAP
from facesearch.api.per_process import PerProcess
from facesearch.gallery.store import FILE as STORE_FILE
from facesearch.gallery.store import Gallery as Store
from facesearch.model.weights_file import encoder_meta
from tests.conftest import ColourEncoder, refused, save_colour

ROOT = Path(__file__).resolve().parents[1]


def opened(folder: Path, **given: Any) -> facesearch.Gallery:
    """A gallery of colours: what is answered is plain to see."""
    return facesearch.open_gallery(folder, **{"encoder": facesearch.Encoder.of(ColourEncoder()), "detector": "aligned", **given})


@pytest.fixture
def gallery(tmp_path: Path) -> facesearch.Gallery:
    found = opened(tmp_path / "people")
    for name in ("red", "green", "blue"):
        found.enroll(name, [save_colour(tmp_path / f"{name}{shade}.png", name, shade=shade) for shade in (20, 60)])
    return found


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
        textwrap.dedent(
            """
            import facesearch
            import numpy as np

            gallery = facesearch.open_gallery("people")
            gallery.enroll("Ada", ["ada.jpg", np.zeros((2, 2, 3), np.uint8), b""], largest=True)
            for face in gallery.search("group.jpg", top=5):
                reveal_type(face.matches[0].score)
            reveal_type(facesearch.compare("a.jpg", "b.jpg").decision)
            reveal_type(facesearch.embed("a.jpg").vectors)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "user.py")],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    told = done.stdout
    assert "error" not in told and 'type is "float"' in told.replace("builtins.", "")
    assert "'same'" in told and "ndarray" in told


# ---- asking and enrolling


def test_a_photo_is_a_path_bytes_an_image_or_an_array(gallery: facesearch.Gallery, tmp_path: Path):
    path = save_colour(tmp_path / "ask.png", "red", shade=40)
    image = Image.open(path)
    forms: list[Any] = [
        path, str(path), path.read_bytes(), bytearray(path.read_bytes()), image, np.asarray(image),
        facesearch.NamedPhoto("mine.png", path.read_bytes()), facesearch.NamedPhoto("mine.png", image),
    ]  # fmt: skip
    answers = [gallery.search(form) for form in forms]
    assert {answer[0].matches[0].person for answer in answers} == {"red"}
    assert len({round(answer[0].matches[0].score, 6) for answer in answers}) == 1
    assert answers[0].photo == answers[1].photo == str(path) and answers[-1].photo == "mine.png"
    assert answers[0].sha256 == answers[2].sha256 == answers[6].sha256
    gallery.enroll("Zoé", [np.asarray(image)[:, ::-1], facesearch.NamedPhoto("in memory.png", path.read_bytes())])
    assert {photo.photo for photo in gallery.photos_of("Zoé")} >= {"in memory.png"}


@pytest.mark.parametrize("wrong", [3, None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), ["a.png"]])
def test_what_is_no_photo_is_a_mistake_of_the_caller(gallery: facesearch.Gallery, wrong: Any):
    with pytest.raises(TypeError, match="is no photo"):
        gallery.search(wrong)


def test_turned_and_transparent_images_are_taken_as_files_are(gallery: facesearch.Gallery, tmp_path: Path):
    image = Image.open(save_colour(tmp_path / "x.png", "blue", shade=30))
    exif = image.getexif()
    exif[274] = 6  # a camera held upright
    image.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    turned = Image.open(tmp_path / "turned.jpg")
    there, here = gallery.search(tmp_path / "turned.jpg")[0], gallery.search(turned)[0]
    assert there.matches[0].score == pytest.approx(here.matches[0].score, abs=1e-6)
    clear = Image.new("RGBA", (112, 112), (255, 0, 0, 255))
    assert gallery.search(clear)[0].matches[0].person == "red"


def test_one_bad_photo_raises_and_many_come_with_the_reason(gallery: facesearch.Gallery, tmp_path: Path):
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(errors.UnusablePhoto, match="not a picture"):
        gallery.search(tmp_path / "bad.png")
    with pytest.raises(facesearch.DataError, match="No such file"):
        gallery.search("nowhere.png")
    found = list(gallery.search_each([tmp_path / "bad.png", tmp_path / "red20.png", b"", "nowhere.png"]))
    assert [bool(photo.skipped) for photo in found] == [True, False, True, True]
    assert (
        found[1][0].decision == "undecided" and found[1][0].matches[0].person == "red" and [len(photo) for photo in found] == [0, 1, 0, 0]
    )
    again = gallery.search_all([tmp_path / "bad.png", tmp_path / "red20.png", b"", "nowhere.png"])
    assert again.photos == tuple(found) and again.enrolled == 6


def test_no_face_is_an_answer(tmp_path: Path):
    gallery = facesearch.open_gallery(tmp_path / "g", encoder=facesearch.Encoder.of(ColourEncoder()))
    wall = save_colour(tmp_path / "wall.png", "grey", (300, 300))
    answer = gallery.search(wall)
    assert list(answer) == [] and answer.skipped == "no face found" and (answer.width, answer.height) == (300, 300)
    with pytest.raises(errors.NoFace):
        gallery.enroll("Nobody", wall)
    assert not gallery.exists and gallery.people() == [] and len(gallery) == 0
    with pytest.raises(errors.NoGallery):
        gallery.info()


def test_a_stream_holds_a_few_photos_only(gallery: facesearch.Gallery, tmp_path: Path):
    """However many photos come, only some are read before the first is answered."""
    read = []

    def photos() -> Any:
        for number in range(2000):
            read.append(number)
            yield tmp_path / "red20.png"

    stream = gallery.search_each(photos())
    assert next(stream)[0].matches[0].person == "red" and len(read) < 400
    stream.close()


def test_the_same_photo_under_two_names_is_ambiguous(gallery: facesearch.Gallery, tmp_path: Path):
    gallery.enroll("crimson", tmp_path / "red20.png")
    face = gallery.search(tmp_path / "red20.png", threshold=0.9)[0]
    assert face.decision == "ambiguous" and face.gap is not None and face.gap < AMBIGUOUS_GAP
    assert {match.person for match in face.matches[:2]} == {"red", "crimson"}
    assert gallery.search(tmp_path / "green20.png", threshold=0.9)[0].decision == "match"
    assert gallery.search(tmp_path / "red20.png", threshold=1.0 + 1e-6)[0].decision == "unknown"
    assert gallery.search(tmp_path / "red20.png", threshold=0.9, among=["red", "green"])[0].decision == "match"


def test_people_are_renamed_moved_and_forgotten(gallery: facesearch.Gallery, tmp_path: Path):
    assert gallery.rename("red", "Rosa") == 2
    photo = gallery.photos_of("Rosa")[0]
    assert gallery.move("Rosa", [photo.sha256], "Rita").left == 1
    assert [(person.person, person.photos) for person in gallery.people()] == [("Rita", 1), ("Rosa", 1), ("blue", 2), ("green", 2)]
    receipt, path = gallery.forget("Rita")
    assert receipt.photos == 1 and path.is_file() and "Rita" not in [person.person for person in gallery.people()]
    with pytest.raises(facesearch.GalleryError, match="Nobody called 'Rita'"):
        gallery.forget("Rita")
    gallery.forget("blue", [tmp_path / "blue20.png"])
    assert [photo.photo for photo in gallery.photos_of("blue")] == ["blue60.png"]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda g: g.forget("red", []), ValueError, "empty list"),
        (lambda g: g.forget("red", "red20.png"), TypeError, "one str"),
        (lambda g: g.forget("red", contents=[]), ValueError, "empty list"),
        (lambda g: g.search("x.png", among=[]), ValueError, "empty list"),
        (lambda g: g.search("x.png", among="red"), TypeError, "one str"),
        (lambda g: g.search("x.png", top=0), ValueError, "1 or more"),
        (lambda g: g.search("x.png", top=True), ValueError, "1 or more"),
        (lambda g: g.search("x.png", threshold=float("nan")), ValueError, "from -1 to 1"),
        (lambda g: g.search("x.png", threshold="0.3"), TypeError, "no number"),
        (lambda g: g.search_all("x.png"), TypeError, "one str"),
        (lambda g: g.search_each(Path("x.png")), TypeError, "one Po"),
        (lambda g: g.search_each(["x.png"], top=0), ValueError, "1 or more"),
        (lambda g: g.calibrate(fpir=0), ValueError, "share"),
        (lambda g: g.calibrate(by="rank"), ValueError, "none of"),
        (lambda g: g.enroll("red", "x.png", fpir=1.0), ValueError, "share"),
        (lambda g: g.enroll("red", "x.png", face=0), ValueError, "1 or more"),
        (lambda g: g.enroll(3, "x.png"), TypeError, "int"),
        (lambda g: g.move("red", [], "green"), ValueError, "empty list"),
        (lambda g: g.reindex(ColourEncoder(), photos="folder"), TypeError, "one str"),
        (lambda g: facesearch.open_gallery(""), ValueError, "empty"),
        (lambda g: facesearch.open_gallery(g.folder, workers=-1).detector, ValueError, "1 or more"),
        (lambda g: facesearch.open_gallery(g.folder / STORE_FILE), errors.CannotRead, "this is a file"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_caller_is_told_at_once_and_nothing_happens(
    gallery: facesearch.Gallery, call: Any, error: type[Exception], says: str
):
    before = gallery.people()
    with pytest.raises(error, match=says):
        call(gallery)
    assert gallery.people() == before


def test_numbers_of_numpy_and_any_iterable_serve(gallery: facesearch.Gallery, tmp_path: Path):
    shades = (save_colour(tmp_path / f"iris{shade}.png", "blue", shade=shade) for shade in (90, 110))
    assert gallery.enroll("Iris", shades).added[0].photos == 2
    found = gallery.search(tmp_path / "red20.png", top=np.int64(1), threshold=np.float32(0.5), among=(name for name in ("red", "Iris")))
    assert [face.matches[0].person for face in found] == ["red"]
    assert sum(1 for _ in gallery.search_each(path for path in tmp_path.glob("red*.png"))) == 2


def test_of_several_photos_all_are_forgotten_or_none(gallery: facesearch.Gallery, tmp_path: Path):
    with pytest.raises(errors.UnknownPhoto) as raised:
        gallery.forget("red", [tmp_path / "red20.png", tmp_path / "rose.png"])
    assert "rose.png" in str(raised.value) and "red20.png" not in str(raised.value)
    assert len(gallery.photos_of("red")) == 2


def test_a_whole_gallery_is_verified_exported_imported_and_its_index_rebuilt(gallery: facesearch.Gallery, tmp_path: Path):
    assert gallery.verify().problems == () and gallery.rebuild_index("flat").choice == "flat"
    assert gallery.export(tmp_path / "all.facesearch").people == 3
    other = opened(tmp_path / "other")
    assert other.import_from(tmp_path / "all.facesearch").added == 6 and other.people() == gallery.people()
    assert other.search(tmp_path / "red20.png")[0].matches[0].person == "red"
    assert len(gallery.separations()) == 3


def test_a_gallery_is_calibrated_on_strangers(gallery: facesearch.Gallery, tmp_path: Path):
    colours = [f"#{40 * i:02x}{250 - 20 * i:02x}40" for i in range(6)]
    for i, colour in enumerate(colours):
        for shade in (10, 90):
            save_colour(tmp_path / "others" / f"s{i}" / f"{shade}.png", colour, shade=shade)
    done = gallery.calibrate(tmp_path / "others", fpir=0.3)
    assert done.threshold.on_strangers and done.threshold.people == 6 and gallery.threshold() == done.threshold
    assert gallery.info().threshold == done.threshold.score
    with pytest.raises(errors.TooFewSearches):
        gallery.calibrate(tmp_path / "others", fpir=0.001)


def test_an_encrypted_gallery_needs_its_key(tmp_path: Path):
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    secret = opened(tmp_path / "g", key=key)
    photo = save_colour(tmp_path / "red.png", "red")
    secret.enroll("Ada Lovelace", photo)
    assert secret.info().encrypted and b"Lovelace" not in b"".join(p.read_bytes() for p in (tmp_path / "g").iterdir() if p.is_file())
    for wrong in (None, bytes(32)):
        with pytest.raises(facesearch.GalleryError):
            opened(tmp_path / "g", key=wrong).search(photo)
    (tmp_path / "k").write_text(key.hex())
    (tmp_path / "k").chmod(0o600)
    assert opened(tmp_path / "g", key=tmp_path / "k").search(photo)[0].matches[0].person == "Ada Lovelace"
    with pytest.raises(errors.BadKey):
        opened(tmp_path / "g", key=b"short")
    secret.encrypt(bytes(32))
    assert secret.search(photo)[0].matches and opened(tmp_path / "g", key=bytes(32)).people()[0].person == "Ada Lovelace"
    secret.decrypt()
    assert opened(tmp_path / "g").people()[0].person == "Ada Lovelace"


def test_two_galleries_with_two_keys_are_open_in_one_process(tmp_path: Path):
    pytest.importorskip("cryptography")
    photo = save_colour(tmp_path / "red.png", "red")
    both = [opened(tmp_path / name, key=bytes([number] * 32)) for number, name in enumerate("ab", 1)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda gallery: gallery.enroll(f"of {gallery.folder.name}", photo), both))
        found = list(pool.map(lambda gallery: gallery.search(photo)[0].matches[0].person, both * 20))
    assert found == ["of a", "of b"] * 20


# ---- photos alone


def test_faces_are_found_embedded_and_compared(tmp_path: Path):
    data = pytest.importorskip("skimage.data", reason="needs the extra [demo]")
    face = data.astronaut()
    found = facesearch.detect(face)
    assert len(found) == 1 and found[0].crop.shape == (112, 112, 3) and found[0].score > 0.8 and len(found[0].landmarks) == 5
    x, y, w, h = found[0].box
    assert 0 < x < x + w < 512 and 0 < y < y + h < 512
    embedded = facesearch.embed(face)
    assert embedded.vectors.shape == (1, 512) and np.linalg.norm(embedded[0].vector) == pytest.approx(1, abs=1e-5)
    encoder = facesearch.load_encoder()
    assert embedded.encoder_id == encoder.id and encoder.embed(found[0].crop[None])[0] @ embedded[0].vector > 0.9999
    smaller = np.asarray(Image.fromarray(face).resize((300, 300)))
    same = facesearch.compare(face, smaller)
    assert same.decision == "same" and same.score > 0.9 and same.threshold is not None and same.fmr == 0.001
    strict, lax = (facesearch.compare(face, smaller, fmr=fmr).threshold for fmr in (1e-4, 0.1))
    assert strict is not None and lax is not None and strict > same.threshold > lax
    pair = np.concatenate([face, face[:, ::-1]], axis=1)
    with pytest.raises(errors.SeveralFaces):
        facesearch.compare(pair, face)
    assert facesearch.compare(pair, face, largest=True).decision == "same"
    with pytest.raises(errors.NoFace):
        facesearch.compare(face, np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(ValueError, match="fmr"):
        facesearch.compare(face, face, fmr=0)


def test_an_encoder_without_a_table_of_rates_decides_nothing(tmp_path: Path):
    a, b = save_colour(tmp_path / "a.png", "red"), save_colour(tmp_path / "b.png", "red", shade=9)
    told = facesearch.compare(a, b, encoder=facesearch.Encoder.of(ColourEncoder()), detector="aligned")
    assert told.decision == "undecided" and told.threshold is None and told.fmr is None and told.score > 0.9


def test_an_encoder_takes_crops_of_one_shape_only(weights: Path):
    encoder = facesearch.load_encoder(weights)
    assert encoder.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 32) and encoder.dimension == 32
    for wrong in (np.zeros((112, 112, 3), np.uint8), np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, 112, 112, 3))):
        with pytest.raises(ValueError, match="expected"):
            encoder.embed(wrong)
    with pytest.raises(facesearch.EncoderError):
        facesearch.load_encoder(ROOT / "README.md")
    with pytest.raises(facesearch.DataError):
        facesearch.load_encoder("nowhere")


# ---- the encoder follows the gallery


@pytest.fixture
def run_folder(tmp_path: Path, weights: Path) -> Path:
    """What train leaves behind, below runs/, and the pointer to it."""
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    shutil.copy(weights, run / "best.safetensors")
    (tmp_path / "runs" / "finished.json").write_text(json.dumps({"weights": str(run / "best.safetensors")}))
    return run


def test_a_gallery_is_asked_with_the_encoder_that_made_it(tmp_path: Path, run_folder: Path, album: Path):
    """One of the shipped encoder and one of a run, side by side; what train finished last is for new galleries alone."""
    photo = album / "p000" / "00.png"
    facesearch.open_gallery(tmp_path / "old", detector="aligned").enroll("Ada", photo)
    facesearch.open_gallery(tmp_path / "new", detector="aligned", runs=tmp_path / "runs").enroll("Ada", photo)
    ids = {name: facesearch.open_gallery(tmp_path / name).info().encoder_id for name in ("old", "new")}
    assert ids["new"] == encoder_meta(run_folder / "best.safetensors")["encoder_id"] != ids["old"] == facesearch.load_encoder().id
    for name in ("old", "new"):
        gallery = facesearch.open_gallery(tmp_path / name, detector="aligned", runs=tmp_path / "runs")
        assert gallery.search(photo)[0].matches[0].score > 0.999 and gallery.encoder.id == ids[name]
    alone = facesearch.open_gallery(tmp_path / "new", detector="aligned")  # it remembers where its encoder lay
    assert alone.search(photo)[0].matches[0].score > 0.999
    shutil.move(run_folder, tmp_path / "runs" / "renamed")
    found = facesearch.open_gallery(tmp_path / "new", detector="aligned", runs=tmp_path / "runs")
    assert found.search(photo)[0].matches[0].score > 0.999  # found again by what it is, not by where it lies
    with refused(errors.EncoderNotFound, f"{run_folder / 'best.safetensors'}") as caught:
        facesearch.open_gallery(tmp_path / "new", detector="aligned").search(photo)
    assert str(run_folder) not in caught.value.what and "best.safetensors" in caught.value.what
    with pytest.raises(errors.EncoderMismatch):
        facesearch.open_gallery(tmp_path / "old", encoder=tmp_path / "runs" / "renamed", detector="aligned").search(photo)


def test_an_exported_gallery_tells_no_folder_of_this_machine(tmp_path: Path, run_folder: Path, album: Path):
    gallery = facesearch.open_gallery(tmp_path / "g", encoder=run_folder, detector="aligned")
    gallery.enroll("Ada", album / "p000" / "00.png")
    gallery.export(tmp_path / "out.facesearch")
    assert str(tmp_path).encode() not in (tmp_path / "out.facesearch").read_bytes()
    other = facesearch.open_gallery(tmp_path / "other", detector="aligned")
    other.import_from(tmp_path / "out.facesearch")
    assert other.info().encoder_file == "best.safetensors"


def test_a_foreign_encoder_is_followed_with_its_preprocessing(tmp_path: Path, weights: Path, album: Path):
    pytest.importorskip("torch")
    from facesearch.model.onnx_export import write_onnx

    write_onnx(weights, tmp_path / "foreign.onnx")
    photo = album / "p000" / "00.png"
    made = facesearch.open_gallery(tmp_path / "g", encoder=tmp_path / "foreign.onnx", preprocess="arcface", detector="aligned")
    made.enroll("Ada", photo)
    again = facesearch.open_gallery(tmp_path / "g", detector="aligned")
    assert again.search(photo)[0].matches[0].score > 0.999 and again.encoder.preprocess == "arcface"
    with pytest.raises(errors.EncoderMismatch):
        facesearch.open_gallery(tmp_path / "g", encoder=tmp_path / "foreign.onnx", detector="aligned").search(photo)


# ---- threads and processes


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
    assert [person.person for person in gallery.people()] == ["p0", "p2", "p4", "p6", "stays"] and gallery.verify().problems == ()


FORKED = """
import multiprocessing, os, sys, threading, time
from pathlib import Path
import facesearch

folder, weights, photos = Path(sys.argv[1]), sys.argv[2], sorted(Path(sys.argv[3]).rglob("*.png"))
gallery = facesearch.open_gallery(folder, encoder=weights, detector=None if sys.argv[4] == "detect" else "aligned")
gallery.enroll_many([(path.parent.name, path) for path in photos[:20]], largest=True)
assert gallery.rebuild_index("bits1" if sys.argv[4] == "aligned" else "flat")
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["aligned", "detect"])
def test_forked_processes_ask_the_gallery_that_was_open_before(how: str, weights: Path, album: Path, tmp_path: Path):
    """As a server with workers does: the parent has searched already, and another of its threads is at it while it forks."""
    code = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(tmp_path / "g"), str(weights), str(album), how]
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
    assert len(made) == 2 and value.peek() == 2 and value.drop() == 2 and value.peek() is None and value.get() == 3


# ---- what the host process does not notice


def test_a_host_process_notices_nothing(weights: Path, album: Path, tmp_path: Path):
    """No environment is read, nothing is printed, planted, handled or changed that is the process's own."""
    code = textwrap.dedent(
        f"""
        import os, signal, sys, threading, warnings
        import cv2, faiss, numpy
        for name in ("KEY", "KEY_FILE", "GALLERY", "YUNET", "ENGINE", "STORE", "PRECISION", "STORE_TIMEOUT_S", "MILVUS_TOKEN_FILE"):
            os.environ["FACESEARCH_" + name] = "nothing of this name"
        before = (dict(os.environ), cv2.getNumThreads(), faiss.omp_get_max_threads(), os.umask(0o022), os.getcwd(),
                  [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], list(sys.meta_path), list(sys.path), warnings.filters[:],
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
        after = (dict(os.environ), cv2.getNumThreads(), faiss.omp_get_max_threads(), os.umask(0o022), os.getcwd(),
                 [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], list(sys.meta_path), list(sys.path), warnings.filters[:],
                 sys.excepthook, threading.excepthook)
        for one, two in zip(before, after): assert one == two, (one, two)
        assert all(module is not None for module in sys.modules.values())
        assert "click" not in sys.modules and "torch" not in sys.modules
        import logging
        assert not logging.root.handlers
        import openvino
        assert openvino.convert_model
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for path in (tmp_path / "g").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_errors_say_the_fact_and_the_command_line_the_advice_too(gallery: facesearch.Gallery):
    with pytest.raises(facesearch.FacesearchError) as caught:
        gallery.photos_of("redd")
    error = caught.value
    assert (error.kind, error.what) == ("unknown-person", "Nobody called 'redd' is enrolled. Did you mean 'red'?")
    assert "facesearch" not in str(error) and isinstance(pickle.loads(pickle.dumps(error)), errors.UnknownPerson)


def test_a_gallery_goes_on_after_it_was_closed(gallery: facesearch.Gallery, tmp_path: Path):
    with gallery:
        assert gallery.search(tmp_path / "red20.png")[0].matches
    assert gallery.search(tmp_path / "red20.png")[0].matches[0].person == "red" and gallery.refresh() == 6
    with Store.open(gallery.folder) as store:
        store.forget("green")
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
