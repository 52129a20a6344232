"""compose.yaml without containers: its services as processes with a network, a file system and names of their own.

In new namespaces (`unshare`, for root), each service's command runs in the order that `depends_on` asks for, with its
environment, under the host names and ports that the file gives, until its health check passes. Postgres is the local
one, set up as its image does it; moto stands for the S3 store. What is not tried is the image: how it is built, and
what the two foreign images do.

    unshare --mount --net --pid --fork --kill-child --mount-proc python -m tests.support.composition FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.support.repository import ROOT

Service = dict[str, Any]
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
OURS = "perennial:"
DATA = Path("/srv/data")


def services() -> dict[str, Service]:
    """Return the services of compose.yaml with its anchors resolved."""
    found: dict[str, Service] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def in_order(given: dict[str, Service]) -> list[str]:
    """Return the services so that each comes after those that it depends on; fail where they wait for each other."""
    ordered: list[str] = []
    while len(ordered) < len(given):
        ready = [name for name in given if name not in ordered and set(given[name].get("depends_on", ())) <= {*ordered}]
        assert ready, f"these wait for each other: {sorted(set(given) - set(ordered))}"
        ordered += ready
    return ordered


class Composition:
    """The running services, each with a log in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.services = folder, services()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Give this process's namespaces a loopback, the services' names, and the folders of their image."""
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        hosts = self.folder / "hosts"
        hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *self.services)))
        subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/srv"], check=True)
        for name in ("secrets", "project", "home", "data"):
            (Path("/srv") / name).mkdir()
        shutil.copytree(ROOT / "deploy", "/srv/deploy")
        shutil.chown(DATA, *self._postgres_user())

    def up(self) -> None:
        """Start every service when those that it depends on are as it asks; fail where one is not."""
        for name in in_order(self.services):
            for other, wanted in self.services[name].get("depends_on", {}).items():
                self.await_condition(other, wanted["condition"])
            self.start(name)
        for name, service in self.services.items():
            if "healthcheck" in service:
                self.await_condition(name, "service_healthy")

    def start(self, name: str) -> None:
        service = self.services[name]
        command, identity = service.get("command"), dict[str, Any]()
        if service["image"].startswith("postgres:"):
            command, identity = self._postgres(service), self._as_postgres()
        elif not service["image"].startswith(OURS):
            command = [sys.executable, "-m", "moto.server", "--host", "0.0.0.0", "--port", "9000"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, env=self._environment(service), cwd="/srv/project", stdout=log, stderr=log, **identity
            )

    def await_condition(self, name: str, condition: str) -> None:
        deadline, process = time.monotonic() + 3_000, self.running[name]
        if condition == "service_completed_successfully":
            code = process.wait(timeout=3_000)
            assert code == 0, f"{name} ended with {code}: {self.log(name)}"
            return
        while not self.healthy(name):
            assert process.poll() is None, f"{name} ended with {process.returncode}: {self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {self.log(name)}"
            time.sleep(1)

    def healthy(self, name: str) -> bool:
        """Return what its health check says; that of the store's image is in the image, so its port is asked."""
        service = self.services[name]
        test = service["healthcheck"]["test"][1:]
        if test[0] == "mc":
            test = [sys.executable, "-c", "from urllib.request import urlopen; urlopen('http://store:9000/moto-api/')"]
        elif test[0] == "pg_isready":
            test = [str(_postgres_tool("pg_isready")), *test[1:]]
        return subprocess.run(test, env=self._environment(service), capture_output=True).returncode == 0

    def run(self, like: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the environment of a service, as `docker compose exec` does."""
        environment = self._environment(self.services[like])
        return subprocess.run(command, env=environment, cwd="/srv/project", capture_output=True, text=True)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2_000:]

    def _environment(self, service: Service) -> dict[str, str]:
        """Return a service's variables alone, and what its image sets."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        image = {
            "PATH": path,
            "HOME": "/srv/home",
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "DO_NOT_TRACK": "true",
        }
        image |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        return {**image, **{name: str(value) for name, value in service.get("environment", {}).items()}}

    def _postgres(self, service: Service) -> list[str]:
        """Make a cluster as the entry point of Postgres's image does, and return the command that runs it."""
        given, data = service["environment"], DATA / "postgres"
        (sql,) = [one.split(":")[0] for one in service["volumes"] if "docker-entrypoint-initdb.d" in one]
        shutil.copy(ROOT / sql, DATA / "databases.sql")
        user, password = given["POSTGRES_USER"], given["POSTGRES_PASSWORD_FILE"]
        self._postgres_run(
            ["initdb", "-D", data, "-U", user, "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"]
        )
        self._postgres_run(["initdb", "--version"])
        inside = [_postgres_tool("postgres"), "--single", "-D", data, "postgres"]
        text = (DATA / "databases.sql").read_text().splitlines()
        statements = "\n".join(line for line in text if not line.startswith("--"))
        subprocess.run(inside, input=statements, text=True, check=True, capture_output=True, **self._as_postgres())
        sockets = ["-c", f"unix_socket_directories={DATA}", "-c", "listen_addresses=*", "-c", "fsync=off"]
        (data / "pg_hba.conf").write_text("host all all all scram-sha-256\nlocal all all scram-sha-256\n")
        return [str(_postgres_tool("postgres")), "-D", str(data), *sockets]

    def _postgres_run(self, command: list[Any]) -> None:
        command[0] = _postgres_tool(command[0])
        done = subprocess.run(command, capture_output=True, text=True, cwd=DATA, **self._as_postgres())
        assert done.returncode == 0, done.stderr

    def _as_postgres(self) -> dict[str, Any]:
        user, group = self._postgres_user()
        return {"user": user, "group": group, "extra_groups": []}

    def _postgres_user(self) -> tuple[str, str]:
        from tests.support.postgres import _identity

        found = _identity()
        import grp

        return found["user"], grp.getgrgid(found["group"]).gr_name


def _postgres_tool(name: str) -> Path | None:
    from tests.support.postgres import _tool

    return _tool(name)


def answer(text: str) -> dict[str, Any]:
    """Ask the server what a text is."""
    body = json.dumps({"texts": [text]}).encode()
    request = urllib.request.Request(
        "http://127.0.0.1:8080/predict", data=body, headers={"Content-Type": "application/json"}
    )
    answered: dict[str, Any] = json.load(urllib.request.urlopen(request, timeout=60))
    return answered


def main(folder: Path) -> None:
    """Bring everything up, ask each service what it holds, and write it into the folder."""
    composition = Composition(folder)
    composition.prepare()
    composition.up()
    project = "/srv/project/fernhill"
    history = json.loads(composition.run("learner", "cl", "history", "--json", "-p", project).stdout)
    listing = "import s3fs, json; print(json.dumps(s3fs.S3FileSystem().find('perennial')))"
    again = composition.run("demo", *composition.services["demo"]["command"])
    secrets = Path("/srv/secrets/pgpass").read_text()
    composition.run("secrets", *composition.services["secrets"]["command"])
    texts = [path for path in Path(project).rglob("*") if path.is_file() and path.stat().st_size < 1_000_000]
    passwords = [secrets.strip().rpartition(":")[2], Path("/srv/secrets/store_password").read_text()]
    (folder / "found.json").write_text(
        json.dumps(
            {
                "champions": [cycle["champion_after"] for cycle in history],
                "answer": answer("my card is gone"),
                "objects": json.loads(composition.run("demo", "python", "-c", listing).stdout),
                "again": again.returncode,
                "same_secrets": Path("/srv/secrets/pgpass").read_text() == secrets,
                "alive": sorted(name for name, one in composition.running.items() if one.poll() is None),
                "leaks": [str(path) for path in texts if any(one.encode() in path.read_bytes() for one in passwords)],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)
