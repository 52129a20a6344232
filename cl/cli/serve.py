"""The command `cl serve`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import project_option, set_option


@click.command()
@set_option
@project_option
@click.option("--host", help="Address to listen on. [default: serve.host]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. [default: serve.port]")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share the port. [default: serve.workers]")
def serve(project: Path, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the champion over HTTP; a promotion or rollback takes effect within seconds.

    POST /predict, /feedback and MLflow's /invocations; /readyz, /metrics; /openapi.json describes them with examples.
    Runs until interrupted; on SIGTERM it finishes requests in progress.
    """
    from cl.commands.serve import serve as run

    run(project, host=host, port=port, workers=workers)
