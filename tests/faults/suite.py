"""All faults: a few of each for every change, and many for the night."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.faults import busy_database, crowd, damage, disk_full, forgetting, kills, on_postgres, server_cut
from tests.faults.moments import Moment
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt

KIB = 1024
Damaging = Callable[[Prepared, str, damage.Damage], Attempt]
MOST_DELICATE = (
    Moment("mark_pending", when="after"),
    Moment("move_into_place", when="after"),
    Moment("Repo.add", when="after"),
    Moment("log_model", when="after"),
    Moment("MlflowClient.create_model_version", when="after"),
    Moment("Ledger.intend", when="after"),
    Moment("Registry.set_alias", when="after"),
    Moment("Ledger.commit", when="after"),
    Moment("Runs.record_cycle", when="after"),
)
"""The moments between two stores that must agree: a run is always killed at these."""


@dataclass(frozen=True)
class Amount:
    """How often each fault is injected.

    Attributes:
        kills: how many there must be in the end.
        boundaries: kills at the most delicate boundaries alone, or at all there are.
        writes: kills at a random write.
        moments: kills at a random moment.
        twice: kills whose recovery is killed as well.
        rooms: bytes that are left on the disk.
        limits: bytes that a file may grow to.
        uploads: the files before which the tracking server is killed.
        held: the databases that are held for a while.
        stuck: the databases that are held for too long.
        patience: seconds that a run waits for a ledger or a Postgres table that is held too long; None is as always.
        damaged: where a file is damaged, which, and how.
        cycles: how many begin at once.
        crowd: how many begin at once, with as many promotions.
        on_postgres: moments at which a run on Postgres is killed.
        cuts: moments at which Postgres itself ends.
        backs: moments at which it ends, and is back at once.
        tables_held: its tables that are locked for a while.
        tables_stuck: its tables that are locked for too long.
        forgets: steps after which `cl forget` is killed; None is after each.
        forget_writes: kills of it at a random write.
    """

    kills: int
    boundaries: Literal["most delicate", "all"]
    writes: int
    moments: int
    twice: int
    rooms: tuple[int, ...]
    limits: tuple[int, ...]
    uploads: tuple[int, ...]
    held: tuple[str, ...]
    stuck: tuple[str, ...]
    patience: int | None
    damaged: tuple[tuple[Damaging, str, damage.Damage], ...]
    cycles: int
    crowd: int
    on_postgres: tuple[Moment, ...]
    cuts: tuple[Moment, ...]
    backs: tuple[Moment, ...]
    tables_held: tuple[str, ...]
    tables_stuck: tuple[str, ...]
    forgets: tuple[str, ...] | None
    forget_writes: int


FEW = Amount(
    kills=12,
    boundaries="most delicate",
    writes=2,
    moments=0,
    twice=1,
    rooms=(40 * KIB,),
    limits=(60 * KIB,),
    uploads=(8,),
    held=("mlflow.db",),
    stuck=("ledger.db",),  # MLflow itself waits 20 seconds for its own, whatever we say
    patience=2,
    damaged=(
        (damage.here, "head.safetensors", damage.one_byte),
        (damage.there, "head.safetensors", damage.gone),
        (damage.data, "train.parquet", damage.cut_short),
    ),
    cycles=3,
    crowd=4,
    on_postgres=(Moment("Registry.set_alias", when="after"),),
    cuts=(Moment("Ledger.intend", when="after"),),
    backs=(),
    tables_held=(),
    tables_stuck=("cl_ledger",),
    forgets=("DataVersions.erase", "Registry.set_alias"),
    forget_writes=1,
)
"""With every change: each kind of fault, where it does most harm; about a minute and a half of two processors."""
ENDS = (
    Moment("Runs.start_run", when="after"),
    Moment("MlflowClient.create_model_version"),
    Moment("Ledger.intend", when="after"),
    Moment("Ledger.commit"),
)
MANY = Amount(
    kills=100,
    boundaries="all",
    writes=60,
    moments=40,
    twice=20,
    rooms=tuple(room * KIB for room in (8, 40, 80, 120, 180, 240, 300, 400, 500)),
    limits=tuple(size * KIB for size in (4, 20, 60, 200)),
    uploads=(1, 8, 17, 21),
    held=("mlflow.db", "ledger.db"),
    stuck=("mlflow.db", "ledger.db"),
    patience=None,
    damaged=(
        *(
            (where, file, how)
            for file in (
                "head.safetensors",
                "encoder/model.safetensors",
                "history.json",
                "strategies/replay/rows.parquet",
            )
            for how in (damage.cut_short, damage.one_byte, damage.gone)
            for where in (damage.here, damage.there)
        ),
        (damage.data, "train.parquet", damage.cut_short),
        (damage.data, "train.parquet", damage.one_byte),
    ),
    cycles=8,
    crowd=8,
    on_postgres=MOST_DELICATE[3:],
    cuts=ENDS,
    backs=ENDS,
    tables_held=("cl_ledger", "runs"),
    tables_stuck=("cl_ledger", "runs"),
    forgets=None,
    forget_writes=8,
)
"""In the night."""


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
    for moment in MOST_DELICATE if amount.boundaries == "most delicate" else kills.boundaries(project):
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
    for database in bench.amount.held:
        yield busy_database.for_a_while(bench.project, database)
    for database in bench.amount.stuck:
        yield busy_database.too_long(bench.project, database, bench.amount.patience)


def damaged(bench: Bench) -> Iterator[Attempt]:
    """Damage files."""
    for where, file, how in bench.amount.damaged:
        yield where(bench.project, file, how)


def crowded(bench: Bench) -> Iterator[Attempt]:
    """Start many processes at once."""
    yield crowd.cycles(bench.project, bench.amount.cycles)
    yield crowd.cycles_and_promotions(bench.project, bench.amount.crowd)


def postgres(bench: Bench) -> Iterator[Attempt]:
    """Kill runs on a Postgres, end it under them, and lock its tables."""
    amount = bench.amount
    with on_postgres.on_postgres(bench.folder / "postgres", bench.model, bench.project) as project:
        for moment in amount.on_postgres:
            yield on_postgres.killed(project, moment)
        for moment in amount.cuts:
            yield on_postgres.ended(project, moment)
        for moment in amount.backs:
            yield on_postgres.ended_and_back(project, moment)
        for table in amount.tables_held:
            yield on_postgres.locked_for_a_while(project, table)
        for table in amount.tables_stuck:
            yield on_postgres.locked_too_long(project, table, amount.patience)


def forgotten(bench: Bench) -> Iterator[Attempt]:
    """Kill the command that forgets rows."""
    amount = bench.amount
    yield from forgetting.attempts(bench.project, amount.forgets, amount.forget_writes, bench.seed)


Faults = dict[str, Callable[[Bench], Iterator[Attempt]]]
KILLS: Faults = {"kills": killed, "server": cut, "forget": forgotten}
"""Faults that are a SIGKILL."""
OTHERS: Faults = {"disk": full, "busy": busy, "damage": damaged, "crowd": crowded, "postgres": postgres}
"""Faults of what a run relies on, and crowds."""
FAULTS = {**KILLS, **OTHERS}
