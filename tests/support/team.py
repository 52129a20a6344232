"""A team's servers, started as mlflow/README.md says: MLflow with basic auth and Prefect, both on one Postgres."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import requests
import sqlalchemy as sa

from tests.support.postgres import PASSWORD, Postgres
from tests.support.repository import ROOT
from tests.support.servers import free_port, until

START = ROOT / "mlflow" / "start.sh"
SECRETS = {
    "postgres": PASSWORD,
    "admin": "adm1n-s3cret-of-mlflow",
    "flask": "fl4sk-s3cret-of-mlflow",
    "webhook": "w3bhook-t0ken",
    "s3": "s3-s3cret-access-key",
}
DATABASES = ("team_mlflow", "team_prefect", "team_ledger")


@dataclass
class Team:
    """Both servers; ``environment`` is what a member of the team has set."""

    folder: Path
    postgres: Postgres
    mlflow_port: int = field(default_factory=free_port)
    prefect_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mlflow, prefect, _ = DATABASES
        settings = {
            "MLFLOW_BACKEND_STORE_URI": self.postgres.database(mlflow),
            "MLFLOW_ARTIFACTS_DESTINATION": self.files,
            "MLFLOW_PORT": self.mlflow_port,
            "MLFLOW_WORKERS": 1,
            "MLFLOW_APP": "basic-auth",
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            "MLFLOW_AUTH_ADMIN_PASSWORD": SECRETS["admin"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": SECRETS["flask"],
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.postgres.database(prefect, driver="asyncpg"),
            "PREFECT_SERVER_API_PORT": self.prefect_port,
            "PREFECT_HOME": self.folder / "prefect",
        }
        self.folder.mkdir(parents=True)
        (self.folder / "server.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.postgres.database(DATABASES[2])

    @property
    def files(self) -> Path:
        """What the server keeps: models and reports."""
        return self.folder / "kept"

    @property
    def tracking_uri(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a member of the team to the servers."""
        return {
            "TRACKING": self.tracking_uri,
            "LEDGER": self.postgres.address(DATABASES[2]),
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": SECRETS["admin"],
            "PREFECT_API_URL": f"http://127.0.0.1:{self.prefect_port}/api",
            "PREFECT_HOME": str(self.folder / "member"),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
        }

    def start(self) -> None:
        """Start both, and return when they answer."""
        for name in ("mlflow", "prefect"):
            self._start(name)
        asked = {"mlflow": f"{self.tracking_uri}/health", "prefect": f"{self.environment['PREFECT_API_URL']}/health"}
        for name, url in asked.items():
            until(lambda url=url: _answers(url), seconds=300, what=f"an answer of {name}")  # type: ignore[misc]

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def rows(self, database: str) -> str:
        """Return all that a database holds, as text."""
        engine, metadata = sa.create_engine(self.postgres.address(database), poolclass=sa.NullPool), sa.MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            return "\n".join(
                str(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table)).all()
            )

    def _start(self, name: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [START, name, self.folder / "server.env"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, "PATH": path},
            )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
