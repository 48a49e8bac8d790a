"""Keys, and how a row is sealed: nothing opens but what was sealed there with that key."""

from __future__ import annotations

import hmac
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from facesearch.cli import options
from facesearch.cli.given import key_of
from facesearch.cli.options import GalleryChoice
from facesearch.errors import (
    BadKey,
    CannotWrite,
    CorruptGallery,
    KeyMissing,
    NotEncrypted,
    PackageMissing,
    WrongKey,
)
from facesearch.gallery.store import cipher as module
from facesearch.gallery.store.cipher import PLAIN, AesSiv, CannotDecrypt, cipher_for, new_cipher
from facesearch.gallery.store.keys import Key, as_key, new_key_file, read_key_file
from facesearch.gallery.store.rows import Row
from tests.helpers.saying import refused

KEY, OTHER, THIRD = (
    Key(bytes(range(32)), "a test"),
    Key(bytes(32), "another test"),
    Key(bytes(range(1, 33)), "a third test"),
)
SALT = b"salt of 16 bytes"
ENCODER = "e" * 64
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=70)
ROWS = st.builds(Row, TEXT, TEXT, TEXT, st.binary(max_size=80))
ALIKE = st.builds(Row, *[st.sampled_from(["a", "b"])] * 3, st.sampled_from([b"v" * 32, b"w" * 32]))
ADA = Row("Ada Lovelace", "a" * 64, "ada.jpg", bytes(range(64)))


# ---- keys


def test_a_new_key_is_its_owners_alone_and_never_takes_anothers_place(tmp_path: Path):
    new_key_file(tmp_path / "k")
    new_key_file(tmp_path / "k2")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    key = read_key_file(tmp_path / "k")
    assert (
        len(key.secret) == 32
        and key != read_key_file(tmp_path / "k2")
        and key == read_key_file(tmp_path / "k")
    )
    with pytest.raises(CannotWrite, match="in the way"):
        new_key_file(tmp_path / "k")
    assert read_key_file(tmp_path / "k") == key


def test_a_key_as_openssl_makes_it(tmp_path: Path):
    (tmp_path / "k").write_text("\n " + KEY.secret.hex().upper() + "\n\n")
    (tmp_path / "k").chmod(0o400)
    assert read_key_file(tmp_path / "k") == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int):
    (tmp_path / "k").write_text(KEY.secret.hex())
    (tmp_path / "k").chmod(mode)
    with refused(BadKey, rf"mode {mode:o}\)\.\n.*chmod 600"):
        read_key_file(tmp_path / "k")


@pytest.mark.parametrize("text", ["", "hunter2", "ab" * 31, "ab" * 33, "zz" * 32, "é" * 64, "ab" * 5000])
def test_what_is_no_key_is_refused_and_not_quoted(tmp_path: Path, text: str):
    (tmp_path / "k").write_text(text)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(BadKey, match="64 hexadecimal digits") as error:
        read_key_file(tmp_path / "k")
    assert not text or text not in error.value.message()
    with pytest.raises(BadKey, match="No such file"):
        read_key_file(tmp_path / "none")


def test_the_key_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was chosen goes before the file, the file before the key in the environment; empty means none."""

    def in_force(*words: str) -> Key | None:
        seen: list[Key | None] = []

        @click.command()
        @options.gallery
        def asks(gallery: GalleryChoice) -> None:
            seen.append(key_of(gallery))

        result = CliRunner().invoke(asks, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return seen[0]

    assert in_force() is None
    monkeypatch.setenv("FACESEARCH_KEY", OTHER.secret.hex())
    assert in_force() == OTHER == key_of(GalleryChoice(tmp_path, None))
    for name, secret in (("k", KEY.secret), ("chosen", THIRD.secret)):
        (tmp_path / name).write_text(secret.hex())
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("FACESEARCH_KEY_FILE", str(tmp_path / "k"))
    assert in_force() == KEY == key_of(GalleryChoice(tmp_path, tmp_path / "k"))
    assert in_force("--key-file", str(tmp_path / "chosen")) == THIRD
    assert in_force() == KEY
    monkeypatch.setenv("FACESEARCH_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(BadKey, match="No such file"):
        in_force()
    monkeypatch.setenv("FACESEARCH_KEY_FILE", "")
    assert in_force() == OTHER
    monkeypatch.setenv("FACESEARCH_KEY", "")
    assert in_force() is None
    monkeypatch.setenv("FACESEARCH_KEY", "secret")
    with pytest.raises(BadKey, match="FACESEARCH_KEY: The key cannot be used") as error:
        in_force()
    assert "secret" not in error.value.message()


def test_what_a_program_gives_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A key of ours, its bytes, or its file, and nothing of the environment."""
    monkeypatch.setenv("FACESEARCH_KEY", OTHER.secret.hex())
    (tmp_path / "k").write_text(KEY.secret.hex())
    (tmp_path / "k").chmod(0o600)
    assert as_key(None) is None and as_key(KEY) is KEY
    assert as_key(KEY.secret) == as_key(tmp_path / "k") == as_key(str(tmp_path / "k")) == KEY
    for wrong in (b"", KEY.secret[:31], KEY.secret + b"x", KEY.secret.hex().encode()):
        with pytest.raises(
            BadKey, match=rf"the key given: The key cannot be used: it has {len(wrong)} bytes, not 32"
        ) as error:
            as_key(wrong)
        assert not wrong or (
            wrong.hex() not in error.value.message() and repr(wrong) not in error.value.message()
        )
    with pytest.raises(BadKey, match="No such file"):
        as_key(tmp_path / "none")


def test_a_key_is_not_shown():
    assert KEY.secret.hex() not in repr(KEY) and repr(KEY.secret) not in repr(KEY)


# ---- sealing


@settings(max_examples=200, deadline=None)
@given(row=ROWS)
def test_what_was_sealed_opens_again_and_is_always_sealed_alike(row: Row):
    cipher = AesSiv(KEY, SALT)
    stored = cipher.encrypt(ENCODER, row)
    assert cipher.decrypt(ENCODER, *stored) == row and AesSiv(KEY, SALT).decrypt(ENCODER, *stored) == row
    assert stored == AesSiv(KEY, SALT).encrypt(ENCODER, row)
    assert stored[:2] == (cipher.encrypt_name(row.name), cipher.encrypt_sha256(row.name, row.sha256))
    assert cipher.decrypt_name(stored[0]) == row.name and cipher.decrypt_photo(row.name, *stored[1:3]) == (
        row.sha256,
        row.source,
    )
    for foreign in (AesSiv(KEY, b"another 16 bytes"), AesSiv(OTHER, SALT)):
        assert all(mine != theirs for mine, theirs in zip(stored, foreign.encrypt(ENCODER, row), strict=True))
        with pytest.raises(CannotDecrypt):
            foreign.decrypt(ENCODER, *stored)


@settings(max_examples=150, deadline=None)
@given(row=ROWS, data=st.data())
def test_not_one_bit_can_be_changed(row: Row, data: st.DataObject):
    cipher = AesSiv(KEY, SALT)
    stored = list(cipher.encrypt(ENCODER, row))
    column = data.draw(st.integers(0, 3))
    bit = data.draw(st.integers(0, 8 * len(stored[column]) - 1))
    damaged = bytearray(stored[column])  # type: ignore[arg-type]
    damaged[bit // 8] ^= 1 << bit % 8
    stored[column] = bytes(damaged)
    with pytest.raises(CannotDecrypt):
        cipher.decrypt(ENCODER, *stored)


@settings(max_examples=150, deadline=None)
@given(a=ALIKE, b=ALIKE, taken=st.lists(st.booleans(), min_size=4, max_size=4))
def test_nothing_opens_in_another_row(a: Row, b: Row, taken: list[bool]):
    """A row put together from two opens only when it says what one of them, or both alike, said."""
    cipher = AesSiv(KEY, SALT)
    one, two = cipher.encrypt(ENCODER, a), cipher.encrypt(ENCODER, b)
    mixed = tuple(y if from_b else x for x, y, from_b in zip(one, two, taken, strict=True))
    if mixed in (one, two):
        assert cipher.decrypt(ENCODER, *mixed) in (a, b)
    else:
        with pytest.raises(CannotDecrypt):
            cipher.decrypt(ENCODER, *mixed)


def test_a_vector_belongs_to_its_encoder():
    stored = AesSiv(KEY, SALT).encrypt(ENCODER, ADA)
    with pytest.raises(CannotDecrypt):
        AesSiv(KEY, SALT).decrypt("f" * 64, *stored)


@pytest.mark.parametrize("value", [None, 5, 1.5, "text", b"", b"short", b"x" * 16, b"x" * 48])
def test_what_no_seal_is(value: object):
    cipher = AesSiv(KEY, SALT)
    for column in range(4):
        stored: list[object] = list(cipher.encrypt(ENCODER, ADA))
        stored[column] = value
        with pytest.raises(CannotDecrypt):
            cipher.decrypt(ENCODER, *stored)


def test_short_names_are_of_one_length():
    cipher = AesSiv(KEY, SALT)
    assert {len(cipher.encrypt_name(name)) for name in ("A", "Ada Lovelace", "x" * 31)} == {48}
    assert len(cipher.encrypt_name("x" * 32)) == 80


def siv(key: bytes, data: bytes, bound_to: list[bytes]) -> bytes:
    """RFC 5297, read off the text: S2V over AES-CMAC, then AES-CTR with two bits of the counter cleared."""

    def cmac(message: bytes) -> int:
        mac = CMAC(algorithms.AES(key[: len(key) // 2]))
        mac.update(message)
        return int.from_bytes(mac.finalize(), "big")

    def doubled(block: int) -> int:
        return (block << 1 ^ (0x87 if block >> 127 else 0)) & ((1 << 128) - 1)

    block = cmac(bytes(16))
    for text in bound_to:
        block = doubled(block) ^ cmac(text)
    if len(data) >= 16:
        last = data[:-16] + (int.from_bytes(data[-16:], "big") ^ block).to_bytes(16, "big")
    else:
        last = (int.from_bytes((data + b"\x80").ljust(16, b"\0"), "big") ^ doubled(block)).to_bytes(16, "big")
    tag = cmac(last)
    counter = tag & ~(1 << 63) & ~(1 << 31)
    encryptor = BlockCipher(
        algorithms.AES(key[len(key) // 2 :]), modes.CTR(counter.to_bytes(16, "big"))
    ).encryptor()
    return tag.to_bytes(16, "big") + encryptor.update(data)


def hkdf(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256."""
    extracted, out, block = hmac.digest(salt, secret, "sha256"), b"", b""
    while len(out) < length:
        block = hmac.digest(extracted, block + purpose + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def test_the_form_on_disk_is_what_the_standards_say():
    """Written down once more from RFC 5297 and RFC 5869: galleries of today must open for ever."""
    padded = {
        text: (text.encode() + b"\x80").ljust(size, b"\0")
        for text, size in ((ADA.name, 32), (ADA.sha256, 96), (ADA.source, 32))
    }
    bound = [text.encode() for text in ADA[:3]]
    expected = tuple(
        siv(hkdf(KEY.secret, SALT, f"facesearch aes-siv-1 {column}".encode(), 64), data, to)
        for column, data, to in (
            ("name", padded[ADA.name], []),
            ("sha256", padded[ADA.sha256], bound[:1]),
            ("source", padded[ADA.source], bound[:2]),
            ("vector", ADA.vector, [ENCODER.encode(), *bound]),
        )
    )
    assert AesSiv(KEY, SALT).encrypt(ENCODER, ADA) == expected
    told = json.loads(AesSiv(KEY, SALT).description)
    assert told == {
        "scheme": "aes-siv-1",
        "salt": SALT.hex(),
        "check": hkdf(KEY.secret, SALT, b"facesearch aes-siv-1 check", 16).hex(),
    }


# ---- which cipher a gallery needs


def test_the_right_key_and_none_other(tmp_path: Path):
    description = new_cipher(KEY).description
    assert cipher_for(tmp_path, description, KEY, either=False).description == description
    with refused(KeyMissing, "--key-file"):
        cipher_for(tmp_path, description, None, either=True)
    with refused(WrongKey, r"another key than (.|\n)* the one in another test"):
        cipher_for(tmp_path, description, OTHER, either=True)
    assert (
        cipher_for(tmp_path, "", None, either=False) is PLAIN
        and cipher_for(tmp_path, "", KEY, either=True) is PLAIN
    )
    with refused(NotEncrypted, r"not encrypted, but a key was given(.|\n)* the one in a test\."):
        cipher_for(tmp_path, "", KEY, either=False)
    assert new_cipher(KEY).description != description  # a salt of its own


@pytest.mark.parametrize(
    "description",
    [
        "x",
        "[]",
        "{}",
        '{"scheme": "aes-siv-1", "salt": "5", "check": ""}',
        "null",
        "\ud800",
        '{"scheme": "rot13", "salt": "' + "00" * 16 + '", "check": ""}',
    ],
)
def test_a_description_that_cannot_be(tmp_path: Path, description: str):
    with pytest.raises(CorruptGallery, match="encrypt"):
        cipher_for(tmp_path, description, KEY, either=False)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with refused(PackageMissing, r"facesearch\[crypt\]"):
        AesSiv(KEY, SALT)
    assert module.new_cipher(None) is PLAIN


def test_a_plain_gallery_does_not_even_load_it():
    code = (
        "import sys, facesearch.gallery.store.store as s; s.new_cipher(None); print('cryptography' in"
        " sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
