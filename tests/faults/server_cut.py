"""The tracking server is killed while a version's files go up to it, and started again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.deeds import KillAnother
from tests.faults.disk_full import told_plainly
from tests.faults.moments import UPLOAD, Moment
from tests.faults.prepared import Prepared, begun
from tests.faults.server_back import back_again
from tests.faults.trial import Attempt
from tests.support.servers import TrackingServer

GONE = "tracking server killed during an upload"
BACK = "tracking server killed during an upload, back while the run goes on"


@dataclass
class Served(Prepared):
    """A project whose registry is behind a server, which must not run while the project is put back."""

    server: TrackingServer = field(default_factory=lambda: TrackingServer(Path()))
    fresh: bool = True

    def put_back(self) -> None:
        """Stop the server, make the project what it was, and start the server."""
        if not self.fresh:
            self.server.kill()
            super().put_back()
            self.server.start()
        self.fresh = False


@contextlib.contextmanager
def served(folder: Path, model: Path, like: Prepared) -> Iterator[Served]:
    """Make a project behind a server, to be compared with one that is not: the same rows come to the same learner."""
    folder.mkdir()
    server = TrackingServer(folder / "shop" / "mlflow", log=folder / "server.log")
    project = Served(folder / "shop", folder / "template", folder / "said", like.rows, like.undisturbed, server=server)
    project.seconds = like.seconds
    server.folder.mkdir(parents=True)
    server.start()
    try:
        begun(project, model, stores={"tracking_uri": server.url, "artifacts": None})
        yield project
    finally:
        server.kill()


def cut(project: Served, upload: int) -> Attempt:
    """Kill the server before the nth file goes up; it comes back when the run has given up."""

    def inject() -> list[str]:
        return told_plainly(project.run(before=_killing(project, upload)))

    def restart() -> None:
        project.server.kill()
        project.server.start()

    return Attempt(project, GONE, f"before file {upload}", inject, restart)


def cut_and_back(project: Served, upload: int) -> Attempt:
    """Kill the server before the nth file goes up; it is started again at once, and the run may still end well."""

    def inject() -> list[str]:
        with back_again(project.server.process, project.server.start):
            ended = project.run(before=_killing(project, upload))
        return [] if ended.code == 0 else told_plainly(ended)

    return Attempt(project, BACK, f"before file {upload}", inject)


def _killing(project: Served, upload: int) -> KillAnother:
    return KillAnother(Moment(UPLOAD, upload), project.place, group=project.server.group)
