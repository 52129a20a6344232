"""A package of somebody else's: a gate, a strategy and a task, found through entry points."""

from __future__ import annotations

import pandas as pd
from pydantic import Field

import cl
from cl.tasks.text_classification import TextClassification


class Polite(cl.Gate):
    """No test row that says please may be answered wrong too often."""

    max: float = Field(ge=0, le=1, description="The largest share of wrong answers, 0 to 1")

    def judge(self, evaluation: cl.Evaluation, predictions: pd.DataFrame, *, seed: int) -> cl.Verdict:
        """Return the verdict."""
        wrong = 1.0 - float(predictions["challenger_score"].mean())
        why = f"{wrong:.0%} are answered wrong, {self.max:.0%} are allowed"
        return cl.Verdict(gate=self.name, passed=wrong <= self.max, measured=wrong, bound=self.max, why=why)


class Halved(cl.Strategy):
    """Learns every second new row."""

    def epoch_rows(self, update: object) -> tuple[pd.DataFrame, None]:  # type: ignore[override]
        """Return half of the new rows, and no past ones."""
        return update.lesson.rows.iloc[::2], None  # type: ignore[attr-defined]


class CaseBlind(TextClassification):
    """Text classification that reads everything in lower case."""

    def encode(self, rows: pd.DataFrame, *args: object, **how: object) -> list[object]:  # type: ignore[override]
        """Tokenise lower-case texts."""
        return super().encode(rows.assign(text=rows["text"].str.lower()), *args, **how)  # type: ignore[arg-type]
