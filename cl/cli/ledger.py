"""The command line that reads the ledger: `cl audit` and `cl champion`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show


@click.command()
@click.option(
    "--sign", is_flag=True, help="First sign all entries with the key of stores.ledger_key: you answer for them."
)
@project_option
@json_option
def audit(sign: bool, project: Path, as_json: bool) -> None:
    """Print the ledger and verify it; exit code 1 names the first entry that cannot be trusted.

    An entry that was edited, removed or put in does not have the hash that the next one, or the registry, remembers.
    """
    from cl.commands.ledger import audit, sign_all
    from cl.reports.terminal.ledger import ledger_lines

    found = sign_all(project) if sign else audit(project)
    show(as_json, found, "\n".join(ledger_lines(found)))
    if not found["whole"]:
        if not as_json:
            print(f"cl: entry {found['broken']['sequence']} is broken: {found['broken']['why']}", file=sys.stderr)
        sys.exit(1)


@click.command()
@click.option("--as-of", metavar="TIME", help="ISO date (its last moment) or time; without a zone, this machine's.")
@project_option
@json_option
def champion(as_of: str | None, project: Path, as_json: bool) -> None:
    """Show who serves, or who served at a time, as the ledger says."""
    from cl.commands.ledger import champion_at
    from cl.reports.terminal.ledger import champion_lines

    found = champion_at(project, as_of)
    show(as_json, found, "\n".join(champion_lines(found)))
