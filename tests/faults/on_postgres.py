"""The same project with MLflow and the ledger in a Postgres: kills, a server that ends, a table that is locked."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from tests.faults import kills
from tests.faults.busy_database import given_up, waited_out
from tests.faults.deeds import Hold, KillAnother
from tests.faults.disk_full import told_plainly
from tests.faults.moments import Moment
from tests.faults.prepared import Prepared, begun
from tests.faults.server_back import back_again
from tests.faults.trial import Attempt
from tests.support.postgres import Cluster, Postgres, running_postgres

GONE = "Postgres ended (SIGQUIT) in the middle of a run"
BACK = "Postgres ended in the middle of a run, back while it goes on"
BUSY = "Postgres table locked for 3 seconds"
STUCK = "Postgres table locked for longer than anyone waits"
DATABASE, TEMPLATE = "faults", "faults_template"
BEFORE = {"runs": Moment("Runs.start_run"), "cl_ledger": Moment("Ledger.intend")}
HOLD = """
import os, sys, time
import psycopg2
url, table, seconds, holding = sys.argv[1:]
held, end = psycopg2.connect(url), time.monotonic() + float(seconds)
held.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
print("held", flush=True)
while time.monotonic() < end and os.path.exists(holding):
    time.sleep(0.05)
held.rollback()
"""


@dataclass
class OnPostgres(Prepared):
    """A project whose database is made anew from a template each time it is put back."""

    postgres: Postgres = field(default_factory=lambda: Postgres(sa.make_url("postgresql://")))

    @property
    def database(self) -> str:
        """SQLAlchemy URL that reads MLflow's database and never waits for long."""
        return f"{self.postgres.address(DATABASE)}?connect_timeout=1&options=-c%20lock_timeout%3D200"

    @property
    def cluster(self) -> Cluster:
        """The server process."""
        assert self.postgres.cluster is not None
        return self.postgres.cluster

    def put_back(self) -> None:
        """Make the project what it was, in files and tables."""
        super().put_back()
        self.postgres.database(DATABASE, like=TEMPLATE)


@contextlib.contextmanager
def on_postgres(folder: Path, model: Path, like: Prepared) -> Iterator[OnPostgres]:
    """Make a project on a Postgres of its own, to be compared with one on SQLite: the same rows, the same learner."""
    with running_postgres() as postgres:
        project = OnPostgres(
            folder / "shop", folder / "template", folder / "said", like.rows, like.undisturbed, postgres=postgres
        )
        project.seconds = like.seconds
        folder.mkdir()
        url = postgres.database(DATABASE)
        begun(project, model, stores={"tracking_uri": url, "ledger_uri": url})
        postgres.database(TEMPLATE, like=DATABASE)
        yield project


def killed(project: OnPostgres, moment: Moment) -> Attempt:
    """Kill a run at a moment."""
    attempt = kills.at_moment(project, moment)
    return dataclasses.replace(attempt, fault=f"{attempt.fault}, on Postgres")


def ended(project: OnPostgres, moment: Moment) -> Attempt:
    """End the server at a moment of a run; it comes back when the run has given up."""

    def inject() -> list[str]:
        return told_plainly(project.run(before=_ending(project, moment)))

    return Attempt(project, GONE, str(moment), inject, project.cluster.start)


def ended_and_back(project: OnPostgres, moment: Moment) -> Attempt:
    """End the server at a moment of a run; it is started again at once, and the run may still end well."""

    def inject() -> list[str]:
        with back_again(project.cluster.process, project.cluster.start):
            run = project.run(before=_ending(project, moment))
        return [] if run.code == 0 else told_plainly(run)

    return Attempt(project, BACK, str(moment), inject)


def locked_for_a_while(project: OnPostgres, table: str) -> Attempt:
    """Lock a table for three seconds when a run comes to need it."""
    return waited_out(project, BUSY, table, _held(project, table, 3.0))


def locked_too_long(project: OnPostgres, table: str, patience: int | None) -> Attempt:
    """Lock a table until the run gives up."""
    return given_up(project, STUCK, table, _held(project, table, 300.0), patience)


def _ending(project: OnPostgres, moment: Moment) -> KillAnother:
    process = project.cluster.process
    assert process is not None
    return KillAnother(moment, project.place, group=process.pid, how=signal.SIGQUIT)


def _held(project: OnPostgres, table: str, seconds: float) -> Hold:
    url = sa.make_url(project.postgres.address(DATABASE)).set(drivername="postgresql")
    return Hold(
        BEFORE[table],
        project.place,
        code=HOLD,
        what=(url.render_as_string(hide_password=False), table),
        seconds=seconds,
        holding=project.scratch / "holding",
    )
