"""A project's ledger and finished cycles, read without a lock and without writing anything, not even a cache.

`Stores` creates databases, follows a folder that was moved and caches what it downloads. Somebody who only looks at
projects, many of them and perhaps other people's, must leave no trace, and a project that a cycle is running on must
not wait for him.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from pydantic import ValidationError

from cl.config import Config
from cl.errors import StoreError
from cl.records import Cycle, LedgerEntry
from cl.redaction import without_password
from cl.stores.connectivity import check_reachable, open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.finished_runs import FinishedRun, download_cycle, runs_in_database, runs_on_server
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import from_environment

if TYPE_CHECKING:
    import sqlalchemy as sa

SQLITE = "sqlite:///"
RUN_ID = re.compile(r"[0-9a-f]{32}")
MOST_BYTES = 20_000_000
"""Of the record of one cycle."""
DOWNLOADED = 256
"""Records that a process keeps in memory: those of an artifact store elsewhere, which this machine has no copy of."""


@dataclass(frozen=True)
class ReadOnlyStores:
    """The stores that a project's configuration names; nothing is opened before it is read."""

    project: ProjectFolder
    config: Config

    def entries(self) -> list[LedgerEntry]:
        """Return the ledger's entries, oldest first and verified; [] if the project has no ledger yet.

        Raises:
            StoreError: the ledger cannot be read, or is missing although a cycle has finished here.
            IntegrityError: an entry cannot be trusted.
        """
        uri = self._uri("stores.ledger_uri", self.config.stores.ledger_uri)
        if self._is_absent(uri, "the ledger"):
            return []
        key = self.config.stores.ledger_key
        secret = from_environment("stores.ledger_key", key).encode() if key else None
        return Ledger(_only_to_read(uri), secret).entries(self.config.name)

    @cached_property
    def finished(self) -> list[FinishedRun]:
        """The runs of the finished cycles, oldest first: what MLflow's tags say of them.

        Raises:
            StoreError: MLflow's store cannot be read, or is missing although a cycle has finished here.
        """
        uri = self._uri("stores.tracking_uri", self.config.stores.tracking_uri)
        name = f"MLflow at {without_password(uri)}"
        if uri.startswith(("http://", "https://")):
            check_reachable(uri, name)
            return runs_on_server(uri, self.config.name)
        if self._is_absent(uri, "MLflow's database"):
            return []
        engine: sa.Engine = open_database(_only_to_read(uri), name)
        with translate_store_errors(name), engine.connect() as connection:
            return runs_in_database(connection, self.config.name)

    def cycle(self, run: FinishedRun) -> Cycle:
        """Return the record of a cycle: this machine's copy, or the one in the artifact store.

        Raises:
            StoreError: it cannot be read, or holds no cycle.
        """
        try:
            return Cycle.model_validate_json(self._text(run))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise StoreError(f"the record of {run.experience} is damaged: {first['msg']}") from None

    def _text(self, run: FinishedRun) -> str:
        if not RUN_ID.fullmatch(run.id):
            raise StoreError(f"MLflow's run {run.id[:40]!r} has no valid id")
        artifacts = urlsplit(run.artifacts)
        paths = [self.project.work / "finished" / f"{run.id}.json"]
        if artifacts.scheme in ("", "file"):
            paths.append(Path(unquote(artifacts.path)) / "cycle.json")
        for path in paths:
            try:
                if path.stat().st_size > MOST_BYTES:
                    raise StoreError(f"{path}: is larger than {MOST_BYTES:,} bytes, and no record of a cycle")
                return path.read_text(encoding="utf-8")
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise StoreError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if artifacts.scheme in ("", "file"):
            raise StoreError(f"the record of {run.experience} is not on this machine: {paths[-1]}")
        uri = self._uri("stores.tracking_uri", self.config.stores.tracking_uri)
        return _downloaded(uri, run.id)

    def _uri(self, key: str, value: str) -> str:
        """Return the address of a store; a relative path of SQLite is inside the project."""
        uri = from_environment(key, value)
        if uri.startswith(SQLITE) and not uri.startswith(f"{SQLITE}/"):
            return f"{SQLITE}{(self.project.root / uri.removeprefix(SQLITE)).resolve()}"
        return uri

    def _is_absent(self, uri: str, what: str) -> bool:
        """Return whether a database is not there because nothing was ever written to it.

        Raises:
            StoreError: it is not there, and a cycle has finished in this project.
        """
        path = Path(uri.removeprefix(SQLITE))
        if not uri.startswith(SQLITE) or path.is_file():
            return False
        if any((self.project.work / "finished").glob("*.json")):
            raise StoreError(f"{what} is missing: {path}; restore it from a backup")
        return True


@lru_cache(maxsize=DOWNLOADED)
def _downloaded(uri: str, run: str) -> str:
    """Return the text of a cycle's record, which does not change once the cycle has finished."""
    with tempfile.TemporaryDirectory() as scratch:
        return download_cycle(uri, run, Path(scratch))


def _only_to_read(uri: str) -> str:
    """Return the address of a database that nothing can be written through."""
    if not uri.startswith(SQLITE):
        return uri
    return f"{SQLITE}file:{quote(uri.removeprefix(SQLITE))}?mode=ro&uri=true"
