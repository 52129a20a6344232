"""Processor seconds of an epoch of a language model whose rows are packed, beside rows that are padded.

    OMP_NUM_THREADS=1 python bench/packing.py tico19/en-fr.train.jsonl.gz source target [--rows 64] [--batch 8]
    OMP_NUM_THREADS=1 python bench/packing.py qmsum/product.train.jsonl.gz query summary

ROWS is a file of JSON lines; its first rows are learned with LoRA, in the configured model's defaults. Both ways have
the same batches, in turn, in one process with one thread; the first epoch of each is not counted. ``shuffled`` also
shows batches that are not sorted by length, as where an epoch has few rows or several sources. Printed are processor
seconds of the training alone, the share of padding in the tokens and in the targets, and the difference of the losses.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl.config import parse
from cl.models import batching
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.tasks import IGNORED
from cl.training.loop import fit
from cl.training.strategies import State, TrainingData, Update
from cl.training.strategies.naive import Naive


def epoch(rows: pd.DataFrame, batch: int, *, packing: bool, seed: int) -> tuple[float, float]:
    """Return the processor seconds and the loss of an epoch from the pretrained weights."""
    raw = {"task": "text_generation", "training": {"epochs": 1, "batch_size": batch, "packing": packing}}
    config = parse(raw, where="packing")
    torch.manual_seed(seed)
    learner = grow_labels(new_learner(config), ["text"], seed=seed)
    freeze_all_but_tuned(learner)
    lesson = TrainingData(rows, lambda: rows.iloc[:0], np.random.default_rng(seed))
    started = time.process_time()
    result = fit(learner, lesson, [(Naive(), Update(State(), lesson, learner))], config.training)
    return time.process_time() - started, result.losses[0]


def padding(rows: pd.DataFrame, batch: int) -> tuple[float, float]:
    """Return the share of padding in the tokens and in the targets of an epoch's batches."""
    learner = new_learner(parse({"task": "text_generation"}, where="packing"))
    encoded = learner.encode(rows)
    lengths = [len(row.input_ids) for row in encoded]
    tokens, targets = [], []
    for indices in batching.shuffled_batches(lengths, batch, np.random.default_rng(0)):
        own = batching.collate(learner.task, encoded, indices, 0, torch.device("cpu"))
        tokens.append([own.mask.numel(), int(own.mask.sum())])
        targets.append([own.targets.numel(), int((own.targets != IGNORED).sum())])
    return tuple(1 - real / all for all, real in (np.sum(tokens, 0), np.sum(targets, 0)))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows_file", type=Path)
    parser.add_argument("prompt")
    parser.add_argument("completion")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.read_json(options.rows_file, lines=True).head(options.rows)
    rows = pd.DataFrame(
        {
            "id": [f"r{index}" for index in range(len(table))],
            "prompt": table[options.prompt].map(str),
            "completion": table[options.completion].map(str),
        }
    )
    for name, pool in (("sorted by length", batching.POOL), ("shuffled", 1)):
        batching.POOL = pool
        tokens, targets = padding(rows, options.batch)
        epoch(rows.head(options.batch), options.batch, packing=True, seed=0)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        losses: dict[bool, list[float]] = {True: [], False: []}
        for repeat in range(options.repeats):
            for packing in (False, True) if repeat % 2 == 0 else (True, False):
                spent, loss = epoch(rows, options.batch, packing=packing, seed=repeat)
                seconds[packing].append(spent)
                losses[packing].append(loss)
        padded, packed = (statistics.median(seconds[packing]) for packing in (False, True))
        apart = max(abs(ours - theirs) for ours, theirs in zip(losses[True], losses[False], strict=True))
        print(
            f"{name}: {len(rows)} rows, padding {tokens:.0%} of tokens, {targets:.0%} of targets; "
            f"padded {padded:.1f} s, packed {packed:.1f} s, ratio {packed / padded:.2f}; losses differ by {apart:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
