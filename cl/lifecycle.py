"""The cycle, step by step: the one place where the order of the lifecycle is written down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cl import config as configuration
from cl.compression.budget import compression_reasons, ends_climb, updates_since
from cl.config import Config
from cl.cycle.attempt import train_and_judge
from cl.cycle.backlog import due_experiences, waiting_experiences
from cl.cycle.compress import Candidate, CompressionContext, compress
from cl.cycle.cost import update_sizes
from cl.cycle.identity import CycleStart, discard_stale, journal_folder, resume_or_begin
from cl.cycle.ladder import climb_ladder
from cl.cycle.look import check_drift
from cl.cycle.record import record_cycle
from cl.cycle.source import read_source
from cl.decision.decide import change_types, decide
from cl.decision.situation import assess_situation
from cl.evaluation.out_of_scope import read_texts
from cl.forgetting import forget
from cl.ingestion.validate import validate
from cl.models.feature_cache import cached_in, prune_cache
from cl.promotion.promote import promote
from cl.promotion.repair import locked_and_repaired
from cl.records import CompressionResult, Cycle, Experience
from cl.records.history import History
from cl.registry.lineage import ancestry, cycles_in_line, find_base, with_compressed
from cl.registry.register import register
from cl.registry.smoke_test import smoke_test
from cl.stores.journal import Executor, Journal, inline
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from cl.stores.version_folder import load_history

log = logging.getLogger(__name__)


def run_cycle(
    config: Config, stores: Stores, experience: Experience, *, asked: bool = False, step: Executor = inline
) -> Cycle:
    """Take one experience through the whole lifecycle.

    Args:
        config: what to do.
        stores: where everything is.
        experience: ingested already.
        asked: a person has asked for this very experience; it is learnt unless the champion has learnt it already.
        step: how a stage is run; inline, or as a Prefect task.

    Raises:
        PerennialError: a stage failed; data, registry and champion are as they were, and the next run goes on.
    """
    start = resume_or_begin(config, stores, experience)
    journal = Journal(journal_folder(stores) / start.id)
    clock = time.monotonic()
    run = stores.registry.start_run(start.id, experience.id, _tags(start))
    champion = stores.champion_folder(start.champion)
    history = load_history(champion) if champion else History()
    base = find_base(stores, start.champion, champion, then=config.distil.then)
    versions = stores.registry.versions()
    again = [one for one in history.learnt if one not in base.history.learnt]
    before = [one for one in [*again, *waiting_experiences(stores, history)] if one != experience.id]
    new = [*before, experience.id]
    rows_of, past = stores.experiences.rows_of, stores.registry.cycles()
    strangers = read_texts(config.evaluation.out_of_scope, stores.project.root)

    def do(stage: Callable[..., Any]) -> Callable[..., Any]:
        return journal.once(stage, step)

    validation = do(validate)(config, experience)
    seen = check_drift(config, stores, start, champion, step=step)
    waiting = [stores.experiences.get(one) for one in new]
    known = assess_situation(
        cycles_in_line(past, with_compressed(ancestry(start.champion, versions), versions)),
        waiting_rows=sum(one.rows["train"] for one in waiting),
        first=champion is None,
        now=datetime.now(UTC),
        budget_days=config.decide.budget_days,
        asked=asked and experience.id not in history.learnt,
        forgotten=history.traces,
        testable=bool(history.learnt) or any(one.rows["test"] for one in waiting),
    )
    decision = do(decide)(config, validation, seen, known)
    training = evaluation = gates = promotion = way = None
    derived: list[CompressionResult] = []
    if decision.action == "learn":
        climbed = climb_ladder(
            config,
            begin=decision.rung,
            types=change_types(seen, known),
            sizes=update_sizes(stores.experiences, base.folder, new=new, past=base.history.learnt),
            past=known.climbs,
            enough=partial(ends_climb, config),
            attempt=partial(
                train_and_judge,
                config,
                journal=journal,
                step=step,
                champion=champion,
                base=base,
                new=new,
                rows_of=rows_of,
                matrix=history.matrix,
                strangers=strangers,
            ),
            give_up=journal.at("rungs").close,
        )
        way, challenger = climbed.climb, climbed.tried
        training, evaluation, gates = challenger.training, challenger.evaluation, challenger.gates
        registration = do(register)(
            config,
            stores,
            cycle=start.id,
            run=run,
            champion=base.folder,
            parent=base.version,
            compared=start.champion,
            data_version=start.data_version,
            training=training,
            evaluation=evaluation,
            gates=gates,
        )
        why = compression_reasons(
            config, evaluation, gates, champion=history, updates=updates_since(start.champion, versions)
        )
        if why:
            found = compress(
                config,
                stores,
                Candidate(training, evaluation, gates, registration),
                CompressionContext(
                    cycle=start.id,
                    champion=start.champion,
                    champion_folder=champion,
                    learnt=[*base.history.learnt, *new],
                    matrix=history.matrix,
                    data_version=start.data_version,
                    strangers=strangers,
                ),
                why=why,
                journal=journal,
                step=step,
            )
            derived, chosen = found.made, found.chosen
            evaluation, gates, registration = chosen.evaluation, chosen.gates, chosen.registration
        gates = do(smoke_test)(config, stores, registration=registration, evaluation=evaluation, gates=gates)
        promotion = do(promote)(
            stores.registry,
            stores.ledger,
            registration.model_copy(update={"passed": gates.passed}),
            expected=start.champion,
            why=f"learnt {experience.id}",
            wanted=config.promotion,
        )
    cycle = Cycle(
        id=start.id,
        experience=experience,
        started_at=start.started_at,
        seconds=round(time.monotonic() - clock, 1),
        ended_at=datetime.now(UTC),
        data_version=start.data_version,
        champion_before=start.champion,
        validation=validation,
        drift=seen,
        decision=decision,
        climb=way,
        training=training,
        evaluation=evaluation,
        gates=gates,
        derived=derived,
        promotion=promotion,
        champion_after=promotion.champion_after if promotion else start.champion,
        run=run,
    )
    return record_cycle(config, stores, run, cycle, journal)


def run_waiting(
    project: ProjectFolder,
    *,
    again: str | None = None,
    step: Executor = inline,
    on_cycle: Callable[[Cycle], None] = lambda cycle: None,
    wait: float = 0.0,
    settle: float | None = None,
) -> list[Cycle]:
    """Read the configured source, then run one cycle for each experience that waits, oldest first.

    Args:
        project: the folder.
        again: id of an experience that was held or refused and shall be tried once more.
        step: how a stage is run.
        on_cycle: told of each cycle when it ends.
        wait: seconds to wait for another process that works on this project.
        settle: seconds for which the source must have lain still; None reads it as it is.

    Raises:
        BusyError: another process works on this project.
        PerennialError: a stage failed.
    """
    config = configuration.load(project.config)
    stores = open_stores(project, config)
    with locked_and_repaired(stores, wait=wait):
        forget.finish_removal(config, stores)
        stores.data.bring()
        read_source(config, stores, settle=settle)
        stores.data.commit()
        discard_stale(config, stores)  # a cycle that was killed as it ended is not due again
        cycles = []
        prune_cache(features := project.work / "features.sqlite")
        with cached_in(features):  # drift, training and evaluation ask a frozen encoder once for each row
            for experience in due_experiences(stores, again=again):
                cycles.append(run_cycle(config, stores, experience, asked=again is not None, step=step))
                on_cycle(cycles[-1])
        return cycles


def _tags(start: CycleStart) -> dict[str, str]:
    return {"cl.data_version": start.data_version, "cl.champion_before": start.champion or ""}
