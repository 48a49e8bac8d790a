"""scripts/attack.py: nobody is kept out, and every attack is answered rightly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [web]")

import attack
from drawn_world import ROOT, environment


@pytest.mark.slow
def test_each_attack_is_answered_rightly_and_the_honest_meanwhile(tmp_path: Path):
    """No times are asserted; an honest request that is not answered within PATIENCE_S counts as missed."""
    out = tmp_path / "attack.json"
    command = [sys.executable, str(ROOT / "scripts" / "attack.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert {row["attack"] for row in rows} == set(attack.ATTACKS)
    assert all(row["missed"] == 0 and row["searches"] and row["health_asked"] for row in rows)


def test_a_fault_or_a_missed_request_is_not_right():
    fine = attack.Seen("x", searches=1, health_asked=1, answers={"400": 2, "503": 1, "closed": 1})
    assert fine.is_right and fine.is_within_aim
    for wrong in ({"missed": 1}, {"searches": 0}, {"answers": {"500": 1}}):
        assert not attack.Seen(**{"attack": "x", "searches": 1, "health_asked": 1, **wrong}).is_right
    assert not attack.Seen("x", searches=1, health_asked=1, search_s=9.0).is_within_aim


def test_the_grey_png_is_small_and_what_it_says():
    import io

    from PIL import Image

    data = attack.grey_16(64)
    assert Image.open(io.BytesIO(data)).mode.startswith("I") and len(data) < 200
