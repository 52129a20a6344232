"""What gates found on single groups of rows becomes verdicts: a loss must be shown among all that were looked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from cl.records import Part, Verdict
from cl.statistics import holm

WORST_FIRST = ("fail", "undecided", "pass")


def conclude(gate: str, parts: Sequence[Part], *, on: str = "all") -> Verdict:
    """Return the verdict over all groups: the worst of them, and of equals the first."""
    worst = min(parts, key=lambda one: WORST_FIRST.index(one.verdict))
    return Verdict(
        gate=gate,
        passed=worst.verdict != "fail",
        undecided=worst.verdict == "undecided",
        rows_needed=worst.rows_needed,
        measured=worst.measured,
        bound=worst.bound,
        why=worst.why,
        on=on,
        parts=list(parts),
    )


def format_value(tests: Sequence[tuple[float, float]]) -> list[bool]:
    """Tell which of several tests, (p-value, alpha) each, show something when all of them are taken together.

    Holm's method (1979) on p-values in units of their alpha: the chance that any of the tests is wrong is at most the
    largest alpha among them.
    """
    return holm([p_value / alpha for p_value, alpha in tests], alpha=1.0)


def combine_parts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts when the confidence must hold for all comparisons of all gates together.

    What one gate refuses by itself and what is not shown among so many comparisons becomes undecided. Gates that test
    nothing (an absolute bound, a number) stay as they are.
    """
    tests = [
        (part.p_value, part.alpha) for one in verdicts for part in one.parts if part.p_value is not None and part.alpha
    ]
    kept = iter(format_value(tests))
    return [
        _held(one, [next(kept) if _is_tested(part) else True for part in one.parts], len(tests)) for one in verdicts
    ]


def rows_needed(rows: int | None, *, alpha: float, among: int, before: int = 1) -> int | None:
    """Return how many rows would decide when a level is shared out among so many tests, instead of so many before."""
    if rows is None or among == before:
        return rows
    return _scaled(rows, alpha / among, alpha / before)


def _held(verdict: Verdict, kept: Iterable[bool], among: int) -> Verdict:
    before = sum(map(_is_tested, verdict.parts))
    parts = [_weighed(part, holds, before, among) for part, holds in zip(verdict.parts, kept, strict=True)]
    if parts == verdict.parts:
        return verdict
    return conclude(verdict.gate, parts, on=verdict.on)


def _weighed(part: Part, holds: bool, before: int, among: int) -> Part:
    if part.p_value is None or not part.alpha or part.verdict == "pass":
        return part
    if part.verdict == "undecided":
        rows = rows_needed(part.rows_needed, alpha=part.alpha, among=among, before=before)
        return part.model_copy(update={"rows_needed": rows})
    if holds:
        return part
    rows = _scaled(part.rows, part.alpha / among, part.p_value) if part.rows else None
    told = f"{part.why}; among {among} comparisons that may be chance (Holm)"
    return part.model_copy(update={"verdict": "undecided", "rows_needed": rows, "why": told})


def _scaled(rows: int, level: float, shown_at: float) -> int:
    """Return how many rows would show at a level what so many rows show at another: errors shrink with their root."""
    from scipy.stats import norm

    return ceil(rows * float(norm.isf(level) / norm.isf(shown_at)) ** 2)


def _is_tested(part: Part) -> bool:
    return part.p_value is not None and bool(part.alpha)
