"""Drift alarms: the detectors that fired, their p-values, the largest changes, and example rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from cl.records import ChangedGroup, Drift, Finding
from cl.statistics import format_p_value

MAX_GROUPS, MAX_EXAMPLES, MAX_TEXT = 8, 20, 200
SHARES = "class or word | share in the reference | share in the new rows"
SCORES = "class or slice | score on the reference | score on the new rows"


class AlarmContext(Protocol):
    """The checked rows: an experience, or the traffic between two drift checks."""

    @property
    def id(self) -> str:
        """Its identifier."""

    @property
    def total(self) -> int:
        """Its number of rows."""


def alarm_text(
    experience: AlarmContext, seen: Drift, champion: str | None, texts: Callable[..., dict[str, str]]
) -> str:
    """Return the alarm as Markdown.

    Args:
        experience: the checked rows.
        seen: the result of the drift check; only findings that raised an alarm are shown.
        champion: the version whose reference the rows were compared with.
        texts: (experience, ids) -> id -> text.
    """
    alarming = [finding for finding in seen.findings if finding.drifted]
    examples = texts(experience.id, [id for finding in alarming for id in finding.examples[:MAX_EXAMPLES]])
    lines = [f"# Alarm on {experience.id}", "", f"{experience.total} rows, compared with version {champion}."]
    if seen.champion_score is not None and seen.promotion_score is not None:
        lines += ["", f"Champion: {_percent(seen.champion_score)} now, {_percent(seen.promotion_score)} at promotion."]
    for finding in alarming:
        lines += ["", *_finding_lines(finding, seen.level, examples)]
    return "\n".join(lines)


def findings_table(seen: Drift) -> list[dict[str, str]]:
    """Return one row per detector: its verdict, its p-value and its summary."""
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


def _finding_lines(finding: Finding, level: float | None, texts: dict[str, str]) -> Iterable[str]:
    yield f"## {finding.detector}: {finding.kind.replace('_', ' ')}"
    yield ""
    yield f"{finding.summary}. {format_p_value_cell(finding, level)}"
    if finding.moved:
        yield from ("", f"| {SCORES if finding.moved[0].is_score else SHARES} |", "|---|---:|---:|")
        for group in finding.moved[:MAX_GROUPS]:
            yield f"| {_cell(group.name)} | {_percent(group.before)} | {_after(group)} |"
    examples = [texts[id] for id in finding.examples[:MAX_EXAMPLES] if id in texts]
    if examples:
        yield from ("", "Rows that show it:", "")
        yield from (f"- {_cell(text)}" for text in examples)


def _after(group: ChangedGroup) -> str:
    """Return the share in the new rows, or the score on them with its interval."""
    if group.low is None or group.high is None:
        return _percent(group.after)
    return f"{_percent(group.after)} ({100 * group.low:.1f} to {_percent(group.high)})"


def format_p_value_cell(finding: Finding, level: float | None) -> str:
    """Format a finding's p-value and the alpha available to this check."""
    if finding.p_value is None or level is None:
        return "A deterministic rule, without a p-value."
    return f"{format_p_value(finding.p_value)}, and this check may spend {level:.2g} over all detectors."


def _cell(text: str) -> str:
    """Escape a text so that it stays in one Markdown table cell, and truncate it."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}..."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
