"""An alarm that explains itself: which detector, how sure, what moved most, and the rows that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from cl.records import ChangedGroup, Drift, Finding
from cl.statistics import format_p_value

MOVED, EXAMPLES, TEXT = 8, 20, 200
SHARES = "class or word | share in the reference | share in the new rows"
SCORES = "class or slice | score on the reference | score on the new rows"


class AlarmContext(Protocol):
    """What was looked at: an experience, or what was served between two looks."""

    @property
    def id(self) -> str:
        """What it is called."""

    @property
    def total(self) -> int:
        """How many rows it has."""


def alarm_text(
    experience: AlarmContext, seen: Drift, champion: str | None, texts: Callable[..., dict[str, str]]
) -> str:
    """Return the alarm as Markdown.

    Args:
        experience: whose rows they are.
        seen: what was found; only findings that count are shown.
        champion: the version whose reference they were compared with.
        texts: returns the texts of rows (experience, ids).
    """
    loud = [finding for finding in seen.findings if finding.drifted]
    told = texts(experience.id, [one for finding in loud for one in finding.examples[:EXAMPLES]])
    lines = [f"# Alarm on {experience.id}", "", f"{experience.total} rows, compared with version {champion}."]
    if seen.champion_score is not None and seen.promotion_score is not None:
        lines += ["", f"Champion: {_percent(seen.champion_score)} now, {_percent(seen.promotion_score)} at promotion."]
    for finding in loud:
        lines += ["", *_finding(finding, seen.level, told)]
    return "\n".join(lines)


def findings_table(seen: Drift) -> list[dict[str, str]]:
    """Return one row a detector: its verdict, how sure it is, and its sentence."""
    return [
        {
            "detector": finding.detector,
            "kind": finding.kind.replace("_", " "),
            "alarm": "yes" if finding.drifted else "no",
            "p": "a rule" if finding.p_value is None else f"{finding.p_value:.2g}",
            "what": finding.summary,
        }
        for finding in seen.findings
    ]


def _finding(finding: Finding, level: float | None, told: dict[str, str]) -> Iterable[str]:
    yield f"## {finding.detector}: {finding.kind.replace('_', ' ')}"
    yield ""
    yield f"{finding.summary}. {format_p_value_cell(finding, level)}"
    if finding.moved:
        yield from ("", f"| {SCORES if finding.moved[0].is_score else SHARES} |", "|---|---:|---:|")
        for one in finding.moved[:MOVED]:
            yield f"| {_cell(one.name)} | {_percent(one.before)} | {_after(one)} |"
    examples = [told[one] for one in finding.examples[:EXAMPLES] if one in told]
    if examples:
        yield from ("", "Rows that show it:", "")
        yield from (f"- {_cell(text)}" for text in examples)


def _after(one: ChangedGroup) -> str:
    """Return the share in the new rows, or the score on them with its interval."""
    if one.low is None or one.high is None:
        return _percent(one.after)
    return f"{_percent(one.after)} ({100 * one.low:.1f} to {_percent(one.high)})"


def format_p_value_cell(finding: Finding, level: float | None) -> str:
    """Return how sure a finding is: its p-value beside the level that it was held against."""
    if finding.p_value is None or level is None:
        return "A rule, not a test."
    return f"{format_p_value(finding.p_value)}, and this check may spend {level:.2g} over all detectors."


def _cell(text: str) -> str:
    """Return a text that cannot break out of a line or a table, cut where it is long."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    return line if len(line) <= TEXT else f"{line[:TEXT]}..."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
