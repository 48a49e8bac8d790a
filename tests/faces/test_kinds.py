"""What a file is says its content: nothing that looks like a photo or a video is passed over in silence."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch.faces import kinds
from facesearch.faces.decoding import FORMATS
from facesearch.faces.kinds import Judge, kind_of
from facesearch.faces.photos import read_photo, walk
from facesearch.faces.walking import ABOVE, AGAIN, NOWHERE
from facesearch.faces.watch import arriving
from facesearch.records import Photo, Skipped


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(out, kind)
    return out.getvalue()


def tiff(*tags: tuple[int, int]) -> bytes:
    """A TIFF's head with these tags, each a long."""
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)


def ftyp(*brands: bytes) -> bytes:
    box = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I", len(box) + 4) + box + bytes(64)


OTHERS = {
    "RAW": [
        (ftyp(b"crx "), ".CR3"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(64), ".cr2"),
        (tiff((256, 160)), ".NEF"),
        (tiff((256, 160)), ".arw"),
        (tiff((50706, 0x0104)), ""),  # a DNG without its suffix
        (tiff((254, 1), (330, 500)), ".tif"),
        (b"FUJIFILMCCD-RAW 0201", ".raf"),
        (b"IIRO\x08\0\0\0", ".orf"),
        (b"IIU\0\x18\0\0\0", ".rw2"),
    ],
    "video": [
        (ftyp(b"isom", b"mp42"), ".mp4"),
        (ftyp(b"qt  "), ".MOV"),
        (ftyp(b"3gp5"), ".3gp"),
        (ftyp(b"M4V "), ""),
        (b"\0\0\0\x08wide" + bytes(64), ".mov"),
        (b"RIFF\0\0\0\0AVI LIST", ".avi"),
        (b"\x1a\x45\xdf\xa3" + bytes(64), ".webm"),
        (b"\x47" + (bytes(187) + b"\x47") * 4, ".mts"),
        (bytes(4) + b"\x47" + (bytes(191) + b"\x47") * 4, ".m2ts"),
        (b"\0\0\x01\xba" + bytes(64), ".mpg"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), ".wmv"),
    ],
    "Photoshop": [(b"8BPS\0\x01", ".psd")],
    "SVG": [(b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='x'>", ".svg"), (b"  <svg>", ".txt")],
    "PostScript": [(b"%!PS-Adobe-3.0 EPSF-3.0", ".eps")],
    "JPEG 2000": [(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), ".jp2")],
    "": [
        (b"hello", ".txt"),
        (b"BMW is a car, and P5 is none", ".txt"),
        (b"BM", ".x"),
        (b"P5 apples", ".txt"),
        (b"GTA " * 300, ".ts"),
        (b"{}", ".json"),
        (b"<?xml version='1.0'?><x:xmpmeta>", ".xmp"),
        (b"PK\x03\x04", ".docx"),
        (b"%PDF-1.7", ".pdf"),
        (b"ID3\x04", ".mp3"),
        (ftyp(b"M4A "), ".m4a"),
        (b"RIFF\0\0\0\0WAVE", ".wav"),
        (b"", ""),
    ],
}


@pytest.mark.parametrize(
    ("kind", "head", "suffix"), [(kind, *each) for kind, all_of in OTHERS.items() for each in all_of]
)
def test_a_file_is_known_by_its_first_bytes(tmp_path: Path, kind: str, head: bytes, suffix: str):
    assert kind_of(head, suffix) == kind
    (tmp_path / f"x{suffix}").write_bytes(head)
    found = list(walk(tmp_path))
    if not kind:
        assert found == []
    elif suffix == ".tif":  # it is looked into when it is read
        read = read_photo(tmp_path / "x.tif")
        assert isinstance(read, Skipped) and read.unread == kind
    else:
        assert [item.unread for item in found if isinstance(item, Skipped)] == [kind]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("suffix", ["", ".txt", ".HEIC", ".mov", ".jpe", ".JFIF", ".dat"])
def test_a_picture_is_read_whatever_it_is_called(tmp_path: Path, kind: str, suffix: str):
    path = tmp_path / f"IMG_1{suffix}"
    path.write_bytes(picture(kind))
    assert kind_of(picture(kind)) == kind
    assert list(walk(tmp_path)) == [path] and isinstance(read_photo(path), Photo)


@pytest.mark.parametrize(
    ("head", "kind"), [(ftyp(b"heic", b"mif1"), "HEIF"), (b"\xff\x0a" + bytes(9), "JXL")]
)
def test_a_format_whose_package_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, kind: str
):
    monkeypatch.setattr(kinds, "FORMATS", tuple(name for name in FORMATS if name != kind))
    word = {"HEIF": "HEIC", "JXL": "JPEG XL"}[kind]
    for name in ("a.heic", "a.jxl", "a.jpg", "a"):
        (tmp_path / name).write_bytes(head)
        read = read_photo(tmp_path / name)
        assert isinstance(read, Skipped) and read.unread == word
        assert not kinds.is_read_now(read.reason)
    monkeypatch.setattr(kinds, "FORMATS", (*FORMATS, kind))
    assert kinds.is_read_now(read.reason) and kind_of(head) == kind
    assert kind_of(ftyp(b"mif1", b"avif")) == "AVIF" and kind_of(ftyp(b"mif1", b"heic")) == "HEIF"


def test_a_video_called_jpg_is_called_a_video(tmp_path: Path):
    (tmp_path / "x.jpg").write_bytes(ftyp(b"isom"))
    read = read_photo(tmp_path / "x.jpg")
    assert isinstance(read, Skipped) and read.reason == "videos are not read"


def test_only_files_whose_suffix_does_not_tell_are_opened_and_those_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a.jpg", "b.PNG", "c.txt", "d", "e.mov"):
        (tmp_path / name).write_bytes(b"x" * 20)
    opened: list[str] = []
    real = kinds._head
    monkeypatch.setattr(kinds, "_head", lambda path, mode: (opened.append(path.name), real(path, mode))[1])
    judge = Judge()
    for _ in range(3):
        list(walk(tmp_path, judge.look))
    assert opened == ["c.txt", "d", "e.mov"]
    (tmp_path / "d").write_bytes(picture("PNG"))
    assert tmp_path / "d" in list(walk(tmp_path, judge.look)) and opened[3:] == ["d"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.mov")
    assert list(walk(tmp_path)) == []


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a photo, and another one outside of it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "own", outside / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(picture("PNG"))
    return root, outside


def test_a_linked_folder_is_followed_once(places: tuple[Path, Path]):
    root, outside = places
    (root / "b").symlink_to(outside)
    (root / "c").symlink_to(outside)
    (root / "d").symlink_to(outside / "deep")
    (outside / "deep" / "back").symlink_to(root)
    (outside / "deep" / "round").symlink_to(outside)
    (root / "own" / "again").symlink_to(root / "own")
    assert list(walk(root)) == [root / "b" / "deep" / "a.png", root / "own" / "a.png"]


def test_a_link_to_a_hidden_folder_is_followed_and_one_to_a_folder_above_is_named(places: tuple[Path, Path]):
    root, _ = places
    (root / ".hidden").mkdir()
    (root / ".hidden" / "h.png").write_bytes(picture("PNG"))
    (root / "seen").symlink_to(root / ".hidden")
    (root / "up").symlink_to(root.parent)
    (root / "gone").symlink_to(root / "nowhere")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    found = list(walk(root))
    assert {item.path.name: item.reason for item in found if isinstance(item, Skipped)} == {
        "up": ABOVE,
        "gone": NOWHERE,
        "gone.jpg": NOWHERE,
    }
    assert [item for item in found if isinstance(item, Path)] == [
        root / "own" / "a.png",
        root / "seen" / "h.png",
    ]


def test_people_whose_folder_is_a_link_to_somebody_are_named(places: tuple[Path, Path]):
    from facesearch.faces.people_folders import people_folders

    root, outside = places
    (root / "Bob").symlink_to(root / "own")
    (root / "Eve").symlink_to(outside)
    photos, skipped = people_folders(root)
    assert [name for name, _ in photos] == ["Eve", "own"]
    assert [(item.path.name, item.reason) for item in skipped] == [("Bob", AGAIN)]


def test_a_photo_without_suffix_and_a_video_arrive_too(tmp_path: Path):
    (tmp_path / "IMG").write_bytes(picture("PNG"))
    (tmp_path / "clip").write_bytes(ftyp(b"isom"))
    (tmp_path / "note.txt").write_text("hello")
    come = arriving(tmp_path, sleep=lambda _: None)
    first, second = sorted((next(come), next(come)), key=str)
    assert first == tmp_path / "IMG" and isinstance(second, Skipped) and second.unread == "video"


def test_a_raw_photo_called_tif_is_not_read_as_its_preview(tmp_path: Path):
    preview = Image.fromarray(np.zeros((64, 64, 3), np.uint8))
    preview.save(tmp_path / "x.tif", tiffinfo={50706: b"\1\4\0\0"})
    read = read_photo(tmp_path / "x.tif")
    assert isinstance(read, Skipped) and read.reason == "RAW pictures are not read"
    preview.save(tmp_path / "y.tif")
    assert isinstance(read_photo(tmp_path / "y.tif"), Photo)
