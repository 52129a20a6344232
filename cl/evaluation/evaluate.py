"""Evaluate a challenger and the champion on the test rows of every experience so far."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cl.config import Config
from cl.evaluation.best_so_far import add_best, load_best
from cl.evaluation.choose_tests import ChosenTests, choose_tests
from cl.evaluation.measurements import CHALLENGER, CHAMPION, CONFIDENCE, measure
from cl.models.inference import Answering, Answers, answer
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.process.progress import meter
from cl.records import Baselines, Control, ControlArm, Evaluation, Score
from cl.records.evaluation import decided, mean_score
from cl.records.past_scores import PastScores
from cl.stores.data.experiences import RowsOf

CLASSES = "classes.csv"
"""The file with the scores of each class."""


@dataclass(frozen=True)
class Candidates:
    """What is evaluated: the folders of challenger and champion (None for a first model), and the control arm."""

    challenger: Path
    champion: Path | None = None
    control: ControlArm | None = None


@dataclass(frozen=True)
class HeldOut:
    """What the candidates are evaluated on.

    ``experiences`` are the ids of all experiences so far, newest last; ``scores`` are what they scored up to the
    champion; ``rows_of`` returns the rows of experiences (ids, split); no label fits the ``out_of_scope_texts``.
    ``answering`` returns, for a version's folder and learner, how it answers rows that it may have learned; None: it
    has learned none of them. ``baselines`` are the scores of the simplest models on the same rows, the ``chosen`` ones.
    """

    experiences: Sequence[str]
    scores: PastScores
    rows_of: RowsOf
    out_of_scope_texts: Sequence[str] = ()
    answering: Callable[[Path, Learner], Answering] | None = None
    baselines: Baselines = field(default_factory=Baselines)
    chosen: ChosenTests | None = None

    def tests(self, config: Config) -> ChosenTests:
        """Return the test rows: those that were ``chosen`` before, or as many as the configuration allows."""
        most = config.evaluation.max_rows
        return self.chosen or choose_tests(self.experiences, self.rows_of, self.scores, most)


def evaluate(config: Config, candidates: Candidates, held_out: HeldOut, *, folder: Path) -> Evaluation:
    """Score both models on the same rows, take all other measurements, and store every row's prediction.

    Args:
        config: the seed, the task and what to measure.
        candidates: the models.
        held_out: the rows.
        folder: where predictions.parquet is written.
    """
    chosen = held_out.tests(config)
    rows = chosen.rows
    folders = {CHALLENGER: candidates.challenger}
    if candidates.champion is not None:
        folders[CHAMPION] = candidates.champion
    answers = {who: answer_tests(path, rows, held_out.answering) for who, path in folders.items()}
    now, before = answers[CHALLENGER].scores, answers[CHAMPION].scores if CHAMPION in answers else []
    newest = held_out.experiences[-1]
    row, past = decided(now), held_out.scores
    earlier_best = load_best(candidates.champion) if candidates.champion else None
    table = add_best(_build_table(rows, answers, config.columns_of_gates), earlier_best)
    table = _add_baseline(table, held_out.baselines)
    predictions = folder / "predictions.parquet"
    table.to_parquet(predictions, index=False)
    per_class = answers[CHALLENGER].per_class(rows)
    pd.DataFrame.from_dict(per_class, orient="index").rename_axis("class").to_csv(folder / CLASSES)
    learners = {who: model.learner for who, model in answers.items()}
    numbers = measure(config, learners, folders, rows, table, held_out.out_of_scope_texts)
    control = _measure_control(candidates.control, rows, now) if candidates.control is not None else None
    return Evaluation(
        metric=answers[CHALLENGER].learner.task.metric,
        challenger=now,
        champion=before,
        accuracy=mean_score(now),
        champion_accuracy=mean_score(before),
        backward_transfer=past.backward_transfer(newest, row),
        forgetting=past.forgetting(newest, row, champion=decided(before)),
        **past.describe(newest, row),
        tested_later=len(chosen.later),
        calibration_error=numbers[CHALLENGER].get("ece"),
        latency_ms=numbers[CHALLENGER].get("latency_p50_ms"),
        size_mb=numbers[CHALLENGER]["size_mb"],
        numbers={
            **numbers[CHALLENGER],
            **(control.numbers if control else {}),
            **_compare(mean_score(now), held_out.baselines),
        },
        champion_numbers=numbers.get(CHAMPION, {}),
        per_class=per_class,
        champion_per_class=answers[CHAMPION].per_class(rows) if CHAMPION in answers else {},
        untested_classes=answers[CHALLENGER].untested_classes(per_class),
        baselines=held_out.baselines,
        control=control,
        predictions=str(predictions),
    )


@dataclass(frozen=True)
class ModelAnswers:
    """A learner, its answers to the test rows of each experience, and its scores on them."""

    learner: Learner
    answers: dict[str, Answers]
    scores: list[Score]

    def per_class(self, tests: dict[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
        """Return the scores of each class over all test rows."""
        values = [value for experience in tests for value in self.answers[experience].values]
        return self.learner.task.per_class(pd.concat(tests.values(), ignore_index=True), values)

    def untested_classes(self, tested: Collection[str]) -> list[str]:
        """Return the classes that the learner knows and that are not among the tested ones."""
        task, labels = self.learner.task, self.learner.labels
        return [name for name in task.scored_classes(labels) if name not in tested]


def answer_tests(
    folder: Path,
    tests: dict[str, pd.DataFrame],
    answering: Callable[[Path, Learner], Answering] | None = None,
) -> ModelAnswers:
    """Load a learner, and let it answer and score the test rows of each experience; ``answering`` as in `HeldOut`."""
    learner = load_learner(folder)
    with meter(sum(map(len, tests.values())), "rows"):
        if answering is None:
            answers = _answer_together(learner, tests)
        else:
            logits_of = answering(folder, learner)
            answers = {id: answer(learner, rows, logits=logits_of(id, rows)) for id, rows in tests.items()}
    scores = [learner.task.score_experience(id, rows, answers[id].values) for id, rows in tests.items()]
    return ModelAnswers(learner, answers, scores)


def _answer_together(learner: Learner, tests: dict[str, pd.DataFrame]) -> dict[str, Answers]:
    """Answer the rows of all experiences in one pass: a pass for each would leave most of its batches half empty."""
    together = answer(learner, pd.concat(tests.values(), ignore_index=True))
    answers, start = dict[str, Answers](), 0
    for id, rows in tests.items():
        part = slice(start, start := start + len(rows))
        answers[id] = Answers(
            together.predictions[part],
            together.embeddings[part],
            together.loss,
            together.brier[part],
            together.targets,
        )
    return answers


def _build_table(tests: dict[str, pd.DataFrame], models: dict[str, ModelAnswers], columns: list[str]) -> pd.DataFrame:
    """Return one row per test row for gates and reports: each model's answer and the gates' columns, but no text."""
    task = models[CHALLENGER].learner.task
    parts = []
    for id, rows in tests.items():
        part = pd.DataFrame({"experience": id, "id": rows["id"], "target": rows[task.columns[1]].map(task.describe)})
        part["chars"] = task.texts(rows).map(len).astype("int64")
        for name in columns:  # rows ingested before a column was kept lack it
            part[name] = rows[name].to_numpy() if name in rows else None
        for who, model in models.items():
            answers = model.answers[id]
            part[who] = [task.describe(value) for value in answers.values]
            part[f"{who}_score"] = task.row_scores(rows, answers.values)
            part[CONFIDENCE[who]] = [prediction.confidence for prediction in answers.predictions]
            part[f"{who}_brier"] = answers.brier
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _add_baseline(table: pd.DataFrame, baselines: Baselines) -> pd.DataFrame:
    """Return the table with a column ``baseline_score``: each row's score from the strongest baseline."""
    if baselines.strongest is None:
        return table
    scores = pd.read_parquet(baselines.rows)[["experience", "id", baselines.strongest]]
    return table.merge(
        scores.rename(columns={baselines.strongest: "baseline_score"}), on=["experience", "id"], how="left"
    )


def _compare(accuracy: float | None, baselines: Baselines) -> dict[str, float]:
    """Return each baseline's ACC, and how far the challenger is above the strongest, as numbers for gates."""
    known = {name: scores.accuracy for name, scores in baselines.of.items() if scores.accuracy is not None}
    numbers = {f"baseline_{name}": value for name, value in known.items()}
    strongest = baselines.strongest
    if strongest is None or accuracy is None:
        return numbers
    return {**numbers, "over_baseline": accuracy - known[strongest]}


def _measure_control(arm: ControlArm, tests: dict[str, pd.DataFrame], challenger: list[Score]) -> Control:
    scores = answer_tests(Path(arm.folder), tests).scores
    gains = [
        (score.experience in arm.experiences, score.value - naive.value)
        for score, naive in zip(challenger, scores, strict=True)
        if score.value is not None and naive.value is not None
    ]
    past, new = ([gain for is_new, gain in gains if is_new == wanted] for wanted in (False, True))
    return Control(
        scores=scores,
        rows=arm.rows,
        epochs=arm.epochs,
        seconds=arm.seconds,
        forgetting_avoided=float(np.mean(past)) if past else None,
        learning_cost=-float(np.mean(new)) if new else None,
    )
