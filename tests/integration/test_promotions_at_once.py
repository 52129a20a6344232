"""Four processes that promote at once leave one unbroken chain, on SQLite and, where one is named, on Postgres."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry

ROUNDS = 100
RACER = """
import sys
from cl.errors import ConflictError
from cl.promotion.by_hand import promote_by_hand
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry

tracking, artifacts, model, ledger, rounds, *mine = sys.argv[1:]
registry, ledger = Registry(tracking, artifacts, model), Ledger(ledger)
print("ready", flush=True)
sys.stdin.readline()
won = 0
while won < int(rounds):
    try:
        entry = promote_by_hand(registry, ledger, mine[won % 2], why=f"{mine[0]} {won}", despite_gates=True)
        print("won", entry.sequence, entry.why, flush=True)
        won += 1
    except ConflictError:
        print("lost", flush=True)
"""


def race(registry: Registry, ledger: Ledger, rounds: int) -> list[str]:
    """Let each of four processes try until so many of its promotions have come through; return what they have done."""
    for _ in range(8):
        registry.runs.client.create_model_version(registry.model, "file:///nowhere", tags={"cl.gates": "passed"})
    at = [registry.tracking_uri, registry.artifacts, registry.model, ledger.uri, str(rounds)]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, *at, str(2 * one + 1), str(2 * one + 2)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for one in range(4)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said: list[str] = []
    for racer in racers:
        out, errors = racer.communicate(timeout=800)
        assert racer.returncode == 0, errors
        said += out.splitlines()
    return said


def assert_one_unbroken_chain(registry: Registry, ledger: Ledger, said: list[str]) -> None:
    entries = ledger.entries(registry.model)
    assert first_violation(registry.model, entries, head=registry.ledger_head()) is None
    assert {one.state for one in entries} == {"committed"}
    assert [one.from_version for one in entries] == [None, *(one.to_version for one in entries[:-1])]
    won = sorted(line for line in said if line.startswith("won"))
    assert won == sorted(f"won {one.sequence} {one.why}" for one in entries), "none lost, none doubled"
    assert registry.aliases() == {"champion": entries[-1].to_version}


@pytest.fixture(params=["sqlite", "postgres"])
def raced(request, tmp_path: Path) -> tuple[Registry, Ledger]:
    """A model of its own, with aliases and ledger in a database of the kind."""
    model = f"race-{uuid.uuid4().hex[:8]}"
    if request.param == "sqlite":
        tracking, ledger = f"sqlite:///{tmp_path}/m.db", f"sqlite:///{tmp_path}/ledger.db"
    else:
        tracking = ledger = request.getfixturevalue("postgres").database("race")
    registry = Registry(tracking, str(tmp_path / "artifacts"), model)
    registry.initialise()
    registry.runs.client.create_registered_model(model)
    return registry, Ledger(ledger)


@pytest.mark.nightly
def test_four_processes_promoting_at_once_for_a_hundred_rounds_leave_one_unbroken_chain(raced) -> None:
    registry, ledger = raced
    said = race(registry, ledger, ROUNDS // 4)
    assert_one_unbroken_chain(registry, ledger, said)
    assert len(ledger.entries(registry.model)) == ROUNDS and "lost" in said
    print(f"{ROUNDS} promotions came through, {said.count('lost')} were told that another was first")
