"""The command `cl gates`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show
from cl.cli.tables import GATES, REPLAY, on_terminal

NOTHING = "no challenger has been evaluated yet: cl ingest PATH, then cl run"


@click.command()
@click.argument("version", required=False)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="POLICY",
    help="YAML file with other gates to apply to past versions.",
)
@project_option
@json_option
def gates(version: str | None, replay: Path | None, project: Path, as_json: bool) -> None:
    """Show the verdicts on VERSION, or on the last challenger, and the test rows that it lost.

    With --replay, the gates in POLICY are applied to the stored rows of every past challenger and compressed version.
    """
    from cl.commands.gates import read_verdicts, replay_gates
    from cl.reports.terminal.gates import gate_lines, replay_lines

    if replay is not None:
        again = replay_gates(project, replay)
        show(as_json, again, on_terminal("\n".join(replay_lines(again)), REPLAY) if again else NOTHING)
        return
    verdicts = read_verdicts(project, version)
    show(as_json, verdicts, on_terminal("\n".join(gate_lines(verdicts)), GATES) if verdicts else NOTHING)
