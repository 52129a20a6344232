"""Rows of any task, made from its schema: each column is filled by the kind of its values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, parse
from cl.config.capability_checks import missing
from cl.tasks import Capability, Task, ValueKind
from tests.support.tiny import WORDS, made_tiny_writer

FILLERS = [word for word in WORDS if word not in ("card", "parcel", "order", "loan", "fee", "box", "shoe", "lamp")]
"""Words that are no label."""
STREAM = {"one": ["loan", "fee"], "two": ["box", "loan"]}
"""Labels of the rows of two experiences; the second brings a new one."""
NEEDS: dict[tuple[str, str], dict[str, object]] = {
    ("strategies", "ranpac"): {"features": 64},
    ("gates", "floor"): {"min": 0.0},
    ("gates", "ceiling"): {"metric": "latency_ms", "max": 10_000.0},
    ("gates", "forgetting"): {"max": 0.99},
    ("gates", "churn"): {"max": 0.99},
    ("gates", "rule"): {"min": 0.0},
}
"""Fields without which a plug-in is not built, or with which it is too large for a tiny model."""


def spec_of(kind: str, name: str) -> str | dict[str, object]:
    """Return the entry of a plug-in in a configuration."""
    return {"name": name, **NEEDS[kind, name]} if (kind, name) in NEEDS else name


def task_of(name: str) -> Task:
    """Return a task with its default fields."""
    task: Task = plugins.build("tasks", name)  # type: ignore[call-overload]
    return task


def lacks(task: str, kind: str, name: str) -> bool:
    """Tell whether a task does not provide all that a plug-in requires."""
    return bool(missing(task_of(task).provides, plugins.find(kind, name).requires))


def model_of(model: Path, task: str) -> Path:
    """Return the model of a task: a tiny encoder, or a language model made next to it, which has its tokenizer."""
    if Capability.WRITING not in task_of(task).provides:
        return model
    writer = model.with_name(f"{model.name}-writer")
    return writer if writer.exists() else made_tiny_writer(writer, model)


def strategies_for(task: str) -> list[str]:
    """Return the names of the strategies that require no more than a task provides."""
    return [name for name in plugins.names("strategies") if not lacks(task, "strategies", name)]


def config_of(model: Path, task: str, /, **changes: Any) -> Config:
    """Return a configuration of a task on a tiny model; keyword arguments replace its top-level keys."""
    own = {"name": str(model_of(model, task)), "dropout": 0.0, "max_length": 32}
    raw = {
        "task": task,
        "model": {**own, **changes.pop("model", {})},
        "training": {"epochs": 1, "batch_size": 8, "precision": "float32"},
        "drift": {"detectors": [], "report": "off"},
        "strategy": "naive",
        **changes,
    }
    return parse(raw, where="test")


def made_rows(task: Task, labels: list[str], rows: int, *, seed: int = 0, prefix: str = "r") -> pd.DataFrame:
    """Make rows of a task, in which the labels come in turn; their words say which."""
    rng = np.random.default_rng(seed)
    cells: list[dict[str, Any]] = []
    for row in range(rows):
        named = [labels[row % len(labels)]]
        if task.schema.answer.kind is ValueKind.LABELS:  # one label, two, or none, each of them for every label
            named = [named, sorted({*named, labels[0]}), []][row // len(labels) % 3]
        words = [*map(str, rng.choice(FILLERS, size=int(rng.integers(3, 8)))), *named]
        columns = enumerate(task.schema.columns)
        own = {column.name: MAKERS[column.kind](words, labels, row + turn) for turn, column in columns}
        cells.append({"id": f"{prefix}{seed}-{row}", **own, "date": None})
    return pd.DataFrame(cells, columns=["id", *task.schema.names, "date"])


def rows_of(task: Task, train: int = 24, held_out: int = 8) -> Callable[[list[str], str], pd.DataFrame]:
    """Return what reads the rows of experiences of `STREAM` (ids, split)."""
    seeds = {"train": 0, "validation": 100, "test": 200}

    def rows(ids: list[str], split: str) -> pd.DataFrame:
        size = train if split == "train" else held_out
        parts = [made_rows(task, STREAM[id], size, seed=seeds[split] + len(id), prefix=id) for id in ids]
        return pd.concat(parts, ignore_index=True) if parts else made_rows(task, ["loan"], 0)

    return rows


def _labels(words: list[str], labels: list[str], row: int) -> list[str]:
    return [word for word in words if word in labels]


def _tags(words: list[str], labels: list[str], row: int) -> list[str]:
    return [f"B-{word}" if word in labels else "O" for word in words]


def _span(words: list[str], labels: list[str], row: int) -> list[int]:
    """The first or the last word."""
    length, word = len(" ".join(words)), words[-1] if row % 2 else words[0]
    start = length - len(word) if row % 2 else 0
    return [start, start + len(word)]


MAKERS: dict[ValueKind, Callable[[list[str], list[str], int], Any]] = {
    ValueKind.TEXT: lambda words, labels, row: " ".join(words),
    ValueKind.WORDS: lambda words, labels, row: words,
    ValueKind.SPAN: _span,
    ValueKind.LABEL: lambda words, labels, row: words[-1],
    ValueKind.LABELS: _labels,
    ValueKind.TAGS: _tags,
    ValueKind.TEXTS: lambda words, labels, row: words[-1:],
    ValueKind.MESSAGES: lambda words, labels, row: [
        {"role": "user", "content": " ".join(words[:2])},
        {"role": "assistant", "content": "help"},
        {"role": "user", "content": " ".join(words)},
    ],
    ValueKind.NUMBERS: lambda words, labels, row: [" ".join(words).rindex(words[-1])],
}
"""How a value of each kind is made: from the words of the row, the labels and the row's number."""
