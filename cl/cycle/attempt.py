"""One attempt of an update: train at one rung of the ladder, or without a ladder, evaluate, and apply the gates."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from cl.config import Config
from cl.cycle.context import CycleContext
from cl.errors import DivergedError
from cl.evaluation.evaluate import Candidates, evaluate
from cl.gating.gate import gate
from cl.process.progress import about
from cl.records import Challenger, RungResult, Training
from cl.stores.journal import Journal
from cl.training.control_arm import train_control_arm
from cl.training.train import train

DIVERGED = "diverged"


def train_at_rung(context: CycleContext, rung: str | None, own: Config) -> Training:
    """Train at a rung and return the result; a finished training is not repeated, nor is one that has diverged.

    Each rung has its own journal and files, so a killed cycle resumes within any of them. Of failed rungs only records
    outlive the cycle: one version per cycle keeps the registry readable.

    Args:
        context: the cycle.
        rung: its name; None: there is no ladder.
        own: the configuration at this rung.

    Raises:
        DivergedError: training diverged, now or before the cycle was killed.
    """
    journal = _journal(context, rung)
    if (before := journal.read(DIVERGED, RungResult)) is not None:
        raise DivergedError(str(before.diverged), rows=before.rows, seconds=before.training_seconds)
    try:
        with _about(rung):
            training = journal.once(train, context.executor)(
                own,
                champion=context.training_start,
                new=list(context.new),
                past=context.base.history.learnt,
                rows_of=context.rows_of,
                folder=journal.folder / "challenger",
            )
    except DivergedError as error:
        if rung is not None:
            stopped = RungResult(rung=rung, diverged=str(error), rows=error.rows, training_seconds=error.seconds)
            journal.write(DIVERGED, stopped)
        raise
    return training.model_copy(update={"rung": rung})


def judge_at_rung(context: CycleContext, rung: str | None, training: Training) -> Challenger:
    """Evaluate what was trained at a rung, apply the gates, and return the challenger."""
    journal = _journal(context, rung)

    def challenger() -> Challenger:
        with _about(rung):
            return _judge(context, context.config.at_rung(rung), journal, training)

    return journal.remember(challenger, challenger)()


def _about(rung: str | None) -> AbstractContextManager[None]:
    return about(f"rung {rung}") if rung else nullcontext()


def _journal(context: CycleContext, rung: str | None) -> Journal:
    return context.journal.part(f"rungs/{rung}") if rung else context.journal


def _judge(context: CycleContext, own: Config, journal: Journal, training: Training) -> Challenger:
    config, champion, folder = context.config, context.champion.folder, journal.folder
    clock, arm = time.monotonic(), None
    if config.training.control and champion:
        arm = journal.once(train_control_arm, context.executor)(
            own, champion=champion, new=list(context.new), rows_of=context.rows_of, folder=folder / "control"
        )
    evaluation = journal.once(evaluate, context.executor)(
        config,
        Candidates(Path(training.challenger), champion, arm, answered=context.champion_answers),
        context.held_out,
        folder=folder,
    )
    gates = journal.once(gate, context.executor)(config, evaluation)
    return Challenger(
        training=training,
        evaluation=evaluation,
        gates=gates,
        judged_seconds=round(time.monotonic() - clock, 2),
    )
