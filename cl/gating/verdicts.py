"""Combine a gate's parts into verdicts, corrected for multiple comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from cl.records import Part, Verdict
from cl.statistics import holm

WORST_FIRST = ("fail", "undecided", "pass")


def conclude(gate: str, parts: Sequence[Part], *, on: str = "all") -> Verdict:
    """Return the verdict over all groups: the worst part, and the first of equals."""
    worst = min(parts, key=lambda part: WORST_FIRST.index(part.verdict))
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


def significant_after_holm(tests: Sequence[tuple[float, float]]) -> list[bool]:
    """Tell which of several tests, (p-value, alpha) each, are significant after correction.

    Holm's method (1979) on p-values in units of their alpha: the probability of any false positive is at most the
    largest alpha.
    """
    return holm([p_value / alpha for p_value, alpha in tests], alpha=1.0)


def correct_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts corrected for all comparisons of all gates together.

    A failure that is not significant among that many comparisons becomes undecided. Gates without a test (absolute
    bounds) are unchanged.
    """
    tests = [
        (part.p_value, part.alpha)
        for verdict in verdicts
        for part in verdict.parts
        if part.p_value is not None and part.alpha
    ]
    significant = iter(significant_after_holm(tests))
    return [
        _correct(verdict, [next(significant) if _is_tested(part) else True for part in verdict.parts], len(tests))
        for verdict in verdicts
    ]


def rescale_rows_needed(rows: int | None, *, alpha: float, among: int, before: int = 1) -> int | None:
    """Rescale the rows that would decide when alpha is divided among ``among`` tests instead of ``before``."""
    if rows is None or among == before:
        return rows
    return _scale_rows(rows, alpha / among, alpha / before)


def _correct(verdict: Verdict, significant: Iterable[bool], among: int) -> Verdict:
    before = sum(map(_is_tested, verdict.parts))
    parts = [
        _correct_part(part, is_significant, before, among)
        for part, is_significant in zip(verdict.parts, significant, strict=True)
    ]
    if parts == verdict.parts:
        return verdict
    return conclude(verdict.gate, parts, on=verdict.on)


def _correct_part(part: Part, is_significant: bool, before: int, among: int) -> Part:
    if part.p_value is None or not part.alpha or part.verdict == "pass":
        return part
    if part.verdict == "undecided":
        rows = rescale_rows_needed(part.rows_needed, alpha=part.alpha, among=among, before=before)
        return part.model_copy(update={"rows_needed": rows})
    if is_significant:
        return part
    rows = _scale_rows(part.rows, part.alpha / among, part.p_value) if part.rows else None
    why = f"{part.why}; among {among} comparisons this may be chance (Holm)"
    return part.model_copy(update={"verdict": "undecided", "rows_needed": rows, "why": why})


def _scale_rows(rows: int, level: float, present_level: float) -> int:
    """Return how many rows would be significant at another level: the standard error shrinks with their square root."""
    from scipy.stats import norm

    return ceil(rows * float(norm.isf(level) / norm.isf(present_level)) ** 2)


def _is_tested(part: Part) -> bool:
    return part.p_value is not None and bool(part.alpha)
