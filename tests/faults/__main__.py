"""Inject faults into a small real project, and print what came of them as a table.

    python -m tests.faults [--few] [--only kills --only disk ...] [--seed 0] [--results FILE]

Each fault is told as it ends; with --results it is also appended to a file of JSON lines. The same command goes on
after an interruption: what stands in the file, drawn by the same seed, is not injected again. The table is over all
that the file holds, so that several runs (each with a seed of its own) add up.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.prepared import prepare
from tests.faults.results import Results
from tests.faults.suite import FAULTS, FEW, MANY, Bench
from tests.faults.table import table
from tests.support.tiny import made_tiny_model


def main() -> None:
    """Run the command; the exit code is 1 if anything was not well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--few", action="store_true", help="as many as with every change, not as in the night")
    parser.add_argument("--only", action="append", choices=FAULTS, help="faults of this kind; repeatable")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random")
    parser.add_argument("--results", type=Path, help="file that the trials are appended to")
    given = parser.parse_args()
    results, drawn = Results(given.results), f"{'few' if given.few else 'many'} by seed {given.seed}"
    began = time.monotonic()
    os.environ["OMP_NUM_THREADS"] = "1"  # the model is tiny: a second thread costs more than it does
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and mounts go when this is interrupted
    with tempfile.TemporaryDirectory() as scratch:
        model = made_tiny_model(Path(scratch) / "model")
        (Path(scratch) / "local").mkdir()
        project = prepare(Path(scratch) / "local", model)
        bench = Bench(project, Path(scratch), model, FEW if given.few else MANY, given.seed)
        for kind in given.only or FAULTS:
            for number, attempt in enumerate(FAULTS[kind](bench), start=1):
                if not results.has(kind, number, drawn):
                    trial = results.made(kind, number, drawn, attempt)
                    print(f"{time.monotonic() - began:6.0f} s  {kind} {number}: {trial}", file=sys.stderr, flush=True)
    print(table(results.trials, undisturbed=project.seconds))
    sys.exit(any(trial.wrong for trial in results.trials))


if __name__ == "__main__":
    main()
