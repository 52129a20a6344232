"""The identity of a cycle, and how a checked or killed cycle is resumed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cl.config import Config
from cl.records import Experience, Record
from cl.stores.journal import Journal
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.stores import Stores

log = logging.getLogger(__name__)


class CycleStart(Record):
    """The inputs of a cycle, which together are its identity."""

    id: str
    experience: str
    champion: str | None
    data_version: str
    config_digest: str
    started_at: datetime


class CheckNumber(Record):
    """The number of a cycle's drift check."""

    number: int


def resume_or_begin(config: Config, stores: Stores, experience: Experience) -> CycleStart:
    """Return the start of a checked or killed cycle that still matches, or a new one.

    Journals that no longer match, or whose cycle has ended, are closed. All others stay for their own cycles, including
    those of a killed second attempt.
    """
    data_version = stores.data.commit()
    champion = stores.ledger.champion(stores.registry.model)
    for start in discard_stale(config, stores).values():
        if start.experience == experience.id:
            log.info("resuming cycle %s", start.id)
            return start
    return _new_start(config, experience, champion, data_version, stores)


def discard_stale(config: Config, stores: Stores) -> dict[str, CycleStart]:
    """Close the journals that no cycle will resume, and return the starts of the others as `resumable` does."""
    resumed = resumable(config, stores)
    for folder in _unused_folders(stores, resumed):
        Journal(folder, stores.project.root).close()
    return resumed


def unused_journals(config: Config, stores: Stores) -> list[Path]:
    """Return the folders of the journals that no cycle will resume."""
    return _unused_folders(stores, resumable(config, stores))


def _unused_folders(stores: Stores, resumed: Mapping[str, CycleStart]) -> list[Path]:
    return [folder for folder in sorted(journal_folder(stores).glob("*")) if folder.name not in resumed]


def resumable(config: Config, stores: Stores) -> dict[str, CycleStart]:
    """Return the starts of unfinished cycles that can be resumed, by the name of their journal."""
    champion, starts = stores.ledger.champion(stores.registry.model), dict[str, CycleStart]()
    folders = sorted(journal_folder(stores).glob("*"))
    if not folders:
        return starts
    past, serving = stores.registry.runs.past, stores.registry.find(champion) if champion else None
    made_by = serving.tags.get(CYCLE_ID, "").partition("-")[0] if serving else ""
    for folder in folders:
        start = Journal(folder, stores.project.root).read("start", CycleStart)
        if start is None or start.config_digest != config.digest or past.run_of(start.id):
            continue
        is_promoted = made_by == folder.name  # itself or a compressed version
        if start.champion == champion or is_promoted:
            starts[folder.name] = start
    return starts


def _new_start(
    config: Config, experience: Experience, champion: str | None, data_version: str, stores: Stores
) -> CycleStart:
    parts = [config.digest, data_version, champion or "", experience.id]
    attempts = stores.registry.runs.past.attempts(experience.id)
    start = CycleStart(
        id=hashlib.sha256("\n".join([*parts, str(attempts)]).encode()).hexdigest()[:16],
        experience=experience.id,
        champion=champion,
        data_version=data_version,
        config_digest=config.digest,
        started_at=datetime.now(UTC),
    )
    Journal(journal_folder(stores) / start.id, stores.project.root).write("start", start)
    return start


def journal_folder(stores: Stores) -> Path:
    """Return the folder with one journal per unfinished cycle."""
    return stores.project.work / "cycles"
