"""The command line of the gates: `cl gates`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show


@click.command()
@click.argument("version", required=False)
@click.option("--replay", type=click.Path(path_type=Path), metavar="POLICY", help="YAML with other gates: what if?")
@project_option
@json_option
def gates(version: str | None, replay: Path | None, project: Path, as_json: bool) -> None:
    """Show what the gates said of VERSION, or of the last challenger, and the rows that it lost.

    With --replay, every past challenger and derived version is judged again by the gates in POLICY, from its stored
    rows.
    """
    from cl.commands.gates import read_verdicts, replay_gates
    from cl.reports.terminal.gates import gate_lines, replay_lines

    if replay is not None:
        again = replay_gates(project, replay)
        show(as_json, again, "\n".join(replay_lines(again)))
        return
    found = read_verdicts(project, version)
    show(as_json, found, "\n".join(gate_lines(found)))
