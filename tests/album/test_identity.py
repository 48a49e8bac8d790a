"""A photo is what it shows: what other programs write beside the picture, where it lies and how often makes
no new photo of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.review import apply, review_rows
from facesearch.album.scan import Scanned, face_pictures, scan
from facesearch.album.sort import sort_album
from facesearch.report.album import write_review
from tests.helpers.album import BLUE, CUT, RED, Halves, as_format_1, name_groups, state
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet

RATING = 0x4746


def jpeg_comment(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xfe\x00\x08rated!" + data[2:])


def jpeg_rating(path: Path) -> None:
    exif = Image.Exif()
    exif[RATING], exif[0x010E] = 5, "holiday"
    head = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(head) + 2).to_bytes(2, "big") + head + data[2:])


def png_text(path: Path) -> None:
    info = PngInfo()
    info.add_text("Comment", "rated")
    with Image.open(path) as image:
        image.load()
    image.save(path, pnginfo=info, compress_level=1)  # packed again as well


def webp_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[RATING] = 3
    with Image.open(path) as image:
        image.load()
    image.save(path, lossless=True, exif=exif)


def tiff_text(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
    image.save(path, description="rated", software="another program")


REWRITTEN: dict[str, Callable[[Path], None]] = {
    "a.jpg": jpeg_comment,
    "b.jpg": jpeg_rating,
    "c.png": png_text,
    "d.webp": webp_exif,
    "e.tiff": tiff_text,
}


def save_as(path: Path, colour: tuple[int, int, int], shade: int) -> None:
    save_colour(path.with_suffix(".png"), colour, shade=shade)
    if path.suffix != ".png":
        with Image.open(path.with_suffix(".png")) as image:
            image.save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
        path.with_suffix(".png").unlink()


def scanned(root: Path, folder: Path, encoder: ColourEncoder | None = None) -> Scanned:
    found = scan(root, folder, encoder or ColourEncoder(), Halves(), quiet)
    with Album.open(folder) as album:
        arrange(album, "average", CUT)
        write_review(album, None, "")
    return found


@pytest.mark.parametrize("name", REWRITTEN)
@pytest.mark.parametrize("said", ["Ruby", "-"])
def test_a_comment_or_a_rating_makes_no_new_photo(tmp_path: Path, name: str, said: str):
    root, folder = tmp_path / "p", tmp_path / "s"
    save_as(root / name, RED, 10)
    save_as(root / "red1.png", RED, 20)
    scanned(root, folder)
    with Album.open(folder) as album:
        apply(album, tmp_path / "g", name_groups(folder, tmp_path / "r.csv", red1=said), None)
        if said == "-":  # one face of two is put aside; of the other one nothing was said
            face = next(face for face in album.faces() if not face.nobody)
            album.change({face.face_id: {"nobody": True, "reviewed": True, "group": 0}})
    before = state(folder)
    REWRITTEN[name](root / name)
    os.utime(root / name, ns=(1, 1))
    encoder = ColourEncoder()
    found = scanned(root, folder, encoder)
    assert (found.looked, found.new_faces, found.faces, encoder.seen) == (0, 0, 2, 0)
    assert state(folder) == before
    with Album.open(folder) as album:
        again = apply(album, tmp_path / "g", folder / "review.csv", None)
        assert again.enrolled == {} and again.known == (2 if said == "Ruby" else 0)
        assert len(face_pictures(album, 48, quiet)) == 2
        result = sort_album(album, tmp_path / "out", quiet)
    assert result.skipped == () and result.made == 2


def test_a_photo_that_was_turned_or_saved_anew_keeps_what_was_said_of_its_faces(
    photos: Path, found: Path, tmp_path: Path
):
    with Album.open(found) as album:
        review = name_groups(found, tmp_path / "r.csv", red1="Ruby", blue="-")
        apply(album, tmp_path / "g", review, None)
    before = state(found)
    for name in ("a/red1.png", "blue.png"):
        with Image.open(photos / name) as image:
            image.load()
        image.resize((200, 200)).save(photos / name)
    assert scanned(photos, found).new_faces == 2
    assert state(found) == before


def test_another_photo_under_an_old_name_inherits_nothing(photos: Path, found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", blue="-"), None)
    save_colour(photos / "blue.png", RED, shade=99)
    os.utime(photos / "blue.png", ns=(1, 1))
    scanned(photos, found)
    assert state(found)["blue.png#1"][2] is False


def test_renamed_photos_are_renamed_and_copies_are_counted_and_listed(photos: Path, found: Path):
    (photos / "new folder").mkdir()
    (photos / "a" / "red1.png").rename(photos / "new folder" / "x.png")
    (photos / "blue.png").rename(photos / "sky.png")
    (photos / "b" / "green1.png").unlink()
    (photos / "b" / "twin.png").write_bytes((photos / "b" / "green0.png").read_bytes())
    png_text(photos / "b" / "twin.png")  # a copy that shows the same
    result = scanned(photos, found)
    assert (result.renamed, result.gone, result.copies, result.looked) == (2, 1, 2, 0)
    with Album.open(found) as album:
        also = {row.photo: row.also for row in review_rows(album) if row.also}
    assert also == {"a/red0.png": "copy of red0.png", "b/green0.png": "b/twin.png"}


def test_files_of_one_picture_that_come_at_once_are_looked_into_once(tmp_path: Path):
    root, folder = tmp_path / "p", tmp_path / "s"
    for i in range(8):
        save_as(root / f"{i}.jpg", BLUE, 40)
        data = (root / f"{i}.jpg").read_bytes()
        (root / f"{i}.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x03" + bytes([48 + i]) + data[2:])
    encoder = ColourEncoder()
    result = scan(root, folder, encoder, Halves(), quiet, workers=4)
    assert (result.files, result.faces, result.copies, encoder.seen) == (8, 1, 7, 1)


def test_an_old_album_is_carried_over_when_its_files_are_read_again(
    photos: Path, found: Path, tmp_path: Path
):
    with Album.open(found) as album:
        review = name_groups(found, tmp_path / "r.csv", red1="Ruby", blue="-")
        apply(album, tmp_path / "g", review, None)
    before = state(found)
    as_format_1(found)
    os.utime(photos / "a" / "red1.png", ns=(1, 1))  # read again, nothing changed
    png_text(photos / "blue.png")  # changed before it was ever read by this version
    scanned(photos, found)
    assert state(found) == before
    png_text(photos / "a" / "red1.png")
    os.utime(photos / "a" / "red1.png", ns=(2, 2))
    assert scanned(photos, found).new_faces == 0 and state(found) == before


def test_an_unchanged_file_is_not_opened(photos: Path, found: Path, monkeypatch: pytest.MonkeyPatch):
    from facesearch.album import scan as scanning

    def fail(path: Path) -> bytes:
        raise AssertionError(f"{path} was opened")

    as_format_1(found)
    monkeypatch.setattr(scanning, "read_bytes", fail)
    assert scan(photos, found, ColourEncoder(), Halves(), quiet).looked == 0
