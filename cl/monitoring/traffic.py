"""Drift checks on served traffic before labels arrive, against the reference the champion was promoted on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cl import config as configuration
from cl import plugins
from cl.config import Config
from cl.drift.detect import compare_snapshots
from cl.monitoring.triggers import TrafficCheck
from cl.promotion.repair import repair_aliases
from cl.stores.data.fingerprints import hash_texts, read_known_ids
from cl.stores.files import write_text
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.logged_values import from_log
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from cl.tasks import Task

log = logging.getLogger(__name__)
SETTLED = timedelta(seconds=10)
"""Answers reach the log with a delay: younger ones are left for the next drift check."""
KEPT = 100


def watch_traffic(project: ProjectFolder, *, now: datetime | None = None) -> TrafficCheck | None:
    """Return the newest traffic drift check of a project, run now if one is due, or None if there is none yet.

    It compares all answers since the last check with the champion's reference, encoded by the current champion,
    whichever version gave them and whether or not they have been labelled since: people label unusual rows first, so
    the unlabelled rest alone would be biased. It waits until enough answers are unlabelled, as labelled ones become an
    experience.

    Args:
        project: the project whose log and registry are read.
        now: the current time; None: the clock's.

    Raises:
        BusyError: a cycle is running on this project.
        PerennialError: a store cannot be read.
    """
    config = configuration.load(project.config)
    with project.lock():
        past_checks = read_traffic_checks(project)
        last = past_checks[-1] if past_checks else None
        until = (now or datetime.now(UTC)) - SETTLED
        interval = timedelta(hours=config.drift.traffic.every_hours)
        if not config.drift.traffic.detectors or (last and until < datetime.fromisoformat(last.until) + interval):
            return last
        stores = open_stores(project, config)
        return _check_traffic(config, stores, past_checks, until.isoformat(timespec="microseconds")) or last


def read_traffic_checks(project: ProjectFolder) -> list[TrafficCheck]:
    """Return the traffic drift checks run on this machine, oldest first; the newest hundred are kept."""
    return [TrafficCheck.model_validate_json(path.read_bytes()) for path in sorted(_folder(project).glob("*.json"))]


def latest_traffic_checks(project: ProjectFolder, most: int) -> list[TrafficCheck]:
    """Return the newest traffic drift checks run on this machine, newest first; no other is read."""
    paths = sorted(_folder(project).glob("*.json"), reverse=True)[:most]
    return [TrafficCheck.model_validate_json(path.read_bytes()) for path in paths]


def _check_traffic(config: Config, stores: Stores, past_checks: list[TrafficCheck], until: str) -> TrafficCheck | None:
    """Check the answers since the last drift check, if there are enough, and store the result."""
    since = past_checks[-1].until if past_checks else ""
    task = plugins.build(Task, config.task)
    rows = from_log(Predictions(stores.project).sample(since, until, most=config.drift.max_rows), task.schema)
    rows = rows.dropna(subset=task.schema.input_names).reset_index(drop=True)
    if unlabelled_rows(stores.project, rows["id"].tolist()) < config.drift.traffic.min_rows:
        return None
    stores.registry.initialise()
    repair_aliases(stores.registry, stores.ledger)
    version = stores.ledger.champion(config.name)
    champion = stores.champion_folder(version)
    if version is None or champion is None:
        return None
    from cl.models.persistence import load_learner
    from cl.models.snapshot import load_reference, take_unlabelled_snapshot
    from cl.stores.version_folder import load_history

    check_index = stores.next_check(stores.registry.runs.past.last_check(), f"traffic since {since}")
    drift_settings = config.drift.model_copy(update={"detectors": config.drift.traffic.detectors, "report": "off"})
    drift = compare_snapshots(
        config.model_copy(update={"drift": drift_settings}),
        f"traffic-{check_index:04d}",
        load_reference(champion),
        take_unlabelled_snapshot(load_learner(champion), rows),
        folder=_folder(stores.project),
        check=check_index,
        quiet=[check.drift for check in past_checks if not check.drift.drifted],
    )
    drift = drift.model_copy(  # the champion's current score is not known yet
        update={"promotion_score": load_history(champion).score, "champion_score": None}
    )
    traffic_check = TrafficCheck(champion=version, since=since, until=until, rows=len(rows), drift=drift)
    write_text(_folder(stores.project) / f"{check_index:08d}.json", traffic_check.model_dump_json(indent=1))
    for old in sorted(_folder(stores.project).glob("*.json"))[:-KEPT]:
        old.unlink()
    return traffic_check


def unlabelled_rows(project: ProjectFolder, ids: list[str]) -> int:
    """Return how many of the answers with these ids are still unlabelled."""
    import numpy as np

    labelled = [hash_texts(Feedback(project).last()["id"]), *read_known_ids(project)]
    return int((~np.isin(hash_texts(ids), np.concatenate(labelled))).sum())


def _folder(project: ProjectFolder) -> Path:
    return project.work / "traffic"
