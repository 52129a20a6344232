"""A project with four versions in a real registry, and real server processes that follow it."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import torch
import yaml

from cl import config as configuration
from cl.models.build import grow_labels, new_learner
from cl.models.persistence import load_learner, save_learner
from cl.models.snapshot import save_reference, take_snapshot
from cl.promotion.by_hand import promote_by_hand, rollback
from cl.records.history import History
from cl.stores.manifest import write_manifest
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from cl.stores.version_folder import save_history
from tests.support.servers import Receiver, free_port, until
from tests.support.tiny import made_sentences, tiny_project

TOKEN = "a-token-of-the-tests"
LABELS = ["card", "fee", "loan"]
LIMITS = {"body_bytes": 50_000, "texts": 64, "characters": 2_000, "body_seconds": 3}


@dataclass(frozen=True)
class Shop:
    """A project; its champion moves as it does in life: through the ledger."""

    project: ProjectFolder
    stores: Stores
    notices: Receiver = field(default_factory=Receiver)
    """Where its notices go."""

    def promote(self, version: str) -> None:
        promote_by_hand(self.stores.registry, self.stores.ledger, version, why="test", despite_gates=True)

    def roll_back(self) -> str:
        return rollback(self.stores.registry, self.stores.ledger, None, why="test").to_version

    def give(self, alias: str, version: str, share: float) -> None:
        """Do what the registry's side does for a canary or a shadow."""
        registry = self.stores.registry
        registry.runs.client.set_model_version_tag("shop", version, "cl.share", str(share))
        registry.set_alias(alias, version)

    def configure(self, **serve: Any) -> None:
        path = self.project.config
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "serve": serve}))


@dataclass
class Server:
    """A process of `cl serve`."""

    shop: Shop
    port: int
    process: subprocess.Popen[str]
    trusted: ssl.SSLContext | None = None
    """Whose certificates are believed; None: it speaks plain HTTP."""
    young: dict[str, httpx.Response] = field(default_factory=dict)
    """What it answered before there was a champion, by path."""

    @property
    def url(self) -> str:
        return f"{'https' if self.trusted else 'http'}://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=self.trusted or True, **options)

    def ready(self) -> dict[str, Any]:
        with self.client() as client:
            return client.get("/readyz").json()

    def champion_is(self, version: str) -> None:
        """Return when a version answers."""
        until(lambda: self.ready()["champion"] == version, seconds=60, what=f"version {version}")

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def log(self) -> str:
        return (self.shop.project.work / f"serve-{self.port}.log").read_text()


@contextmanager
def serving(shop: Shop, *options: str, trusted: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server; it is alive when this returns, and ready once it has a champion."""
    port = free_port()
    command = [sys.executable, "-m", "cl.cli", "serve", "-p", str(shop.project.root), "--port", str(port), *options]
    environment = {**os.environ, "SHOP_TOKENS": f"another, {TOKEN}", "SHOP_HOOK": shop.notices.url}
    shop.project.work.mkdir(exist_ok=True)
    with (shop.project.work / f"serve-{port}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment)
    server = Server(shop, port, process, trusted)
    try:
        until(lambda: server.answers() or process.poll() is not None, seconds=120, what="a server that lives")
        assert process.poll() is None, server.log()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def spoken(seed: int) -> pd.DataFrame:
    """Make rows of texts and labels."""
    return made_sentences(LABELS, 60, seed=seed)


def made_shop(
    folder: Path,
    tiny_model: Path,
    *,
    rows: Callable[[int], pd.DataFrame] = spoken,
    versions: tuple[int, ...] = (1, 2, 3, 4),
    spoil: Callable[[int, Path], None] = lambda number, version: None,
    **changes: Any,
) -> Shop:
    """Make a project with registered versions, their heads drawn at random, and no champion.

    ``rows`` makes those of the reference, whose labels are the versions'; it is given a seed. ``spoil`` may change the
    files of a version before it is registered.
    """
    project = tiny_project(folder, tiny_model, **changes)
    config = configuration.load(project.config)
    shop = Shop(project, open_stores(project, config))
    registry = shop.stores.registry
    registry.initialise()
    for number in versions:
        version = folder / "versions" / str(number)
        version.mkdir(parents=True)
        learner, reference = new_learner(config), rows(number)
        learner = grow_labels(learner, learner.task.labels(reference), seed=1 if number < 3 else number)
        with torch.no_grad():
            for parameter in learner.head.parameters():
                parameter.mul_(40)  # so that labels differ by text, and a confidence is not a third
                if number == 2:  # it never says what version 1 says
                    parameter.copy_(parameter.roll(1, 0))
        save_learner(learner, version)
        save_reference(take_snapshot(load_learner(version), reference), version)
        save_history(History(learnt=["0001-a"], config=config.model_dump(mode="json", by_alias=True)), version)
        spoil(number, version)
        write_manifest(version)
        run = registry.runs.start_run(f"cycle-{number}", f"run-{number}", {})
        tags = {"cl.cycle_id": f"cycle-{number}", "cl.gates": "passed"}
        assert registry.log_version(run, version, tags=tags, metrics={}) == str(number)
    return shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Shop:
    """The project that most tests share; it gets its champion when the server waits for one."""
    triggers = {"notify": {"webhook": "env:SHOP_HOOK"}}
    shop = made_shop(tmp_path_factory.mktemp("serving") / "shop", tiny_model, triggers=triggers)
    shop.configure(
        tokens="env:SHOP_TOKENS",
        workers=1,
        poll_seconds=0.1,
        drain_seconds=1.5,
        limits=LIMITS,
        batch={"queue_rows": 64},
        precision="float32",
    )
    return shop


@pytest.fixture(scope="session")
def server(shop: Shop) -> Iterator[Server]:
    with serving(shop) as server:
        until(lambda: server.ready()["why"] == "no champion yet", seconds=60)
        with server.client() as client:
            server.young = {path: client.get(path) for path in ("/healthz", "/readyz", "/ping")}
            server.young["/predict"] = client.post("/predict", json={"text": "a"})
        shop.promote("1")
        server.champion_is("1")
        yield server


@pytest.fixture
def moving(server: Server) -> Iterator[Server]:
    """The shared server, for a test that moves aliases: afterwards they are as they were."""
    shop = server.shop
    yield server
    for alias in ("canary", "shadow"):
        shop.stores.registry.delete_alias(alias)
    if shop.stores.ledger.champion("shop") != "1":
        shop.promote("1")
    server.champion_is("1")
    until(lambda: not server.ready()["canary"] and not server.ready()["shadow"], seconds=30)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
