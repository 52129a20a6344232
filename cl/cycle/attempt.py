"""One attempt of an update: trained at one rung of the ladder, or without one, evaluated, held against the gates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cl.config import Config
from cl.errors import DivergedError
from cl.evaluation.evaluate import evaluate
from cl.gating.gate import gate
from cl.records import Challenger, RungResult
from cl.registry.lineage import Base
from cl.stores.data.experiences import RowsOf
from cl.stores.journal import Executor, Journal, inline
from cl.training.control_arm import train_control_arm
from cl.training.train import train

DIVERGED = "diverged"


def train_and_judge(
    config: Config,
    rung: str | None,
    own: Config,
    *,
    journal: Journal,
    step: Executor,
    champion: Path | None,
    base: Base,
    new: list[str],
    rows_of: RowsOf,
    matrix: dict[str, dict[str, float]],
    strangers: Sequence[str],
) -> Challenger:
    """Return the challenger of one rung and what the gates say of it; a finished attempt is not made again.

    Each rung has a journal and files of its own, so that a cycle that was killed goes on in the midst of any of them.
    Of rungs that were not enough, only records outlive the cycle: one version a cycle keeps the registry readable. That
    one has diverged is written down too.

    Args:
        config: of the cycle: what is measured, and the gates.
        rung: its name; None: there is no ladder.
        own: the configuration at this rung.
        journal: of the cycle.
        step: how a stage is run.
        champion: folder of the version that the challenger is compared with.
        base: what the update is trained from.
        new: ids of the experiences to learn, oldest first.
        rows_of: returns the rows of experiences (ids, split).
        matrix: the accuracy matrix R up to the champion.
        strangers: texts that are out of scope.

    Raises:
        DivergedError: training stopped, now or before the cycle was killed.
    """
    place = journal.at(f"rungs/{rung}") if rung else journal
    folder = place.folder

    def do(stage: Callable[..., Any]) -> Callable[..., Any]:
        return place.once(stage, step)

    def tried() -> Challenger:
        past = base.history.learnt
        training = do(train)(
            own, champion=base.folder, new=new, past=past, rows_of=rows_of, folder=folder / "challenger"
        )
        clock, arm = time.monotonic(), None
        if config.training.control and champion:
            arm = do(train_control_arm)(own, champion=champion, new=new, rows_of=rows_of, folder=folder / "control")
        evaluation = do(evaluate)(
            config,
            challenger=Path(training.challenger),
            champion=champion,
            experiences=[*past, *new],
            matrix=matrix,
            rows_of=rows_of,
            folder=folder,
            strangers=strangers,
            control=arm,
        )
        return Challenger(
            training=training.model_copy(update={"rung": rung}),
            evaluation=evaluation,
            gates=do(gate)(config, evaluation),
            judged_seconds=round(time.monotonic() - clock, 2),
        )

    if rung is None:
        return place.once(tried, inline)()
    if (before := place.read(DIVERGED, RungResult)) is not None:
        raise DivergedError(str(before.diverged), rows=before.rows, seconds=before.training_seconds)
    try:
        return place.once(tried, inline)()
    except DivergedError as error:
        stopped = RungResult(rung=rung, diverged=str(error), rows=error.rows, training_seconds=error.seconds)
        place.write(DIVERGED, stopped)
        raise
