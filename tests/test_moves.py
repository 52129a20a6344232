"""Aliases and ledger together, moved by four processes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl import standing
from cl.chain import breach
from cl.stores.ledger import Ledger
from cl.stores.mlflow import Registry
from tests.racers import NAMES, ROUNDS, race

pytestmark = pytest.mark.slow
RACER = """
import sys
from cl import standing
from cl.errors import ConflictError
from cl.moves import move
from cl.stores.ledger import Ledger
from cl.stores.mlflow import Registry

me, uri, artifacts, rounds, mine = sys.argv[1], *sys.argv[2:4], int(sys.argv[4]), sys.argv[5].split(',')
registry, ledger, won, lost = Registry(uri, artifacts, 'm'), Ledger(sys.argv[6]), 0, 0
registry.aliases(), ledger.entries('m')
print('ready', flush=True)
sys.stdin.readline()
while len(seen := ledger.entries('m')) < rounds or seen[-1].state == 'intent':
    if seen and seen[-1].state == 'intent':
        continue
    champion = standing.champion(seen)
    to = mine[0] if champion != mine[0] else mine[1]
    try:
        move(registry, ledger, 'promote', expected=champion, to=to, why=f'round {len(seen)}', seen=seen, actor=me)
        won += 1
    except ConflictError:
        lost += 1
print(won, lost)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request, tmp_path) -> tuple[str, str]:
    """URLs for MLflow and for the ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mlflow.db", f"sqlite:///{tmp_path}/ledger.db"
    uri = request.getfixturevalue("postgres").database("moves")
    return uri, uri


def test_after_a_hundred_rounds_of_four_processes_one_champion_serves_and_alias_and_ledger_agree(
    databases, tmp_path: Path
) -> None:
    uri, ledger_uri = databases
    registry, ledger = Registry(uri, str(tmp_path), "m"), Ledger(ledger_uri)
    registry.initialise()
    registry._client.create_registered_model("m")
    for _ in NAMES + "1":
        registry._client.create_model_version("m", tmp_path.as_uri(), tags={"cl.gates": "passed"})
    ends = race(RACER, uri, str(tmp_path), str(ROUNDS), "1,2", ledger_uri)
    entries = ledger.entries("m")
    assert [entry.sequence for entry in entries] == list(range(1, ROUNDS + 1))
    assert {entry.state for entry in entries} == {"committed"}
    assert [entry.from_version for entry in entries[1:]] == [entry.to_version for entry in entries[:-1]]
    assert breach("m", entries, head=registry.ledger_head()) is None
    won = {name: sum(entry.actor == name for entry in entries) for name in ends}
    assert won == {name: end[0] for name, end in ends.items()}
    assert registry.aliases() == {"champion": standing.champion(entries)}
    assert sum(lost for _, lost in ends.values()) > 0, "nobody met anybody"
