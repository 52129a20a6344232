"""What a cycle starts from: its identity, found again when it was looked at or killed before."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cl.config import Config
from cl.records import Cycle, Experience, Record
from cl.stores.journal import Journal
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.stores import Stores

log = logging.getLogger(__name__)


class CycleStart(Record):
    """What a cycle starts from; together it is the cycle's identity."""

    id: str
    experience: str
    champion: str | None
    data_version: str
    config_digest: str
    started_at: datetime


class CheckNumber(Record):
    """The number of the drift check that a cycle begins with."""

    number: int


def resume_or_begin(config: Config, stores: Stores, experience: Experience) -> CycleStart:
    """Return the start of a cycle that was looked at or killed before and still fits, or a new one.

    Journals that no longer fit, or whose cycle has ended, are closed; all others stay for their own cycles, those of a
    second attempt that was killed among them.
    """
    data_version = stores.data.commit()
    champion = stores.ledger.champion(stores.registry.model)
    for start in discard_stale(config, stores).values():
        if start.experience == experience.id:
            log.info("going on with cycle %s", start.id)
            return start
    return _new_start(config, experience, champion, data_version, stores)


def discard_stale(config: Config, stores: Stores) -> dict[str, CycleStart]:
    """Close the journals that no cycle will go on with, and return the starts of the others as `resumable` does."""
    going = resumable(config, stores)
    for folder in _unused(stores, going):
        Journal(folder).close()
    return going


def unused_journals(config: Config, stores: Stores) -> list[Path]:
    """Return the journals that no cycle will go on with."""
    return _unused(stores, resumable(config, stores))


def _unused(stores: Stores, going: Mapping[str, CycleStart]) -> list[Path]:
    return [folder for folder in sorted(journal_folder(stores).glob("*")) if folder.name not in going]


def resumable(config: Config, stores: Stores) -> dict[str, CycleStart]:
    """Return the starts of cycles that have not ended and can be gone on with, by the names of their journals."""
    champion, found = stores.ledger.champion(stores.registry.model), {}
    made_by = {one.version: one.tags.get(CYCLE_ID, "") for one in stores.registry.versions()}
    folders = sorted(journal_folder(stores).glob("*"))
    ended = {cycle.id for cycle in stores.registry.cycles()} if folders else set()
    for folder in folders:
        start = Journal(folder).read("start", CycleStart)
        if start is None or start.config_digest != config.digest or start.id in ended:
            continue
        promoted = made_by.get(champion or "", "").partition("-")[0] == folder.name  # itself, or derived
        if start.champion == champion or promoted:
            found[folder.name] = start
    return found


def _new_start(
    config: Config, experience: Experience, champion: str | None, data_version: str, stores: Stores
) -> CycleStart:
    parts = [config.digest, data_version, champion or "", experience.id]
    attempts = sum(cycle.experience.id == experience.id for cycle in stores.registry.cycles())
    start = CycleStart(
        id=hashlib.sha256("\n".join([*parts, str(attempts)]).encode()).hexdigest()[:16],
        experience=experience.id,
        champion=champion,
        data_version=data_version,
        config_digest=config.digest,
        started_at=datetime.now(UTC),
    )
    Journal(journal_folder(stores) / start.id).write("start", start)
    return start


def count_checks(past: Sequence[Cycle]) -> int:
    """Return how many drift checks the registry knows of."""
    made = [one.drift for one in past if one.drift.level is not None]
    return max([len(made), *(one.check or 0 for one in made)])


def journal_folder(stores: Stores) -> Path:
    """Return the folder with one journal for each cycle that has begun."""
    return stores.project.work / "cycles"
