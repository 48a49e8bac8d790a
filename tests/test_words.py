"""scripts/words.py: hard words are found where people read, and nowhere else; the repository has none."""

from __future__ import annotations

from pathlib import Path

import pytest
import words
from words import files, found, hard_words


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("page.md", "It was made\nanew by whoever came.\n", [(1, "made anew"), (2, "whoever")]),
        ("page.md", "A key is called `deed`.\n\n```\ndeed\n```\nA deed.\n", [(6, "deed")]),
        ("code.py", 'deed = {"deed": 1}  # one deed\n', [(1, "deed")]),
        ("code.py", '"""A text.\n\nBy whom?\n"""\nwhom = 1\n', [(3, "whom")]),
        ("code.py", '"""A text.\n\nArgs:\n    deed: A deed.\n"""\n', [(4, "deed")]),
        ("data.json", '{"deed": "deed", "text": "a deed"}', [(1, "deed")]),
        ("page.html", "<p>Nothing here: thereafter, shallow, amend, uponor.</p>", []),
    ],
)
def test_hard_words_are_named_with_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: list[tuple[int, str]]
):
    monkeypatch.setattr(words, "ROOT", tmp_path)
    (tmp_path / name).write_text(text, "utf-8")
    _, instead = hard_words()
    assert list(found(tmp_path / name)) == [
        f"{name}:{line}: {word}: write {instead[word]}" for line, word in expected
    ]


def test_every_word_has_plain_words_in_its_place():
    _, instead = hard_words()
    assert len(instead) > 40 and all(plain.strip() for plain in instead.values())


def test_nobody_who_reads_this_repository_meets_a_hard_word():
    assert [line for path in files() for line in found(path)] == []
