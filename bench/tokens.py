"""Processor seconds of the tokens of a language model's rows: made each time, and from the files of a project's cache.

    OMP_NUM_THREADS=1 python bench/tokens.py dialogue sgd/*.train.jsonl.gz
    OMP_NUM_THREADS=1 python bench/tokens.py text_generation tico19/en-fr.train.jsonl.gz --columns source target
    OMP_NUM_THREADS=1 python bench/tokens.py language_modelling arxiv_cs/2008.jsonl.gz --columns text

FILES are JSON lines; a conversation without an answer is answered by its last turn. An update with replay asks for the
tokens of its new rows and of its buffer twice (to count the mix, and to learn), and for those of the validation rows
after each epoch. Both ways take turns in one process with one thread; printed are medians, and bytes on disk.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from cl import plugins
from cl.models.pretrained import load_tokenizer
from cl.models.token_files import TokenFiles


def read(paths: list[Path], columns: list[str] | None, names: list[str]) -> pd.DataFrame:
    """Return the rows of files under the names of the task's columns."""
    raw = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            raw += [json.loads(line) for line in lines]
    if "messages" in raw[0] and "completion" not in raw[0]:
        raw = [{"messages": row["messages"][:-1], "completion": row["messages"][-1]["content"]} for row in raw]
    frame = pd.DataFrame(raw)
    return frame.rename(columns=dict(zip(columns or names, names, strict=False)))[names]


def seconds(action: Callable[[], object]) -> float:
    """Return the processor seconds of an action."""
    started = time.process_time()
    action()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--columns", nargs="+", help="of the files, in the order of the task's: the input, the answer")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    task = plugins.build("tasks", asked.task)
    names = [name for name in task.schema.names if not (task.measures_texts and name == task.schema.answer.name)]
    rows, tokenizer = read(asked.files, asked.columns, names), load_tokenizer("smollm2")

    def make(part: pd.DataFrame) -> list:
        return task.encode(part, tokenizer, ["text"], max_length=512)

    def encode(files: TokenFiles) -> list:
        return files.encode(b"setup", rows, names, make)

    make(rows.iloc[:8])
    took: dict[str, list[float]] = {"made": [], "made and written": [], "from files": []}
    for _ in range(asked.rounds):
        folder = Path(tempfile.mkdtemp())
        took["made"].append(seconds(lambda: make(rows)))
        took["made and written"].append(seconds(partial(encode, TokenFiles(folder))))
        took["from files"].append(seconds(partial(encode, TokenFiles(folder))))
        assert encode(TokenFiles(folder)) == make(rows)
        size = sum(path.stat().st_size for path in folder.rglob("*.npy"))
        shutil.rmtree(folder)
    tokens = sum(len(row.input_ids) for row in make(rows))
    print(f"{asked.task}: {len(rows):,} rows, {tokens:,} tokens, {size / 1e6:.1f} MB on disk")
    plain = statistics.median(took["made"])
    for name, values in took.items():
        median = statistics.median(values)
        print(f"{name:>17}: {1e6 * median / len(rows):8.1f} µs a row, ratio {median / plain:.3f}")


if __name__ == "__main__":
    main()
