"""What the three pages share: one style sheet, one policy, and names that are text whatever they hold."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facesearch.album.review import ReviewRow
from facesearch.evaluation.audit import Labelled, audit
from facesearch.evaluation.results import CLOSED, Evaluation
from facesearch.metrics.bootstrap import Rate
from facesearch.report import pages
from facesearch.report.album import pages_of, review_page
from facesearch.report.audit import write_sheet
from facesearch.report.evaluation import evaluation_page
from tests.helpers.saying import quiet

EVIL = """</style><script>alert("x")</script><img src='//evil.example' onerror='alert(1)'>"""
TEMPLATES = Path(pages.__file__).parent / "templates"


def evaluation(_: Path) -> str:
    result = Evaluation(EVIL, EVIL, EVIL)
    result.add(CLOSED, "rank-1", Rate(0.5, 0.4, 0.6, 10))
    result.skipped.append(EVIL)
    return evaluation_page(result)


def sheet(folder: Path) -> str:
    vectors = np.eye(2, 8, dtype=np.float32)[[0, 0, 1, 1]]
    files, names = tuple(f"{i}{EVIL}" for i in range(4)), np.array([EVIL, EVIL, "b", "b"])
    crops = np.zeros((4, 112, 112, 3), np.uint8)
    data = Labelled(EVIL, files, names, np.full(4, EVIL), np.array(["x", "x", "y", "z"]), vectors, crops)
    assert write_sheet(audit(data, quiet), folder / "sheet.html", 5) > 0
    return (folder / "sheet.html").read_text("utf-8")


def album(folder: Path) -> str:
    said = (EVIL, EVIL, EVIL, EVIL, EVIL)
    named = ReviewRow("g1", EVIL, "a/1", EVIL, 0, 0, 9, 9, 0.9, 9, 9, 0.5, EVIL, 0.4, "known", *said)
    alone = ReviewRow("", EVIL, "b/1", EVIL, 0, 0, 9, 9, 0.9, 9, 9, None, EVIL, 0.4, "new", *said)
    place: Any = SimpleNamespace(root=folder, folder=folder)
    rows = [named, alone]
    (groups,) = pages_of(place, rows, {"a/1": b"x"})
    return review_page(groups, rows, EVIL, (EVIL, EVIL), True, (1, 1))


PAGES = {"evaluation": evaluation, "sheet": sheet, "album": album}


@pytest.mark.parametrize("name", PAGES)
def test_a_name_is_text_on_every_page(name: str, tmp_path: Path):
    page = PAGES[name](tmp_path)
    assert EVIL not in page and "<script>alert" not in page and "<img src='" not in page
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&lt;img src=&#39;//evil" in page
    assert page.count("</style>") == 1 and page.count("<script>") == (name == "album")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_the_one_style_sheet_and_a_policy_that_lets_nothing_in(name: str, tmp_path: Path):
    page = PAGES[name](tmp_path)
    (style,) = re.findall(r"<style>\n(.*?)</style>", page, re.DOTALL)
    whole = [(TEMPLATES / sheet).read_text("utf-8").strip() for sheet in ("chart.css", "style.css")]
    assert style.strip() == "\n".join(whole) and "url(" not in style and "@import" not in style
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert {"default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"} <= set(
        policy.split("; ")
    )
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall(r"sha256-([^']*)'", policy) == digests and len(digests) == (name == "album")
    assert not re.findall(r"<link|<iframe|<object|<base| on\w+=\"", page)


def test_no_markup_stands_in_a_module():
    for path in TEMPLATES.parent.glob("*.py"):
        assert not re.findall(
            r"<(?:p|div|span|section|table|tr|td|svg|style|ul|li)\b", path.read_text("utf-8")
        ), path


def test_asking_brings_no_templates():
    code = "import sys, facesearch.report.lines, facesearch.report.audit; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
