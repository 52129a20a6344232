"""The six months of the sample stream: what the README promises.

At night `cl demo` itself runs, with the packaged MiniLM. CI replays the same months through the same commands on
MiniLM's first layer and a head in closed form, which takes seconds: it scores less, and tells the same story.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cl import sample
from cl.models.pretrained import PACKAGED, load_encoder, load_tokenizer
from tests.support import warm
from tests.support.desk import Desk
from tests.support.tiny import mlflow_database

pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        importlib.util.find_spec(PACKAGED["minilm"][0]) is None,
        reason="no packaged MiniLM here: pip install 'perennial-ml[demo]'",
    ),
]

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
NEW_LABELS = ["close_account", "gift_card", "pay_in_instalments", "savings_goal"]
MONTHS = [f"000{month}-month-{month}" for month in range(1, 7)]
QUICK = {
    "strategy": {"name": "ranpac", "features": 1000},
    "gates": [
        {"name": "floor", "min": 0.1},
        {"name": "no_regression", "margin": 0.02},
        {"name": "forgetting", "max": 0.1},
    ],
    "drift": {"report": "off"},
    "evaluation": {"robustness": [], "smoke_rows": 0, "latency_calls": 3},
}
STRICT = [*QUICK["gates"][1:], {"name": "floor", "min": 0.9}]
"""More than one layer reaches."""


@pytest.fixture
def bank(tmp_path: Path) -> Desk:
    """The sample project, on a model of one layer."""
    desk = Desk(tmp_path / "bank")
    done = desk.cl("init", str(desk.project))
    assert done.returncode == 0, done.stderr
    (desk.project / "mlflow" / "mlflow.db").write_bytes(mlflow_database())
    encoder = load_encoder("minilm")
    encoder.encoder.layer, encoder.config.num_hidden_layers = encoder.encoder.layer[:1], 1
    encoder.save_pretrained(tmp_path / "one-layer")
    load_tokenizer("minilm").save_pretrained(tmp_path / "one-layer")
    model = {"name": str(tmp_path / "one-layer"), "max_length": 32}
    configured = {**yaml.safe_load(sample.sample_configuration()), **QUICK, "model": model}
    (desk.project / "cl.yaml").write_text(yaml.safe_dump(configured))
    return desk


def test_six_months_of_messages_on_one_layer(bank, tmp_path) -> None:
    cycles = []
    *months, last = sample.write_months(tmp_path / "months")
    for month in months:
        bank.json("ingest", str(month))
        cycles += bank.json("run", "--plain")
    bank.configure(gates=STRICT)
    bank.json("ingest", str(last))
    refused = bank.cl("run", "--plain", "--json")
    assert refused.returncode == 3, refused.stderr
    cycles += json.loads(refused.stdout)
    one, two, three, four, five, six = cycles
    assert [cycle["experience"]["id"] for cycle in cycles] == MONTHS
    assert all(cycle["decision"]["reasons"] for cycle in cycles)

    assert one["decision"]["action"] == "learn" and one["champion_after"] == "1"
    assert two["decision"]["action"] == "none" and not two["drift"]["drifted"]
    assert two["training"] is None and two["gates"] is None and two["champion_after"] == "1"
    assert three["drift"]["drifted"] and three["champion_after"] == "2"
    assert three["training"]["experiences"] == MONTHS[1:3], "the quiet month is learnt along"
    assert four["drift"]["new_labels"] == NEW_LABELS and four["champion_after"] == "3"
    assert four["training"]["labels_added"] == NEW_LABELS
    for promoted in (one, three, four):
        assert promoted["promotion"]["promoted"]
        assert verdicts_of(promoted) == {"floor": True, "no_regression": True, "forgetting": True}
    assert five["experience"]["quarantined"] == QUARANTINED
    assert six["drift"]["drifted"] and verdicts_of(six)["floor"] is False
    assert six["champion_after"] == "3", "a refused version serves nobody"

    assert bank.json("history") == cycles
    history = bank.cl("history").stdout
    report = Path(bank.json("report")["report"]).read_text()
    for month in MONTHS:
        assert month in history and month in report
    assert report.startswith("<!doctype html>") and "refused by floor" in history


def verdicts_of(cycle: dict[str, Any]) -> dict[str, bool]:
    """Return whether each gate let the challenger pass; each says why."""
    verdicts = cycle["gates"]["verdicts"]
    assert all(verdict["why"] for verdict in verdicts)
    return {verdict["gate"]: verdict["passed"] for verdict in verdicts}


def test_the_demo_refuses_a_folder_that_holds_a_project(bank) -> None:
    before = (bank.project / "cl.yaml").read_text()
    done = bank.cl("demo", "--dir", str(bank.project))
    assert done.returncode == 2 and "already contains a project" in done.stderr
    assert (bank.project / "cl.yaml").read_text() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: many", "seed must be an integer"),
        ("stores: {tracking: x}", "tracking"),
        ("- a list", "must hold keys and values"),
        (None, "no such file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_anything_is_made(text, said, tmp_path) -> None:
    settings = tmp_path / "settings.yaml"
    if text is not None:
        settings.write_text(text)
    done = warm.run("demo", "--dir", str(tmp_path / "demo"), "--settings", str(settings))
    assert done.returncode == 2 and done.stderr.startswith(f"cl: {settings}: ") and said in done.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.nightly
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
    assert cycles[3]["drift"]["new_labels"] == NEW_LABELS
    assert "Writing model shards" not in done.stderr and "UserWarning" not in done.stderr
