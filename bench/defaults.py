"""The shipped default, untouched, beside what an engineer would try by hand: one table over several streams.

    python bench/defaults.py DATA [--streams intents-20 sample] [--seeds 17 18 19] [--out FOLDER]

DATA holds the folders clinc150, arxiv_cs and crossner, as described in the README files of the public data sets. Each
stream is cut from them by the seed. Every way to learn replays it in a process of its own, with a cache of its own, on
one core. ACC and forgetting are in points; CPU is user and system time, scoring included. The default holds if its ACC
is at most 0.5 below the best of the others, its forgetting at most 1 above that one's, and its CPU a fifth of joint's.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl import sample
from cl.backtesting.backtest import BacktestPlan, backtest
from cl.backtesting.results import Result
from cl.config import parse

WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "regression": {"strategy": "regression"},
    "ranpac": {"strategy": "ranpac"},
    "replay": {"strategy": "replay"},
    "joint": {"strategy": "joint"},
}
LINE = "{:<16}{:<14}{:>8.1f}{:>12.1f}{:>9.0f}"
Row = dict[str, Any]
Numbers = tuple[float, float, float]
"""ACC and forgetting in points, and CPU seconds."""
Experiences = dict[str, list[Row]]
"""Experience -> its rows, each with its split."""


@dataclass(frozen=True)
class Stream:
    """How a stream is made of the data folder by a seed, and what its configuration says of the data."""

    make: Callable[[Path, random.Random], Experiences]
    data: dict[str, Any]
    task: str = "text_classification"


def read_rows(folder: Path, name: str) -> list[Row]:
    """Return the rows of a gzipped file of JSON lines."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def held_out(rows: list[Row], share: float = 0.1) -> Iterator[Row]:
    """Yield the rows with their splits: the first share for validation, the others for training."""
    for place, row in enumerate(rows):
        yield {**row, "split": "validation" if place < max(1, round(share * len(rows))) else "train"}


def intents(each: int, classes: int, steps: int) -> Callable[[Path, random.Random], Experiences]:
    """Return a stream of new intents: so many classes at each step, with so many rows for each."""

    def make(data: Path, rng: random.Random) -> Experiences:
        parts = {split: read_rows(data / "clinc150", split) for split in ("train", "test")}
        names = sorted({row["label"] for row in parts["train"]})
        rng.shuffle(names)
        stream = {}
        for step in range(steps):
            rows = list[Row]()
            for name in names[step * classes : (step + 1) * classes]:
                own = [row for row in parts["train"] if row["label"] == name]
                rows += held_out(rng.sample(own, each))
                rows += [{**row, "split": "test"} for row in parts["test"] if row["label"] == name]
            stream[f"{step + 1:02}"] = rows
        return stream

    return make


def abstracts(each: int) -> Callable[[Path, random.Random], Experiences]:
    """Return a stream of years of abstracts, with so many rows a year for training and 200 for the test."""

    def make(data: Path, rng: random.Random) -> Experiences:
        stream = {}
        for path in sorted((data / "arxiv_cs").glob("*.jsonl.gz")):
            rows = read_rows(path.parent, path.name.removesuffix(".jsonl.gz"))
            rng.shuffle(rows)
            tests = [{**row, "split": "test"} for row in rows[:200]]
            stream[path.name.removesuffix(".jsonl.gz")] = [*held_out(rows[200 : 200 + each]), *tests]
        return stream

    return make


def entities(data: Path, rng: random.Random) -> Experiences:
    """Return a stream of domains with new types of entities."""
    splits = {"train": "train", "dev": "validation", "test": "test"}
    return {
        domain: [
            {**row, "split": splits[part]}
            for part in splits
            for row in read_rows(data / "crossner", f"{domain}.{part}")
        ]
        for domain in ("science", "politics", "music", "literature", "ai")
    }


def messages(data: Path, rng: random.Random) -> Experiences:
    """Return the sample stream; its rows are split by the configuration."""
    with tempfile.TemporaryDirectory() as folder:
        months = sample.write_months(Path(folder))
        return {month.stem: list(csv.DictReader(month.open(encoding="utf-8", errors="replace"))) for month in months}


BY_COLUMN = {"split_column": "split"}
STREAMS = {
    "sample": Stream(messages, {"label": "intent", "max_chars": 1_000, "split": {"validation": 0.1, "test": 0.2}}),
    "intents-20": Stream(intents(20, classes=11, steps=7), BY_COLUMN),
    "intents-5": Stream(intents(5, classes=15, steps=6), BY_COLUMN),
    "intents-100": Stream(intents(100, classes=15, steps=10), BY_COLUMN),
    "abstracts-190": Stream(abstracts(190), BY_COLUMN),
    "abstracts-1000": Stream(abstracts(1_000), BY_COLUMN),
    "entities": Stream(entities, {"split_column": "split", "id": None}, task="token_classification"),
}


def write_stream(stream: Experiences, folder: Path) -> Path:
    """Write each experience as a file of JSON lines, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in stream.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def replay(stream: Stream, folder: Path, way: str, seed: int) -> Result:
    """Replay a stream in one way, and return its result."""
    config = parse(
        {"task": stream.task, "data": stream.data, "seed": seed, "drift": {"report": "off"}, **WAYS[way]}, where=way
    )
    plan = BacktestPlan(seeds=[seed], baselines=False)
    (result,) = backtest(config, folder, plan, out=folder.parent / way, jobs=1)
    shutil.rmtree(folder.parent / way)
    return result


def mean(rows: list[Numbers]) -> Numbers:
    """Return the means over seeds."""
    acc, forgetting, cpu = (statistics.fmean(column) for column in zip(*rows, strict=True))
    return acc, forgetting, cpu


def verdict(rows: dict[str, Numbers]) -> str:
    """Return whether the default holds against the best of the other ways, and how far it is from it."""
    (acc, lost, cpu), others = rows["default"], {way: row for way, row in rows.items() if way != "default"}
    best = max(others, key=lambda way: others[way][0])
    share = cpu / rows["joint"][2] if "joint" in rows else float("nan")
    holds = acc >= others[best][0] - 0.5 and lost <= others[best][1] + 1 and not share > 0.2
    distance = f"{acc - others[best][0]:+.1f} ACC from {best}, {100 * share:.0f} % of joint's CPU"
    return f"{'holds' if holds else 'FAILS'}: {distance}"


def main() -> None:
    """Replay the streams and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--streams", nargs="*", choices=STREAMS, default=list(STREAMS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[17])
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{'stream':<16}{'way':<14}{'ACC':>8}{'forgetting':>12}{'CPU, s':>9}")
    for name in given.streams:
        measured: dict[str, list[Numbers]] = {way: [] for way in given.ways}
        for seed in given.seeds:
            with tempfile.TemporaryDirectory() as folder:
                made = write_stream(STREAMS[name].make(given.data, random.Random(seed)), Path(folder) / "stream")
                for way in given.ways:
                    result = replay(STREAMS[name], made, way, seed)
                    if result.acc is None or result.forgetting is None or result.cpu_seconds is None:
                        print(f"{name:<16}{way:<14} failed: {result.failures}")
                        continue
                    row = 100 * result.acc, 100 * result.forgetting, result.cpu_seconds
                    measured[way].append(row)
                    print(LINE.format(name, f"{way} {seed}", *row), flush=True)
        means = {way: mean(rows) for way, rows in measured.items() if rows}
        if len(given.seeds) > 1:
            for way, numbers in means.items():
                print(LINE.format(name, way, *numbers), flush=True)
        if "default" in means and len(means) > 1:
            print(f"{name:<16}{verdict(means)}", flush=True)


if __name__ == "__main__":
    main()
