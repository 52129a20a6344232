"""Check waiting experiences for drift without training."""

from __future__ import annotations

from cl import config as configuration
from cl.config import Config
from cl.cycle.backlog import due_experiences
from cl.cycle.drift_check import check_drift
from cl.cycle.identity import resume_or_begin
from cl.cycle.source import read_source
from cl.models.feature_cache import cached_in
from cl.monitoring.triggers import DriftCheck, trigger_reason
from cl.process.progress import about
from cl.promotion.repair import locked_and_repaired
from cl.records import Experience
from cl.revision import forget
from cl.stores.journal import Executor, inline
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores


def watch(project: ProjectFolder, *, executor: Executor = inline) -> list[DriftCheck]:
    """Read the source, check every waiting experience for drift, oldest first, and return the results.

    Raises:
        BusyError: a cycle is running on this project; waiting experiences keep waiting.
        PerennialError: the source or a store cannot be read.
    """
    config = configuration.load(project.config)
    stores = open_stores(project, config)
    with locked_and_repaired(stores):
        forget.finish_removal(config, stores)
        stores.data.bring()
        read_source(config, stores, settle=config.triggers.settle_seconds)
        with cached_in(project.work / "features.sqlite"):  # the following cycle can reuse the features
            return [
                check_experience(config, stores, experience, executor=executor)
                for experience in due_experiences(stores)
            ]


def check_experience(
    config: Config, stores: Stores, experience: Experience, *, executor: Executor = inline
) -> DriftCheck:
    """Check one experience for drift as its cycle will; the result stays in the cycle's journal."""
    start = resume_or_begin(config, stores, experience)
    with about(experience.id):
        drift = check_drift(config, stores, start, stores.champion_folder(start.champion), executor=executor)
    return DriftCheck(
        cycle=start.id,
        experience=experience,
        champion=start.champion,
        drift=drift,
        asks=trigger_reason(drift, config.triggers.learn_on),
    )
