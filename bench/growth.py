"""What a cycle costs as a project gets older: seconds of CPU, memory and bytes, by stage and by cycle.

    PYTHONPATH=. python bench/growth.py cycles [--cycles 300] [--rows 60] [--set evaluation.max_rows=1000] [--keep DIR]
    PYTHONPATH=. python bench/growth.py turns DIR DIR ... [--rounds 3]
    PYTHONPATH=. python bench/growth.py commands [--cycles 2000] [--keep DIR]

``cycles`` takes a project with a two-layer BERT through real cycles: each one ingests new rows of six classes, learns
them by replay and promotes what it learned. The smoke test and Evidently's report, which cost the same at any age, are
off; all else has its default. Processes of ten cycles follow one another; a block's first cycle, which imports, is left
out of its median. ``turns`` compares projects that were kept, of different ages: each runs a few more cycles in a copy,
one project after the other, so that a busy machine is as busy for all of them. ``commands`` makes a project of many
cycles out of a real one, and times what people ask it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

if TYPE_CHECKING:
    from cl.records import Cycle

BLOCK = 10
CLASSES = ("loan", "fee", "card", "parcel", "order", "shoe")
FOLDERS = ("mlflow/artifacts", "mlflow/mlflow.db", ".cl", ".dvc", "data", "ledger.db")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class StageCosts:
    """A reporter that adds up the CPU seconds of each outermost stage."""

    shows_amounts = False

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[float] = []

    def begin(self, stage: object) -> None:
        """Note when a stage begins."""
        self._open.append(cpu_seconds())

    def end(self, stage: object, *, failed: bool) -> None:
        """Add what an outermost stage has used."""
        used = cpu_seconds() - self._open.pop()
        if not self._open:
            self.seconds[stage.name] += used  # type: ignore[attr-defined]

    def close(self) -> None:
        """Do nothing: nothing was shown."""


def some_rows(number: int, rows: int) -> pd.DataFrame:
    """Return rows of the six classes that no other experience has."""
    from tests.support.tiny import WORDS

    rng = np.random.default_rng(number)
    labels = [CLASSES[index % len(CLASSES)] for index in range(rows)]
    texts = [" ".join([*rng.choice(WORDS, size=9), label]) for label in labels]
    return pd.DataFrame({"id": [f"{number}-{index}" for index in range(rows)], "text": texts, "label": labels})


def make_project(folder: Path, settings: list[str]) -> None:
    """Make the project that grows."""
    from cl.commands.init import scaffold
    from tests.support.tiny import made_tiny_model, mlflow_database

    model = made_tiny_model(folder.parent / "model")
    raw = {
        "name": "shop",
        "model": {"name": str(model)},
        "training": {"epochs": 3, "precision": "float32"},
        "strategy": "replay",
        "drift": {"report": "off"},
        "gate_policy": {"mode": "dry_run"},
        "decide": {"max_waiting_rows": 1, "cool_down_hours": 0, "max_repeats": None},
        "evaluation": {"smoke_rows": 0},
        "triggers": {"settle_seconds": 0},
    }
    for setting in settings:
        key, value = setting.split("=", 1)
        inner: dict[str, object] = raw
        *outer, last = key.split(".")
        for name in outer:
            inner = inner.setdefault(name, {})  # type: ignore[assignment]
        inner[last] = yaml.safe_load(value)
    project = scaffold(folder, yaml.safe_dump(raw))
    (project.root / "mlflow" / "mlflow.db").write_bytes(mlflow_database())


def run_block(folder: Path, first: int, count: int, rows: int) -> None:
    """Run cycles in this process and print what each has cost as a line of JSON."""
    from cl.heavy import without_collections

    with without_collections():  # as `cl run` does
        import torch

        from cl.commands.ingest import ingest_frame
        from cl.lifecycle import run_waiting
    from cl.process.progress import reporting
    from cl.stores.project_folder import ProjectFolder

    torch.set_num_threads(1)
    for number in range(first, first + count):
        before, wall = cpu_seconds(), time.perf_counter()
        ingest_frame(folder, some_rows(number, rows), name=f"day-{number}")
        ingested, costs = cpu_seconds(), StageCosts()
        with reporting(costs):
            (cycle,) = run_waiting(ProjectFolder(folder))
        after = cpu_seconds()
        assert cycle.verdict == "promoted", (cycle.verdict, cycle.decision.reasons)
        stages = {**costs.seconds, "ingest": ingested - before}
        stages["between the stages"] = after - ingested - sum(costs.seconds.values())
        print(
            json.dumps(
                {
                    "cycle": number,
                    "cpu": after - before,
                    "wall": time.perf_counter() - wall,
                    "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
                    "stages": stages,
                    "bytes": sizes(folder),
                }
            ),
            flush=True,
        )


def sizes(folder: Path) -> dict[str, int]:
    """Return the bytes on disk of the project's folders; a file with several names counts once."""
    seen, found = set[tuple[int, int]](), dict[str, int]()
    for name in (*FOLDERS, "."):
        total = 0
        root = folder / name
        for path in [root] if root.is_file() else root.rglob("*"):
            stat = path.lstat()
            if (stat.st_dev, stat.st_ino) not in seen:
                seen.add((stat.st_dev, stat.st_ino))
                total += stat.st_blocks * 512
        found["rest" if name == "." else name] = total
    return found


def measure_cycles(folder: Path, cycles: int, rows: int, settings: list[str]) -> list[dict[str, object]]:
    """Run all cycles, a process for each block, and return what each has cost."""
    if not folder.exists():
        make_project(folder, settings)
    log, measured = folder.parent / "growth.jsonl", list[dict[str, object]]()
    if log.exists():
        measured = [json.loads(line) for line in log.read_text().splitlines()]
    while len(measured) < cycles:
        lines = run_in_process(folder, len(measured) + 1, BLOCK, rows)
        measured += [json.loads(line) for line in lines]
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        print(block_line(measured, len(measured) // BLOCK - 1), flush=True)
    return measured


def run_in_process(folder: Path, first: int, count: int, rows: int) -> list[str]:
    """Run cycles in a process of their own and return what each has cost as a line of JSON."""
    command = [sys.executable, __file__, "block", *map(str, (folder, first, count, rows))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) != count:
        raise SystemExit(f"cycle {first + len(lines)} failed:\n{done.stderr[-3000:]}")
    return lines


def measure_turns(parents: list[Path], rounds: int, rows: int) -> None:
    """Run a few more cycles in a copy of each project, in turn, and print the CPU seconds of a cycle."""
    seconds: dict[Path, list[float]] = {parent: [] for parent in parents}
    for _ in range(rounds):
        for parent, own in seconds.items():
            with tempfile.TemporaryDirectory() as scratch:
                copy = shutil.copytree(parent / "shop", Path(scratch) / "shop", symlinks=True)
                measured = [json.loads(line) for line in run_in_process(copy, 100_001, 4, rows)]
            own += [cycle["cpu"] for cycle in measured[1:]]
    first = statistics.median(seconds[parents[0]])
    for parent, own in seconds.items():
        age, median = len(list((parent / "shop" / "data" / "experiences").iterdir())), statistics.median(own)
        spread = f"{min(own):.2f} to {max(own):.2f}"
        print(f"{parent}: after {age} cycles, {median:.2f} CPU s ({spread}), ratio {median / first:.2f}")


def block_line(measured: list[dict], block: int) -> str:  # type: ignore[type-arg]
    """Return one line about a block: medians without its first cycle."""
    own = measured[block * BLOCK : (block + 1) * BLOCK]
    later = own[1:]
    cpu = statistics.median(cycle["cpu"] for cycle in later)
    before = measured[block * BLOCK]["bytes"]
    added = (sum(own[-1]["bytes"].values()) - sum(before.values())) / (len(own) - 1)
    names = dict.fromkeys(name for cycle in later for name in cycle["stages"])
    stages = {name: statistics.median(cycle["stages"].get(name, 0.0) for cycle in later) for name in names}
    costly = sorted(stages.items(), key=lambda pair: -pair[1])[:9]
    shown = ", ".join(f"{name} {seconds:.2f}" for name, seconds in costly)
    return (
        f"cycles {own[0]['cycle']:4}-{own[-1]['cycle']:4}: {cpu:6.2f} CPU s, {own[-1]['memory_mb']:6.0f} MB, "
        f"{added / 1e3:7.0f} KB a cycle; {shown}"
    )


COMMANDS = (["status"], ["history"], ["audit"], ["report"], ["gates"])


def measure_commands(parent: Path, cycles: int) -> None:
    """Make a project of ten real cycles, and from it one of many; print what each command costs in both."""
    few, many = parent / "shop", parent / "many" / "shop"
    measure_cycles(few, BLOCK, 60, [])
    if not many.exists():
        many.parent.mkdir(exist_ok=True)
        shutil.copytree(few, many, symlinks=True)
        multiply(many, cycles)
    print(f"CPU seconds with {BLOCK} cycles, and with {cycles:,}")
    for command in COMMANDS:
        rounds = [[command_seconds(folder, command) for folder in (few, many)] for _ in range(3)]
        before, after = (min(seconds) for seconds in zip(*rounds, strict=True))
        print(f"cl {' '.join(command):<8} {before:5.2f} {after:5.2f}  ratio {after / before:.2f}", flush=True)
    print(f"the report: {(many / 'reports' / 'index.html').stat().st_size / 1e6:.2f} MB")


def command_seconds(folder: Path, command: list[str]) -> float:
    """Return the CPU seconds of a command in a process of its own."""
    before = cpu_seconds()
    call = [sys.executable, "-m", "cl.cli", *command, "-p", str(folder)]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(f"cl {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return cpu_seconds() - before


def multiply(folder: Path, cycles: int) -> None:
    """Add copies of a project's last cycle, as if each had learned one more experience and been promoted."""
    from cl import config as configuration
    from cl.promotion.alias_moves import remember_head
    from cl.records import Move
    from cl.stores.project_folder import ProjectFolder
    from cl.stores.stores import open_stores

    project = ProjectFolder(folder)
    stores = open_stores(project, configuration.load(project.config))
    stores.registry.initialise()
    last, model = stores.registry.runs.cycles()[-1], stores.registry.model
    assert last.run and last.evaluation and last.promotion
    entries, scores = stores.ledger.entries(model), list(last.evaluation.challenger)
    with closing(sqlite3.connect(folder / "mlflow" / "mlflow.db")) as database, database:
        for number in range(BLOCK + 1, cycles + 1):
            id, run, version = f"{number:04d}-day-{number}", uuid.uuid4().hex, str(number)
            copy_experience(project.experiences, last.experience.id, id)
            scores = [*scores[-99:], scores[-1].model_copy(update={"experience": id})]
            cycle = last.model_copy(
                update={
                    "id": f"cycle-{number}",
                    "run": run,
                    "experience": last.experience.model_copy(update={"id": id}),
                    "evaluation": last.evaluation.model_copy(
                        update={"newest": id, "challenger": scores, "champion": scores, "updates": number}
                    ),
                    "champion_before": str(number - 1),
                    "champion_after": version,
                    "promotion": last.promotion.model_copy(update={"version": version}),
                }
            )
            copy_run(database, folder, last.run, run, number, cycle)
            copy_version(database, last.promotion.version, version, run)
            move = Move(action="promote", to=version, expected=str(number - 1), why=f"learnt {id}", actor="bench@here")
            intent = stores.ledger.intend(model, move, seen=entries)
            entries.append(stores.ledger.commit(model, intent))
    stores.registry.set_alias("champion", str(cycles))
    remember_head(stores.registry, entries)


def copy_experience(experiences: Path, source: str, id: str) -> None:
    """Copy an experience's folder under another id."""
    shutil.copytree(experiences / source, experiences / id)
    record = json.loads((experiences / id / "experience.json").read_text())
    (experiences / id / "experience.json").write_text(json.dumps({**record, "id": id}))


def copy_run(database: sqlite3.Connection, folder: Path, source: str, run: str, number: int, cycle: Cycle) -> None:
    """Copy an MLflow run under another id, with the record of a cycle."""
    for table in ("tags", "params", "latest_metrics"):
        copy_rows(database, table, {"run_uuid": source}, {"run_uuid": run})
    (uri,) = database.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", [source]).fetchone()
    start = {"start_time": 1_900_000_000_000 + 1_000 * number, "artifact_uri": uri.replace(source, run)}
    copy_rows(database, "runs", {"run_uuid": source}, {"run_uuid": run, **start})
    tags = {"cl.cycle_id": cycle.id, "cl.experience": cycle.experience.id, "cl.version": cycle.promotion.version}
    for key, value in tags.items():
        database.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?", [value, run, key])
    text = cycle.model_dump_json(indent=1)
    files = folder / "mlflow" / "artifacts" / run / "artifacts"
    files.mkdir(parents=True)
    (files / "cycle.json").write_text(text)
    shutil.copytree(files.parents[1] / source / "artifacts" / "version", files / "version")
    (folder / ".cl" / "finished" / f"{run}.json").write_text(text)


def copy_version(database: sqlite3.Connection, source: str, version: str, run: str) -> None:
    """Copy a registered version under another number."""
    copy_rows(database, "model_versions", {"version": source}, {"version": version, "run_id": run})
    copy_rows(database, "model_version_tags", {"version": source}, {"version": version})
    tags = {"cl.cycle_id": f"cycle-{version}", "cl.parent": str(int(version) - 1)}
    for key, value in tags.items():
        query = "UPDATE model_version_tags SET value = ? WHERE version = ? AND key = ?"
        database.execute(query, [value, version, key])


def copy_rows(database: sqlite3.Connection, table: str, which: dict[str, str], changes: dict[str, object]) -> None:
    """Copy the rows of a table with other values in some columns."""
    ((column, value),) = which.items()
    cursor = database.execute(f"SELECT * FROM {table} WHERE {column} = ?", [value])
    names = [field[0] for field in cursor.description]
    rows = [[changes.get(name, cell) for name, cell in zip(names, row, strict=True)] for row in cursor]
    database.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(names))})", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cycles", "turns", "commands", "block"])
    parser.add_argument("more", nargs="*")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    if given.what == "block":
        folder, first, count, rows = given.more
        run_block(Path(folder), int(first), int(count), int(rows))
        return
    if given.what == "turns":
        measure_turns(list(map(Path, given.more)), given.rounds, given.rows)
        return
    with tempfile.TemporaryDirectory() as scratch:
        parent = given.keep or Path(scratch)
        parent.mkdir(parents=True, exist_ok=True)
        if given.what == "commands":
            return measure_commands(parent, given.cycles)
        measured = measure_cycles(parent / "shop", given.cycles, given.rows, given.settings)
        for block in range(len(measured) // BLOCK):
            print(block_line(measured, block))


if __name__ == "__main__":
    main()
