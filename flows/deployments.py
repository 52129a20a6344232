"""Deployments of the learning flow: `python -m flows.deployments PROJECT [CRON]` serves it on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from cl.stores.local import open_project
from flows.cycle import learn


def serve(project: Path, cron: str | None = None) -> None:
    """Serve the flow to the Prefect server that PREFECT_API_URL names, on a schedule if one is given.

    One run at a time: what is asked for during a run waits its turn.
    """
    root = open_project(project).root
    learn.serve(name=root.name, parameters={"project": str(root)}, cron=cron, global_limit=1, tags=["perennial"])


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
