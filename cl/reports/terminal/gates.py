"""Verdicts as lines for a terminal: what each gate said, on which groups, and the rows that were lost."""

from __future__ import annotations

from typing import Any

from cl.gating.conditions import parse_figure
from cl.statistics import format_p_value

GROUPS = 10
"""Groups of one gate that are listed, at most."""


def gate_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl gates` shows: each verdict, then the rows that the challenger lost."""
    lines = [
        f"{found['experience']}: {found['verdict']}, version {found['version'] or '-'}, gates: {found['mode']}",
        "",
    ]
    width = max([24, *(len(one["gate"]) + 2 for one in found["verdicts"])])
    for one in found["verdicts"]:
        word = "FAIL" if not one["passed"] else "undecided" if one["undecided"] else "pass"
        more = f"; about {one['rows_needed']} rows like these would decide" if one["rows_needed"] else ""
        lines.append(f"{word:<11}{one['gate']:<{width}}{one['why']}{more}")
    lines += _group_lines(found["table"])
    if found["measured"]:
        lines += ["", f"{'measured':<35}{'champion':>12}{'challenger':>12}"]
    for one in found["measured"]:
        lines.append(f"{one['words']:<35}{parse_figure(one['champion']):>12}{parse_figure(one['challenger']):>12}")
    if found["control"]:
        lines += ["", found["control"]]
    if found["lost"]:
        lines += ["", "Right before, wrong now:"]
    lines += [_lost_line(row) for row in found["lost"]]
    return lines


def _group_lines(table: list[dict[str, Any]]) -> list[str]:
    """Return the groups that a gate did not pass, of gates that look at more than one."""
    lines = []
    for gate in dict.fromkeys(one["gate"] for one in table):
        parts = [one for one in table if one["gate"] == gate]
        told = [one for one in parts if one["verdict"] != "pass"]
        if len(parts) == 1 or not told:
            continue
        lines += ["", f"{gate}: {len(told)} of {len(parts)} groups did not pass"]
        lines.append(f"  {'':<11}{'group':<28}{'rows':>7}{'measured':>10}{'bound':>9}  {'p-value':<12}needs rows")
        for one in told[:GROUPS]:
            chance = "-" if one["p_value"] is None else format_p_value(one["p_value"])
            lines.append(
                f"  {one['verdict']:<11}{one['group']:<28}{one['rows'] or '-':>7}{parse_figure(one['measured']):>10}"
                f"{parse_figure(one['bound']):>9}  {chance:<12}{one['rows_needed'] or ''}".rstrip()
            )
        if len(told) > GROUPS:
            lines.append(f"  and {len(told) - GROUPS} more: --json has them all")
    return lines


def _lost_line(row: dict[str, Any]) -> str:
    before, now = (f"{row[who]}{_sure(row[f'{who}_confidence'])}" for who in ("champion", "challenger"))
    text = "".join(letter if letter.isprintable() else " " for letter in row["text"])
    return f"  {row['experience']} {row['id']}: {row['target']}; was {before}, now {now}: {text[:80]}"


def _sure(confidence: float | None) -> str:
    return "" if confidence is None else f" ({confidence:.0%})"


def replay_lines(found: list[dict[str, Any]]) -> list[str]:
    """Return what `cl gates --replay` shows: a line a challenger, then and under the other policy."""
    words = {True: "pass", False: "refused", None: "-"}
    lines = [f"{'experience':<24}{'version':<9}{'then':<9}{'now':<9}why"]
    for one in found:
        then, now = words[one["then"]], words[one["now"]]
        changed = "* " if one["now"] not in (None, one["then"]) else ""
        why = "; ".join([*one["refused_by"], *(f"undecided: {gate}" for gate in one["undecided"])])
        lines.append(f"{one['experience']:<24}{one['version'] or '-':<9}{then:<9}{now:<9}{changed}{why}".rstrip())
    return lines
