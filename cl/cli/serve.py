"""The command line of the server: `cl serve`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import project_option


@click.command()
@project_option
@click.option("--host", help="Address to listen on. [default: serve.host]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. [default: serve.port]")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share it. [default: serve.workers]")
def serve(project: Path, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the champion over HTTP, and follow it: a promotion or a rollback is answered by within seconds.

    POST /predict, /feedback and MLflow's /invocations; /readyz, /metrics; /docs shows them all with examples. Runs
    until it is interrupted; on SIGTERM it finishes what it has begun.
    """
    from cl.commands.serve import serve as run

    run(project, host=host, port=port, workers=workers)
