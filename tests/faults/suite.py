"""All faults: a few of each for every change, and many for the night."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults import busy_database, crowd, damage, disk_full, forgetting, kills, on_postgres, server_cut
from tests.faults.moments import Moment
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt

KIB = 1024
MOST_DELICATE = (
    Moment("mark_pending", when="after"),
    Moment("place", when="after"),
    Moment("Repo.add", when="after"),
    Moment("log_model", when="after"),
    Moment("MlflowClient.create_model_version", when="after"),
    Moment("Ledger.intend", when="after"),
    Moment("Registry.set_alias", when="after"),
    Moment("Ledger.commit", when="after"),
    Moment("Registry.record_cycle", when="after"),
)
"""The moments between two stores that must agree; a few kills are always there."""


@dataclass(frozen=True)
class Amount:
    """How often each fault is injected.

    Attributes:
        boundaries: kills at step boundaries, drawn beside the most delicate ones; None is all there are.
        writes: kills at a random write.
        moments: kills at a random moment.
        twice: kills whose recovery is killed as well.
        rooms: bytes that are left on the disk.
        limits: bytes that a file may grow to.
        uploads: the files before which the tracking server is killed.
        waits: the databases that are held for too long.
        damaged: files of a version that are damaged, here and in the registry.
        on_postgres: moments at which a run on Postgres is killed.
        cuts: moments at which Postgres itself ends.
        locks: its tables that are locked.
        forgets: kills of `cl forget` after a step, drawn; None is after each.
        forget_writes: kills of it at a random write.
    """

    boundaries: int | None
    writes: int
    moments: int
    twice: int
    rooms: tuple[int, ...]
    limits: tuple[int, ...]
    uploads: tuple[int, ...]
    waits: tuple[str, ...]
    damaged: tuple[str, ...]
    on_postgres: tuple[Moment, ...]
    cuts: tuple[Moment, ...]
    locks: tuple[str, ...]
    forgets: int | None
    forget_writes: int


FEW = Amount(
    boundaries=4,
    writes=5,
    moments=2,
    twice=1,
    rooms=(40 * KIB, 300 * KIB),
    limits=(60 * KIB,),
    uploads=(8,),
    waits=("mlflow.db",),
    damaged=("head.safetensors",),
    on_postgres=(Moment("Registry.set_alias", when="after"),),
    cuts=(Moment("Ledger.intend", when="after"),),
    locks=("cl_ledger",),
    forgets=7,
    forget_writes=1,
)
MANY = Amount(
    boundaries=None,
    writes=60,
    moments=40,
    twice=20,
    rooms=tuple(room * KIB for room in (8, 40, 80, 120, 180, 240, 300, 400, 500)),
    limits=tuple(size * KIB for size in (4, 20, 60, 200)),
    uploads=(1, 8, 17, 21),
    waits=("mlflow.db", "ledger.db"),
    damaged=("head.safetensors", "encoder/model.safetensors", "history.json", "strategies/replay/rows.parquet"),
    on_postgres=MOST_DELICATE[3:],
    cuts=(
        Moment("Registry.start_run", when="after"),
        Moment("MlflowClient.create_model_version"),
        Moment("Ledger.intend", when="after"),
        Moment("Ledger.commit"),
    ),
    locks=("cl_ledger", "runs"),
    forgets=None,
    forget_writes=8,
)


@dataclass(frozen=True)
class Bench:
    """What the faults need: a prepared project, a place for more, a model, and how often."""

    project: Prepared
    folder: Path
    model: Path
    amount: Amount
    seed: int


def killed(bench: Bench) -> Iterator[Attempt]:
    """Kill runs."""
    amount, project = bench.amount, bench.project
    everywhere = kills.boundaries(project)
    chosen = everywhere
    if amount.boundaries is not None:
        others = [one for one in everywhere if one not in MOST_DELICATE]
        chosen = [*MOST_DELICATE, *random.Random(bench.seed).sample(others, amount.boundaries)]
    for moment in chosen:
        yield kills.at_moment(project, moment)
    yield from kills.at_writes(project, amount.writes, bench.seed)
    yield from kills.at_times(project, amount.moments, bench.seed)
    yield from kills.again_and_again(project, amount.twice, bench.seed)


def full(bench: Bench) -> Iterator[Attempt]:
    """Fill the disk; where mounting is not allowed, by a limit alone."""
    if disk_full.may_mount(bench.project.place):
        for room in bench.amount.rooms:
            yield disk_full.with_room(bench.project, room)
    for size in bench.amount.limits:
        yield disk_full.with_limit(bench.project, size)


def cut(bench: Bench) -> Iterator[Attempt]:
    """Kill the tracking server."""
    with server_cut.served(bench.folder / "served", bench.model, bench.project) as project:
        for upload in bench.amount.uploads:
            yield server_cut.cut(project, upload)
        for upload in bench.amount.uploads[1:]:
            yield server_cut.cut_and_back(project, upload)


def busy(bench: Bench) -> Iterator[Attempt]:
    """Hold the databases."""
    for database in busy_database.BEFORE:
        yield busy_database.for_a_while(bench.project, database)
    for database in bench.amount.waits:
        yield busy_database.too_long(bench.project, database)


def damaged(bench: Bench) -> Iterator[Attempt]:
    """Damage files."""
    for file in bench.amount.damaged:
        for how in (damage.cut_short, damage.one_byte, damage.gone):
            yield damage.here(bench.project, file, how)
            yield damage.there(bench.project, file, how)
    yield damage.data(bench.project, "train.parquet", damage.cut_short)
    yield damage.data(bench.project, "train.parquet", damage.one_byte)


def crowded(bench: Bench) -> Iterator[Attempt]:
    """Start many processes at once."""
    yield crowd.cycles(bench.project)
    yield crowd.cycles_and_promotions(bench.project)


def postgres(bench: Bench) -> Iterator[Attempt]:
    """Kill runs on a Postgres, end it under them, and lock its tables."""
    amount = bench.amount
    with on_postgres.on_postgres(bench.folder / "postgres", bench.model, bench.project) as project:
        for moment in amount.on_postgres:
            yield on_postgres.killed(project, moment)
        for moment in amount.cuts:
            yield on_postgres.ended(project, moment)
        for moment in amount.cuts:
            yield on_postgres.ended_and_back(project, moment)
        for table in amount.locks:
            yield on_postgres.locked_for_a_while(project, table)
        for table in amount.locks:
            yield on_postgres.locked_too_long(project, table)


def forgotten(bench: Bench) -> Iterator[Attempt]:
    """Kill the command that forgets rows."""
    amount = bench.amount
    yield from forgetting.attempts(bench.project, amount.forgets, amount.forget_writes, bench.seed)


FAULTS: dict[str, Callable[[Bench], Iterator[Attempt]]] = {
    "kills": killed,
    "disk": full,
    "server": cut,
    "busy": busy,
    "damage": damaged,
    "crowd": crowded,
    "postgres": postgres,
    "forget": forgotten,
}
