"""The evaluation of a challenger."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from cl.records.past_scores import from_matrix
from cl.records.record import Record

if TYPE_CHECKING:
    import pandas as pd

    Groups = dict[str, pd.DataFrame]


UNMEASURED = "answers from label descriptions alone; nothing measured yet"
"""What is said of a version for which there was no test row."""
FEW = 5
"""Test rows of a class below which its score says little."""
BASELINES = {
    "majority": "the majority class",
    "ncm": "the nearest class mean",
    "regression": "logistic regression on frozen features",
}
"""The simplest things that could work: the strategies, and what each is called."""
END_TO_END_F1 = "end_to_end_f1"
"""The number of an evaluation with a tagger: F1 of relations whose spans the tagger has found."""
FAULTS = {
    "cut": "were cut at the most tokens of an answer",
    "repeats": "repeat the same four words three times",
    "blank": "are blank",
    "other_script": "are in another script than the true answer",
    "invalid_json": "are invalid JSON where the true answer is JSON",
}
"""What can be wrong with a written answer whatever it says, and the words for a share of the answers."""


TOGETHER = ("corpus_chrf", "corpus_bleu", "rouge_l", "exact_match", "f1")
"""Scores of written answers whose rows' counts are stored, so that all rows, or any sample, can be scored together."""


class Score(Record):
    """The score of one model on one experience's test rows."""

    experience: str
    rows: int
    value: float | None = Field(description="The task's main metric, 0 to 1; None: the rows cannot decide it")
    metrics: dict[str, float] = Field(default_factory=dict, description="All metrics that the rows decide")
    undecided: str = Field(default="", description="Why there is no value; empty: there is one")


def decided(scores: Iterable[Score]) -> dict[str, float]:
    """Return experience -> score, without the experiences whose rows cannot decide one."""
    return {score.experience: score.value for score in scores if score.value is not None}


def mean_score(scores: Iterable[Score]) -> float | None:
    """Return the mean of the decided scores; None: there is none."""
    values = decided(scores).values()
    return fmean(values) if values else None


class BaselineScores(Record):
    """The scores of one of the simplest things that could work."""

    accuracy: float | None = Field(description="ACC: mean of its scores over experiences; None: none is decided")
    scores: list[Score]


class Baselines(Record):
    """The scores of the majority class, the nearest class mean and logistic regression on the same test rows."""

    of: dict[str, BaselineScores] = Field(default_factory=dict, description="Strategy -> its scores")
    rows: str = Field(default="", description="Parquet file: experience, id, and each baseline's score; empty: none")

    @property
    def strongest(self) -> str | None:
        """The baseline with the highest ACC; None: none was measured."""
        measured = {name: scores.accuracy for name, scores in self.of.items() if scores.accuracy is not None}
        return max(measured, key=lambda name: measured[name], default=None)


class Control(Record):
    """The naive control arm on the same test rows: forgetting avoided, and its cost on the new experiences."""

    scores: list[Score]
    rows: int = Field(description="New rows that it was trained on")
    epochs: int
    seconds: float = Field(description="Training time")
    forgetting_avoided: float | None = Field(
        description="Challenger minus control arm, mean over past experiences; None: none has test rows"
    )
    learning_cost: float | None = Field(
        description="Control arm minus challenger, mean over the new experiences; negative: nothing was lost"
    )

    @property
    def numbers(self) -> dict[str, float]:
        """Its measurements by name, as gates refer to them."""
        numbers = {"forgetting_avoided": self.forgetting_avoided, "learning_cost": self.learning_cost}
        return {name: value for name, value in numbers.items() if value is not None}


class ScoresTogether(Record):
    """Challenger and champion by a score of all rows together that both answered."""

    metric: str
    challenger: float
    champion: float
    low: float = Field(description="Lower bound of the 95 % interval of challenger minus champion")
    high: float = Field(description="Its upper bound")
    rows: int

    @property
    def difference(self) -> float:
        """The challenger's gain."""
        return self.challenger - self.champion


class Evaluation(Record):
    """Challenger and champion on the same test rows of every experience so far."""

    metric: str = Field(description="Name of the main metric: accuracy, f1")
    challenger: list[Score]
    champion: list[Score] = Field(default_factory=list)
    accuracy: float | None = Field(
        description="ACC: mean of the challenger's scores over experiences; None: none is decided"
    )
    champion_accuracy: float | None = None
    backward_transfer: float | None = Field(default=None, description="BWT; None before the second row of R")
    forgetting: dict[str, float] = Field(
        default_factory=dict, description="Per past experience: best score so far minus score now"
    )
    newest: str = Field(default="", description="The experience learned last")
    updates: int = Field(
        default=1, description="Updates so far, this one included: the rows of the accuracy matrix R up to `row`"
    )
    tested_later: int = Field(
        default=0,
        description="Past experiences that were not tested: with `evaluation.max_rows`, they take turns",
    )
    falls: dict[str, int] = Field(
        default_factory=dict,
        description="Experience -> how many of its last scores were lower than the one before, in a row; 0 left out",
    )
    falls_of_mean: int = Field(
        default=0, description="The same of the mean over the experiences that two successive rows of R share"
    )
    calibration_error: float | None = Field(
        description="Expected calibration error over all test rows, 0 to 1; None: there are none"
    )
    latency_ms: float | None = Field(description="Median latency for one row; None: not measured")
    size_mb: float = Field(description="Size of the learner's weights on disk")
    numbers: dict[str, float] = Field(
        default_factory=dict, description="Further measurements of the challenger, by name: brier, latency_p95_ms, ..."
    )
    champion_numbers: dict[str, float] = Field(default_factory=dict, description="The same for the champion")
    comparisons: list[ScoresTogether] = Field(
        default_factory=list, description="Written answers: scores of all rows together, by paired bootstrap"
    )
    per_class: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Challenger: class -> count, precision, recall, f1 over all test rows"
    )
    champion_per_class: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="The same for the champion"
    )
    report: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="Challenger: entity type, then micro avg, macro avg and weighted avg -> count, precision, recall, "
        "f1, as seqeval reports them; empty where answers have no entities",
    )
    untested_classes: list[str] = Field(
        default_factory=list, description="Classes that the challenger knows and no test row has: undecided"
    )
    baselines: Baselines = Field(
        default_factory=lambda: Baselines(), description="The simplest things that could work, on the same rows"
    )
    control: Control | None = Field(default=None, description="The naive control arm; None: there was none")
    tagger: str | None = Field(
        default=None,
        description="The version that found the spans for the end-to-end scores among `numbers`, NAME@VERSION; None: "
        "none did",
    )
    predictions: str = Field(
        description="Parquet file, one row per test row: experience, id, target, chars (the text's length); the "
        "challenger's answer, score, confidence and Brier score; the same for the champion; best_score, "
        "baseline_score"
    )

    @property
    def rows(self) -> int:
        """The number of test rows."""
        return sum(score.rows for score in self.challenger)

    @property
    def unmeasured(self) -> bool:
        """Whether there was no test row at all: the model has learned descriptions of labels alone."""
        return bool(self.challenger) and not self.rows

    @property
    def majority_share(self) -> float | None:
        """The share of the most frequent class in the test rows; None: there is no class."""
        counts = [metrics["count"] for metrics in self.per_class.values()]
        return max(counts) / sum(counts) if counts else None

    @property
    def thin_classes(self) -> list[str]:
        """The classes with fewer than `FEW` test rows, whose scores say little, the thinnest first."""
        counts = {name: int(metrics["count"]) for name, metrics in self.per_class.items()}
        return sorted((name for name in counts if counts[name] < FEW), key=lambda name: counts[name])

    @property
    def undecided(self) -> dict[str, str]:
        """Experience -> why the challenger has no score on it."""
        return {score.experience: score.undecided for score in self.challenger if score.value is None}

    @property
    def forgetting_max(self) -> float | None:
        """The largest forgetting of any past experience; 0 before there is a past, None if no past score is decided."""
        return max(self.forgetting.values(), default=None if self.updates > 1 else 0.0)

    @property
    def row(self) -> dict[str, float]:
        """This update's row of the accuracy matrix R: experience tested -> score, undecided ones left out."""
        return decided(self.challenger)

    @model_validator(mode="before")
    @classmethod
    def _read_matrix(cls, values: Any) -> Any:
        """Read the whole matrix that older releases have stored with each evaluation."""
        if not isinstance(values, dict) or "matrix" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "matrix"}
        *earlier, newest = values["matrix"] or [""]
        scores, row = from_matrix({name: values["matrix"][name] for name in earlier}), values["matrix"].get(newest, {})
        return {**rest, **scores.describe(newest, row)}


STORED = frozenset(
    {"experience", "id", "target", "chars", "best_score", "baseline_score"}
    | {f"{who}{what}" for who in ("challenger", "champion") for what in ("", "_score", "_brier")}
    | {f"{who}_{name}" for who in ("challenger", "champion") for name in FAULTS}
    | {"confidence", "champion_confidence"}
)
"""The columns that an evaluation stores for every row; a data column is stored only if a gate needs it."""


NUMERIC_COLUMNS = frozenset(
    {"chars", "best_score", "baseline_score", "confidence", "champion_confidence"}
    | {f"{model}_{number}" for model in ("challenger", "champion") for number in ("score", "brier", *FAULTS)}
)
"""The stored columns that hold numbers; all others hold text."""
