"""A look at what waits, without training: what has arrived, and whether it has drifted."""

from __future__ import annotations

from cl import config as configuration
from cl.config import Config
from cl.cycle.backlog import due_experiences
from cl.cycle.identity import resume_or_begin
from cl.cycle.look import check_drift
from cl.cycle.source import read_source
from cl.forgetting import forget
from cl.models.feature_cache import cached_in
from cl.monitoring.triggers import DriftCheck, trigger_reason
from cl.promotion.repair import locked_and_repaired
from cl.records import Experience
from cl.stores.journal import Executor, inline
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores


def watch(project: ProjectFolder, *, executor: Executor = inline) -> list[DriftCheck]:
    """Read the configured source, look at every experience that waits, oldest first, and return what was seen.

    Raises:
        BusyError: a cycle works on this project; what waits goes on waiting.
        PerennialError: the source or a store cannot be read.
    """
    config = configuration.load(project.config)
    stores = open_stores(project, config)
    with locked_and_repaired(stores):
        forget.finish_removal(config, stores)
        stores.data.bring()
        read_source(config, stores, settle=config.triggers.settle_seconds)
        with cached_in(project.work / "features.sqlite"):  # the cycle that follows need not ask the encoder again
            return [check_experience(config, stores, one, executor=executor) for one in due_experiences(stores)]


def check_experience(
    config: Config, stores: Stores, experience: Experience, *, executor: Executor = inline
) -> DriftCheck:
    """Look at one experience as its cycle will; the finding stays in the cycle's journal."""
    start = resume_or_begin(config, stores, experience)
    seen = check_drift(config, stores, start, stores.champion_folder(start.champion), executor=executor)
    return DriftCheck(
        cycle=start.id,
        experience=experience,
        champion=start.champion,
        drift=seen,
        asks=trigger_reason(seen, config.triggers.learn_on),
    )
