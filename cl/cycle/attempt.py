"""One attempt of an update: train at one rung of the ladder, or without a ladder, evaluate, and apply the gates."""

from __future__ import annotations

import time
from pathlib import Path

from cl.config import Config
from cl.cycle.context import CycleContext
from cl.errors import DivergedError
from cl.evaluation.evaluate import Candidates, evaluate
from cl.gating.gate import gate
from cl.records import Challenger, RungResult
from cl.stores.journal import Journal, inline
from cl.training.control_arm import train_control_arm
from cl.training.train import train

DIVERGED = "diverged"


def train_and_judge(context: CycleContext, rung: str | None, own: Config) -> Challenger:
    """Return the challenger of one rung and its verdicts; a finished attempt is not repeated.

    Each rung has its own journal and files, so a killed cycle resumes within any of them. Of failed rungs only records
    outlive the cycle: one version per cycle keeps the registry readable. Divergence is recorded too.

    Args:
        context: the cycle.
        rung: its name; None: there is no ladder.
        own: the configuration at this rung.

    Raises:
        DivergedError: training diverged, now or before the cycle was killed.
    """
    journal = context.journal.part(f"rungs/{rung}") if rung else context.journal

    def challenger() -> Challenger:
        return _make_challenger(context, rung, own, journal)

    if rung is None:
        return journal.once(challenger, inline)()
    if (before := journal.read(DIVERGED, RungResult)) is not None:
        raise DivergedError(str(before.diverged), rows=before.rows, seconds=before.training_seconds)
    try:
        return journal.once(challenger, inline)()
    except DivergedError as error:
        stopped = RungResult(rung=rung, diverged=str(error), rows=error.rows, training_seconds=error.seconds)
        journal.write(DIVERGED, stopped)
        raise


def _make_challenger(context: CycleContext, rung: str | None, own: Config, journal: Journal) -> Challenger:
    config, champion, rows_of = context.config, context.champion.folder, context.rows_of
    folder, past, new = journal.folder, context.base.history.learnt, list(context.new)
    training = journal.once(train, context.executor)(
        own, champion=context.base.folder, new=new, past=past, rows_of=rows_of, folder=folder / "challenger"
    )
    clock, arm = time.monotonic(), None
    if config.training.control and champion:
        arm = journal.once(train_control_arm, context.executor)(
            own, champion=champion, new=new, rows_of=rows_of, folder=folder / "control"
        )
    evaluation = journal.once(evaluate, context.executor)(
        config,
        Candidates(challenger=Path(training.challenger), champion=champion, control=arm),
        context.held_out,
        folder=folder,
    )
    return Challenger(
        training=training.model_copy(update={"rung": rung}),
        evaluation=evaluation,
        gates=journal.once(gate, context.executor)(config, evaluation),
        judged_seconds=round(time.monotonic() - clock, 2),
    )
