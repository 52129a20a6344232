"""Relations that arrive a batch at a time: strategies next to each other, and a plain Trainer.

    PYTHONPATH=. python bench/relations.py DATA/fewrel [--streams domains tens none] [--train 30] [--test 15]

The folder holds FewRel's wiki and semeval as NAME.train.jsonl.gz and so on, with tokens, head, tail and relation. Of
each relation, at most 30 rows are learned, 5 validate and 15 test. ``domains`` is wiki, then semeval; ``tens`` the
relations of both in random order, ten at a time; ``none`` the same with thirty relations, where the rows of the others
have no relation: they are spread over all experiences, and F1 does not count pairs rightly said to have none.
``trainer`` is the Trainer of transformers on the same rows, all relations known from the start, ``trainer-joint`` on
all rows at once. Scores are micro F1 in points, which without ``none`` is accuracy; processor seconds are of learning
and scoring, on one thread.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from side_by_side import PARTS, Row, Stream, compare, parser_of, read_rows

WAYS = ["naive", "replay", "ranpac", "default", "joint", "trainer", "trainer-joint"]
NONE, TOGETHER, DOMAINS = "none", 10, ("wiki", "semeval")
Relations = dict[str, dict[str, list[Row]]]
"""Relation -> split -> its rows."""


def in_characters(row: Row) -> Row:
    """Return a row of tokens as text, its spans in characters; blank tokens are dropped."""
    text, starts, ends = "", list[int](), list[int]()
    for token in (token.strip() for token in row["tokens"]):
        text += " " if text and token else ""
        starts.append(len(text))
        text += token
        ends.append(len(text))
    spans = {name: [starts[row[name][0]], ends[row[name][1] - 1]] for name in ("head", "tail")}
    return {"id": row["id"], "text": text, **spans, "relation": row["relation"]}


def read(folder: Path, sizes: dict[str, int], rng: random.Random) -> dict[str, Relations]:
    """Return the relations of each domain, with at most so many rows of each split."""
    domains = {}
    for domain in DOMAINS:
        relations: Relations = defaultdict(dict)
        for part, split in PARTS.items():
            rows = list(map(in_characters, read_rows(folder, f"{domain}.{part}")))
            rng.shuffle(rows)
            for name in sorted({row["relation"] for row in rows}):
                own = [row for row in rows if row["relation"] == name]
                relations[name][split] = [{**row, "split": split} for row in own[: sizes[split]]]
        domains[domain] = dict(relations)
    return domains


def rows_of(relations: Relations, names: list[str]) -> list[Row]:
    """Return all rows of relations."""
    return [row for name in names for own in relations[name].values() for row in own]


def make_stream(kind: str, folder: Path, sizes: dict[str, int], seed: int) -> Stream:
    """Return the experiences."""
    rng = random.Random(seed)
    domains = read(folder, sizes, rng)
    if kind == "domains":
        return {domain: rows_of(relations, list(relations)) for domain, relations in domains.items()}
    relations: Relations = {name: rows for own in domains.values() for name, rows in own.items()}
    names = sorted(relations)
    rng.shuffle(names)
    whole = len(names) // TOGETHER * TOGETHER if kind == "none" else len(names)
    stream = {f"{at}": rows_of(relations, names[at : at + TOGETHER]) for at in range(0, whole, TOGETHER)}
    for number, row in enumerate(rows_of(relations, names[whole:])):
        list(stream.values())[number % len(stream)].append({**row, "relation": NONE})
    return stream


def main() -> None:
    """Print a table for each stream."""
    parser = parser_of(__doc__ or "", WAYS, epochs=6)
    parser.add_argument("--streams", nargs="*", default=["domains", "tens", "none"])
    parser.add_argument("--train", type=int, default=30, help="training rows of a relation")
    parser.add_argument("--test", type=int, default=15, help="test rows of a relation")
    given = parser.parse_args()
    sizes = {"train": given.train, "validation": 5, "test": given.test}
    for kind in given.streams:
        task: Any = {"name": "relation_extraction", "no_relation": NONE} if kind == "none" else "relation_extraction"
        raw = {"task": task, "training": {"epochs": given.epochs}, "seed": given.seed}
        compare(
            kind, make_stream(kind, given.folder, sizes, given.seed), raw, given.ways, trainer_batch=given.trainer_batch
        )


if __name__ == "__main__":
    main()
