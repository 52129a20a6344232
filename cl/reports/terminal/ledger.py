"""Format the ledger for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def ledger_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl audit`: a line for each entry, oldest first, then the state of the chain."""
    if not output["entries"]:
        return [f"'{output['model']}': no entries yet", *_chain_lines(output), *_outside_lines(output)]
    move = f"{'action':<12}{'alias':<12}{'from':>5}{'to':>5}"
    head = f"{'#':>5}  {'when (UTC)':<20}{move}  {'state':<11}{'hash':<10}who: why"
    return [
        head,
        *(_entry_line(entry) for entry in output["entries"]),
        "",
        *_chain_lines(output),
        *_outside_lines(output),
    ]


def champion_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl champion`."""
    champion = output["champion"]
    if champion is None:
        since = f"; the ledger begins at {_format_time(output['first_entry'])} UTC" if output["first_entry"] else ""
        return [f"'{output['model']}' has no champion at {_format_time(output['as_of'])} UTC{since}"]
    lines = [f"version {champion['to_version']}, since {_describe_entry(champion)}"]
    for alias in ("canary", "shadow"):
        if (entry := output[alias]) is not None:
            lines.append(
                f"{alias}: version {entry['to_version']}, {entry['share']:.0%} of the requests, "
                f"since {_describe_entry(entry)}"
            )
    return lines


def waiting_line(entry: dict[str, Any]) -> str:
    """Return the line of `cl status` about a version that waits for approval."""
    version = entry["to_version"]
    return (
        f"approval    version {version} ({entry['why']}) waiting since {_format_time(entry['recorded_at'])} UTC: "
        f"cl approve {version}, or cl reject {version} --why TEXT"
    )


def trial_line(status: dict[str, Any], alias: str) -> str:
    """Return the line of `cl status` about a canary or shadow."""
    entry = status[alias]
    return f"{alias:<12}version {entry['to_version']}, {entry['share']:.0%} of the requests"


def _outside_lines(output: dict[str, Any]) -> list[str]:
    """Return what was put back in MLflow, and what was changed there by hand."""
    return [*output.get("done", []), *(f"changed outside: {line}" for line in output.get("outside", []))]


def _chain_lines(output: dict[str, Any]) -> list[str]:
    if not output["whole"]:
        return []
    return [f"intact: {len(output['entries'])} entries, each with the hash of the previous one"]


def _entry_line(entry: dict[str, Any]) -> str:
    share = f" {entry['share']:.0%}" if entry["share"] is not None else ""
    time = _format_time(entry["recorded_at"])
    return (
        f"{entry['sequence']:>5}  {time:<20}{entry['action']:<12}{entry['alias'] + share:<12}"
        f"{entry['from_version'] or '-':>5}{entry['to_version'] or '-':>5}  {entry['state']:<11}{entry['hash'][:8]:<10}"
        f"{entry['actor']}: {' '.join(entry['why'].split())}"  # a line break could pass for another entry
    )


def _describe_entry(entry: dict[str, Any]) -> str:
    why = f": {entry['why']}" if entry["why"] else ""
    time = _format_time(entry["recorded_at"])
    return f"{time} UTC ({entry['action']} by {entry['actor']}, entry {entry['sequence']}{why})"


def _format_time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")
