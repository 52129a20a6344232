"""The six months of the sample stream, with the packaged MiniLM: what the README promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(2400)]

QUARANTINED = {
    "missing text": 8,
    "missing label": 4,
    "missing id": 3,
    "not valid UTF-8": 6,
    "duplicate id": 7,
    "contradicting labels": 8,
    "too long": 3,
    "too short": 2,
    "unreadable line": 2,
}


def test_six_months_of_messages(tmp_path) -> None:
    command = [sys.executable, "-m", "cl.cli", "demo", "--json", "--dir", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    one, two, three, four, five, six = told["cycles"]

    assert (one["decision"], one["verdict"], one["champion_version"]) == ("learn", "promoted", "1")
    assert (two["drift"], two["decision"], two["champion_version"]) == (False, "none", "1")
    assert (three["drift"], three["verdict"], three["champion_version"]) == (True, "promoted", "2")
    assert (four["verdict"], four["champion_version"]) == ("promoted", "3")
    assert three["forgetting_max"] <= 0.03
    assert five["quarantined"] == 43
    assert (six["verdict"], six["champion_version"]) == ("refused", "3")
    assert set(one) == {
        "experience", "rows", "quarantined", "drift", "decision", "accuracy", "forgetting_max", "verdict",
        "champion_version", "seconds",
    }  # fmt: skip
    assert Path(told["report"]).read_text().startswith("<!doctype html>")

    history = [sys.executable, "-m", "cl.cli", "history", "--json", "-p", told["project"]]
    cycles = json.loads(subprocess.run(history, capture_output=True, text=True, check=True).stdout)
    assert cycles[4]["experience"]["quarantined"] == QUARANTINED
    verdicts = {one["gate"]: one for one in cycles[3]["gates"]["verdicts"]}
    assert verdicts["forgetting"]["passed"] and verdicts["no_regression"]["measured"] >= -0.02
    assert cycles[3]["drift"]["new_labels"] == ["close_account", "gift_card", "pay_in_instalments", "savings_goal"]
    assert "Writing model shards" not in done.stderr and "UserWarning" not in done.stderr
