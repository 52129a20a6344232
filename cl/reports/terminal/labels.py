"""The output of `cl labels` as text."""

from __future__ import annotations

from typing import Any


def label_lines(listed: dict[str, Any]) -> list[str]:
    """Format the labels with their rows, and the changes of them."""
    width = max([len("label"), *map(len, listed["labels"])])
    lines = [f"{'label':<{width}}{'rows':>8}"] if listed["labels"] else ["no labels yet: cl ingest PATH"]
    lines += [f"{name:<{width}}{rows:>8}" for name, rows in listed["labels"].items()]
    for change in listed["changes"]:
        why = f": {change['why']}" if change["why"] else ""
        lines.append(f"{change['changed_at'][:10]} {change['says']} ({change['rows']} rows){why}")
    return lines


def change_lines(done: dict[str, Any]) -> list[str]:
    """Format what a change did, or would do."""
    change = done.get("would_change") or done["change"]
    total = sum(count for splits in change["rows"].values() for count in splits.values())
    rows = f"{total} rows in {len(change['rows'])} experience{'' if len(change['rows']) == 1 else 's'}"
    if "would_change" in done:
        return [f"would say {change['says']}: {rows}"]
    lines = [f"{change['says']}: {rows}", f"data/ is at version {done['data_version']}"]
    if done["version"]:
        lines.append(f"champion is version {done['version']}, which answers the new labels")
    if done["withdrawn"]:
        lines.append(f"withdrawn: version {', '.join(done['withdrawn'])}; to remove their files: cl gc")
    for label, keys in done["settings"].items():
        lines.append(f"cl.yaml still names '{label}': {', '.join(keys)}")
    return lines
