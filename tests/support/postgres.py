"""A real Postgres for the tests: the server that PERENNIAL_TEST_POSTGRES names, or one of our own.

Postgres runs as nobody's root: where the tests are root, it is started as the user ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.servers import free_port

VARIABLE = "PERENNIAL_TEST_POSTGRES"
USER, PASSWORD = "perennial", "p0stgres-s3cret"
USERS = ("postgres", "nobody")


@dataclass
class Cluster:
    """A server process of our own and its folder; ended and started again it is the same server."""

    command: list[Any]
    folder: Path
    url: sa.URL
    identity: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        self.stop()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self.identity
            )
        engine, deadline = sa.create_engine(self.url, poolclass=sa.NullPool), time.monotonic() + 60
        while True:
            try:
                return engine.connect().close()
            except sa.exc.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    said = (self.folder / "server.log").read_text()[-300:]
                    pytest.skip(f"no Postgres here: it did not start: {said}")
                time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it without waiting for clients that are still connected; SIGQUIT is its immediate shutdown."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None


@dataclass(frozen=True)
class Postgres:
    """A server whose databases are made for one test and stay until it ends; ``cluster`` is it, where it is ours."""

    url: sa.URL
    cluster: Cluster | None = None

    def database(self, name: str, driver: str = "psycopg2", like: str = "template1") -> str:
        """Make a database, empty or like another, and return its SQLAlchemy URL, with the password in it."""
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
            connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{like}"'))
        return self.address(name, driver)

    def address(self, name: str, driver: str = "psycopg2") -> str:
        url = self.url.set(database=name, drivername=f"postgresql+{driver}")
        return url.render_as_string(hide_password=False)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Yield a server; skip where there is none to start."""
    pytest.importorskip("psycopg2", reason="no driver for Postgres: pip install psycopg2-binary")
    if given := os.environ.get(VARIABLE):
        yield Postgres(sa.make_url(given))
        return
    tools = {name: _tool(name) for name in ("initdb", "postgres")}
    if missing := [name for name, path in tools.items() if path is None]:
        pytest.skip(f"no Postgres here ({', '.join(missing)} not found): apt-get install postgresql")
    folder, identity = Path(tempfile.mkdtemp(prefix="perennial-postgres-")), _identity()
    cluster = None
    try:
        cluster = _made(tools, folder, free_port(), identity)
        cluster.start()
        yield Postgres(cluster.url, cluster)
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _made(tools: dict[str, Any], folder: Path, port: int, identity: dict[str, Any]) -> Cluster:
    """Make a cluster that asks for passwords and does not wait for disks: nothing here must last."""
    (folder / "password").write_text(PASSWORD)
    if identity:
        shutil.chown(folder, identity["user"])
        shutil.chown(folder / "password", identity["user"])
    data = folder / "data"
    made = subprocess.run(
        [tools["initdb"], "-D", data, "--no-sync", "-A", "scram-sha-256", "-U", USER, "--pwfile", folder / "password"],
        capture_output=True,
        text=True,
        cwd=folder,
        **identity,
    )
    if made.returncode:
        pytest.skip(f"no Postgres here: initdb says {made.stderr.strip().splitlines()[-1]}")
    settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "port": port}
    given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    url = sa.URL.create("postgresql+psycopg2", USER, PASSWORD, "127.0.0.1", port, "postgres")
    return Cluster([tools["postgres"], "-D", data, *given], folder, url, identity)


def _tool(name: str) -> Path | None:
    """Find a program of Postgres: Debian keeps them off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = debian[-1] if debian else shutil.which(name)
    return Path(found) if found else None


def _identity() -> dict[str, Any]:
    """Return what starts a process as another user than root; nothing where the tests are not root."""
    if os.geteuid() != 0:
        return {}
    known = {one.pw_name for one in pwd.getpwall()}
    user = next((name for name in USERS if name in known), None)
    if user is None:
        pytest.skip(f"Postgres does not run as root, and there is no user {' or '.join(USERS)}")
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
