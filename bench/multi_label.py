"""Texts with several labels that arrive a domain at a time: strategies next to each other, and a plain Trainer.

    PYTHONPATH=. python bench/multi_label.py CLINC150 [--rows 150] [--epochs 6] [--ways naive ranpac]

The folder holds train, dev and test.jsonl.gz with text, label and domain, and oos_train.jsonl.gz and so on with texts
that no label fits. Each domain is an experience. A row joins two utterances of different intents and has both labels;
every fifth is one utterance alone, and a few have no label. Nothing of it is stored. ``trainer`` is the Trainer of
transformers with ``problem_type: multi_label_classification``, one domain after the other, ``trainer-joint`` on all
rows at once; all 150 labels are known from the start, and are answered from 1/2 on, or with the thresholds that the
task chooses. Scores are micro F1 in points; processor seconds are of learning and scoring, on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from side_by_side import PARTS, Row, Stream, compare, parser_of, read_rows

WAYS = ["naive", "replay", "ranpac", "joint", "majority", "ncm", "regression", "trainer", "trainer-joint"]


def joined(rows: list[Row], outside: list[str], count: int, rng: np.random.Generator) -> Iterator[Row]:
    """Yield rows of two utterances with different intents, every fifth of one, and some of none."""
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    for row in range(count):
        first = int(rng.integers(len(texts)))
        if row < len(outside):
            yield {"text": outside[row], "labels": []}
        elif row % 5 == 0:
            yield {"text": texts[first], "labels": [labels[first]]}
        else:
            second = int(rng.choice([at for at, label in enumerate(labels) if label != labels[first]]))
            text = f"{texts[first]}, and {texts[second]}"
            yield {"text": text, "labels": sorted([labels[first], labels[second]])}


def make_stream(folder: Path, rows: int, seed: int) -> Stream:
    """Return the domains in the order in which they first appear."""
    rng, sizes = np.random.default_rng(seed), {"train": rows, "dev": rows // 4, "test": rows // 4}
    parts = {part: read_rows(folder, part) for part in PARTS}
    outside = {part: [row["text"] for row in read_rows(folder, f"oos_{part}")] for part in PARTS}
    stream: Stream = {}
    for number, domain in enumerate(dict.fromkeys(row["domain"] for row in parts["train"])):
        stream[domain] = []
        for part, size in sizes.items():
            own = outside[part][number * (size // 50) : (number + 1) * (size // 50)]
            chosen = [row for row in parts[part] if row["domain"] == domain]
            stream[domain] += [
                {"id": f"{domain}-{part}-{at}", **row, "split": PARTS[part]}
                for at, row in enumerate(joined(chosen, own, size, rng))
            ]
    return stream


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__ or "", WAYS, epochs=6)
    parser.add_argument("--rows", type=int, default=150, help="training rows of a domain")
    given = parser.parse_args()
    raw = {"task": "multi_label_classification", "training": {"epochs": given.epochs}, "seed": given.seed}
    stream = make_stream(given.folder, given.rows, given.seed)
    compare(
        "domains", stream, raw, given.ways, replay={"name": "replay", "ratio": 1.0}, trainer_batch=given.trainer_batch
    )


if __name__ == "__main__":
    main()
