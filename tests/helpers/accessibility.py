"""What axe-core finds wrong with a page: labels, contrast, landmarks, headings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def bring_axe(page: Any) -> None:
    """Once a page: the script goes in past the page's own content policy, and asks no host for anything."""
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text("utf-8"))


def violations(page: Any) -> list[str]:
    found = page.evaluate("async (rules) => await axe.run(document, rules)", RULES)["violations"]
    return [
        f"{item['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for item in found
        for node in item["nodes"]
    ]
