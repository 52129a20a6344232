"""Questions in one language after the other: strategies next to each other, and a plain Trainer.

    PYTHONPATH=. python bench/questions.py DATA/xquad [--train 250] [--test 196] [--chars 300] [--model NAME]

The folder holds XQuAD's en, de and es as NAME.train.jsonl.gz and so on, with context, question and answers (text and
start). Of each language, at most 250 questions are learned, 60 validate and 196 test. Of each context, a part of at
most 300 characters that holds the answer is read, cut at random, so that a few hundred questions teach something. The
packaged encoder reads English only, so scores in German and Spanish are low whatever the strategy; `--model` names
another. ``replay`` rehearses one question for each new one. ``trainer`` is the Trainer of transformers on the same
rows, one language after the other, ``trainer-joint`` on all at once. Scores are F1 of SQuAD in points; processor
seconds are of learning and scoring, on one thread.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from side_by_side import PARTS, Row, Stream, compare, parser_of, read_rows

WAYS = ["naive", "replay", "joint", "trainer", "trainer-joint"]
LANGUAGES = ("en", "de", "es")


def cut(row: Row, most: int, rng: random.Random) -> Row:
    """Return a row with a part of its context around the first answer, cut between words."""
    context, answer = row["context"], row["answers"][0]
    text, start = answer["text"], answer["start"]
    end = start + len(text)
    left = max(0, min(start - rng.randint(0, max(0, most - len(text))), len(context) - most))
    right = max(left + most, end)
    words = [(word.start(), word.end()) for word in re.finditer(r"\S+", context)]
    kept = [word for word in words if (word[1] > start and word[0] < end) or (word[0] >= left and word[1] <= right)]
    first, last = kept[0][0], kept[-1][1]
    part = {"context": context[first:last], "answers": [text], "answer_starts": [start - first]}
    return {"id": row["id"], "question": row["question"], **part}


def make_stream(folder: Path, sizes: dict[str, int], most: int, seed: int) -> Stream:
    """Return the languages; each asks the same questions."""
    stream: Stream = {}
    for language in LANGUAGES:
        rng = random.Random(seed)
        stream[language] = []
        for part, split in PARTS.items():
            rows = read_rows(folder, f"{language}.{part}")
            rng.shuffle(rows)
            stream[language] += [{**cut(row, most, rng), "split": split} for row in rows[: sizes[split]]]
    return stream


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__ or "", WAYS, epochs=6)
    parser.add_argument("--train", type=int, default=250, help="training rows of a language")
    parser.add_argument("--test", type=int, default=196, help="test rows of a language")
    parser.add_argument("--chars", type=int, default=300, help="characters of a context")
    parser.add_argument("--model", default="minilm")
    given = parser.parse_args()
    sizes = {"train": given.train, "validation": 60, "test": given.test}
    raw = {
        "task": "question_answering",
        "model": {"name": given.model, "max_length": 256},
        "training": {"epochs": given.epochs, "batch_size": 16},
        "seed": given.seed,
    }
    stream = make_stream(given.folder, sizes, given.chars, given.seed)
    compare(
        "languages", stream, raw, given.ways, replay={"name": "replay", "ratio": 1.0}, trainer_batch=given.trainer_batch
    )


if __name__ == "__main__":
    main()
