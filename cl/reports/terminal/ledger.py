"""The ledger as lines for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def ledger_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl audit` shows: a line for each entry, oldest first, then whether the chain is whole."""
    if not found["entries"]:
        return [f"'{found['model']}': no entry yet", *_verdict(found)]
    move = f"{'action':<12}{'alias':<12}{'from':>5}{'to':>5}"
    head = f"{'#':>5}  {'when (UTC)':<20}{move}  {'state':<11}{'hash':<10}who: why"
    return [head, *(_line(one) for one in found["entries"]), "", *_verdict(found)]


def champion_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl champion` shows."""
    champion = found["champion"]
    if champion is None:
        since = f"; the ledger begins at {_time(found['first_entry'])} UTC" if found["first_entry"] else ""
        return [f"'{found['model']}' has no champion at {_time(found['as_of'])} UTC{since}"]
    lines = [f"version {champion['to_version']}, since {_said(champion)}"]
    for alias in ("canary", "shadow"):
        if (one := found[alias]) is not None:
            lines.append(
                f"{alias}: version {one['to_version']}, {one['share']:.0%} of the requests, since {_said(one)}"
            )
    return lines


def waiting_line(entry: dict[str, Any]) -> str:
    """Return what `cl status` says of a version that waits for a person."""
    version = entry["to_version"]
    return (
        f"approval    version {version} ({entry['why']}) waits since {_time(entry['at'])} UTC: "
        f"cl approve {version}, or cl reject {version} --why TEXT"
    )


def beside_line(status: dict[str, Any], alias: str) -> str:
    """Return what `cl status` says of a canary or shadow."""
    entry = status[alias]
    return f"{alias:<12}version {entry['to_version']}, {entry['share']:.0%} of the requests"


def _verdict(found: dict[str, Any]) -> list[str]:
    if not found["whole"]:
        return []
    return [f"whole: {len(found['entries'])} entries, each chained to the one before"]


def _line(one: dict[str, Any]) -> str:
    share = f" {one['share']:.0%}" if one["share"] is not None else ""
    return (
        f"{one['sequence']:>5}  {_time(one['at']):<20}{one['action']:<12}{one['alias'] + share:<12}"
        f"{one['from_version'] or '-':>5}{one['to_version'] or '-':>5}  {one['state']:<11}{one['hash'][:8]:<10}"
        f"{one['actor']}: {' '.join(one['why'].split())}"  # a line break would look like an entry
    )


def _said(one: dict[str, Any]) -> str:
    why = f": {one['why']}" if one["why"] else ""
    return f"{_time(one['at'])} UTC ({one['action']} by {one['actor']}, entry {one['sequence']}{why})"


def _time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")
