"""A look at what was served, before any label has come: has it drifted from what the champion was promoted on?"""

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
from cl.stores.data.fingerprints import hash_texts, load_known
from cl.stores.files import write_text
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from cl.tasks import Task

log = logging.getLogger(__name__)
SETTLED = timedelta(seconds=10)
"""Answers reach the log a moment after they were given: younger ones are left for the next look."""
KEPT = 100


def watch_traffic(project: ProjectFolder, *, now: datetime | None = None) -> TrafficCheck | None:
    """Return the newest look at the answers of a project, made now if it is time for one; None: there was none yet.

    All answers since the last look are compared with the champion's reference, as the champion sees them now, whichever
    version gave them, and whether their labels have come meanwhile or not: people label what is odd, and the rest
    would be odd for lack of it. It waits until enough of them have no label, as those with one become an experience.

    Args:
        project: its log, its registry.
        now: the time; None: the clock's.

    Raises:
        BusyError: a cycle works on this project.
        PerennialError: a store cannot be read.
    """
    config = configuration.load(project.config)
    with project.lock():
        past = read_traffic_checks(project)
        last = past[-1] if past else None
        until = (now or datetime.now(UTC)) - SETTLED
        wait = timedelta(hours=config.drift.traffic.every_hours)
        if not config.drift.traffic.detectors or (last and until < datetime.fromisoformat(last.until) + wait):
            return last
        stores = open_stores(project, config)
        return _look(config, stores, past, until.isoformat(timespec="microseconds")) or last


def read_traffic_checks(project: ProjectFolder) -> list[TrafficCheck]:
    """Return the looks that were made on this machine, oldest first; the newest hundred are kept."""
    return [TrafficCheck.model_validate_json(path.read_bytes()) for path in sorted(_folder(project).glob("*.json"))]


def _look(config: Config, stores: Stores, past: list[TrafficCheck], until: str) -> TrafficCheck | None:
    """Look at what was answered since the last look, if it is enough, and write down what was seen."""
    since = past[-1].until if past else ""
    task = plugins.build(Task, config.task)
    rows = Predictions(stores.project).sample(since, until, most=config.drift.max_rows)
    rows = rows.dropna(subset=[task.columns[0]]).reset_index(drop=True) if task.columns[0] in rows else rows.head(0)
    if unlabelled_rows(stores.project, rows["id"].tolist()) < config.drift.traffic.min_rows:
        return None
    stores.registry.initialise()
    repair_aliases(stores.registry, stores.ledger)
    version = stores.ledger.champion(config.name)
    champion = stores.champion_folder(version)
    if version is None or champion is None:
        return None
    from cl.cycle.identity import count_checks
    from cl.models.persistence import load_learner
    from cl.models.snapshot import load_reference, take_unlabelled_snapshot
    from cl.stores.version_folder import load_history

    check = stores.next_check(count_checks(stores.registry.cycles()), f"traffic since {since}")
    bounds = config.drift.model_copy(update={"detectors": config.drift.traffic.detectors, "report": "off"})
    drift = compare_snapshots(
        config.model_copy(update={"drift": bounds}),
        f"traffic-{check:04d}",
        load_reference(champion),
        take_unlabelled_snapshot(load_learner(champion), rows),
        folder=_folder(stores.project),
        check=check,
        quiet=[one.drift for one in past if not one.drift.drifted],
    )
    drift = drift.model_copy(  # how good the champion is now, nobody knows yet
        update={"promotion_score": load_history(champion).score, "champion_score": None}
    )
    look = TrafficCheck(champion=version, since=since, until=until, rows=len(rows), drift=drift)
    write_text(_folder(stores.project) / f"{check:08d}.json", look.model_dump_json(indent=1))
    for old in sorted(_folder(stores.project).glob("*.json"))[:-KEPT]:
        old.unlink()
    return look


def unlabelled_rows(project: ProjectFolder, ids: list[str]) -> int:
    """Return how many of the answers with these ids nobody has labelled yet."""
    import numpy as np

    labelled = [hash_texts(Feedback(project).last()["id"]), *load_known(project).ids]
    return int((~np.isin(hash_texts(ids), np.concatenate(labelled))).sum())


def _folder(project: ProjectFolder) -> Path:
    return project.work / "traffic"
