"""What can be a person's name: what hides in a text is refused, what a script needs is not."""

from __future__ import annotations

import os

import pytest

from facesearch.errors import BadName, shown, unshown, written
from facesearch.faces.names import LONGEST_NAME, clean_name, clean_source, kept_name


@pytest.mark.parametrize(
    "name",
    [
        "محمد رضا",
        "می\u200cخواهم",  # Persian: a non-joiner between letters that would join
        "क्\u200dष",  # Devanagari: a joiner after a virama
        "ක්\u200dරිස්ටි",  # Sinhala
        "नेपाल्\u200cका",
        "ᠮᠣᠩᠭᠣᠯ",
        "👩\u200d🔬 Ada",
        "👩🏽\u200d🔬",
        "Ada ❤\ufe0f",
        "葛\U000e0100城",  # a shape of an ideograph that families choose
        "Zoë",
        "\ue000",  # somebody's own character
    ],
)
def test_what_a_script_needs_is_a_name_and_is_shown_as_it_is(name: str):
    assert clean_name(name) == name
    assert name == "\ue000" or shown(name) == name


@pytest.mark.parametrize(
    "hidden",
    [
        *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\u061c\ufeff\u00ad",
        *"\u2060\u2063\u115f\u3164\u2800\U000e0041\u034f\u180e",
    ],
)
def test_what_hides_or_turns_text_is_in_no_name(hidden: str):
    for name in (f"Ada{hidden}Byron", f"{hidden}محمد", f"Ada{hidden}"):
        with pytest.raises(BadName, match=rf"the invisible character U\+{ord(hidden):04X}"):
            clean_name(name)
        assert kept_name(name), "a gallery of before may hold it"
        assert hidden not in shown(name) and unshown(shown(name)) == name


@pytest.mark.parametrize(
    "name",
    ["Ada\u200cByron", "Ada\u200dByron", "\u200cمی", "ا\u200cب", "Ada\u200d", "A\ufe0fda", "村\u200d上"],
)
def test_a_joiner_where_nothing_joins_is_in_no_name(name: str):
    with pytest.raises(BadName, match="invisible"):
        clean_name(name)
    assert "\\u" in shown(name)


def test_a_name_that_is_not_utf8_is_called_so():
    with pytest.raises(BadName, match="not UTF-8"):
        clean_name(os.fsdecode(b"\xe9va"))


@pytest.mark.parametrize(
    "raw",
    [
        b"\xe9t\xe9.jpg",
        b"\x85.jpg",
        "\x85.jpg".encode(),
        b"lit\\xe9.jpg",
        b"a\nface 1.jpg",
        "\u202egpj.jpg".encode(),
        b"\\\\x.jpg",
        b"\xff\xfe\\\xe9.jpg",
    ],
)
def test_a_files_name_is_kept_on_one_line_and_leads_back_to_the_file(raw: bytes):
    kept = written(os.fsdecode(raw))
    assert kept.isprintable() and kept.encode("utf-8")
    assert os.fsencode(unshown(kept)) == raw
    assert clean_source(kept) == kept == shown(kept) == shown(shown(kept)), "nothing is escaped twice"


def test_two_files_have_two_names():
    names = [b"\xe9", b"\\xe9", b"\xc3\xa9", b"\\\\xe9", b"\x85", b"\xc2\x85", b"\\x85"]
    assert len({written(os.fsdecode(name)) for name in names}) == len(names)


def test_a_long_name_keeps_its_end():
    assert clean_source("x" * 500 + ".jpg") == ("x" * 500 + ".jpg")[-LONGEST_NAME:]
