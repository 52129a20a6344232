"""The diagonal Fisher information of many rows at once beside a loop over single rows, on the same rows.

    python bench/fisher_speed.py CLINC150 [--rows 512] [--repeats 3]

Once for the parameters that move by default (embeddings frozen), and once for all of them.
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
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.learner import Learner
from cl.training.strategies._fisher import diagonal_fisher


def one_by_one(learner: Learner, rows: pd.DataFrame) -> dict[str, torch.Tensor]:
    """Square the gradient of each row's loss by itself: what the definition says, and nothing else."""
    learner.eval_mode()
    totals = {name: torch.zeros_like(parameter) for name, parameter in learner.parameters()}
    for one in learner.encode(rows):
        (batch,) = learner.batches([one], None)
        loss = torch.nn.functional.cross_entropy(learner.logits(batch), batch.targets)
        gradients = torch.autograd.grad(loss, [parameter for _, parameter in learner.parameters()])
        for (name, _), gradient in zip(learner.parameters(), gradients, strict=True):
            totals[name] += gradient.square()
    return {name: total / len(rows) for name, total in totals.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with train.jsonl.gz: text, label")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    rows = pd.read_json(given.folder / "train.jsonl.gz", lines=True).sample(given.rows, random_state=0)
    rows = rows.assign(id=[str(at) for at in range(len(rows))]).reset_index(drop=True)
    for name, embeddings in (("embeddings frozen", False), ("all parameters", True)):
        print(f"{name}: {compared(rows, given.repeats, embeddings=embeddings)}", flush=True)


def compared(rows: pd.DataFrame, repeats: int, *, embeddings: bool) -> str:
    torch.manual_seed(0)
    config = parse({"model": {"tuning": {"name": "full", "embeddings": embeddings}}}, where="bench")
    learner = new_learner(config)
    learner = grow_labels(learner, learner.task.labels(rows), seed=0)
    freeze_all_but_tuned(learner)
    seconds: dict[str, list[float]] = {"ours": [], "one by one": []}
    for _ in range(repeats):
        started = time.perf_counter()
        ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
        seconds["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        slow = one_by_one(learner, rows)
        seconds["one by one"].append(time.perf_counter() - started)
    apart = max(float((ours[name] - slow[name]).abs().max()) for name in ours)
    apart /= max(float(one.max()) for one in slow.values())
    fast, loop = (statistics.median(found) for found in seconds.values())
    return (
        f"{len(rows)} rows, ours {fast:.2f} s, one by one {loop:.2f} s: {loop / fast:.1f} times as fast; "
        f"largest difference {apart:.0e} of the largest entry"
    )


if __name__ == "__main__":
    main()
