"""Rows a second and accuracy of three ways to fine-tune the same encoder on the same rows, in one run.

    python bench/training_speed.py ../shared/data/clinc150 [--rows 4000] [--epochs 3] [--repeats 3]

ours: `cl.training.loop.fit` with the defaults. trainer: transformers.Trainer with dynamic padding and bfloat16.
trainer, frozen embeddings: the same with the embeddings frozen, as ours has them. textbook: every row padded to
128 tokens, float32. All have the same pooling, head, batch size, epochs, rates, schedule and clipping; the times
hold training alone (no validation, no tokenisation). The order of the ways changes from repeat to repeat.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from cl.config import Config, parse
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import answer
from cl.models.learner import Learner
from cl.training.loop import fit
from cl.training.optimiser import make_optimiser, warm_up_then_decay
from cl.training.strategies import State, TrainingData, Update
from cl.training.strategies.naive import Naive


class Classifier(nn.Module):
    """A learner's encoder and head in the form that Trainer asks for."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.encoder, self.head, self.learner = learner.encoder, learner.head, learner

    def forward(self, input_ids, attention_mask, labels):  # type: ignore[no-untyped-def]
        logits = self.learner.logits(input_ids, attention_mask)
        return SequenceClassifierOutput(loss=nn.functional.cross_entropy(logits.float(), labels), logits=logits)


def ours(config: Config, rows: pd.DataFrame) -> tuple[Learner, float]:
    learner = learner_for(config, rows)
    freeze_all_but_tuned(learner)
    lesson = TrainingData(rows, lambda: rows.iloc[:0], np.random.default_rng(0))
    started = time.perf_counter()
    fit(learner, lesson, [(Naive(), Update(State(), lesson, learner))], config.training)
    return learner, time.perf_counter() - started


def trainer(config: Config, rows: pd.DataFrame, *, frozen: bool = False) -> tuple[Learner, float]:
    learner = learner_for(config, rows)
    freeze_all_but_tuned(learner)
    if not frozen:
        learner.encoder.requires_grad_(True)
    settings = config.training
    steps = settings.epochs * -(-len(rows) // settings.batch_size)
    optimiser = make_optimiser(learner, settings)
    encoded = learner.encode(rows)
    data = [{"input_ids": one.input_ids, "labels": one.targets[0]} for one in encoded]

    def collate(batch: list[dict]) -> dict[str, torch.Tensor]:
        padded = learner.tokenizer.pad([{"input_ids": one["input_ids"]} for one in batch], return_tensors="pt")
        return {**padded, "labels": torch.tensor([one["labels"] for one in batch])}

    arguments = TrainingArguments(
        output_dir="unused", per_device_train_batch_size=settings.batch_size, num_train_epochs=settings.epochs,
        bf16=True, use_cpu=not torch.cuda.is_available(), save_strategy="no", logging_strategy="no", report_to=[],
        disable_tqdm=True, max_grad_norm=settings.clip_norm, seed=0, remove_unused_columns=False,
    )  # fmt: skip
    engine = Trainer(
        model=Classifier(learner), args=arguments, train_dataset=data, data_collator=collate,
        optimizers=(optimiser, warm_up_then_decay(optimiser, steps, settings.warmup)),
    )  # fmt: skip
    started = time.perf_counter()
    engine.train()
    return learner, time.perf_counter() - started


def textbook(config: Config, rows: pd.DataFrame) -> tuple[Learner, float]:
    learner = learner_for(config, rows)
    learner.encoder.requires_grad_(True)
    settings = config.training
    steps = settings.epochs * -(-len(rows) // settings.batch_size)
    optimiser = make_optimiser(learner, settings)
    schedule = warm_up_then_decay(optimiser, steps, settings.warmup)
    coded = learner.tokenizer(
        list(rows["text"]), padding="max_length", truncation=True, max_length=128, return_tensors="pt"
    )
    targets = torch.tensor([learner.labels.index(label) for label in rows["label"]])
    data = torch.utils.data.TensorDataset(coded["input_ids"], coded["attention_mask"], targets)
    loader = torch.utils.data.DataLoader(data, batch_size=settings.batch_size, shuffle=True)
    learner.train_mode()
    started = time.perf_counter()
    for _ in range(settings.epochs):
        for ids, mask, wanted in loader:
            loss = nn.functional.cross_entropy(learner.logits(ids, mask), wanted)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for _, p in learner.parameters()], settings.clip_norm)
            optimiser.step()
            schedule.step()
    return learner, time.perf_counter() - started


def learner_for(config: Config, rows: pd.DataFrame) -> Learner:
    torch.manual_seed(0)
    learner = new_learner(config)
    return grow_labels(learner, learner.task.labels(rows), seed=0)


def read(folder: Path, name: str) -> pd.DataFrame:
    rows = pd.read_json(folder / f"{name}.jsonl.gz", lines=True)
    return rows.assign(id=[f"{name}-{at}" for at in range(len(rows))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with train.jsonl.gz and test.jsonl.gz: text, label")
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--textbook-rows", type=int, default=1_000, help="the textbook loop is slow: rows for it alone")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    config = parse({"training": {"epochs": given.epochs, "patience": given.epochs}}, where="bench")
    train = read(given.folder, "train").sample(given.rows, random_state=0).reset_index(drop=True)
    test = read(given.folder, "test")
    ways: dict[str, Callable[[Config, pd.DataFrame], tuple[Learner, float]]] = {
        "ours": ours,
        "trainer": trainer,
        "trainer, frozen embeddings": lambda c, r: trainer(c, r, frozen=True),
        "textbook": textbook,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    right: dict[str, float] = {}
    for repeat in range(given.repeats):
        for name in list(ways)[repeat % 4 :] + list(ways)[: repeat % 4]:
            rows = train.iloc[: given.textbook_rows] if name == "textbook" else train
            learner, seconds = ways[name](config, rows)
            rates[name].append(given.epochs * len(rows) / seconds)
            if name not in right and len(rows) == len(train):
                right[name] = float(np.mean(np.array(answer(learner, test).values) == test["label"].to_numpy()))
            print(f"  {name}: {rates[name][-1]:.0f} rows/s", flush=True)
    best = statistics.median(rates["ours"])
    print(f"| way | rows/s (median of {given.repeats}) | ours is faster by | test accuracy |\n|---|---|---|---|")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"| {name} | {rate:.0f} | {best / rate:.2f} | {right.get(name, float('nan')):.3f} |")


if __name__ == "__main__":
    main()
