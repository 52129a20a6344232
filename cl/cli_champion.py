"""The command line that moves the champion, and says who moved it: `cl rollback`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.options import json_option, project_option, show


@click.command()
@click.argument("version", required=False)
@project_option
@click.option("--why", default="", help="The reason, kept in the ledger.")
@json_option
def rollback(version: str | None, project: Path, why: str, as_json: bool) -> None:
    """Give the champion alias back to VERSION, or to the champion before the present one."""
    from cl.commands.rollback import roll_back

    entry = roll_back(project, version, why=why)
    text = (
        f"champion is version {entry.to_version} again (was {entry.from_version}); entry {entry.sequence} of the ledger"
    )
    show(as_json, entry.model_dump(mode="json"), text)
