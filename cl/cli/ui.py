"""The command `cl ui`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="Port to listen on.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="Another name it is called by, such as a proxy's; repeatable.",
)
def ui(folder: Path, host: str, port: int, allowed_hosts: tuple[str, ...]) -> None:
    """Serve a page with all projects below FOLDER: timelines, alarms, quarantine, and approvals.

    FOLDER is the current folder by default. The environment variable CL_UI_TOKEN holds a token, or NAME:TOKEN for each
    person, separated by commas; beyond this machine it is required. Runs until interrupted.
    """
    from cl.commands.ui import serve_team_page

    serve_team_page(folder, host=host, port=port, allowed_hosts=allowed_hosts)
