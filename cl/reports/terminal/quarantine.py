"""Format what was ingested, and what was set aside, for a terminal."""

from __future__ import annotations

import json
from typing import Any

SEEN = 5
"""The most rows with a known text that are named."""
CLASSES = 8
"""The most classes that are named in a line."""
WIDTH = 100
"""The most characters of a row that are shown."""


def ingest_lines(ingested: list[dict[str, Any]]) -> list[str]:
    """Format the output of `cl ingest`: rows by split, and rows set aside with the reason, the count and the file."""
    lines = []
    for entry in ingested:
        splits = ", ".join(f"{count} {split}" for split, count in entry["rows"].items())
        aside = sum(entry["quarantined"].values())
        head = (
            f"{entry['id']}: {sum(entry['rows'].values())} rows ({splits}), {aside} quarantined, "
            f"{entry['duplicates']} duplicates, {entry['seen']} seen before"
        )
        head += f", {entry['stayed_out']} forgotten on purpose" if entry["stayed_out"] else ""
        head += f", {entry['corrected']} in place of earlier rows" if entry["corrected"] else ""
        lines.append(head + (f"; {entry['leaks']} given held-out rows are in training, too" if entry["leaks"] else ""))
        lines += [f"  set aside: {count} {reason}" for reason, count in entry["quarantined"].items()]
        if aside:
            lines.append(f"  in {entry['quarantine_file']}; to see them: cl quarantine show {entry['id']}")
        lines += unbacked_lines(entry["unbacked_classes"], "  ")
        if entry["only_label"] is not None:
            lines.append(f"  every row has the label {entry['only_label']}: a model has nothing to tell apart yet")
    return lines


def seen_lines(texts: list[dict[str, str]], *, in_json: bool) -> list[str]:
    """Name rows with a new id that were left out because an earlier experience has their text and label."""
    if not texts:
        return []
    shown = ", ".join(f"{text['id'][:40]} ({text['experience']})" for text in texts[:SEEN])
    more = f" and {len(texts) - SEEN} more{'; --json lists all' if in_json else ''}" if len(texts) > SEEN else ""
    rows = "1 row has" if len(texts) == 1 else f"{len(texts)} rows have"
    return [f"  {rows} a new id and the text and label of an earlier row: {shown}{more}"]


def unbacked_lines(classes: list[str], indent: str = "") -> list[str]:
    """Return a line that names the classes that no training row has; none if there is no such class."""
    if not classes:
        return []
    more = f" and {len(classes) - CLASSES} more" if len(classes) > CLASSES else ""
    return [f"{indent}no training row, so never learned: {', '.join(classes[:CLASSES])}{more}"]


def quarantine_lines(entries: list[dict[str, Any]]) -> list[str]:
    """Format the output of `cl quarantine`."""
    if not entries:
        return ["no row was set aside"]
    width = max(len("experience"), *(len(entry["experience"]) for entry in entries))
    reason = max(len("reason"), *(len(entry["reason"]) for entry in entries))
    lines = [f"{'experience':<{width}}  {'reason':<{reason}}{'rows':>8}{'returned':>10}  file"]
    for entry in entries:
        counts = f"{entry['rows']:>8}{entry['returned']:>10}"
        lines.append(f"{entry['experience']:<{width}}  {entry['reason']:<{reason}}{counts}  {entry['file']}")
    waiting = sum(entry["rows"] - entry["returned"] for entry in entries)
    if waiting:
        lines += ["", f"to mend {waiting} rows: cl quarantine export FILE, change them, cl ingest FILE"]
    return lines


def quarantined_row_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl quarantine show`."""
    lines = [f"{output['experience']}: {output['total']} rows set aside, in {output['file']}"]
    for row in output["rows"]:
        content = row["row"] if isinstance(row["row"], str) else json.dumps(row["row"], ensure_ascii=False)
        shown = "".join(letter if letter.isprintable() else " " for letter in content)
        returned = f" (returned in {row['returned']})" if row["returned"] else ""
        lines.append(f"  {row['reason']}{returned}: {shown[:WIDTH]}{'…' if len(shown) > WIDTH else ''}")
    hidden = output["total"] - len(output["rows"])
    return [*lines, f"  and {hidden} more; --limit {output['total']} shows all"] if hidden else lines


def exported_line(output: dict[str, Any]) -> str:
    """Format the output of `cl quarantine export`."""
    if not output["rows"]:
        returned = f": all {output['returned']} such rows came back" if output["returned"] else ""
        return f"nothing to export{returned or ': no such row was set aside'}"
    returned = f"; {output['returned']} came back before and are left out" if output["returned"] else ""
    return f"{output['file']}: {output['rows']} rows{returned}; mend them, then: cl ingest {output['file']}"
