"""Few rows a class: accuracy with and without label descriptions or changed texts, and SetFit's on the same rows.

    python bench/few_rows.py shots DATA                          # 0 to 8 rows a class, names as descriptions
    python bench/few_rows.py changes DATA --classes 30 --rows 8  # training.augment, and without
    python bench/few_rows.py setfit DATA --python SETFIT/bin/python --classes 5 --rows 8 [--similar]

DATA is a folder with train.jsonl.gz and test.jsonl.gz, whose lines have text and label, such as CLINC150's. A
description is the label's name in words. Classes are drawn by the seed; with ``--similar``, one is, and the others are
those whose names are closest to it, as the packaged encoder embeds them. CPU seconds are user and system time with one
thread, of training alone, which is `Trainer.train` for SetFit. SETFIT is an environment with bench/peers/setfit.txt
installed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import resource
import subprocess
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import numpy as np
import pandas as pd
import torch

from cl.config import parse
from cl.models.build import new_learner
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.training.train import train

CHANGES: dict[str, dict[str, Any] | None] = {
    "none": None,
    "word_dropout": {"word_dropout": 0.1, "typing_errors": 0.0},
    "typing_errors": {"word_dropout": 0.0, "typing_errors": 0.1},
    "both": {"word_dropout": 0.1, "typing_errors": 0.1},
    "both, stronger": {"word_dropout": 0.3, "typing_errors": 0.3, "share": 0.8},
}
"""What training.augment is set to."""
TESTED = 10
"""Test rows of a class."""
SOLVED = ("ranpac", "slda", "ncm", "regression")
WAYS: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in SOLVED} | {
    "naive": {"strategy": "naive", "training": {"epochs": 15}},
    "contrastive": {"strategy": "contrastive"},
    "adapt": {
        "strategy": {"name": "ranpac", "adapt": "always"},
        "training": {"steps": 60, "batch_size": 16},
    },
}
"""Name -> the settings that it is trained with."""


def read(folder: Path, split: str) -> pd.DataFrame:
    """Return the rows of a split, with ids."""
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = pd.DataFrame([json.loads(line) for line in lines])
    return rows.assign(id=[f"{split}-{number}" for number in range(len(rows))], date=None)[
        ["id", "text", "label", "date"]
    ]


def drawn(rows: pd.DataFrame, labels: list[str], each: int, seed: int) -> pd.DataFrame:
    """Return so many rows of each label, drawn by the seed."""
    rows = rows[rows["label"].isin(labels)].sample(frac=1, random_state=seed)
    return rows.groupby("label").head(each).reset_index(drop=True) if each else rows.iloc[:0]


def names_as_rows(labels: list[str]) -> pd.DataFrame:
    """Return the name of each label, in words, as a row of it."""
    words = [label.replace("_", " ") for label in labels]
    ids = [f"description-{label}" for label in labels]
    return pd.DataFrame({"id": ids, "text": words, "label": labels, "date": None})


def choose_classes(stream: pd.DataFrame, most: int, seed: int, *, similar: bool) -> list[str]:
    """Return so many labels: drawn by the seed, or the label that it draws first and those with the closest names."""
    labels = sorted(stream["label"].unique())
    drawn_labels = list(np.random.default_rng(seed).permutation(labels))
    if not similar:
        return sorted(drawn_labels[:most])
    learner = new_learner(parse({}, where="minilm"))
    with torch.inference_mode():
        ((batch, states),) = learner.run(learner.encode(names_as_rows(labels)), batch_size=len(labels))
        embeddings = torch.nn.functional.normalize(learner.embed(states[-1], batch.mask)).numpy()
    vectors = np.zeros_like(embeddings)
    vectors[batch.rows] = embeddings
    closest = np.argsort(-vectors @ vectors[labels.index(drawn_labels[0])], kind="stable")
    return sorted(labels[index] for index in closest[:most])


def cpu_seconds() -> float:
    """Return user and system seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ours(
    way: str,
    rows: pd.DataFrame,
    tests: pd.DataFrame,
    scratch: Path,
    seed: int,
    augment: dict[str, Any] | None = None,
) -> tuple[float, float]:
    """Train on the rows; return the accuracy on the tests, and the CPU seconds of training."""
    training = {**WAYS[way].get("training", {}), "augment": augment}
    config = parse({**WAYS[way], "training": training, "seed": seed}, where=way)
    none, began = rows.iloc[:0], cpu_seconds()
    train(
        config,
        champion=None,
        new=["few"],
        past=[],
        rows_of=lambda ids, split: rows if ids and split == "train" else none,
        folder=scratch / "version",
    )
    seconds = cpu_seconds() - began
    answers = [prediction.value for prediction in answer(load_learner(scratch / "version"), tests).predictions]
    return float(np.mean(np.array(answers) == tests["label"])), seconds


def compare_shots(data: Path, ways: list[str], shots: list[int], seeds: list[int]) -> None:
    """Print a line for each number of rows a class and way to learn: without descriptions, and with them."""
    stream, tests = read(data, "train"), read(data, "test")
    labels = sorted(stream["label"].unique())
    tests = tests.groupby("label").head(TESTED).reset_index(drop=True)
    print(f"{len(labels)} classes, {len(tests):,} test rows, mean of seeds {seeds}; % right", flush=True)
    print(f"{'rows a class':<14}{'way':<14}{'without':>9}{'with':>9}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for each in shots:
            for way in ways:
                found: dict[bool, list[float]] = {False: [], True: []}
                for seed in seeds if each else seeds[:1]:
                    rows = drawn(stream, labels, each, seed)
                    for described in (False, True) if each else (True,):
                        learned = pd.concat([rows, names_as_rows(labels)], ignore_index=True) if described else rows
                        found[described].append(ours(way, learned, tests, Path(scratch), seed)[0])
                shown = [f"{100 * fmean(values):.1f}" if values else "-" for values in found.values()]
                print(f"{each:<14}{way:<14}{shown[0]:>9}{shown[1]:>9}", flush=True)


def compare_changes(data: Path, ways: list[str], classes: int, each: int, seeds: list[int]) -> None:
    """Print a line for each way to learn and each change of training texts."""
    stream, tests = read(data, "train"), read(data, "test")
    print(f"{classes} classes, {each} rows each, {classes * TESTED} test rows; % right by seed, mean", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for way in ways:
            for name, augment in CHANGES.items():
                scores = []
                for seed in seeds:
                    labels = choose_classes(stream, classes, seed, similar=False)
                    mine = tests[tests["label"].isin(labels)].groupby("label").head(TESTED).reset_index(drop=True)
                    rows = drawn(stream, labels, each, seed)
                    scores.append(100 * ours(way, rows, mine, Path(scratch), seed, augment)[0])
                by_seed = ", ".join(f"{score:.1f}" for score in scores)
                print(f"{way:<14}{name:<16}{fmean(scores):>7.1f}   ({by_seed})", flush=True)


def compare_setfit(
    data: Path, ways: list[str], python: str, classes: int, each: int, seeds: list[int], *, similar: bool
) -> None:
    """Print accuracy and CPU seconds of SetFit and of our ways on the same rows, seed by seed in turn."""
    stream, tests = read(data, "train"), read(data, "test")
    everything: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        learner = new_learner(parse({}, where="minilm"))
        learner.encoder.save_pretrained(folder / "encoder")
        learner.tokenizer.save_pretrained(folder / "encoder")
        for seed in seeds:
            labels = choose_classes(stream, classes, seed, similar=similar)
            rows = drawn(stream, labels, each, seed)
            mine = tests[tests["label"].isin(labels)].reset_index(drop=True)
            for name, part in ("train", rows), ("test", mine):
                part[["text", "label"]].to_json(folder / f"{name}.jsonl", orient="records", lines=True)
            side = Path(__file__).parent / "peers" / "setfit_side.py"
            done = subprocess.run(
                [python, str(side), str(folder), str(seed)], capture_output=True, text=True, check=True
            )
            result = json.loads(done.stdout.splitlines()[-1])
            everything.setdefault("setfit", []).append((result["accuracy"], result["cpu_seconds"]))
            for way in ways:
                for described in (False, True):
                    learned = pd.concat([rows, names_as_rows(labels)], ignore_index=True) if described else rows
                    name = f"{way} + names" if described else way
                    everything.setdefault(name, []).append(ours(way, learned, mine, folder, seed))
            print(
                seed, {name: f"{100 * v[-1][0]:.1f} %, {v[-1][1]:.1f} s" for name, v in everything.items()}, flush=True
            )
    base = fmean(seconds for _, seconds in everything["setfit"])
    print(f"{classes} classes, {each} rows each, {len(mine)} test rows, mean of seeds {seeds}")
    for name, results in everything.items():
        seconds = fmean(own for _, own in results)
        print(
            f"{name:<22}{100 * fmean(score for score, _ in results):>7.1f} %{seconds:>9.2f} CPU s{seconds / base:>8.3f}"
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["shots", "changes", "setfit"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    parser.add_argument("--rows", nargs="+", type=int)
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--similar", action="store_true", help="classes whose names are close to each other")
    parser.add_argument("--python", default="python", help="of the environment with SetFit")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    if given.what == "shots":
        compare_shots(given.data, given.ways or list(SOLVED), given.rows or [0, 1, 2, 4, 8], given.seeds or [0])
        return
    seeds = given.seeds or [0, 1, 2, 3, 4]
    if given.what == "changes":
        for each in given.rows or [8]:
            compare_changes(given.data, given.ways or ["naive", "contrastive"], given.classes, each, seeds)
        return
    for each in given.rows or [8]:
        ways = given.ways or ["ranpac", "contrastive"]
        compare_setfit(given.data, ways, given.python, given.classes, each, seeds, similar=given.similar)


if __name__ == "__main__":
    main()
