"""The cycle, step by step: the one place where the order of the lifecycle is written down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from cl import config as configuration
from cl.compression.budget import ends_climb
from cl.cycle.attempt import judge_at_rung, train_at_rung
from cl.cycle.backlog import due_experiences
from cl.cycle.compress import Judged, compress
from cl.cycle.context import CycleContext, open_cycle
from cl.cycle.drift_check import check_drift
from cl.cycle.identity import discard_stale
from cl.cycle.ladder import Attempt, climb_ladder
from cl.cycle.record import CycleUpdate, Findings, record_cycle
from cl.cycle.source import read_source
from cl.decision.decide import decide
from cl.heavy import few_collections
from cl.ingestion.validate import validate
from cl.models.feature_cache import cached_in, prune_cache
from cl.process.progress import about
from cl.promotion.promote import promote
from cl.promotion.repair import locked_and_repaired
from cl.records import CompressionResult, Cycle
from cl.registry.register import register
from cl.registry.smoke_test import smoke_test
from cl.revision import forget
from cl.stores.journal import Executor, inline
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from cl.training.gain import estimate_gain

log = logging.getLogger(__name__)


def run_cycle(context: CycleContext) -> Cycle:
    """Take one experience through the whole lifecycle; a killed cycle goes on from its last finished step.

    Raises:
        PerennialError: a stage failed; data, registry and champion are as they were, and the next run goes on.
    """
    step, config, stores, champion = context.step, context.config, context.stores, context.champion
    validation = step(validate)(config, context.experience)
    drift = check_drift(config, stores, context.start, champion.folder, executor=context.executor)
    gain = step(estimate_gain)(
        config,
        champion.folder,
        champion.history.learnt,
        context.new,
        context.rows_of,
        past_rows=context.count_rows(champion.history.learnt),
    )
    decision = step(decide)(config, validation, drift, replace(context.situation, gain=gain))
    log.info("%s: decision %s: %s", context.experience.id, decision.action, "; ".join(decision.reasons))
    findings = Findings(validation, drift, gain, decision)
    if decision.action != "learn":
        return record_cycle(context, findings)

    climbed = climb_ladder(
        context.ladder,
        context.climb(drift, decision),
        Attempt(partial(train_at_rung, context), partial(judge_at_rung, context)),
        enough=partial(ends_climb, config),
        give_up=context.journal.part("rungs").close,
    )
    registration = step(register)(config, stores, context.new_version(climbed.challenger, decision))
    version, compressed = Judged(climbed.challenger, registration), list[CompressionResult]()
    if reasons := context.reasons_to_compress(version):
        version, compressed = compress(context.compression, version, reasons)
    gates = step(smoke_test)(config, stores, version.registration, version.challenger)
    promotion = step(promote)(
        stores.registry,
        stores.ledger,
        version.registration.model_copy(update={"passed": gates.passed}),
        expected=champion.version,
        why=f"learnt {context.experience.id}",
        wanted=config.promotion,
    )
    return record_cycle(context, findings, CycleUpdate(climbed, version, gates, compressed, promotion))


def run_waiting(
    project: ProjectFolder,
    *,
    again: str | None = None,
    executor: Executor = inline,
    on_cycle: Callable[[Cycle], None] = lambda cycle: None,
    wait: float = 0.0,
    settle: float | None = None,
) -> list[Cycle]:
    """Read the configured source, then run one cycle for each experience that waits, oldest first.

    Args:
        project: the folder.
        again: id of an experience that was held or refused and shall be tried once more.
        executor: how a stage is run: in this process, or as a Prefect task.
        on_cycle: called with each cycle when it ends.
        wait: seconds to wait for another process that works on this project.
        settle: seconds for which the source must have lain still; None reads it as it is.

    Raises:
        BusyError: another process works on this project.
        PerennialError: a stage failed.
    """
    config = configuration.load(project.config)
    stores = open_stores(project, config)
    with few_collections(), locked_and_repaired(stores, wait=wait):
        forget.finish_removal(config, stores)
        stores.data.bring()
        read_source(config, stores, settle=settle)
        stores.data.commit()
        discard_stale(config, stores)  # a cycle that was killed as it ended is not due again
        cycles = []
        prune_cache(features := project.work / "features.sqlite")
        with cached_in(features):  # drift, training and evaluation ask a frozen encoder once for each row
            for experience in due_experiences(stores, again=again):
                with about(experience.id):
                    context = open_cycle(config, stores, experience, asked=again is not None, executor=executor)
                    cycles.append(run_cycle(context))
                on_cycle(cycles[-1])
        return cycles
