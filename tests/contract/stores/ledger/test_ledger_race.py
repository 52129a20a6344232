"""Compare-and-set between processes: in each round four move the champion of the round before, and one does."""

from __future__ import annotations

import pytest

from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from tests.support.racers import ROUNDS, race

RACER = """
import sys
from cl.records import Move
from cl.stores.ledger import state
from cl.errors import ConflictError
from cl.stores.ledger.ledger import Ledger

me, uri, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger, won, lost = Ledger(uri), 0, 0
ledger.entries('m')
print('ready', flush=True)
sys.stdin.readline()
while len(seen := ledger.entries('m')) < rounds or seen[-1].state == 'intent':
    if seen and seen[-1].state == 'intent':
        continue
    try:
        entry = ledger.intend(
            'm',
            Move(action='promote', expected=state.champion(seen), to=f'{me}{len(seen)}', why='', actor=me),
            seen=seen,
        )
        ledger.commit('m', entry)
        won += 1
    except ConflictError:
        lost += 1
print(won, lost)
"""


@pytest.mark.parametrize("rounds", [ROUNDS // 3, pytest.param(ROUNDS, marks=pytest.mark.nightly)])
def test_four_processes_promoting_at_once_for_many_rounds_leave_one_unbroken_chain(any_uri, rounds) -> None:
    ends = race(RACER, any_uri, str(rounds))
    entries = Ledger(any_uri).entries("m")
    assert [entry.sequence for entry in entries] == list(range(1, rounds + 1))
    assert {entry.state for entry in entries} == {"committed"}
    assert [entry.from_version for entry in entries[1:]] == [entry.to_version for entry in entries[:-1]]
    assert first_violation("m", entries) is None
    won = {name: sum(entry.actor == name for entry in entries) for name in ends}
    assert won == {name: end[0] for name, end in ends.items()}, "what a process was told is what stands"
    assert sum(lost for _, lost in ends.values()) > 0, "nobody met anybody"
