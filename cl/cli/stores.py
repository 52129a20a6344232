"""The command line over where things are kept: `cl move-stores`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show


@click.command("move-stores")
@project_option
@click.option("--to-tracking", required=True, metavar="URL", help="Database for runs and versions.")
@click.option(
    "--to-artifacts", required=True, metavar="PLACE", help="Folder or URI for files: the server's destination."
)
@click.option("--to-ledger", required=True, metavar="URL", help="Database for the ledger.")
@click.option("--from-tracking", metavar="URL", help="The server's database, where cl.yaml names a server.")
@click.option("--from-artifacts", metavar="PLACE", help="The server's destination for files, likewise.")
@json_option
def move_stores_command(
    project: Path,
    to_tracking: str,
    to_artifacts: str,
    to_ledger: str,
    from_tracking: str | None,
    from_artifacts: str | None,
    as_json: bool,
) -> None:
    """Copy runs, versions, aliases, files and ledger to a server's database and store, or back, and compare them.

    Each place may be env:NAME, so that passwords stay in the environment. The old stores are only read. Repeated, it
    compares. mlflow/README.md has the whole procedure.
    """
    from cl.commands.move_stores import describe_moved, move_stores

    done = move_stores(
        project,
        tracking=to_tracking,
        artifacts=to_artifacts,
        ledger=to_ledger,
        from_tracking=from_tracking,
        from_artifacts=from_artifacts,
    )
    show(as_json, done, "\n".join(describe_moved(done)))
