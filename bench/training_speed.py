"""Rows a second and accuracy of several ways to fine-tune the same encoder on the same rows, in one run.

    OMP_NUM_THREADS=1 python bench/training_speed.py CLINC150 [--rows 4000] [--epochs 3] [--repeats 3]

ours: `cl.training.loop.fit` with the defaults. trainer: transformers.Trainer with dynamic padding and bfloat16.
trainer, frozen embeddings: the same with the embeddings frozen, as ours has them. trainer, its best: embeddings frozen,
rows grouped by length, and PyTorch's MATH kernel of attention, which is its fastest on a CPU for short rows. textbook:
every row padded to 128 tokens, float32. All have the same pooling, head, batch size, epochs, rates, schedule and
clipping; the times hold training alone (ours with its tokenisation, Trainer's without; no validation). Rates are per
second of processor time, on one thread. The order of the ways changes from repeat to repeat, and the seed too.

Then the same for answers: `answer` as evaluation calls it, in float32, and as validation does, beside a plain loop over
rows sorted by length, 64 at a time, with the weights in bfloat16.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from cl.config import Config, parse
from cl.models.batching import batch_by_length
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import answer
from cl.models.learner import Learner
from cl.tasks import Batch
from cl.training.loop import fit
from cl.training.optimiser import make_optimiser, make_schedule
from cl.training.strategies import State, TrainingData, Update
from cl.training.strategies.naive import Naive


class Classifier(nn.Module):
    """A learner's encoder and head in the form that Trainer asks for."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.encoder, self.head, self.learner = learner.encoder, learner.head, learner

    def forward(self, input_ids, attention_mask, labels):  # type: ignore[no-untyped-def]
        logits = self.learner.logits(Batch(input_ids, attention_mask, labels, []))
        return SequenceClassifierOutput(loss=nn.functional.cross_entropy(logits.float(), labels), logits=logits)


def ours(config: Config, rows: pd.DataFrame, *, seed: int) -> tuple[Learner, float]:
    learner = learner_for(config, rows, seed=seed)
    freeze_all_but_tuned(learner)
    lesson = TrainingData(rows, lambda: rows.iloc[:0], np.random.default_rng(seed))
    started = time.process_time()
    fit(learner, lesson, [(Naive(), Update(State(), lesson, learner))], config.training)
    return learner, time.process_time() - started


def trainer(
    config: Config, rows: pd.DataFrame, *, seed: int, frozen: bool = False, grouped: bool = False
) -> tuple[Learner, float]:
    learner = learner_for(config, rows, seed=seed)
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
        disable_tqdm=True, max_grad_norm=settings.clip_norm, seed=seed, remove_unused_columns=False,
        train_sampling_strategy="group_by_length" if grouped else "random",
    )  # fmt: skip
    engine = Trainer(
        model=Classifier(learner), args=arguments, train_dataset=data, data_collator=collate,
        optimizers=(optimiser, make_schedule(optimiser, steps, settings)),
    )  # fmt: skip
    started = time.process_time()
    engine.train()
    return learner, time.process_time() - started


def trainer_best(config: Config, rows: pd.DataFrame, *, seed: int) -> tuple[Learner, float]:
    with sdpa_kernel(SDPBackend.MATH):
        return trainer(config, rows, seed=seed, frozen=True, grouped=True)


def textbook(config: Config, rows: pd.DataFrame, *, seed: int) -> tuple[Learner, float]:
    learner = learner_for(config, rows, seed=seed)
    learner.encoder.requires_grad_(True)
    settings = config.training
    steps = settings.epochs * -(-len(rows) // settings.batch_size)
    optimiser = make_optimiser(learner, settings)
    schedule = make_schedule(optimiser, steps, settings)
    coded = learner.tokenizer(
        list(rows["text"]), padding="max_length", truncation=True, max_length=128, return_tensors="pt"
    )
    targets = torch.tensor([learner.labels.index(label) for label in rows["label"]])
    data = torch.utils.data.TensorDataset(coded["input_ids"], coded["attention_mask"], targets)
    loader = torch.utils.data.DataLoader(data, batch_size=settings.batch_size, shuffle=True)
    learner.train_mode()
    started = time.process_time()
    for _ in range(settings.epochs):
        for ids, mask, wanted in loader:
            loss = nn.functional.cross_entropy(learner.logits(Batch(ids, mask, wanted, [])), wanted)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for _, p in learner.parameters()], settings.clip_norm)
            optimiser.step()
            schedule.step()
    return learner, time.process_time() - started


def plain_answers(learner: Learner) -> Callable[[pd.DataFrame], list[str]]:
    """Return a function that answers rows with weights in bfloat16, 64 at a time, sorted by length."""
    encoder, head = (copy.deepcopy(part).to(torch.bfloat16).eval() for part in (learner.encoder, learner.head))

    @torch.inference_mode()
    def run(rows: pd.DataFrame) -> list[str]:
        coded = learner.tokenizer(list(rows["text"]), truncation=True, max_length=128)["input_ids"]
        found = np.zeros(len(rows), dtype=int)
        for indices in batch_by_length([len(ids) for ids in coded], 64):
            batch = learner.tokenizer.pad({"input_ids": [coded[index] for index in indices]}, return_tensors="pt")
            states, real = encoder(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            found[indices] = head((states * real).sum(1) / real.sum(1)).argmax(-1).numpy()
        return [learner.labels[index] for index in found]

    return run


def learner_for(config: Config, rows: pd.DataFrame, *, seed: int) -> Learner:
    torch.manual_seed(seed)
    learner = new_learner(config)
    return grow_labels(learner, learner.task.labels(rows), seed=seed)


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
    parser.add_argument("--test-rows", type=int, default=4_500)
    names = ["ours", "trainer", "trainer, frozen embeddings", "trainer, its best", "textbook"]
    parser.add_argument("--ways", nargs="+", default=names, choices=names)
    given = parser.parse_args()
    config = parse({"training": {"epochs": given.epochs, "patience": given.epochs}}, where="bench")
    train = read(given.folder, "train").sample(given.rows, random_state=0).reset_index(drop=True)
    test = read(given.folder, "test")
    test = test.sample(min(given.test_rows, len(test)), random_state=0).reset_index(drop=True)
    torch.set_num_threads(1)
    ways: dict[str, Callable[..., tuple[Learner, float]]] = {
        "ours": ours,
        "trainer": trainer,
        "trainer, frozen embeddings": partial(trainer, frozen=True),
        "trainer, its best": trainer_best,
        "textbook": textbook,
    }
    ways = {name: way for name, way in ways.items() if name in given.ways}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    right: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(given.repeats):
        turn = repeat % len(ways)
        for name in list(ways)[turn:] + list(ways)[:turn]:
            rows = train.iloc[: given.textbook_rows] if name == "textbook" else train
            learner, seconds = ways[name](config, rows, seed=repeat)
            rates[name].append(given.epochs * len(rows) / seconds)
            if len(rows) == len(train):
                right[name].append(share_right(answer(learner, test).values, test))
            print(f"  {name}: {rates[name][-1]:.0f} rows/s, {right[name][-1:]}", flush=True)
    print_table("way", rates, right)
    if "ours" in ways:
        compare_answers(ours(config, train, seed=0)[0], test, given.repeats)


def compare_answers(learner: Learner, test: pd.DataFrame, repeats: int) -> None:
    """Print the rates of three ways to answer the test rows."""
    ways: dict[str, Callable[[pd.DataFrame], list[object]]] = {
        "ours": lambda rows: answer(learner, rows).values,
        "ours, as in validation": lambda rows: answer(learner, rows, precision="auto").values,
        "plain loop": plain_answers(learner),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    right: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.process_time()
            values = way(test)
            rates[name].append(len(test) / (time.process_time() - started))
            right[name].append(share_right(values, test))
    print_table("answering", rates, right)


def share_right(values: list[object], rows: pd.DataFrame) -> float:
    return float(np.mean(np.array(values) == rows["label"].to_numpy()))


def print_table(what: str, rates: dict[str, list[float]], right: dict[str, list[float]]) -> None:
    """Print medians; how much faster ours is, is the median of the ratios within each repeat."""
    ours = rates.get("ours", [float("nan")])
    print(f"| {what} | rows per processor second | ours is faster by | test accuracy, mean |\n|---|---|---|---|")
    for name, found in rates.items():
        ratio = statistics.median(mine / rate for mine, rate in zip(ours, found, strict=False))
        accuracy = f"{statistics.fmean(right[name]):.3f}" if right[name] else "-"
        print(f"| {name} | {statistics.median(found):.0f} | {ratio:.2f} | {accuracy} |")


if __name__ == "__main__":
    main()
