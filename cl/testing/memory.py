"""A registry and a ledger in memory, for tests of your own gates, promotions and flows: no server and no file.

They answer as the real ones do; one suite of tests runs on these, on SQLite with MLflow, and on Postgres.

>>> registry, ledger = MemoryRegistry(model="shop"), MemoryLedger()
>>> registry.add_version(gates="passed")
'1'
>>> from cl.promotion.by_hand import promote_by_hand
>>> promote_by_hand(registry, ledger, "1", why="first").to_version
'1'
>>> registry.champion(), ledger.champion("shop")
('1', '1')
"""

from __future__ import annotations

import sqlite3
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cl.errors import IntegrityError, StoreError
from cl.records import Cycle, VersionInfo
from cl.stores.files import sha256
from cl.stores.ledger.ledger import Ledger
from cl.stores.manifest import MANIFEST, check_manifest, move_sealed_into_place
from cl.stores.mlflow.outside_changes import LEARN_AGAIN, OutsideChange
from cl.stores.mlflow.past_cycles import PastCycles
from cl.stores.mlflow.registry import DIGEST, GATES, MANIFEST_DIGEST, PARENT, SHARE, Registry
from cl.stores.mlflow.runs import CYCLE_ID, PREDICTIONS, VERDICT, Runs
from cl.stores.mlflow.version_files import RECORD, RECORDS, VersionFiles
from cl.testing._files_in_memory import read_files, write_files
from cl.testing._memory import Memory, MemoryRun, MemoryVersion, find_run, find_version


@dataclass(frozen=True)
class MemoryRuns(Runs):
    """The runs of one model, in memory."""

    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    def initialise(self) -> None:
        """Do nothing: memory is always there."""

    def start_run(self, cycle: str, name: str, tags: dict[str, str]) -> str:
        """Return the id of the cycle's run, which is made at the first call."""
        known = self._run_of(cycle)
        if known is None:
            known = uuid.uuid4().hex
            self.memory.runs[known] = MemoryRun(known, name, {**tags, CYCLE_ID: cycle})
        return known

    def end_run(self, run: str) -> None:
        """End a run that is no cycle."""
        self._run(run).ended = True

    def log_params(self, run: str, params: dict[str, Any]) -> None:
        """Log parameters, once: those that are known stay as they are."""
        known = self._run(run).params
        known.update({key: str(value)[:500] for key, value in params.items() if key not in known})

    def log_metrics(self, run: str, metrics: dict[str, float]) -> None:
        """Log numbers under their names."""
        self._run(run).metrics.update(metrics)

    def log_series(self, run: str, name: str, values: Sequence[float | None]) -> None:
        """Log a number for each epoch that has one; the last one is the metric."""
        numbers = [value for value in values if value is not None]
        self._run(run).series[name] = numbers
        if numbers:
            self._run(run).metrics[name] = numbers[-1]

    def log_dataset(self, run: str, name: str, *, digest: str, source: str, rows: int) -> None:
        """Log which data a run learnt from."""
        self._run(run).datasets[name] = {"digest": digest[:36], "source": source, "rows": rows}

    def log_folder(self, run: str, folder: Path, artifact_path: str) -> None:
        """Keep all files of a folder."""
        content = {f"{artifact_path}/{name}": value for name, value in read_files(folder).items()}
        self._run(run).files.update(content)

    def log_file(self, run: str, file: Path, artifact_path: str) -> None:
        """Keep one file."""
        if not file.is_file():
            raise StoreError(f"the registry in memory: no file {file}")
        self._run(run).files[f"{artifact_path}/{file.name}"] = file.read_bytes()

    def record_cycle(self, run: str, cycle: Cycle) -> None:
        """Keep the finished cycle, and end its run."""
        kept = self._run(run)
        kept.files["cycle.json"] = cycle.model_dump_json().encode()
        kept.tags[VERDICT], kept.ended = cycle.verdict, True

    def correct_cycle(self, cycle: Cycle) -> None:
        """Keep another record of a finished cycle."""
        assert cycle.run is not None
        self._run(cycle.run).files["cycle.json"] = cycle.model_dump_json().encode()

    def problem(self) -> str | None:
        """Return None: nobody else changes memory."""
        return None

    def recorded(self) -> tuple[dict[str, str], set[str]]:
        """Return the stage of each cycle's run, and the experiences with a finished cycle."""
        stages = {run.tags[CYCLE_ID]: "active" for run in self.memory.runs.values()}
        return stages, {cycle.experience.id for cycle in self.cycles()}

    def put_back(self) -> list[str]:
        """Do nothing: nobody else changes memory."""
        return []

    def set_cycles_aside(self) -> None:
        """Take the finished cycles out of the history."""
        for run in self.memory.runs.values():
            run.tags.pop(VERDICT, None)

    def cycles(self, *, last: int | None = None) -> list[Cycle]:
        """Return the finished cycles, oldest first: all, or the newest ones."""
        ended = [run.id for run in self.memory.runs.values() if VERDICT in run.tags]
        return [self.cycle(run) for run in ended[-last if last else 0 :]]

    def cycle(self, run: str) -> Cycle:
        """Return the finished cycle of a run."""
        return Cycle.model_validate_json(self._run(run).files["cycle.json"])

    @property
    def past(self) -> PastCycles:
        """The outlines of the finished cycles."""
        past, cycles = PastCycles(None), self.cycles()
        past.add({(cycle.run or cycle.id, number): cycle for number, cycle in enumerate(cycles)})
        return past

    def evaluated(self, cycle: str, folder: Path) -> Path | None:
        """Write the stored rows of a cycle's evaluation into a folder; None where there are none."""
        run = self._run_of(cycle)
        return self.evaluated_in(run, folder) if run else None

    def evaluated_in(self, run: str, folder: Path) -> Path | None:
        """Write the stored rows of a run's evaluation into a folder; None where there are none."""
        content = self._run(run).files.get(PREDICTIONS)
        return None if content is None else write_files({PREDICTIONS: content}, folder) / PREDICTIONS

    def files_of(self, run: str) -> Path | None:
        """Return None: no file lies on a disk."""
        return None

    def page(self, run: str) -> str | None:
        """Return None: nobody shows it."""
        return None

    def _run_of(self, cycle: str) -> str | None:
        return next((run.id for run in self.memory.runs.values() if run.tags[CYCLE_ID] == cycle), None)

    def _run(self, run: str) -> MemoryRun:
        return find_run(self.memory, run)


@dataclass(frozen=True)
class MemoryFiles(VersionFiles):
    """The files of one model's versions, in memory."""

    runs: MemoryRuns

    def log_record(self, run: str, folder: Path) -> None:
        """Keep a version's history, evaluation and verdicts in its run."""
        for name in RECORDS:
            self.runs.log_file(run, folder / name, RECORD)

    def share_record(self, run: str, version: str | None) -> None:
        """Do nothing: no file lies on a disk."""

    def record(self, version: VersionInfo, name: str) -> str | None:
        """Return one of the JSON files that describe a version; None: it is nowhere."""
        if not version.run_id:
            return None
        kept = find_run(self.runs.memory, version.run_id).files.get(f"{RECORD}/{name}")
        content = kept if kept is not None else (self._version(version.version).files or {}).get(name)
        return None if content is None else content.decode()

    def keep_record(self, version: VersionInfo) -> None:
        """Make sure that a version's record is in its run, where it stays when its files are removed."""
        files = find_run(self.runs.memory, version.run_id).files
        for name in RECORDS:
            if f"{RECORD}/{name}" not in files and (text := self.record(version, name)) is not None:
                files[f"{RECORD}/{name}"] = text.encode()

    def bytes_of(self, version: VersionInfo) -> int:
        """Return how many bytes a version's files take."""
        return sum(map(len, (self._version(version.version).files or {}).values()))

    def folder(self, version: str) -> Path | None:
        """Return None: no file lies on a disk."""
        return None

    def learner_folder(self, version: str) -> Path | None:
        """Return None: no file lies on a disk."""
        return None

    def delete_files(self, version: VersionInfo) -> None:
        """Forget a version's files; its tags and its run stay."""
        self._version(version.version).files = None

    def _version(self, version: str) -> MemoryVersion:
        return find_version(self.runs.memory, self.runs.model, version)


@dataclass(frozen=True)
class MemoryRegistry(Registry):
    """The registry of one model, in memory; ``memory`` is what it holds, for tests to look at."""

    tracking_uri: str = "memory:"
    artifacts: str | None = None
    model: str = "model"
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    @cached_property
    def runs(self) -> MemoryRuns:
        """The runs that made the versions."""
        return MemoryRuns(self.tracking_uri, self.artifacts, self.model, memory=self.memory)

    @cached_property
    def files(self) -> MemoryFiles:
        """The files of the versions."""
        return MemoryFiles(self.runs)

    def add_version(
        self, *, gates: str = "passed", parent: str = "", digest: str = "", tags: dict[str, str] | None = None
    ) -> str:
        """Add a version without a file and return it.

        Args:
            gates: passed, failed or pending.
            parent: the version that it was made from and compared with; empty for a first one.
            digest: SHA-256 of its verdict.
            tags: more of them.
        """
        return self._add("", {GATES: gates, PARENT: parent, DIGEST: digest, **(tags or {})}, None)

    def tag_version(self, version: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        self._version(version).tags[key] = value

    def champion(self) -> str | None:
        """Return the version that the alias `champion` points to."""
        return self.memory.aliases.get("champion")

    def aliases(self) -> dict[str, str]:
        """Return alias -> version."""
        return dict(self.memory.aliases)

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias to a version."""
        self._version(version)
        self.memory.aliases[alias] = version

    def delete_alias(self, alias: str, *, version: str | None = None) -> None:
        """Take an alias away, if it is there, and on the version that is named, if one is."""
        if version in (None, self.memory.aliases.get(alias)):
            self.memory.aliases.pop(alias, None)

    def set_share(self, version: str, share: float | None) -> None:
        """Say which share of the requests a canary or shadow gets; None: none any more."""
        tags = self._version(version).tags
        if share is None:
            tags.pop(SHARE, None)
        else:
            tags[SHARE] = f"{share:g}"

    def ledger_head(self) -> tuple[int, str] | None:
        """Return sequence number and hash of the ledger's last entry that this registry keeps in mind."""
        return self.memory.head

    def remember_head(self, sequence: int, hash: str) -> None:
        """Keep the ledger's last entry in mind, as soon as there is a version."""
        if not self.memory.made:
            raise StoreError(f"the registry in memory: no model '{self.model}'")
        self.memory.head = (sequence, hash)

    def versions(self) -> list[VersionInfo]:
        """Return all versions, oldest first, with tags and aliases."""
        aliases = self.memory.aliases
        return [
            VersionInfo(
                version=name,
                created=kept.created,
                run_id=kept.run,
                tags=dict(kept.tags),
                aliases=sorted(alias for alias, version in aliases.items() if version == name),
            )
            for name, kept in self.memory.versions.items()
        ]

    def tags(self, version: str) -> dict[str, str]:
        """Return the tags of one version."""
        return dict(self._version(version).tags)

    def description(self, version: str) -> str:
        """Return the description of a version."""
        return self._version(version).description

    def describe_version(self, version: str, text: str) -> None:
        """Set the description of a version."""
        self._version(version).description = text

    def model_description(self) -> str:
        """Return the description of the model."""
        return self.memory.description

    def describe_model(self, text: str) -> None:
        """Set the description of the model."""
        self.memory.description = text

    def missing_model(self) -> OutsideChange | None:
        """Return that there is no version, with the remedy; None: there is one."""
        return None if self.memory.versions else OutsideChange("it has no version: its database was lost", LEARN_AGAIN)

    def find(self, version: str) -> VersionInfo | None:
        """Return one version, with tags and aliases; None: there is none."""
        return next((info for info in self.versions() if info.version == version), None)

    def version_for_cycle(self, cycle: str) -> str | None:
        """Return the version that a cycle registered, or None."""
        versions = self.memory.versions.items()
        return next((name for name, version in versions if version.tags.get(CYCLE_ID) == cycle), None)

    def delete_version(self, version: str) -> None:
        """Remove a version and the aliases on it, as somebody could by hand."""
        self._version(version)
        del self.memory.versions[version]
        for alias in [alias for alias, held in self.memory.aliases.items() if held == version]:
            del self.memory.aliases[alias]

    def download(self, version: str, folder: Path) -> Path:
        """Write a version's learner into a folder, checked against its manifest."""
        files = self._version(version).files
        folder.parent.mkdir(parents=True, exist_ok=True)
        if files is None:
            raise IntegrityError(
                f"models:/{self.model}/{version}: holds no learner; it was not registered by Perennial"
            )
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder.parent) as scratch:
            learner = write_files(files, Path(scratch) / "learner")
            try:
                check_manifest(learner, self._version(version).tags.get(MANIFEST_DIGEST))
            except IntegrityError as error:
                what = str(error).removeprefix(f"{learner}: ")
                raise IntegrityError(f"models:/{self.model}/{version}: {what}; `cl rollback`") from None
            move_sealed_into_place(learner, folder)
        return folder

    def log_version(self, run: str, learner: Path, *, tags: dict[str, str], metrics: dict[str, float]) -> str:
        """Register a sealed learner folder; a version that the same cycle has registered is returned as it is."""
        known = self.version_for_cycle(tags[CYCLE_ID])
        if known is not None:
            return known
        self.runs.log_metrics(run, metrics)
        pins = {MANIFEST_DIGEST: sha256(learner / MANIFEST)} if (learner / MANIFEST).exists() else {}
        return self._add(run, {**tags, **pins}, read_files(learner))

    def _add(self, run: str, tags: dict[str, str], files: dict[str, bytes] | None) -> str:
        self.memory.made += 1
        version = str(self.memory.made)
        self.memory.versions[version] = MemoryVersion(run, datetime.now(UTC), dict(tags), files)
        return version

    def _version(self, version: str) -> MemoryVersion:
        return find_version(self.memory, self.model, version)


def _place() -> str:
    # threads wait for each other in memdb; in the shared cache, which is all that SQLite had before, they are refused
    shared = "vfs=memdb" if sqlite3.sqlite_version_info >= (3, 36) else "mode=memory&cache=shared"
    return f"sqlite:///file:/{uuid.uuid4().hex}?{shared}&uri=true"


@dataclass(frozen=True)
class MemoryLedger(Ledger):
    """A ledger in memory; another ``Ledger`` at its ``uri`` in the same process is the same one while this lives."""

    uri: str = field(default_factory=_place)

    def __post_init__(self) -> None:
        """Keep a connection open, for the memory is given back with the last one."""
        anywhere = {"check_same_thread": False}  # any thread may be the one that collects this ledger
        engine = sa.create_engine(self.uri, poolclass=sa.StaticPool, connect_args=anywhere)
        engine.connect().close()
        weakref.finalize(self, engine.dispose)
