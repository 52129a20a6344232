"""What the command keeps of the trials, and the table that it prints."""

from __future__ import annotations

from tests.faults.results import Results
from tests.faults.table import table
from tests.faults.trial import Attempt, Trial


def test_what_is_interrupted_goes_on_where_it_was(tmp_path) -> None:
    file, made = tmp_path / "results.jsonl", []

    class Noted(Attempt):
        def made(self) -> Trial:
            made.append(self.where)
            return Trial(self.fault, self.where, [], 1.0)

    def attempts() -> list[Attempt]:
        return [Noted(None, "SIGKILL", where, list) for where in ("one", "two", "three")]

    for until in (2, 3):
        results = Results(file)
        for number, one in enumerate(attempts()[:until]):
            if not results.has("kills", number, "seed 0"):
                results.made("kills", number, "seed 0", one)
        with file.open("a") as broken_off:
            broken_off.write('{"kind": "kills", "num')
    assert made == ["one", "two", "three"]
    assert [one.where for one in Results(file).trials] == made and not Results(file).has("kills", 2, "seed 1")


def test_the_table_counts_trials_and_names_those_that_were_not_well() -> None:
    trials = [
        Trial("SIGKILL at a step boundary", "before place", [], 2.0),
        Trial("SIGKILL at a step boundary", "after place", ["row a is there 2 times"], 4.0),
    ]
    shown = table(trials, undisturbed=3.0)
    assert "| SIGKILL at a step boundary | 2 |" in shown and "| 1 | 3.0 s, 4.0 s |" in shown
    assert "after place: row a is there 2 times" in shown
