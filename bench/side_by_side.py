"""Ways to learn a stream next to each other: strategies by a backtest, and the Trainer of transformers on its rows.

Shared by the benchmarks of tasks. A stream is a mapping from an experience to its rows, each with its split.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from trainer_loop import TrainerLoop

from cl.backtesting.backtest import BacktestPlan, backtest
from cl.backtesting.stream import read_stream
from cl.config import Config, parse
from cl.evaluation import continual
from cl.stores.data.experiences import Experiences

Row = dict[str, Any]
Stream = dict[str, list[Row]]
"""Experience -> its rows, each with its split."""
WAYS: dict[str, Any] = {
    "naive": {"strategy": "naive"},
    "replay": {"strategy": "replay"},
    "ranpac": {"strategy": "ranpac"},
    "default": {},
    "joint": {"strategy": "joint"},
    **{name: {"strategy": name} for name in ("majority", "ncm", "regression")},
}
TRAINER, TRAINER_AT_ONCE = "trainer", "trainer-joint"
"""One experience after the other, and all rows at once."""
PARTS = {"train": "train", "dev": "validation", "test": "test"}
"""What the files of a data set call the splits."""


def read_rows(folder: Path, name: str) -> list[Row]:
    """Return the rows of a gzipped file of JSON lines."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def cpu_seconds() -> float:
    """Return the processor seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def parser_of(description: str, ways: list[str], *, epochs: int) -> argparse.ArgumentParser:
    """Return a parser of what the benchmarks of tasks have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ways", nargs="*", default=ways, choices=ways)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--trainer-batch", type=int, help="rows of a step of the Trainer; else those of the strategies")
    return parser


def compare(
    title: str,
    stream: Stream,
    raw: dict[str, Any],
    ways: list[str],
    *,
    replay: str | dict[str, Any] = "replay",
    trainer_batch: int | None = None,
) -> None:
    """Print ACC, forgetting and processor seconds of each way to learn a stream.

    Args:
        title: of the table.
        stream: the experiences, in order.
        raw: the configuration, without a strategy.
        ways: names of `WAYS`, and ``trainer`` and ``trainer-joint``.
        replay: the strategy behind that name.
        trainer_batch: rows of a step of the Trainer; None: those of the strategies.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    raw = {**raw, "drift": {"report": "off"}, "data": {"split_column": "split", **raw.get("data", {})}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_stream(stream, Path(scratch) / "stream")
        store, experiences = read_stream(parse(raw, where="bench"), folder, Path(scratch) / "read")
        ids, sizes = [own.id for own in experiences], [own.rows for own in experiences]
        train, test = ([size.get(split, 0) for size in sizes] for split in ("train", "test"))
        print(f"{title}: training rows {train}, test rows {test}")
        print(f"{'':<20}{'ACC':>8}{'forgetting':>12}{'CPU s':>9}   last scores")
        for way in ways:
            if way in (TRAINER, TRAINER_AT_ONCE):
                training = {**raw["training"], **({"batch_size": trainer_batch} if trainer_batch else {})}
                config = parse({**raw, "strategy": "naive", "training": training}, where="bench")
                replay_with_trainer(config, store, ids, way, Path(scratch) / way)
            else:
                own = {"strategy": replay} if way == "replay" else WAYS[way]
                replay_stream(parse({**raw, **own}, where="bench"), folder, way, Path(scratch) / way)


def write_stream(stream: Stream, folder: Path) -> Path:
    """Write each experience as a file of JSON lines, numbered in order, and return the folder."""
    folder.mkdir(parents=True)
    for number, (name, rows) in enumerate(stream.items(), start=1):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{number:02}-{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def replay_stream(config: Config, folder: Path, way: str, out: Path) -> None:
    """Backtest a strategy and print its line."""
    (result,) = backtest(config, folder, BacktestPlan(baselines=False), out=out, jobs=1)
    if result.failures:
        print(f"{way:<20} failed: {result.failures}", flush=True)
        return
    show(way, result.matrix, result.cpu_seconds or 0.0)


def replay_with_trainer(config: Config, store: Experiences, ids: list[str], way: str, folder: Path) -> None:
    """Let the Trainer learn the experiences and print its line; a second one where answers have thresholds."""
    started, matrix, fixed = cpu_seconds(), [], []
    loop = TrainerLoop(config, labels_of(config, store.rows_of(ids, "train")), folder)
    steps = [ids] if way == TRAINER_AT_ONCE else [[id] for id in ids]
    tests, seen = [store.rows_of([id], "test") for id in ids], list[str]()
    for step in steps:
        loop.learn(store.rows_of(step, "train"))
        seen += step
        thresholds = loop.thresholds(store.rows_of(seen, "validation"))
        matrix.append(score(loop, tests, lambda rows, limits=thresholds: loop.answer(rows, limits)))
        if loop.task.has_thresholds:
            fixed.append(score(loop, tests, loop.answer))
    show(way, matrix, cpu_seconds() - started)
    if fixed:
        show(f"{way}, 1/2", fixed, cpu_seconds() - started)


def labels_of(config: Config, rows: pd.DataFrame) -> list[str]:
    """Return the labels of rows."""
    from cl import plugins

    labels: list[str] = plugins.build("tasks", config.task).labels(rows)
    return labels


def score(loop: TrainerLoop, tests: list[pd.DataFrame], answer: Callable[[pd.DataFrame], list[Any]]) -> list[Any]:
    """Return the main score on the test rows of each experience."""
    return [loop.task.main_score(rows, answer(rows)) for rows in tests]


def show(way: str, matrix: list[list[float | None]], seconds: float) -> None:
    """Print the mean of the last scores and the mean forgetting, in points, the seconds, and the last scores."""
    rows = continual.by_index(matrix)
    acc, lost = continual.accuracy(rows) or 0.0, continual.forgetting(rows)
    forgetting = f"{100 * statistics.fmean(lost.values()):>12.1f}" if lost else f"{'-':>12}"
    last = " ".join("-" if value is None else f"{100 * value:.1f}" for value in matrix[-1])
    print(f"{way:<20}{100 * acc:>8.1f}{forgetting}{seconds:>9.0f}   {last}", flush=True)
