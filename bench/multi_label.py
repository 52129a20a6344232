"""Texts with several labels that arrive a domain at a time: strategies next to each other, and a plain Trainer.

    PYTHONPATH=. python bench/multi_label.py ../shared/data/clinc150 [--rows 150] [--epochs 6] [--ways naive ranpac]

The folder holds train, dev and test.jsonl.gz with text, label and domain, and oos_train.jsonl.gz and so on with texts
that no label fits. Each domain is an experience. A row joins two utterances of different intents and has both labels;
every fifth is one utterance alone, and a few have no label. Nothing of it is stored. Each way to learn takes the
domains one after the other, but for ``joint`` and ``trainer-joint``, which learn all rows at once. ``trainer`` is the
Trainer of transformers with ``problem_type: multi_label_classification``, all 150 labels known from the start,
answers from 1/2 on, or with the thresholds that the task chooses. Scores are micro F1 in points, CPU seconds those of
training (user and system, one thread), forgetting the mean fall of a past domain from its best score.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cl.config import Config, parse
from cl.models.feature_cache import cached_in
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.models.pretrained import load_pretrained
from cl.tasks import Encoded, Targets
from cl.tasks.multi_label_classification import MultiLabelClassification
from cl.training.train import train

Experiences = dict[str, dict[str, pd.DataFrame]]
"""Experience -> split -> rows."""
WAYS: dict[str, Any] = {
    "naive": "naive",
    "replay": {"name": "replay", "ratio": 1.0},
    "ranpac": "ranpac",
    "joint": "naive",
    "trainer": None,
    "trainer-joint": None,
}
AT_ONCE = ("joint", "trainer-joint")
TASK = MultiLabelClassification()
FILES = {"train": "train", "validation": "dev", "test": "test"}


def cpu() -> float:
    """Return the CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read(folder: Path, name: str) -> pd.DataFrame:
    """Return the rows of a gzipped file of JSON lines."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return pd.DataFrame([json.loads(line) for line in file])


def joined(rows: pd.DataFrame, outside: list[str], count: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield rows of two utterances with different intents, every fifth of one, and some of none."""
    texts, labels = rows["text"].tolist(), rows["label"].tolist()
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


def make_stream(folder: Path, rows: int, seed: int) -> Experiences:
    """Return the domains in the order in which they first appear, each with its splits."""
    rng, sizes = np.random.default_rng(seed), {"train": rows, "validation": rows // 4, "test": rows // 4}
    parts = {split: read(folder, name) for split, name in FILES.items()}
    outside = {split: read(folder, f"oos_{name}")["text"].tolist() for split, name in FILES.items()}
    domains = list(dict.fromkeys(parts["train"]["domain"]))
    stream: Experiences = {}
    for number, domain in enumerate(domains):
        stream[domain] = {}
        for split, size in sizes.items():
            own = outside[split][number * (size // 50) : (number + 1) * (size // 50)]
            chosen = parts[split][parts[split]["domain"] == domain]
            frame = pd.DataFrame(list(joined(chosen, own, size, rng)))
            stream[domain][split] = frame.assign(id=[f"{domain}-{split}-{row}" for row in range(size)], date=None)
    return stream


def together(stream: Experiences, ids: list[str], split: str) -> pd.DataFrame:
    """Return the rows of experiences."""
    parts = [stream[id][split] for id in ids]
    return pd.concat(parts, ignore_index=True) if parts else next(iter(stream.values()))[split].iloc[:0]


def learn(config: Config, stream: Experiences, steps: list[list[str]], folder: Path) -> Iterator[Callable[..., float]]:
    """Learn the experiences step by step and yield how each version scores rows."""
    champion, past = None, list[str]()
    for step, new in enumerate(steps):
        train(
            config,
            champion=champion,
            new=new,
            past=past,
            rows_of=lambda ids, split: together(stream, ids, split),
            folder=folder / str(step),
        )
        champion, past = folder / str(step), [*past, *new]
        learner = load_learner(champion)

        def score(rows: pd.DataFrame, learner: Any = learner) -> float:
            return TASK.score(rows, answer(learner, rows).values)["micro_f1"]

        yield score


def trainer(
    config: Config, stream: Experiences, steps: list[list[str]], folder: Path
) -> Iterator[Callable[..., float]]:
    """Do the same with the Trainer of transformers."""
    from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

    encoder, tokenizer = load_pretrained(config.model.name, split_words=False)
    encoder.save_pretrained(folder / "encoder")
    labels = TASK.labels(together(stream, list(stream), "train"))
    model = AutoModelForSequenceClassification.from_pretrained(
        folder / "encoder", num_labels=len(labels), problem_type="multi_label_classification"
    )

    def items(rows: pd.DataFrame) -> list[dict[str, Any]]:
        ids = tokenizer(list(rows["text"]), truncation=True, max_length=config.model.max_length)["input_ids"]
        wanted = [[float(label in own) for label in labels] for own in rows["labels"]]
        return [{"input_ids": own, "labels": row} for own, row in zip(ids, wanted, strict=True)]

    def probabilities(rows: pd.DataFrame) -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            batches = [tokenizer.pad(batch, return_tensors="pt") for batch in chunks(items(rows), 64)]
            return (
                torch.cat([model(**{k: v for k, v in b.items() if k != "labels"}).logits for b in batches])
                .sigmoid()
                .numpy()
            )

    for step, new in enumerate(steps):
        arguments = TrainingArguments(
            output_dir=str(folder / str(step)),
            num_train_epochs=config.training.epochs,
            per_device_train_batch_size=config.training.batch_size,
            learning_rate=config.training.learning_rate,
            warmup_steps=config.training.warmup,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=config.seed,
        )
        data: Any = items(together(stream, new, "train"))
        Trainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer).train()
        seen = [id for own in steps[: step + 1] for id in own]
        validation = together(stream, seen, "validation")
        chosen = TASK.thresholds(validation, probabilities(validation), labels)

        def score(rows: pd.DataFrame, limits: Any = chosen, fixed: bool = False) -> float:
            wanted, empty = Targets(labels, None if fixed else limits), Encoded([], [()], [0])
            own = probabilities(rows)
            return TASK.score(rows, [TASK.decode(p[None], empty, wanted).value for p in own])["micro_f1"]

        yield score


def chunks(values: list[Any], size: int) -> Iterator[dict[str, Any]]:
    """Yield batches of items as the tokenizer pads them."""
    for start in range(0, len(values), size):
        yield {"input_ids": [value["input_ids"] for value in values[start : start + size]]}


def measure(way: str, config: Config, stream: Experiences) -> None:
    """Run a way to learn and print its line."""
    ids = list(stream)
    steps = [ids] if way in AT_ONCE else [[id] for id in ids]
    matrix, fixed, spent, started = [], [], 0.0, cpu()
    with tempfile.TemporaryDirectory() as folder, cached_in(Path(folder) / "features.sqlite"):
        versions = (trainer if WAYS[way] is None else learn)(config, stream, steps, Path(folder))
        for score in versions:
            spent += cpu() - started
            matrix.append([score(stream[id]["test"]) for id in ids])
            if WAYS[way] is None:
                fixed.append([score(stream[id]["test"], fixed=True) for id in ids])
            started = cpu()
    print(f"{way:<16}" + line(matrix) + f"{spent:>9.0f}", flush=True)
    if fixed:
        print(f"{way + ', 1/2':<16}" + line(fixed), flush=True)


def line(matrix: list[list[float]]) -> str:
    """Return the mean of the last scores and the forgetting, in points."""
    last = matrix[-1]
    past = [max(row[id] for row in matrix[id:]) - last[id] for id in range(len(last) - 1)] if len(matrix) > 1 else []
    forgetting = f"{100 * statistics.fmean(past):>12.1f}" if past else f"{'-':>12}"
    return f"{100 * statistics.fmean(last):>8.1f}{forgetting}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=150, help="training rows of a domain")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    stream = make_stream(given.folder, given.rows, given.seed)
    print(f"{'':<16}{'ACC':>8}{'forgetting':>12}{'CPU s':>9}")
    for way in given.ways:
        raw = {
            "task": TASK.name,
            "strategy": WAYS[way] or "naive",
            "training": {"epochs": given.epochs},
            "seed": given.seed,
        }
        measure(way, parse(raw, where="bench"), stream)


if __name__ == "__main__":
    main()
