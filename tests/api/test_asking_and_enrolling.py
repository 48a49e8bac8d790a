"""What a program can do with a gallery: ask, enroll, rename, forget, calibrate, export, encrypt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facesearch
from facesearch import errors
from facesearch.answers import AMBIGUOUS_GAP
from facesearch.faces.align import TEMPLATE
from facesearch.gallery.index import files
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.schema import FILE as STORE_FILE
from facesearch.records import U8, Face
from facesearch.report.lines import answer_lines
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.opened import opened


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
    gallery.enroll(
        "Zoé", [np.asarray(image)[:, ::-1], facesearch.NamedPhoto("in memory.png", path.read_bytes())]
    )
    assert {photo.photo for photo in gallery.photos_of("Zoé")} >= {"in memory.png"}


@pytest.mark.parametrize(
    "wrong",
    [3, None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), ["a.png"]],
)
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
        found[1][0].decision == "undecided"
        and found[1][0].matches[0].person == "red"
        and [len(photo) for photo in found] == [0, 1, 0, 0]
    )
    again = gallery.search_all([tmp_path / "bad.png", tmp_path / "red20.png", b"", "nowhere.png"])
    assert again.photos == tuple(found) and again.enrolled == 6


def test_no_face_is_an_answer(tmp_path: Path):
    gallery = facesearch.open_gallery(tmp_path / "g", encoder=facesearch.Encoder.of(ColourEncoder()))
    wall = save_colour(tmp_path / "wall.png", "grey", (300, 300))
    answer = gallery.search(wall)
    assert (
        list(answer) == []
        and answer.skipped == "no face found"
        and (answer.width, answer.height) == (300, 300)
    )
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
    assert face.decision == "ambiguous"
    assert {face.matches[0].person, face.ambiguous_with} == {"red", "crimson"}
    with gallery.store() as store:  # by the best photo both have the very same score
        assert store is not None
        store.notes.set_threshold(Threshold(0.9, 0.01, "by hand", 300, 3, by="best-photo"))
    face = gallery.search(tmp_path / "red20.png")[0]
    assert face.decision == "ambiguous" and face.gap is not None and face.gap < AMBIGUOUS_GAP
    assert gallery.search(tmp_path / "green20.png", threshold=0.9)[0].decision == "match"
    assert gallery.search(tmp_path / "red20.png", threshold=1.0 + 1e-6)[0].decision == "unknown"
    assert (
        gallery.search(tmp_path / "red20.png", threshold=0.9, among=["red", "green"])[0].decision == "match"
    )


def test_people_are_renamed_moved_and_forgotten(gallery: facesearch.Gallery, tmp_path: Path):
    assert gallery.rename("red", "Rosa") == 2
    photo = gallery.photos_of("Rosa")[0]
    assert gallery.move("Rosa", [photo.sha256], "Rita").left == 1
    assert [(person.person, person.photos) for person in gallery.people()] == [
        ("Rita", 1),
        ("Rosa", 1),
        ("blue", 2),
        ("green", 2),
    ]
    receipt, path = gallery.forget("Rita")
    assert (
        receipt.photos == 1
        and path.is_file()
        and "Rita" not in [person.person for person in gallery.people()]
    )
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
)
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
    found = gallery.search(
        tmp_path / "red20.png",
        top=np.int64(1),
        threshold=np.float32(0.5),
        among=(name for name in ("red", "Iris")),
    )
    assert [face.matches[0].person for face in found] == ["red"]
    assert sum(1 for _ in gallery.search_each(path for path in tmp_path.glob("red*.png"))) == 2


def test_of_several_photos_all_are_forgotten_or_none(gallery: facesearch.Gallery, tmp_path: Path):
    with pytest.raises(errors.UnknownPhoto) as raised:
        gallery.forget("red", [tmp_path / "red20.png", tmp_path / "rose.png"])
    assert "rose.png" in str(raised.value) and "red20.png" not in str(raised.value)
    assert len(gallery.photos_of("red")) == 2


def test_a_whole_gallery_is_verified_exported_imported_and_its_index_rebuilt(
    gallery: facesearch.Gallery, tmp_path: Path
):
    assert gallery.verify().problems == () and "flat" in gallery.verify(rebuild=True, index="flat").mended[0]
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
    assert (
        done.threshold.on_strangers and done.threshold.people == 6 and gallery.threshold() == done.threshold
    )
    assert gallery.info().threshold == done.threshold.score
    with pytest.raises(errors.TooFewSearches):
        gallery.calibrate(tmp_path / "others", fpir=0.001)


def test_an_encrypted_gallery_needs_its_key(tmp_path: Path):
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    secret = opened(tmp_path / "g", key=key)
    photo = save_colour(tmp_path / "red.png", "red")
    secret.enroll("Ada Lovelace", photo)
    assert secret.info().encrypted and b"Lovelace" not in b"".join(
        p.read_bytes() for p in (tmp_path / "g").iterdir() if p.is_file()
    )
    for wrong in (None, bytes(32)):
        with pytest.raises(facesearch.GalleryError):
            opened(tmp_path / "g", key=wrong).search(photo)
    (tmp_path / "k").write_text(key.hex())
    (tmp_path / "k").chmod(0o600)
    assert opened(tmp_path / "g", key=tmp_path / "k").search(photo)[0].matches[0].person == "Ada Lovelace"
    with pytest.raises(errors.BadKey):
        opened(tmp_path / "g", key=b"short")
    secret.encrypt(bytes(32))
    assert (
        secret.search(photo)[0].matches
        and opened(tmp_path / "g", key=bytes(32)).people()[0].person == "Ada Lovelace"
    )
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


def test_an_index_that_shows_other_vectors_is_rebuilt_and_the_answer_is_right(
    gallery: facesearch.Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = files._batches
    monkeypatch.setattr(files, "_batches", lambda *given: (rows[::-1].copy() for rows in real(*given)))
    with gallery.store() as store:
        assert store is not None
        store.notes.set_threshold(Threshold(0.9, 0.01, "by hand", 300, 3, by="best-photo"))
        refresh(store, "test")
    monkeypatch.undo()
    face = gallery.search(tmp_path / "red20.png")[0]
    assert face.matches[0].person == "red" and face.matches[0].score > 0.999


class TurnedAway:
    """A detector that finds one face in the middle, of a tenth of the photo, its nose beside an eye."""

    name = "turned away"

    def another(self) -> TurnedAway:
        return TurnedAway()

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        points = (TEMPLATE / 112 * 0.1 + 0.45) * (w, h)
        points[2, 0] = points[1, 0] + (points[1, 0] - points[0, 0]) / 7
        box = np.array([0.45 * w, 0.45 * h, 0.1 * w, 0.1 * h], np.float32)
        return [Face(box, points.astype(np.float32), 0.9, self.name)]


def test_an_answer_about_a_poor_photo_says_so(gallery: facesearch.Gallery, tmp_path: Path):
    """And a program is told when it enrolls one, which it can do all the same."""
    noisy = np.random.default_rng(0).integers(0, 255, (150, 150, 3), dtype=np.uint8)
    encoder = facesearch.Encoder.of(ColourEncoder())
    with facesearch.open_gallery(
        gallery.folder, encoder=encoder, detector=facesearch.FaceDetector.of(TurnedAway())
    ) as poor:
        found = poor.search(noisy)[0]
        assert found.poor == ("small", "turned away") and found.quality is not None and found.quality < 0.01
        (line, *_) = answer_lines(poor.search(noisy))
        assert line.endswith("  poor photo: small, turned away")
        done = poor.enroll("Zoé", facesearch.NamedPhoto("zoe.png", Image.fromarray(noisy)))
    assert [(w.person, w.photo, w.kind, w.reason) for w in done.warnings if w.kind == "poor"] == [
        ("Zoé", "zoe.png", "poor", "a poor photo: small, turned away")
    ]
    assert done.added[0].photos == 1
    ordinary = gallery.search(noisy)[0]
    assert ordinary.poor == () and ordinary.quality is None
