"""A look at what waits, without training: what has arrived, and whether it has drifted."""

from __future__ import annotations

from cl import config as configuration
from cl.config import Config
from cl.cycle.backlog import due
from cl.cycle.identity import begin
from cl.cycle.look import look
from cl.cycle.source import read_source
from cl.forgetting import forget
from cl.models.feature_cache import kept_in
from cl.monitoring.triggers import Look, asking
from cl.promotion.repair import held
from cl.records import Experience
from cl.stores.journal import Executor, inline
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, connect


def watch(project: ProjectFolder, *, step: Executor = inline) -> list[Look]:
    """Read the configured source, look at every experience that waits, oldest first, and return what was seen.

    Raises:
        BusyError: a cycle works on this project; what waits goes on waiting.
        PerennialError: the source or a store cannot be read.
    """
    config = configuration.load(project.config)
    stores = connect(project, config)
    with held(stores):
        forget.finish(config, stores)
        stores.data.bring()
        read_source(config, stores, settle=config.triggers.settle_seconds)
        with kept_in(project.work / "features.sqlite"):  # the cycle that follows need not ask the encoder again
            return [look_at(config, stores, one, step=step) for one in due(stores)]


def look_at(config: Config, stores: Stores, experience: Experience, *, step: Executor = inline) -> Look:
    """Look at one experience as its cycle will; the finding stays in the cycle's journal."""
    start = begin(config, stores, experience)
    seen = look(config, stores, start, stores.champion_folder(start.champion), step=step)
    return Look(
        cycle=start.id,
        experience=experience,
        champion=start.champion,
        drift=seen,
        asks=asking(seen, config.triggers.learn_on),
    )
