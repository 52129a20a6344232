"""What an experience that annotates new entity types only does to the old ones, with and without saying so.

    python bench/entities.py CROSSNER [--seeds 2] [--epochs 10] [--rows 1000] [--arms naive replay]

The folder holds politics and science as NAME.train.jsonl.gz, NAME.dev.jsonl.gz and NAME.test.jsonl.gz, with tokens and
BIO2 tags. A version learns the training and dev rows of politics with all their types. Then it learns those of science,
in which only the types that politics lacks are tagged, as an annotator leaves them who looks for new ones: once as if
the rest were O, and once with `data.annotated`. ``trainer`` is the Trainer of transformers on the rows of the first,
one domain after the other, ``trainer-joint`` on all of them at once. Test rows keep all their tags. F1 of whole
entities, in percent: of politics, of science with all its types, of its new types, and of its old types; the mean over
the seeds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import torch
from side_by_side import TRAINER, TRAINER_AT_ONCE, read_rows
from trainer_loop import TrainerLoop

from cl.config import parse
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.records import ANNOTATED
from cl.tasks.token_classification import TokenClassification
from cl.training.train import train

TASK = TokenClassification()
ARMS = {
    "naive": ("naive", False),
    "naive, annotated": ("naive", True),
    "replay": ("replay", False),
    "replay, annotated": ("replay", True),
    "joint": ("joint", False),
    "joint, annotated": ("joint", True),
    TRAINER: ("naive", False),
    TRAINER_AT_ONCE: ("naive", False),
}
COLUMNS = ("politics", "science", "its new types", "its old types")


def read(folder: Path, name: str, *splits: str) -> pd.DataFrame:
    """Return the rows of a domain's splits, with ids."""
    rows = [row for split in splits for row in read_rows(folder, f"{name}.{split}")]
    return pd.DataFrame(rows).assign(id=[f"{name}-{splits[0]}-{row}" for row in range(len(rows))])


def types_of(rows: pd.DataFrame) -> set[str]:
    """Return the entity types of rows."""
    return {tag[2:] for tags in rows["tags"] for tag in tags if tag != "O"}


def only(rows: pd.DataFrame, types: set[str]) -> pd.DataFrame:
    """Return the rows with the tags of some types, all others O."""
    tags = [[tag if tag[2:] in types else "O" for tag in own] for own in rows["tags"]]
    return rows.assign(tags=pd.Series(tags, index=rows.index, dtype=object))


def measure(
    answered: Callable[[pd.DataFrame], list[Any]], politics: pd.DataFrame, science: pd.DataFrame, old: set[str]
) -> list[float]:
    """Return the F1 of what answers rows, in percent, in the order of `COLUMNS`."""
    answers = answered(science)

    def f1(kept: set[str]) -> float:
        rows = only(science, kept).assign(**{ANNOTATED: [sorted(kept)] * len(science)})
        return 100 * TASK.score(rows, answers)["f1"]

    both = [TASK.score(politics, answered(politics)), TASK.score(science, answers)]
    types = types_of(science)
    return [*(100 * scores["f1"] for scores in both), f1(types - old), f1(types & old)]


def answers_of(version: Path) -> Callable[[pd.DataFrame], list[Any]]:
    """Return a function that answers rows with a version."""
    learner = load_learner(version)
    return lambda rows: answer(learner, rows).values


def run(folder: Path, arms: list[str], seed: int, epochs: int, most: int) -> dict[str, list[float]]:
    """Return the scores of each arm, and of the version before, for one seed."""
    politics, science = (read(folder, name, "train", "dev").head(most) for name in ("politics", "science"))
    tests = [read(folder, name, "test").head(most) for name in ("politics", "science")]
    old, scores = types_of(politics), dict[str, list[float]]()
    partial = only(science, types_of(science) - old)
    stated = partial.assign(**{ANNOTATED: [sorted(types_of(partial))] * len(partial)})

    def config(strategy: str) -> Any:
        raw = {"task": "token_classification", "strategy": strategy, "seed": seed, "training": {"epochs": epochs}}
        return parse(raw, where="bench")

    def learn(strategy: str, stream: dict[str, pd.DataFrame], champion: Path | None, target: Path) -> None:
        def rows_of(ids: list[str], split: str) -> pd.DataFrame:
            chosen = [stream[id] for id in ids if split == "train"]
            return pd.concat([politics.iloc[:0], *chosen], ignore_index=True)

        *past, new = stream
        train(config(strategy), champion=champion, new=[new], past=past, rows_of=rows_of, folder=target)

    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch, "first")
        learn("replay", {"politics": politics}, None, first)
        scores["before science"] = measure(answers_of(first), *tests, old)
        for name in arms:
            strategy, says = ARMS[name]
            after = Path(scratch, name)
            if name in (TRAINER, TRAINER_AT_ONCE):
                both = pd.concat([politics, partial], ignore_index=True)
                loop = TrainerLoop(config(strategy), TASK.labels(both), after)
                for rows in [both] if name == TRAINER_AT_ONCE else [politics, partial]:
                    loop.learn(rows)
                scores[name] = measure(loop.answer, *tests, old)
            else:
                learn(strategy, {"politics": politics, "science": stated if says else partial}, first, after)
                scores[name] = measure(answers_of(after), *tests, old)
            print(f"seed {seed}: {name}: {[round(value, 1) for value in scores[name]]}", file=sys.stderr, flush=True)
    return scores


def main() -> None:
    """Print a table of the arms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000, help="most rows of a domain, in training and in test each")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs = [run(given.folder, given.arms, seed, given.epochs, given.rows) for seed in range(given.seeds)]
    print(f"{'F1 %':<20}" + "".join(f"{name:>16}" for name in COLUMNS))
    for arm in runs[0]:
        means = [fmean(scores[arm][column] for scores in runs) for column in range(len(COLUMNS))]
        print(f"{arm:<20}" + "".join(f"{value:>16.1f}" for value in means))


if __name__ == "__main__":
    main()
