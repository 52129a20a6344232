"""What a cycle costs as a project gets older: seconds of CPU, memory and bytes, by stage and by cycle.

    PYTHONPATH=. python bench/growth.py cycles [--cycles 300] [--rows 60] [--set evaluation.max_rows=1000] [--keep DIR]
    PYTHONPATH=. python bench/growth.py commands [--cycles 2000] [--keep DIR]

``cycles`` takes a project with a two-layer BERT through real cycles: each one ingests new rows of six classes, learns
them by replay and promotes what it learned. The smoke test and Evidently's report, which cost the same at any age, are
off; all else has its default. Processes of ten cycles follow one another; a block's first cycle, which imports, is left
out of its median. ``commands`` makes a project of many cycles out of a real one, and times what people ask it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

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
        command = [sys.executable, __file__, "block", str(folder), str(len(measured) + 1), str(BLOCK), str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or len(lines) != BLOCK:
            raise SystemExit(f"cycle {len(measured) + len(lines) + 1} failed:\n{done.stderr[-3000:]}")
        measured += [json.loads(line) for line in lines]
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        print(block_line(measured, len(measured) // BLOCK - 1), flush=True)
    return measured


def block_line(measured: list[dict], block: int) -> str:  # type: ignore[type-arg]
    """Return one line about a block: medians without its first cycle."""
    own = measured[block * BLOCK : (block + 1) * BLOCK]
    later = own[1:]
    cpu = statistics.median(cycle["cpu"] for cycle in later)
    before = measured[block * BLOCK]["bytes"]
    added = (sum(own[-1]["bytes"].values()) - sum(before.values())) / (len(own) - 1)
    names = dict.fromkeys(name for cycle in later for name in cycle["stages"])
    stages = {name: statistics.median(cycle["stages"].get(name, 0.0) for cycle in later) for name in names}
    shown = ", ".join(f"{name} {seconds:.2f}" for name, seconds in sorted(stages.items(), key=lambda pair: -pair[1])[:9])
    return (
        f"cycles {own[0]['cycle']:4}-{own[-1]['cycle']:4}: {cpu:6.2f} CPU s, {own[-1]['memory_mb']:6.0f} MB, "
        f"{added / 1e3:7.0f} KB a cycle; {shown}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cycles", "commands", "block"])
    parser.add_argument("more", nargs="*")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    if given.what == "block":
        folder, first, count, rows = given.more
        run_block(Path(folder), int(first), int(count), int(rows))
        return
    with tempfile.TemporaryDirectory() as scratch:
        parent = given.keep or Path(scratch)
        parent.mkdir(parents=True, exist_ok=True)
        measured = measure_cycles(parent / "shop", given.cycles, given.rows, given.settings)
        for block in range(len(measured) // BLOCK):
            print(block_line(measured, block))


if __name__ == "__main__":
    main()
