"""Format gate verdicts for a terminal: each gate, its groups, and the regressions."""

from __future__ import annotations

from typing import Any

from cl.gating.conditions import format_number
from cl.statistics import format_p_value

GROUPS = 10
"""The most groups of a gate that are listed."""


def gate_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl gates`: each verdict, then the rows that the challenger lost."""
    lines = [
        f"{output['experience']}: {output['verdict']}, version {output['version'] or '-'}, gates: {output['mode']}",
        "",
    ]
    width = max([24, *(len(verdict["gate"]) + 2 for verdict in output["verdicts"])])
    for verdict in output["verdicts"]:
        word = "FAIL" if not verdict["passed"] else "undecided" if verdict["undecided"] else "pass"
        hint = f"; about {verdict['rows_needed']} such rows would decide" if verdict["rows_needed"] else ""
        hint += "; counts as a pass" if word == "undecided" else ""
        lines.append(f"{word:<11}{verdict['gate']:<{width}}{verdict['why']}{hint}")
    lines += _group_lines(output["table"])
    wide = max([33, *(len(measurement["words"]) for measurement in output["measured"])]) + 2
    if output["measured"]:
        lines += ["", f"{'measured':<{wide}}{'champion':>12}{'challenger':>12}"]
    for measurement in output["measured"]:
        champion, challenger = format_number(measurement["champion"]), format_number(measurement["challenger"])
        lines.append(f"{measurement['words']:<{wide}}{champion:>12}{challenger:>12}")
    if output["control"]:
        lines += ["", output["control"]]
    if output["lost"]:
        lines += ["", "Right before, wrong now:"]
    lines += [_lost_line(row) for row in output["lost"]]
    return lines


def _group_lines(table: list[dict[str, Any]]) -> list[str]:
    """Return the groups that did not pass, for gates that judge more than one group."""
    lines = []
    for gate in dict.fromkeys(part["gate"] for part in table):
        parts = [part for part in table if part["gate"] == gate]
        listed = [part for part in parts if part["verdict"] != "pass"]
        if len(parts) == 1 or not listed:
            continue
        lines += ["", f"{gate}: {len(listed)} of {len(parts)} groups did not pass"]
        lines.append(f"  {'':<11}{'group':<28}{'rows':>7}{'measured':>10}{'bound':>9}  {'p-value':<12}rows needed")
        for part in listed[:GROUPS]:
            p_value = "-" if part["p_value"] is None else format_p_value(part["p_value"])
            measured, bound = format_number(part["measured"]), format_number(part["bound"])
            lines.append(
                f"  {part['verdict']:<11}{part['group']:<28}{part['rows'] or '-':>7}{measured:>10}"
                f"{bound:>9}  {p_value:<12}{part['rows_needed'] or ''}".rstrip()
            )
        if len(listed) > GROUPS:
            lines.append(f"  and {len(listed) - GROUPS} more; --json lists all")
    return lines


def _lost_line(row: dict[str, Any]) -> str:
    before, now = (f"{row[who]}{_format_confidence(row[f'{who}_confidence'])}" for who in ("champion", "challenger"))
    text = "".join(letter if letter.isprintable() else " " for letter in row["text"])
    return f"  {row['experience']} {row['id']}: {row['target']}; was {before}, now {now}: {text[:80]}"


def _format_confidence(confidence: float | None) -> str:
    return "" if confidence is None else f" ({confidence:.0%})"


def replay_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Format the output of `cl gates --replay`: for each challenger the outcome then and under the other policy."""
    words = {True: "pass", False: "refused", None: "-"}
    lines = [f"{'experience':<24}{'version':<9}{'then':<9}{'now':<9}why"]
    for row in rows:
        then, now = words[row["then"]], words[row["now"]]
        changed = "* " if row["now"] not in (None, row["then"]) else ""
        why = "; ".join([*row["refused_by"], *(f"undecided: {gate}" for gate in row["undecided"])])
        lines.append(f"{row['experience']:<24}{row['version'] or '-':<9}{then:<9}{now:<9}{changed}{why}".rstrip())
    return lines
