"""The trials as a table: how often each fault was injected, what was checked, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.faults.trial import Trial

CHECKED = {
    "cut": "no version without its files",
    "full": "one line, exit 1",
    "grow": "one line, exit 1",
    "longer": "one line, exit 1",
    "for 3": "the run waits",
    "damaged": "refused by name, with the remedy; the champion stays",
    "SIGQUIT": "one line, exit 1",
    "back while it": "one line, or it goes on",
    "during": "one line, or it goes on",
    "cycles": "one works, the others say so; the ledger has no gap",
}
ALWAYS = "rows, champion, gates, alias, the next run"


def table(trials: Sequence[Trial], *, undisturbed: float) -> str:
    """Return the trials as Markdown, one line a kind of fault, and below it what was not well.

    Args:
        trials: all of them.
        undisturbed: seconds of a run in which nothing happened.
    """
    lines = [
        "| fault | times | checked beside the invariants | not well | recovery: median, worst |",
        "|---|---|---|---|---|",
    ]
    for fault in dict.fromkeys(one.fault for one in trials):
        its = [one for one in trials if one.fault == fault]
        seconds = [one.recovery for one in its]
        wrong = sum(bool(one.wrong) for one in its)
        lines.append(
            f"| {fault} | {len(its)} | {_checked(fault)} | {wrong} | {median(seconds):.1f} s, {max(seconds):.1f} s |"
        )
    lines += ["", f"An undisturbed run takes {undisturbed:.1f} s."]
    return "\n".join([*lines, *(f"- {one}" for one in trials if one.wrong)])


def _checked(fault: str) -> str:
    return next((told for word, told in CHECKED.items() if word in fault), "")
