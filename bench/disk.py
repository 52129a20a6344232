"""What a cycle adds to the disk, by folder: blocks as `du` counts them, so that a file with two names counts once.

    python bench/disk.py [--model small|minilm] [--strategy replay|ranpac] [--cycles 4] [--code FOLDER]

Each cycle learns 120 rows of made-up words and is promoted. The first cycle is left out: it brings what the others
share. To compare with another state of the code, name its folder: it is then measured as well, and the ratio printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

BLOCK = 512  # bytes, in which st_blocks counts
FOLDERS = ("mlflow/artifacts/models", "mlflow/artifacts", "mlflow", ".cl/versions", ".cl", ".dvc", "data", "")
ROWS, WORDS = 120, [f"word{number}" for number in range(40)]


def save_small_model(folder: Path) -> str:
    """Write a two-layer BERT whose embeddings (8,192 x 64) are most of it, as they are of most small encoders."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *WORDS, *(f"unused{number}" for number in range(8_192 - len(special) - len(WORDS)))]
    torch.manual_seed(0)
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, "hidden_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), **layers), add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab={word: at for at, word in enumerate(vocabulary)}).save_pretrained(folder)
    return str(folder)


def make_rows(cycle: int, labels: list[str], folder: Path) -> None:
    """Write an experience: each text holds its label's own word and some others."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(cycle)
    chosen = [labels[row % len(labels)] for row in range(ROWS)]
    texts = [" ".join([*rng.choice(WORDS, 6), WORDS[int(label[1:])]]) for label in chosen]
    frame = pd.DataFrame({"id": [f"{cycle}-{row}" for row in range(ROWS)], "text": texts, "label": chosen})
    frame.to_csv(folder / f"lot-{cycle}.csv", index=False)


def measure(project: Path) -> dict[str, int]:
    """Return the bytes of blocks below each folder, without those of the folders inside it that have a line too."""
    seen, sizes = set[tuple[int, int]](), defaultdict[str, int](int)
    for path in sorted(project.rglob("*"), key=lambda path: ".cl" in path.parts):
        state, name = path.lstat(), path.relative_to(project).as_posix()
        if (state.st_dev, state.st_ino) not in seen:
            seen.add((state.st_dev, state.st_ino))
            sizes[next(folder for folder in FOLDERS if name.startswith(folder))] += state.st_blocks * BLOCK
    return dict(sizes)


def run_cycles(model: str, strategy: str, cycles: int) -> list[dict[str, int]]:
    """Return what a project measures after each of its cycles."""
    import torch
    import yaml

    from cl.commands.init import scaffold
    from cl.lifecycle import run_waiting

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        name = save_small_model(Path(scratch) / "model") if model == "small" else model
        settings = {
            "name": "disk",
            "model": {"name": name},
            "strategy": strategy,
            "training": {"epochs": 1},
            "data": {"source": {"name": "files", "path": "inbox"}, "split": {"validation": 0.1, "test": 0.2}},
            "drift": {"report": "off"},
            "decide": {"min_gain": None, "max_waiting_rows": 1},
            "gates": [{"name": "floor", "min": 0.0}],
            "evaluation": {"smoke_rows": 0, "baselines": False},
            "triggers": {"settle_seconds": 0},
        }
        project = scaffold(Path(scratch) / "project", yaml.safe_dump(settings))
        (project.root / "inbox").mkdir()
        measured = []
        for cycle in range(1, cycles + 1):
            make_rows(cycle, [f"l{label}" for label in range(2 + cycle)], project.root / "inbox")
            (learned,) = run_waiting(project)
            assert learned.verdict == "promoted", learned.verdict
            measured.append(measure(project.root))
        return measured


def measure_code(code: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return the megabytes that a cycle adds to each folder on average, measured by a process with the given code."""
    environment = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    options = ["--model", given.model, "--strategy", given.strategy, "--cycles", str(given.cycles), "--child"]
    done = subprocess.run(
        [sys.executable, __file__, *options], env=environment, cwd=code, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    measured = json.loads(done.stdout.splitlines()[-1])
    added = {
        folder: (measured[-1].get(folder, 0) - measured[0].get(folder, 0)) / (len(measured) - 1) / 1e6
        for folder in FOLDERS
    }
    return {**added, "all": sum(added.values()), "all after the last": sum(measured[-1].values()) / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", choices=["small", "minilm"])
    parser.add_argument("--strategy", default="replay")
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--code", type=Path, help="a folder with another state of the code, to compare with")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(run_cycles(given.model, given.strategy, given.cycles)))
        return
    here = measure_code(Path(__file__).parent.parent, given)
    there = measure_code(given.code.resolve(), given) if given.code else None
    print(f"{given.model}, {given.strategy}, {given.cycles} cycles; MB a cycle after the first")
    print(f"{'folder':<26}{'MB':>9}" + (f"{'there':>9}{'there / here':>14}" if there else ""))
    for folder, size in here.items():
        other = there[folder] if there else 0.0
        ratio = f"{other:>9.2f}{other / size if size > 0.005 else float('nan'):>14.2f}" if there else ""
        print(f"{folder or 'the rest':<26}{size:>9.2f}{ratio}")


if __name__ == "__main__":
    main()
