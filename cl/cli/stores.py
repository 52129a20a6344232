"""The command `cl move-stores`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show


@click.command("move-stores")
@project_option
@click.option("--to-tracking", required=True, metavar="URL", help="New database for runs and versions.")
@click.option(
    "--to-artifacts", required=True, metavar="LOCATION", help="New folder or URI for files: the server's destination."
)
@click.option("--to-ledger", required=True, metavar="URL", help="New database for the ledger.")
@click.option("--from-tracking", metavar="URL", help="Database of the old server, if cl.yaml names a server.")
@click.option("--from-artifacts", metavar="LOCATION", help="Artifact destination of the old server.")
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

    Each value may be env:NAME, to keep passwords in the environment. The old stores are only read. Repeat it to
    compare. mlflow/README.md describes the whole procedure.
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
