"""A project with five versions and no model, copied for each test, and the command line run in this process."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cl import config as configuration
from cl.commands.init import scaffold
from cl.config import PromotionSettings
from cl.promotion.promote import promote
from cl.records import LedgerEntry, Promotion, Registration
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from tests.support.command import Said, command

BEGAN = datetime(2020, 3, 1, 12, tzinfo=UTC)
VERSIONS = [("passed", ""), ("passed", "1"), ("failed", "1"), ("pending", "1"), ("passed", "1")]
"""What the gates said of versions 1 to 5, and the champion that they were compared with."""


@dataclass(frozen=True)
class Shop:
    """A project in which version 1 serves since ``BEGAN``."""

    root: Path
    stores: Stores

    def cl(self, *arguments: str) -> Said:
        """Run a command as the program does, exit code and all."""
        return command(*arguments, "-p", str(self.root))

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed and return what it prints."""
        said = self.cl(*arguments, "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    def passes(self, version: str, **wanted: Any) -> Promotion:
        """Let a version come to the end of its cycle."""
        registry, ledger = self.stores.registry, self.stores.ledger
        return promote(
            registry,
            ledger,
            Registration(version=version, passed=True),
            expected=ledger.champion("shop"),
            why=f"learnt month-{version}",
            wanted=PromotionSettings(**wanted),
        )

    @property
    def entries(self) -> list[LedgerEntry]:
        return self.stores.ledger.entries("shop")

    @property
    def aliases(self) -> dict[str, str]:
        return self.stores.registry.aliases()


def clock(patch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let the ledger be written at a moment."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return moment.astimezone(tz)

    patch.setattr("cl.stores.ledger.ledger.datetime", Stopped)


@pytest.fixture(scope="session")
def five_versions(tmp_path_factory) -> Path:
    project = scaffold(tmp_path_factory.mktemp("five") / "shop", "name: shop\nevaluation: {smoke_rows: 0}\n")
    stores = open_stores(project, configuration.load(project.config))
    stores.registry.initialise()
    client = stores.registry.runs.client
    client.create_registered_model("shop")
    for at, (gates, parent) in enumerate(VERSIONS, start=1):
        tags = {"cl.gates": gates, "cl.parent": parent, "cl.gates_digest": str(at) * 64}
        client.create_model_version("shop", project.root.as_uri(), tags=tags)
    with pytest.MonkeyPatch.context() as patch:
        clock(patch, BEGAN)
        promote(
            stores.registry, stores.ledger, Registration(version="1", passed=True), expected=None, why="learnt month-1"
        )
    return project.root


@pytest.fixture
def shop(five_versions, tmp_path) -> Shop:
    root = shutil.copytree(five_versions, tmp_path / "shop")
    project = ProjectFolder(root)
    return Shop(root, open_stores(project, configuration.load(project.config)))
