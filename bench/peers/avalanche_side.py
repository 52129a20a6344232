"""Avalanche's half of compare.py; runs in an environment of its own and prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from avalanche.benchmarks.scenarios.dataset_scenario import benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.training.plugins import EWCPlugin, LRSchedulerPlugin, ReplayPlugin
from avalanche.training.storage_policy import ClassBalancedBuffer
from avalanche.training.supervised import Naive
from torch import nn
from transformers import AutoModel


class Classifier(nn.Module):
    """Encoder, mean of the real tokens' states, dropout, linear head; ids and mask come as one tensor."""

    def __init__(self, folder: Path, settings: dict) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder / "encoder", dtype=torch.float32)
        for module in self.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(name in settings["moving"])
        self.dropout = nn.Dropout(settings["dropout"])
        self.head = nn.Linear(self.encoder.config.hidden_size, settings["labels"])

    def forward(self, packed: torch.Tensor) -> torch.Tensor:
        ids, mask = packed[:, 0], packed[:, 1]
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        return self.head(self.dropout((states * weights).sum(1) / weights.sum(1)))


class Rows(torch.utils.data.Dataset):
    """Token ids and class of each row."""

    def __init__(self, rows: list) -> None:
        self.rows = [(torch.tensor(ids), target) for ids, target in rows]
        self.targets = [target for _, target in rows]

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)


def padded(pad: int):
    """Return a function that makes a batch of rows (ids, class, task), padded to the longest."""

    def collate(rows: list) -> list[torch.Tensor]:
        ids = nn.utils.rnn.pad_sequence([row[0] for row in rows], batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row[0]) for row in rows])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        labels = torch.tensor([row[1] for row in rows])
        return [torch.stack([ids, mask], dim=1), labels, torch.zeros(len(rows), dtype=torch.long)]

    return collate


def dataset(rows: list, pad: int) -> AvalancheDataset:
    held = Rows(rows)
    return AvalancheDataset(
        [held],
        data_attributes=[
            DataAttribute(held.targets, "targets"),
            DataAttribute([0] * len(held), "targets_task_labels", use_in_getitem=True),
        ],
        collate_fn=padded(pad),
    )


def scheduled(optimiser: torch.optim.Optimizer, steps: int, warmup: float):
    rise = max(1, round(steps * warmup))
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))
    )


def optimiser_for(model: Classifier, settings: dict) -> torch.optim.Optimizer:
    groups = []
    for part, rate in (("encoder", settings["learning_rate"]), ("head", settings["head_learning_rate"])):
        moving = [one for one in getattr(model, part).parameters() if one.requires_grad]
        for matrix, decay in ((True, settings["weight_decay"]), (False, 0.0)):
            groups.append({"params": [p for p in moving if (p.ndim > 1) is matrix], "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, fused=True)


class PlainLoop(Naive):
    """Avalanche's plain loop, with two of its methods set right for this comparison.

    Its optimiser keeps the groups that it was given and starts anew at each experience; its loader of datasets
    without task labels pads rows by the datasets' own function, which version 0.6.0 leaves out.
    """

    def make_optimizer(self, **unused: object) -> None:
        self.optimizer.state.clear()

    def make_train_dataloader(self, **unused: object) -> None:
        data = self.adapted_dataset
        self.dataloader = torch.utils.data.DataLoader(
            data, batch_size=self.train_mb_size, shuffle=True, collate_fn=data.collate_fn
        )


def strategy_for(model: Classifier, settings: dict, plugin: object, steps: int) -> Naive:
    """Return Avalanche's loop with its plug-in for the method, and our schedule started anew at each experience."""
    optimiser = optimiser_for(model, settings)
    schedule = LRSchedulerPlugin(scheduled(optimiser, steps, settings["warmup"]), step_granularity="iteration")
    return PlainLoop(
        model=model, optimizer=optimiser, criterion=nn.CrossEntropyLoss(), train_mb_size=settings["batch_size"],
        train_epochs=settings["epochs"], plugins=[plugin, schedule], evaluator=None,
    )  # fmt: skip


@torch.inference_mode()
def accuracy(model: Classifier, rows: list, pad: int) -> float:
    model.eval()
    collate, right = padded(pad), 0
    rows = sorted(rows, key=lambda row: len(row[0]))
    for start in range(0, len(rows), 128):
        packed, labels, _ = collate([(torch.tensor(ids), target) for ids, target in rows[start : start + 128]])
        right += int((model(packed).argmax(-1) == labels).sum())
    return right / len(rows)


def plugin_for(name: str, settings: dict) -> object:
    if name == "ewc":
        return EWCPlugin(settings["ewc_lambda"], mode="online", decay_factor=1.0)
    memory = ClassBalancedBuffer(settings["memory"], adaptive_size=True)
    return ReplayPlugin(settings["memory"], storage_policy=memory)


def main(name: str, folder: Path) -> None:
    described = json.loads((folder / "stream.json").read_text())
    settings, stream = described["settings"], described["experiences"]
    torch.manual_seed(settings.get("seed", 0))
    model = Classifier(folder, settings)
    train = [dataset(one["train"], settings["pad"]) for one in stream]
    steps = settings["epochs"] * max(-(-len(one) // settings["batch_size"]) for one in train)
    strategy = strategy_for(model, settings, plugin_for(name, settings), steps)
    trained, seconds, matrix = 0, 0.0, []

    def count(module: nn.Module, inputs: tuple) -> None:
        nonlocal trained
        trained += len(inputs[0]) * module.training

    model.register_forward_pre_hook(count)
    for at, experience in enumerate(benchmark_from_datasets(train=train).train_stream):
        started = time.perf_counter()
        strategy.train(experience, num_workers=0)
        seconds += time.perf_counter() - started
        matrix.append([accuracy(model, one["test"], settings["pad"]) for one in stream[: at + 1]])
        print(f"avalanche {name}: {at + 1} of {len(stream)}, {sum(matrix[-1]) / (at + 1):.3f}", file=sys.stderr)
    last = matrix[-1]
    forgotten = [max(row[at] for row in matrix[at:-1]) - last[at] for at in range(len(last) - 1)]
    print(
        json.dumps({
            "acc": 100 * sum(last) / len(last), "forgetting": 100 * sum(forgotten) / max(1, len(forgotten)),
            "rows/s": trained / seconds, "seconds": seconds,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
