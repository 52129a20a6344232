"""Probes: what a version writes after a few fixed prompts, by which it is recognised where another server runs it.

A server that is given the wrong adapter, or none, answers all the same (vllm-project/vllm#18372).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from cl.models.learner import Learner
from cl.models.running_rows import running_rows
from cl.tasks import Column, ValueKind

FILE = "probes.json"
KEPT, CANDIDATES, TOKENS = 4, 12, 16
"""How many probes are kept, of how many prompts, and how many tokens are written after each."""


@dataclass(frozen=True)
class Probe:
    """What a version writes greedily after a prompt: its ``tokens``, and the logarithms of their probabilities.

    ``logs`` are those that the version gives them, ``base`` those of its base, without the version's adapter.
    """

    prompt: list[int]
    tokens: list[int]
    logs: list[float]
    base: list[float]

    def distance(self, logs: Sequence[float]) -> float:
        """Return the mean difference in nats between a server's logarithms and the version's."""
        return _distance(logs, self.logs)

    def distance_of_base(self, logs: Sequence[float]) -> float:
        """Return the mean difference in nats between a server's logarithms and those of the base."""
        return _distance(logs, self.base)


def take_probes(learner: Learner, texts: Sequence[str]) -> list[Probe]:
    """Let a language model write after prompts made of texts, and keep those that tell it best from its base."""
    columns = learner.task.schema.inputs
    values = [{column.name: _value(column, text) for column in columns} for text in texts[:CANDIDATES]]
    column = learner.task.schema.input
    frame = learner.task.schema.frame(values if column is None else [value[column.name] for value in values])
    longest = getattr(learner.encoder.config, "max_position_embeddings", math.inf) - TOKENS
    prompts = [row.context.prompt for row in learner.encode(frame) if len(row.context.prompt) <= longest]
    if not prompts:
        return []
    learner.eval_mode()
    tokens, own = _write(learner, prompts)
    with _without_adapters(learner):
        _, base = _write(learner, prompts, tokens)
    probes = [Probe(*fields) for fields in zip(prompts, tokens, own, base, strict=True)]
    return sorted(probes, key=lambda probe: -probe.distance(probe.base))[:KEPT]


def save_probes(probes: Sequence[Probe], folder: Path) -> None:
    """Write the probes of a version into its folder."""
    (folder / FILE).write_text(json.dumps([asdict(probe) for probe in probes]), encoding="utf-8")


def load_probes(folder: Path) -> list[Probe]:
    """Return the probes of a version; none for one that has none."""
    path = folder / FILE
    return [Probe(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def _value(column: Column, text: str) -> Any:
    values = {ValueKind.TEXT: text, ValueKind.MESSAGES: [{"role": "user", "content": text}]}
    return values.get(column.kind, column.example)


def _write(
    learner: Learner, prompts: Sequence[list[int]], given: Sequence[list[int]] | None = None
) -> tuple[list[list[int]], list[list[float]]]:
    """Return the tokens after each prompt, those that are ``given`` or the likeliest, and their log-probabilities."""
    rows = running_rows(learner)
    logits = rows.join(prompts, [None] * len(prompts))
    tokens: list[list[int]] = [[] for _ in prompts]
    logs: list[list[float]] = [[] for _ in prompts]
    for step in range(TOKENS):
        best = logits.argmax(-1).tolist()
        chosen = best if given is None else [(row + [0] * TOKENS)[step] for row in given]
        for row, token, own in zip(range(len(prompts)), chosen, logits.log_softmax(-1), strict=True):
            tokens[row].append(token)
            logs[row].append(float(own[token]))
        if step + 1 < TOKENS:
            logits = rows.step(chosen)
    lengths = [_length(row, learner.ends) for row in tokens] if given is None else [len(row) for row in given]
    cut = [(row[:length], own[:length]) for row, own, length in zip(tokens, logs, lengths, strict=True)]
    return [row for row, _ in cut], [own for _, own in cut]


def _length(tokens: Sequence[int], ends: Sequence[int]) -> int:
    """Return the number of tokens up to the one that ends the answer."""
    return next((index + 1 for index, token in enumerate(tokens) if token in ends), len(tokens))


def _distance(logs: Sequence[float], others: Sequence[float]) -> float:
    return fmean(abs(log - other) for log, other in zip(logs, others, strict=True))


@contextmanager
def _without_adapters(learner: Learner) -> Iterator[None]:
    """Let a model answer as its base does."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    added = [layer for layer in learner.encoder.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in added:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in added:
            layer.enable_adapters(True)
