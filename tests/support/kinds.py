"""Tasks of columns of every kind, as another package would offer them: small ones, over a tiny encoder."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from cl import plugins
from cl.plugins import Capability
from cl.tasks import (
    BETWEEN_LABELS,
    NONE_APPLIES,
    Column,
    Encoded,
    Prediction,
    Schema,
    Targets,
    Task,
    ValueKind,
    names_in,
    scores_by_class,
)
from cl.tasks.text_classification import TextClassification

TOPICS = ["card", "fee", "loan"]
FEW = frozenset({Capability.LABELS, Capability.EMBEDDINGS, Capability.ENCODER})


class _Adapted(TextClassification):
    """A task that learns one class for each row, as text classification does, from columns of other kinds."""

    provides: ClassVar[frozenset[Capability]] = FEW
    solver: ClassVar[dict[str, Any] | None] = None

    def one_class(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows with a text, and with a class if they have an answer."""
        plain = pd.DataFrame({"text": Task.texts(self, rows).to_numpy()}, index=rows.index)
        answer = self.schema.answer.name
        return plain.assign(**{answer: self.classes(rows)}) if answer in rows else plain

    def labels(self, rows: pd.DataFrame) -> list[str]:
        return sorted(self.classes(rows).unique())

    def encode(self, rows: pd.DataFrame, *args: Any, **how: Any) -> list[Encoded]:
        encoded = super().encode(self.one_class(rows), *args, **how)
        texts = rows[self.schema.text].tolist()
        return [
            Encoded(row.input_ids, row.targets, row.anchors, text) for row, text in zip(encoded, texts, strict=True)
        ]

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        answered = self.classes(pd.DataFrame({self.schema.answer.name: pd.Series(predictions, dtype=object)}))
        return (self.classes(rows).to_numpy() == answered.to_numpy()).astype(float)

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        return Task.texts(self, rows)

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        return Task.classes(self, rows)

    def describe(self, value: Any) -> str:
        return Task.describe(self, value)

    def decode_rows(self, *decoded: Any) -> list[Prediction]:
        return Task.decode_rows(self, *decoded)

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        return {"accuracy": float(self.row_scores(rows, predictions).mean())} if len(rows) else {}

    def _named(self, answers: Any) -> set[tuple[int, str]]:
        kind = self.schema.answer.kind
        return {(row, name) for row, answer in enumerate(answers) for name in names_in(kind, answer)}

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        return scores_by_class(self._named(rows[self.schema.answer.name]), self._named(predictions))

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        return {name: scores["f1"] for name, scores in self.per_class(rows, predictions).items()}


class Topics(_Adapted):
    """Any number of labels for each text."""

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("text", ValueKind.TEXT, "The text", "my card and the fee"),),
        answer=Column("labels", ValueKind.LABELS, "All that apply", ["card", "fee"]),
    )

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        best = int(probabilities[0].argmax())
        said = targets.labels[best]
        return Prediction([] if said == NONE_APPLIES else said.split(BETWEEN_LABELS), float(probabilities[0, best]))


class Relations(_Adapted):
    """How two parts of a text are related."""

    provides: ClassVar[frozenset[Capability]] = FEW | {Capability.PROBABILITIES}
    schema: ClassVar[Schema] = Schema(
        inputs=(
            Column("text", ValueKind.TEXT, "The text", "anna lives in york"),
            Column("head", ValueKind.SPAN, "The first part", [0, 4]),
            Column("tail", ValueKind.SPAN, "The second part", [14, 18]),
        ),
        answer=Column("relation", ValueKind.LABEL, "How they are related", "lives_in"),
        split_by=("text",),
    )


class Questions(_Adapted):
    """An answer to a question, in a text."""

    schema: ClassVar[Schema] = Schema(
        inputs=(
            Column("question", ValueKind.TEXT, "The question", "where is anna?"),
            Column("context", ValueKind.TEXT, "Where the answer stands", "anna lives in york"),
        ),
        answer=Column("answers", ValueKind.TEXTS, "Each answer that is right", ["york"]),
        further=(Column("answer_starts", ValueKind.NUMBERS, "Where each begins", [14], optional=True),),
        split_by=("context",),
    )

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        best = int(probabilities[0].argmax())
        answered = targets.labels[best] == "answered"
        return Prediction(["york"] if answered else [], float(probabilities[0, best]))


TASKS = {"topics": Topics, "relations": Relations, "questions": Questions}


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the tasks as an installed package does."""
    points = {
        name: (EntryPoint(name, f"{__name__}:{task.__name__}", "perennial.tasks"),) for name, task in TASKS.items()
    }
    outside = plugins._outside
    monkeypatch.setattr(plugins, "_outside", lambda kind: points if kind == "tasks" else outside(kind))


def made_rows(name: str, rows: int, *, seed: int = 0) -> pd.DataFrame:
    """Return labelled rows of a task, with ids."""
    rng, made = np.random.default_rng(seed), []
    for index in range(rows):
        names = [str(word) for word in rng.choice(["anna", "ben", "york", "paris"], 2, replace=False)]
        text = f"{names[0]} lives in {names[1]} {TOPICS[index % 3]} {seed} {index}"
        first, second = ([text.index(word), text.index(word) + len(word)] for word in names)
        made.append(
            {
                "topics": {"text": text, "labels": TOPICS[: index % 4]},
                "relations": {
                    "text": text,
                    "head": first,
                    "tail": second,
                    "relation": ["lives_in", "near"][index % 2],
                },
                "questions": {
                    "question": f"where is {names[0]}?",
                    "context": text,
                    "answers": [names[1]] if index % 3 else [],
                    "answer_starts": [second[0]] if index % 3 else [],
                },
            }[name]
        )
    return pd.DataFrame(made).assign(id=[f"r{seed}-{index}" for index in range(rows)])
