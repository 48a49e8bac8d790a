"""Damaged and hostile files: our own errors come out, nothing else. scripts/fuzz.py tries many more."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from types import ModuleType

import pytest

from facesearch.errors import CannotRead
from facesearch.files import map_array


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return importlib.import_module("fuzz")


@pytest.mark.slow
def test_every_reader_refuses_what_is_damaged_in_our_words(fuzz: ModuleType, tmp_path: Path):
    refused = 0
    for name, (whole, target) in fuzz.targets_in(tmp_path).items():
        count = 3 if name.startswith("encoder") else 25
        facts = fuzz.fuzz(name, whole, target, count, random.Random(name))
        assert not facts.get("crash") and not facts.get("slow"), (name, facts)
        refused += facts.get("refused", 0) + facts.get("skipped", 0)
    assert refused > 100


def test_the_fuzzer_notices_a_crash(fuzz: ModuleType):
    def target(data: bytes) -> object:
        if data != b"0123456789" * 30:
            raise KeyError("not ours")
        return None

    assert fuzz.fuzz("planted", b"0123456789" * 30, target, 20, random.Random(1))["crash"] > 10


@pytest.mark.parametrize(
    "damage", [b"", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x01\x00\x06\x00{'a':\n" + b"0" * 200]
)
def test_a_damaged_array_is_a_damaged_dataset(damage: bytes, tmp_path: Path):
    """What NumPy says of these (EOFError, ValueError, tokenize.TokenError) used to come through: found by the
    fuzzer.
    """
    path = tmp_path / "a.npy"
    path.write_bytes(damage)
    with pytest.raises(CannotRead, match=r"no whole \.npy file"):
        map_array(path, "r")
