"""What adversarial training gains and costs: naive and replay, alone and with fgm, pgd, freelb and smart.

    python bench/adversarial.py DATA [--streams intents papers] [--ways none fgm] [--seeds 17 18]

DATA holds the folders clinc150 and arxiv_cs, as described in the README files of the public data sets. Each stream is
cut from them by the seed and learned experience by experience, with few rows, on one core. Each line has the accuracy
on the test rows of all experiences in the end, that with word embeddings perturbed by an adversary (`epsilon` of 0.01,
which is the default of the measure, and 0.03), in points, and the CPU seconds of training; means over seeds, the
difference of the two seeds' values in brackets.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cl.config import parse
from cl.evaluation.adversarial import measure_adversarial
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.training.train import train

WAYS: dict[str, list[Any]] = {
    "none": [],
    "fgm": ["fgm"],
    "pgd": ["pgd"],
    "freelb": ["freelb"],
    "smart": ["smart"],
}
EPSILONS = (0.01, 0.03)
Stream = dict[str, dict[str, pd.DataFrame]]
"""Experience -> split -> its rows."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a gzipped file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def intents(data: Path, rng: random.Random) -> Stream:
    """Return two experiences of 20 new intents each, with 8 rows for each intent: 6 to train on."""
    rows = {split: read_rows(data / "clinc150" / f"{split}.jsonl.gz") for split in ("train", "test")}
    names = sorted({row["label"] for row in rows["train"]})
    rng.shuffle(names)
    stream = {}
    for step in range(2):
        parts: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
        for name in names[step * 20 : (step + 1) * 20]:
            own = {split: [row for row in rows[split] if row["label"] == name] for split in rows}
            drawn = rng.sample(own["train"], 8)
            parts["train"] += drawn[:6]
            parts["validation"] += drawn[6:]
            parts["test"] += rng.sample(own["test"], 10)
        stream[f"step-{step}"] = {split: _table(own, f"{step}-{split}") for split, own in parts.items()}
    return stream


def papers(data: Path, rng: random.Random) -> Stream:
    """Return four experiences, the years 2008 to 2011, with 44 abstracts each: 32 to train on."""
    stream = {}
    for year in range(2008, 2012):
        drawn = rng.sample(read_rows(data / "arxiv_cs" / f"{year}.jsonl.gz"), 144)
        parts = {"train": drawn[:32], "validation": drawn[32:44], "test": drawn[44:]}
        stream[str(year)] = {split: _table(own, f"{year}-{split}") for split, own in parts.items()}
    return stream


def _table(rows: list[dict[str, Any]], prefix: str) -> pd.DataFrame:
    ids = [f"{prefix}-{number}" for number in range(len(rows))]
    return pd.DataFrame({"id": ids, "text": [r["text"] for r in rows], "label": [r["label"] for r in rows]})


STREAMS = {"intents": intents, "papers": papers}


def measure(stream: Stream, strategies: list[Any], seed: int, folder: Path) -> tuple[float, ...]:
    """Learn a stream and return accuracy, robustness at each epsilon, and CPU seconds of training."""
    config = parse(
        {
            "seed": seed,
            "strategy": strategies,
            "model": {"name": "minilm", "max_length": 32},
            "training": {"epochs": 3, "batch_size": 16},
            "drift": {"detectors": []},
        },
        where="bench",
    )

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        first = next(iter(stream.values()))[split].iloc[:0]
        return pd.concat([first, *(stream[id][split] for id in ids)], ignore_index=True)

    champion, past, started = None, list[str](), time.process_time()
    for new in stream:
        train(config, champion=champion, new=[new], past=past, rows_of=rows_of, folder=folder / new)
        champion, past = folder / new, [*past, new]
    seconds = time.process_time() - started
    assert champion is not None
    learner, tests = load_learner(champion), rows_of(past, "test")
    answers = [answer(learner, tests).values, *(measure_adversarial(learner, tests, epsilon=by) for by in EPSILONS)]
    return *(100 * learner.task.score(tests, values)["accuracy"] for values in answers), seconds


def main() -> None:
    """Measure what is asked for and print a line for each stream, base and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--streams", nargs="+", default=list(STREAMS), choices=list(STREAMS))
    parser.add_argument("--bases", nargs="+", default=["naive", "replay"], choices=["naive", "replay"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[17, 18])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'stream':<9}{'base':<8}{'way':<8}{'ACC':>14}{'at 0.01':>14}{'at 0.03':>14}{'CPU s':>8}", flush=True)
    for name in asked.streams:
        streams = {seed: STREAMS[name](asked.data, random.Random(seed)) for seed in asked.seeds}
        for base in asked.bases:
            for way in asked.ways:
                with tempfile.TemporaryDirectory() as folder:
                    found = [
                        measure(stream, [base, *WAYS[way]], seed, Path(folder) / str(seed))
                        for seed, stream in streams.items()
                    ]
                values = [(sum(own) / len(own), max(own) - min(own)) for own in zip(*found, strict=True)]
                shown = "".join(f"{mean:>7.1f} ({spread:>4.1f})" for mean, spread in values[:-1])
                print(f"{name:<9}{base:<8}{way:<8}{shown}{values[-1][0]:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
