"""`cl forget` is killed at each of its steps: the rows are nowhere when it is run again, or nothing has changed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.deeds import KillItself, Trace
from tests.faults.invariants import State
from tests.faults.moments import WRITE, Moment
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt
from tests.support.traces import traces_of
from tests.support.warm import Ended

KILLED = "SIGKILL while rows are forgotten"
IDS = ["r1-0", "r1-5", "r1-7", "x1-0"]
"""Rows to be forgotten: learnt from, validated with, tested with, and in quarantine."""
COMMAND = ("forget", "--where", f"id in {IDS}", "--everywhere")
STEPS = (
    "cl.revision.forget:begin_removal",
    "cl.revision.forget:mark_pending",
    "cl.revision.forget:remove_from_experience",
    "cl.revision.forget:remove_from_quarantine",
    "cl.revision.forget:write_removal",
    "cl.stores.data.dvc:DataVersions.commit",
    "cl.stores.data.dvc:DataVersions.erase",
    "cl.revision.forget:remove_from_log",
    "cl.revision.unlearn:save_version",
    "cl.promotion.replace_champion:register",
    "cl.stores.ledger.ledger:Ledger.intend",
    "cl.stores.mlflow.registry:Registry.set_alias",
    "cl.stores.ledger.ledger:Ledger.commit",
    "cl.stores.mlflow.registry:Registry.tag_version",
    "cl.stores.mlflow.version_files:VersionFiles.delete_files",
    "cl.revision.unlearn:_clean_runs",
    "cl.revision.forget:remove_derived",
)


def attempts(prepared: Prepared, after: tuple[str, ...] | None, writes: int, seed: int) -> Iterator[Attempt]:
    """Kill the command just after a step and at a random write, and run the same command again.

    Args:
        prepared: the project.
        after: the steps after which it is killed, each the first time; None is after all, each time.
        writes: kills before a random write; of one seed, fewer are the first of many.
        seed: of what is drawn.
    """
    prepared.put_back()
    untouched, texts = prepared.state(), prepared.call(texts_of, IDS)
    trace = Trace(prepared.scratch / "forgetting.tsv", prepared.place, STEPS)
    trace.file.unlink(missing_ok=True)
    ended, done = prepared.cl(*COMMAND, before=trace), prepared.state()
    assert ended.code == 0 and texts and done != untouched, ended.err
    moments = trace.read()
    steps = [one for one in moments if one.boundary != WRITE and one.when == "after"]
    until = moments.index(steps[-1])  # then nothing is left to be done, and the command would say so
    written = [one for one in moments[:until] if one.boundary == WRITE]
    random.Random(seed).shuffle(written)
    chosen = steps if after is None else [Moment(step, when="after") for step in after]
    for moment in [*chosen, *written[:writes]]:
        yield _attempt(prepared, moment, untouched, done, texts)


def texts_of(folder: Path, ids: list[str]) -> list[str]:
    """Return the texts of rows of the first experience, as far as no other row holds the same words."""
    from cl.records import SPLITS
    from cl.stores.opened import open_project

    splits = [open_project(folder).stores.experiences.rows("0001-one", split) for split in SPLITS]
    texts = {id: text for rows in splits for id, text in zip(rows["id"], rows["text"], strict=True)}
    others = "\n".join(text for id, text in texts.items() if id not in ids)
    return [text for id, text in texts.items() if id in ids and text not in others]


def traces(folder: Path, texts: list[str]) -> list[str]:
    """Return the files that still hold one of the rows."""
    return traces_of(folder, IDS, texts)


def _attempt(prepared: Prepared, moment: Moment, untouched: State, done: State, texts: list[str]) -> Attempt:
    def inject() -> list[str]:
        ended = prepared.cl(*COMMAND, before=KillItself(moment, prepared.place, boundaries=STEPS))
        if not ended.killed:
            return [f"was not killed, ended with {ended.code}: {ended.err[-300:]}"]
        begun = (prepared.place / ".cl" / "forgetting" / "plan.json").exists()
        return [] if begun else _unlike(prepared.state(), untouched)

    def alike(prepared: Prepared) -> list[str]:
        left = prepared.call(traces, texts)
        return [*_unlike(prepared.state(), done), *(f"{file} still holds a row" for file in left)]

    def again(prepared: Prepared) -> Ended:
        return prepared.cl(*COMMAND)

    return Attempt(prepared, KILLED, str(moment), inject, alike=alike, again=again)


def _unlike(state: State, wanted: State) -> list[str]:
    def shown(value: Any) -> str:
        return str(value)[-300:]

    names = [name for name in vars(wanted) if getattr(state, name) != getattr(wanted, name)]
    return [f"{name}: {shown(getattr(state, name))} instead of {shown(getattr(wanted, name))}" for name in names]
