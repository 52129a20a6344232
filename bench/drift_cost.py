"""What one check costs: all default detectors, and the discrepancy of embeddings over ever more rows.

    python bench/drift_cost.py [--rows 10000] [--most 1000000]

The first line is a whole check of so many new rows against as many of the reference, embeddings of 384 numbers at
hand. Then `embedding_mmd` looks at all rows instead of a sample, up to the most: time for each row must not grow.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cl.config import parse
from cl.drift.detect import compare_snapshots
from cl.drift.detectors.embedding_mmd import EmbeddingMmd
from cl.models.snapshot import Snapshot

WIDTH, LABELS, WORDS = 384, 150, 5_000


def made(rows: int, seed: int) -> Snapshot:
    """Return rows with random words, labels, confidences and embeddings: nothing has drifted."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, WORDS, size=(rows, 9))
    frame = pd.DataFrame({
        "id": [f"{seed}-{at}" for at in range(rows)],
        "text": [" ".join(f"w{word}" for word in text) for text in words],
        "label": [f"l{label}" for label in rng.integers(0, LABELS, rows)],
        "confidence": rng.beta(8, 1, rows),
        "score": (rng.uniform(size=rows) < 0.9).astype(float),
    })  # fmt: skip
    known = tuple(f"l{at}" for at in range(LABELS))
    return Snapshot(frame.assign(prediction=frame["label"]), rng.normal(size=(rows, WIDTH)).astype(np.float32), known)


def vectors(rows: int, seed: int) -> Snapshot:
    embeddings = np.random.default_rng(seed).standard_normal(size=(rows, WIDTH), dtype=np.float32)
    return Snapshot(pd.DataFrame(index=range(rows)), embeddings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=1_000_000)
    given = parser.parse_args()
    config = parse({"drift": {"report": "off"}}, where="bench")
    reference, new = made(given.rows, 0), made(given.rows, 1)
    compare_snapshots(config, "warm up", made(200, 2), made(200, 3), folder=Path("unused"))
    started = time.perf_counter()
    seen = compare_snapshots(config, "one", reference, new, folder=Path("unused"))
    seconds = time.perf_counter() - started
    print(f"{len(seen.findings)} detectors, {given.rows:,} rows against {given.rows:,}: {seconds:.1f} s")
    print(f"{'rows a side':>12}{'seconds':>9}{'µs a row':>10}{'peak MB':>9}")
    size = given.rows
    while size <= given.most:
        sides = vectors(size, 0), vectors(size, 1)
        started = time.perf_counter()
        EmbeddingMmd(max_rows=size).detect(*sides, alpha=0.05, seed=0)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{size:>12,}{seconds:>9.1f}{1e6 * seconds / (2 * size):>10.1f}{peak:>9.0f}", flush=True)
        size *= 10


if __name__ == "__main__":
    main()
